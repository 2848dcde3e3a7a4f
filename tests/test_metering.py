"""Commands about meters and the store: what people tell and ask, in words and in JSON."""

from __future__ import annotations

import asyncio
import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from building.clock import ManualClock
from building.errors import StoreAway, StoreRefused
from building.readings import Reading
from collector.accounting import Accountant
from collector.accounts import Accounts
from collector.storing import EmbeddedStore, Keeper, Storing
from collector.storing.embedded import DATABASE
from collector.storing.packing import StoredPoint
from greenwarden.cli import app
from greenwarden.door import open_site
from tests.parts import Influxd, eventually
from tests.storing_parts import START, Batches, MemoryStore, small_site

SITE = """
version: 1
site: {name: Town hall, timezone: Asia/Shanghai, language: en, tariffs: {electricity: 0.5, water: 4}}
zones: [{id: "301", floor: 3}]
devices:
  - {id: main, kind: electricity, circuit: main, every: 10m}
  - {id: gas, kind: gas, quantities: [volume]}
  - {id: room, kind: sensor, zone: "301"}
"""
HOUR = 3_600_000


@pytest.fixture
def site(tmp_path: Path) -> Path:
    path = tmp_path / "devices.yaml"
    path.write_text(SITE, encoding="utf-8")
    return path


