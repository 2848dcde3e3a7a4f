"""Commands that look back read every store alike: the embedded one, and a real InfluxDB 1.6.7."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from building.document import parse_document
from building.fields import Secret
from building.quantities import implausible
from building.readings import GOOD, Flaw, Grade, Quality, Reading, no_answer, with_flaws
from building.site import InfluxSettings, Site, build_site
from collector.storing.embedded import DATABASE, EmbeddedStore
from collector.storing.influx import InfluxStore
from collector.storing.influx_readings import InfluxReadings, quality_of
from collector.storing.stored import StoredReadings
from greenwarden.cli import app
from rules import replay as replaying
from rules.catalogue import check_rules
from rules.replay import InOrder, replay
from tests.engine_parts import patient_site, streams
from tests.parts import Influxd
from tests.storing_parts import Influxd2, every_kind_of_reading, small_site

START = 1_782_900_000_000  # 2026-07-01 18:00 in Shanghai
MINUTE = 60_000
SITE = """
version: 1
site: {name: 市民's "大厅", timezone: Asia/Shanghai, language: en, tariffs: {electricity: 1.0}}
departments: [{id: finance, name: Finance}]
zones: [{id: "301", department: finance}]
devices:
  - {id: lamp, kind: light, zone: "301", every: 1m, rated_power: 60}
  - {id: ac, kind: aircon, zone: "301", every: 1m}
  - {id: pir, kind: sensor, zone: "301", every: 1m, quantities: [occupancy, temperature]}
"""
IMPLAUSIBLE = Flaw(Grade.BAD, implausible("temperature", 985.0))


def evening() -> Iterator[Reading]:
    """Two hours in which nobody is there; lamp and air conditioner run on, and the sensor says what cannot be."""
    for minute in range(120):
        at = START + minute * MINUTE
        yield Reading("lamp", at, {"on": float(minute < 60 or minute >= 90)})
        if 30 <= minute < 40:
            yield no_answer("ac", at, "no answer within 1 s")
        else:
            yield Reading("ac", at, {"running": 1.0, "mode": "cool", "setpoint": 24.0})
        if minute >= 80:
            values = {"occupancy": 0.0, "temperature": 985.0}
            yield with_flaws("pir", at + 1, values, {"temperature": IMPLAUSIBLE})
        else:
            yield Reading("pir", at + 1, {"occupancy": 0.0, "temperature": 24.5})


def folder_of(path: Path, store: str) -> Path:
    path.mkdir()
    (path / "devices.yaml").write_text(SITE + store, encoding="utf-8")
    return path


@pytest.fixture
def embedded(tmp_path: Path) -> Path:
    folder = folder_of(tmp_path / "embedded", "")
    (folder / "data").mkdir()
    with EmbeddedStore(folder / "data" / DATABASE) as store:
        store.write(list(evening()))
    return folder


@pytest.fixture
def in_influxdb(tmp_path: Path, influxd: Influxd) -> Path:
    site = build_site(parse_document(SITE.encode(), "devices.yaml"), [check_rules])
    with InfluxStore(site, InfluxSettings(url=influxd.url, database="energy")) as store:
        store.write(list(evening()))
    return folder_of(tmp_path / "influx", f"store: {{influxdb: {{url: '{influxd.url}', database: energy}}}}\n")


def said(folder: Path, command: str, *words: str) -> str:
    told = CliRunner().invoke(app, [command, *words, "--site", str(folder / "devices.yaml")])
    if command == "replay":
        told = CliRunner().invoke(app, [command, str(folder / "devices.yaml"), *words])
    assert told.exit_code == 0, told.output
    return told.stdout


def test_replay_and_why_say_the_same_over_either_store(embedded: Path, in_influxdb: Path) -> None:
    for words in ((), ("--from", "2026-07-01T18:30", "--to", "2026-07-01T19:30")):
        over = said(embedded, "replay", "--json", *words)
        assert said(in_influxdb, "replay", "--json", *words) == over
    for rule in ("lights_left_on", "aircon_setpoint", "meter_implausible"):
        assert f'"{rule}":' in said(embedded, "replay", "--json")
    for rule, device in (("lights_left_on", "lamp"), ("aircon_setpoint", "ac"), ("meter_implausible", "pir")):
        asked = (rule, device, "--at", "2026-07-01T19:20", "--json")
        assert said(in_influxdb, "why", *asked) == said(embedded, "why", *asked)


def test_an_export_holds_numbers_and_words_of_either_store_and_replays_alike(
    embedded: Path, in_influxdb: Path, tmp_path: Path
) -> None:
    rows = []
    for name, folder in (("a", embedded), ("b", in_influxdb)):
        said(folder, "export", str(tmp_path / f"{name}.csv"))
        with (tmp_path / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            rows.append(sorted(tuple(row) for row in csv.reader(file)))
    assert rows[0] == rows[1]
    assert sum(row[2:] == ("mode", "cool") for row in rows[0]) == 110
    assert len(rows[0]) == 1 + 120 + 3 * 110 + 120 + 80
    over = said(embedded, "replay", "--readings", str(tmp_path / "a.csv"), "--json")
    assert '"lights_left_on":{"alerts":2' in over
    assert '"aircon_setpoint":{"alerts":1' in over
    said(in_influxdb, "export", str(tmp_path / "c.parquet"), "--device", "lamp")
    over = said(embedded, "replay", "--readings", str(tmp_path / "c.parquet"), "--json")
    assert '"readings":120' in over


@pytest.fixture(params=["1.6.7", "2.x"])
def settings_of_influxdb(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[InfluxSettings]:
    if request.param == "1.6.7":
        with Influxd(tmp_path) as server:
            yield InfluxSettings(url=server.url, database="energy")
        return
    with Influxd2(tmp_path) as second:
        monkeypatch.setenv("TEST_INFLUX_TOKEN", second.token)
        yield InfluxSettings(url=second.url, token=Secret("${TEST_INFLUX_TOKEN}"), org=second.org, bucket="energy")


def test_readings_come_back_from_influxdb_as_they_were_written_but_for_bad_words(
    settings_of_influxdb: InfluxSettings,
) -> None:
    site, written = small_site("line\nbreak"), every_kind_of_reading()
    with InfluxStore(site, settings_of_influxdb) as store:
        kept = InfluxReadings(site, store)
        assert kept.span() is None
        assert list(kept.readings(0, START * 2)) == []
        store.write(written)
        assert kept.span() == (written[0].taken_at, written[-1].taken_at)
        back = list(kept.readings(0, START * 2))
        assert [list(kept.readings(0, START * 2, [device])) for device in ("main", "ghost")] == [
            [one for one in back if one.device == "main"],
            [],
        ]
        assert list(kept.readings(written[2].taken_at, written[4].taken_at)) == back[2:4]
    turbo = written[7]
    assert turbo.values == {"mode": "turbo"}
    assert back == [one if one is not turbo else one._replace(values={}) for one in written]


@pytest.mark.parametrize(
    ("told", "quality", "values"),
    [
        ("good", GOOD, {}),
        ("bad: no answer; a bad: day", Quality(Grade.BAD, "no answer; a bad: day"), {}),
        (
            "co2 bad: no value; humidity suspect: frozen; since noon",
            Quality(
                Grade.BAD,
                "",
                {"co2": Flaw(Grade.BAD, "no value"), "humidity": Flaw(Grade.SUSPECT, "frozen; since noon")},
            ),
            {},
        ),
        (
            f"temperature bad: {implausible('temperature', -1.5e9)}",
            Quality(Grade.BAD, "", {"temperature": Flaw(Grade.BAD, implausible("temperature", -1.5e9))}),
            {"temperature": -1.5e9},
        ),
        (
            f"on bad: {implausible('on', 3.0)}",
            Quality(Grade.BAD, "", {"on": Flaw(Grade.BAD, implausible("on", 3.0))}),
            {"on": 3.0},
        ),
        ("what another program wrote", Quality(Grade.SUSPECT, "what another program wrote"), {}),
    ],
)
def test_the_field_quality_is_understood(told: str, quality: Quality, values: dict[str, float]) -> None:
    found: dict[str, float | str] = {}
    assert quality_of(told, found) == quality
    assert found == values


PATIENT: Site = patient_site()


@settings(max_examples=60, deadline=None)
@given(streams(), st.integers(1, 7))
def test_readings_in_order_taken_some_at_a_time_give_the_same_alerts(readings: list[Reading], some: int) -> None:
    ordered = sorted(readings, key=lambda reading: reading.taken_at)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replaying, "_BATCH", some)
        told = replay(PATIENT, InOrder(iter(ordered), ordered[0].taken_at, ordered[-1].taken_at)) if ordered else None
    whole = replay(PATIENT, readings)
    assert whole == (told or whole)


def test_of_a_long_store_only_some_readings_lie_in_memory(embedded: Path) -> None:
    alive, most = 0, 0

    class Counted(Reading):
        """A reading that tells when it is let go."""

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def counted() -> Iterator[Reading]:
        nonlocal alive, most
        for hour in range(1_000):
            alive += 1
            most = max(most, alive)
            yield Counted("lamp", START + hour * 60 * MINUTE, {"on": float(hour % 24 < 2)})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replaying, "_BATCH", 10)
        assert replay(PATIENT, InOrder(counted(), START, START + 999 * 60 * MINUTE)).readings == 1_000
    assert most < 50
    with StoredReadings(embedded / "data" / DATABASE) as store:
        assert {reading.device for reading in store.readings(0, START * 2, ["pir"])} == {"pir"}