def ask(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def refuse(status: int, *arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    assert result.exit_code == status, result.output
    return result.stderr


async def account(site: Path, readings: list[Reading], now: int) -> None:
    """The program's part of it: readings in, intervals made."""
    clock, known = ManualClock(now), open_site(site)
    data = site.parent / "data"
    source = Batches(readings)
    with Keeper(data / "memory.db") as keeper:
        async with Storing(known, clock, data, source) as storing:
            await eventually(lambda: source.acknowledged, "the readings to be on disk")
            await storing.settled()
            async with Accounts(known, clock, data, storing, keeper) as accounts:
                await accounts.bring_up_to_date()


def steady(hours: int) -> list[Reading]:
    return [Reading("main", START + n * HOUR // 6, {"energy_import": 100.0 + n}) for n in range(hours * 6 + 1)]


async def test_intervals_and_journal_are_told_in_words_and_in_json(site: Path) -> None:
    await account(site, steady(24), START + 24 * HOUR)
    told = ask("meter", "intervals", "-s", site, "--every", "1d", "--from", "2026-07-01", "--to", "2026-07-02")
    assert "144" in told
    assert "measured" in told
    answer = json.loads(ask("meter", "intervals", "main", "--of", "device", "--every", "1h", "-s", site, "--json"))
    assert [one["energy"] for one in answer["intervals"]] == pytest.approx([6.0] * 24)
    assert answer["intervals"][0]["from"] == "2026-07-01T00:00:00+08:00"
    assert answer["intervals"][0]["cost"] == pytest.approx(3.0)


async def test_what_the_program_has_accounted_is_reported(site: Path) -> None:
    await account(site, steady(24), START + 24 * HOUR)
    days = ("--from", "2026-07-01", "--to", "2026-07-02")
    told = json.loads(ask("report", "-s", site, *days, "--json"))
    energy, gas = told["media"]["energy"], told["media"]["gas"]
    assert (energy["amount"], energy["cost"]) == (pytest.approx(144.0), pytest.approx(72.0))
    assert (energy["share_measured"], energy["rest"]["base"]) == (1.0, pytest.approx(6.0))
    assert (gas["amount"], gas["share_missing"]) == (None, 1.0)
    assert (told["alerts"]["answers"]["raised"], told["accounted_until"]) == (0, "2026-07-02T00:00:00+08:00")
    assert "Town hall: energy and water" in ask("report", "-s", site, *days)


async def test_an_exchange_told_by_another_process_mends_the_intervals(site: Path) -> None:
    before, after = (
        steady(12),
        [Reading("main", START + (12 * 6 + n) * HOUR // 6, {"energy_import": float(n)}) for n in range(1, 73)],
    )
    await account(site, before + after, START + 24 * HOUR)
    told = ask("meter", "exchange", "main", "--old", "172.5", "--new", "0.5", "--at", "2026-07-01T12:05", "-s", site)
    assert "exchanged at 2026-07-01T12:05:00+08:00" in told
    await account(site, [], START + 24 * HOUR)
    answer = json.loads(ask("meter", "intervals", "--every", "1d", "-s", site, "--from", "2026-07-01", "--json"))
    assert [(one["energy"], one["state"]) for one in answer["intervals"]] == [(pytest.approx(144.0), "measured")]
    journal = json.loads(ask("meter", "journal", "main", "-s", site, "--json"))["journal"]
    assert [one["event"] for one in journal if not one.get("withdrawn")][-1] == "reset"
    assert ("exchange", 172.0, 0.5) in [(one["event"], one["before"], one["after"]) for one in journal]
    assert "exchange" in ask("meter", "journal", "-s", site)


async def test_bills_and_readings_out_of_a_file_enter_the_intervals(site: Path, tmp_path: Path) -> None:
    bills = tmp_path / "bills.csv"
    bills.write_text("device,from,to,amount\ngas,2026-05-01,2026-06-01,310\ngas,2026-06-01,2026-07-01,150\n")
    assert "2 rows" in ask("meter", "import", bills, "-s", site)
    ask("meter", "reading", "main", "500", "--at", "2026-06-01", "-s", site)
    ask("meter", "reading", "main", "800", "--at", "2026-07-01", "-s", site)
    await account(site, [], START + HOUR)
    asked = ("meter", "intervals", "--every", "1mo", "-s", site, "--from", "2026-05-01", "--to", "2026-07-01", "--json")
    months = json.loads(ask(*asked))["intervals"]
    assert [one["gas"] for one in months] == pytest.approx([310.0, 150.0])
    assert months[1]["energy"] == pytest.approx(300.0)


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("device,time,value\nroom,2026-06-01,5", "row 2: 'room' is no meter of this site"),
        ("device,time,value\nmain,last week,5", "row 2: 'last week' is no time"),
        ("device,when\nmain,2026", "row 2: columns are device,time,value"),
        ("device,from,to,amount\ngas,2026-06-02,2026-06-01,5", "row 2: a bill needs from before to"),
        ("device,time,value\nmain,2026-06-01,nan", "row 2: 'nan' is no meter's number"),
        ("device,time,value\nmain", "row 2: columns are device,time,value"),
        ("device,time,value\nmain,0001-01-01,5", "row 2: '0001-01-01' is no time; write 2026-07-01 or"),
        ("device,from,to,amount\ngas,0226-07-01,2026-08-01,5", "row 2: '0226-07-01' is no time; write"),
        ("device,from,to,amount\ngas,2006-07-01,2026-08-01,5", "row 2: a bill is for ten years at most"),
    ],
)
def test_a_file_with_a_mistake_is_refused_whole_naming_the_row(
    site: Path, tmp_path: Path, row: str, complaint: str
) -> None:
    file = tmp_path / "told.csv"
    file.write_text(row + "\n")
    assert complaint in refuse(1, "meter", "import", file, "-s", site)
    assert json.loads(ask("meter", "journal", "-s", site, "--json")) == {"journal": []}


def test_unknown_meters_times_and_places_are_told_with_the_way_out(site: Path) -> None:
    assert "meters are main, gas" in refuse(2, "meter", "exchange", "mian", "--old", "1", "--new", "2", "-s", site)
    assert "is no time" in refuse(2, "meter", "reading", "main", "1", "--at", "noon", "-s", site)
    for year in ("0001", "9999"):
        told = refuse(2, "meter", "reading", "main", "1", "--at", f"{year}-01-01", "-s", site)
        assert "in a year from 2000 to 2099" in told
    assert "the reading nan is no meter's number" in refuse(2, "meter", "reading", "main", "nan", "-s", site)
    told = refuse(2, "meter", "exchange", "main", "--old", "5", "--new", "inf", "-s", site)
    assert "--new inf is no meter's number" in told
    assert "is no period" in refuse(2, "meter", "intervals", "--every", "1w", "-s", site)
    assert "has no zone 309" in refuse(2, "meter", "intervals", "309", "--of", "zone", "-s", site)
    assert "run greenwarden first" in refuse(1, "meter", "intervals", "-s", site)
    assert "never run here" in refuse(1, "status", site)


@pytest.mark.parametrize("words", [("exchange", "main", "--old", "nan", "--new", "1"), ("reading", "main", "inf")])
def test_what_is_no_number_is_not_taken_for_a_meters(site: Path, words: tuple[str, ...]) -> None:
    assert "no meter's number" in refuse(2, "meter", *words, "-s", site)
    assert not (site.parent / "data" / "memory.db").exists()


async def test_status_and_refused_are_told_by_another_process(site: Path) -> None:
    store, source = MemoryStore(), Batches(steady(1))
    store.fault = StoreRefused("field type conflict")
    known, data = open_site(site), site.parent / "data"
    async with Storing(known, ManualClock(START), data, source, store=store) as storing:
        await eventually(lambda: source.acknowledged, "the readings to be on disk")
        await storing.settled()
    told = ask("status", site)
    assert "not running" in told
    assert "refused by the store" in told
    status: dict[str, Any] = json.loads(ask("status", site, "--json"))
    assert (status["queued"], status["refused"], status["running"]) == (0, 7, False)
    assert "field type conflict" in ask("refused", "list", "-s", site)
    site.write_text(SITE.replace("language: en", "language: zh"), encoding="utf-8")
    told = ask("status", site)
    assert all(words in told for words in ("没有运行", "被数据库拒收", "启动以来入库"))
    assert "原因" in ask("refused", "list", "-s", site)
    site.write_text(SITE, encoding="utf-8")
    assert "will be sent again" in ask("refused", "retry", "-s", site)
    assert "nothing was refused" in ask("refused", "list", "-s", site)


def test_readings_are_exported_to_csv_and_parquet_and_come_back_the_same(site: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    (tmp_path / "data").mkdir()
    with EmbeddedStore(tmp_path / "data" / DATABASE) as store:
        store.write(steady(3))
        store.write([Reading("room", START + 1, {"temperature": 21.5, "humidity": 40.0})])
    assert "21 values" in ask("export", tmp_path / "all.csv.gz", "-s", site)
    with gzip.open(tmp_path / "all.csv.gz", "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {
        "time": "2026-07-01T00:00:00+08:00", "device": "main", "quantity": "energy_import", "value": "100.0"
    }  # fmt: skip
    assert {(row["device"], row["quantity"]) for row in rows[19:]} == {("room", "temperature"), ("room", "humidity")}
    ask("export", tmp_path / "some.parquet", "-s", site, "--device", "main", "--from", "2026-07-01T01:00")
    table = parquet.read_table(tmp_path / "some.parquet").to_pydict()
    assert table["value"] == [106.0 + n for n in range(13)]
    assert int(table["time"][0].timestamp() * 1000) == START + HOUR
    assert "ends in .csv" in refuse(2, "export", tmp_path / "all.xls", "-s", site)
    assert "no device 'rom'" in refuse(2, "export", tmp_path / "all.csv", "-s", site, "--device", "rom")
    assert "is no quantity" in refuse(2, "export", tmp_path / "all.csv", "-s", site, "--quantity", "energy")


@pytest.mark.parametrize("name", ["good.csv", "good.csv.gz", "good.parquet"])
def test_an_export_that_fails_leaves_what_stood_there_before(site: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"of before")
    assert "holds no readings" in refuse(1, "export", tmp_path / name, "-s", site)
    assert (tmp_path / name).read_bytes() == b"of before"
    assert [one.name for one in tmp_path.glob("*good*")] == [name]


async def test_with_an_influxdb_intervals_are_made_from_what_it_holds_and_written_to_it(
    influxd: Influxd, tmp_path: Path
) -> None:
    path = tmp_path / "devices.yaml"
    store = f"store: {{influxdb: {{url: '{influxd.url}', database: {influxd.database}}}}}\n"
    path.write_text(SITE + "departments: [{id: it, headcount: 4, quota: {electricity: 3650}}]\n" + store, "utf-8")
    known, data = open_site(path), tmp_path / "data"
    source = Batches(steady(24))
    with Keeper(data / "memory.db") as keeper:
        async with Storing(known, ManualClock(START + 24 * HOUR), data, source) as storing:
            await eventually(lambda: source.acknowledged, "the readings to be on disk")
            await storing.settled()
            async with Accounts(known, ManualClock(START + 24 * HOUR), data, storing, keeper) as accounts:
                await accounts.bring_up_to_date()
                await storing.settled()
            assert storing.status().refused == 0
    text = "SELECT energy, cost, state, share_measured, hour FROM interval WHERE period = '1h' AND scope = 'device'"
    rows = influxd.query(text)
    assert [row["energy"] for row in rows] == pytest.approx([6.0] * 24)
    assert {(row["state"], row["share_measured"]) for row in rows} == {("measured", 1.0)}
    assert [row["hour"] for row in rows] == [float(hour) for hour in range(24)]
    (day,) = influxd.query("SELECT energy, hour, site, state FROM interval WHERE period = '1d' AND scope = 'site'")
    assert (day["time"], day["energy"], day["site"]) == (START, pytest.approx(144.0), "Town hall")
    (count,) = influxd.query("SELECT count(energy) FROM interval WHERE period = '15m' AND device = 'main'")
    assert count["count"] == 96


async def test_with_an_influxdb_what_was_stored_long_ago_gets_its_intervals_too_while_the_program_goes_on(
    influxd: Influxd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("collector.accounts._SOON", 0.01)
    path = tmp_path / "devices.yaml"
    path.write_text(SITE + f"store: {{influxdb: {{url: '{influxd.url}', database: {influxd.database}}}}}\n", "utf-8")
    known, data = open_site(path), tmp_path / "data"
    days = 80
    source = Batches([Reading("main", START + n * HOUR, {"energy_import": 2.0 * n}) for n in range(days * 24 + 1)])
    clock = ManualClock(START + days * 24 * HOUR)
    text = "SELECT count(energy), sum(energy) FROM interval WHERE period = '1h' AND scope = 'device'"
    with Keeper(data / "memory.db") as keeper, caplog.at_level("INFO"):
        async with Storing(known, clock, data, source) as storing:
            await eventually(lambda: source.acknowledged, "the readings to be on disk")
            await storing.settled()
            async with Accounts(known, clock, data, storing, keeper):
                await eventually(lambda: ", all" in caplog.text, "the intervals of all 80 days to be published")
                await storing.settled()
    (row,) = influxd.query(text)
    assert (row["count"], row["sum"]) == (days * 24, pytest.approx(2.0 * days * 24))
    assert "back to 2026-07-" in caplog.text
    assert "is the goal" in caplog.text


async def test_the_accounting_outlasts_a_memory_and_a_queue_that_cannot_be_used_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told, tries = Accountant.told, iter(range(3))

    def away(accountant: Accountant) -> bool:
        if next(tries, None) is not None:
            raise StoreAway("memory.db cannot be used")
        return told(accountant)

    monkeypatch.setattr("collector.accounts._LOOK_EVERY", 0.01)
    monkeypatch.setattr("collector.accounts._PATIENCE", 0.01)
    monkeypatch.setattr(Accountant, "told", away)
    clock, known = ManualClock(START + HOUR), small_site()
    source = Batches([Reading("main", START + n * 60_000, {"energy_import": float(n)}) for n in range(60)])
    with Keeper(tmp_path / "memory.db") as keeper:
        async with Storing(known, clock, tmp_path, source) as storing:
            await eventually(lambda: source.acknowledged, "the readings to be on disk")
            await storing.settled()
            async with Accounts(known, clock, tmp_path, storing, keeper) as accounts:
                await eventually(lambda: "memory.db cannot be used" in caplog.text, "the trouble to be told")
                with monkeypatch.context() as full:
                    full.setattr(storing._queue, "append", _no_room)
                    publish = accounts._publisher()
                    with pytest.raises(StoreAway, match="see that the disk has room"):
                        await asyncio.to_thread(publish, [StoredPoint("interval", {}, {"energy": 1.0}, START)])
                keeper.append("meter_anew", 0, "", {"device": "", "at": 0})
                await eventually(lambda: accounts.ledger.noted("meter_anew"), "what was told to be taken up")


def _no_room(*_: object) -> None:
    raise OSError(28, "No space left on device")


async def test_a_chinese_house_reads_its_meters_in_chinese(site: Path) -> None:
    site.write_text(SITE.replace("language: en", "language: zh"), encoding="utf-8")
    assert "main：2026-07-01T12:05:00+08:00 换表，旧表底数 172.5" in ask(
        "meter", "exchange", "main", "--old", "172.5", "--new", "0.5", "--at", "2026-07-01T12:05", "-s", site
    )
    assert "gas：2026-07-01T12:05:00+08:00 抄见 1234.5 m3；程序运行时" in ask(
        "meter", "reading", "gas", "1234.5", "--at", "2026-07-01T12:05", "-s", site
    )
    assert "全部表计：将重新计算" in ask("meter", "anew", "-s", site)
    await account(site, steady(24), START + 24 * HOUR)
    journal = ask("meter", "journal", "-s", site)
    assert all(word in journal for word in ("时间", "事件", "入账", "换表"))
    told = ask("meter", "intervals", "--every", "1d", "--from", "2026-07-01", "-s", site)
    assert all(word in told for word in ("起始", "电量 kWh", "费用 CNY", "碳排放 kg", "全楼"))
    assert not any(word in told + journal for word in ("cost", "state", "event", "booked", "measured", "site"))


def test_where_nothing_odd_has_happened_the_journal_says_so_and_makes_no_folder(site: Path) -> None:
    assert ask("meter", "journal", "-s", site) == "nothing odd has happened to a counter\n"
    assert json.loads(ask("meter", "journal", "-s", site, "--json")) == {"journal": []}
    assert not (site.parent / "data").exists()


def test_no_meter_shows_less_than_nothing(site: Path, tmp_path: Path) -> None:
    assert "-3 is no meter's number" in refuse(2, "meter", "reading", "-s", site, "gas", "--", "-3")
    assert "no meter's number" in refuse(2, "meter", "exchange", "main", "--old", "5", "--new", "-1", "-s", site)
    file = tmp_path / "told.csv"
    file.write_text("device,time,value\ngas,2026-06-01,-5\n")
    assert "row 2: '-5' is no meter's number" in refuse(1, "meter", "import", file, "-s", site)


async def test_a_chinese_house_exports_and_backs_up_in_chinese(site: Path, tmp_path: Path) -> None:
    site.write_text(SITE.replace("language: en", "language: zh"), encoding="utf-8")
    await account(site, steady(1), START + HOUR)
    assert ask("export", tmp_path / "all.csv", "-s", site).endswith("all.csv：7 个数值\n")
    backup = tmp_path / "b.tar.gz"
    assert "b.tar.gz：已备份 " in ask("backup", backup, "-s", site)
    told = ask("restore", backup, "-s", site)
    assert "已恢复为 b.tar.gz 的内容；原有内容移至 " in told
