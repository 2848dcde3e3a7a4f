"""Scenario files, drawn faults, the truth as files, and the command line of ``simulate``."""

from __future__ import annotations

import json
import re
import socket
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

from building.errors import ConfigError
from greenwarden.cli import app
from simulators.building import OfficeBuilding
from simulators.faults import OF_PEOPLE, Fault, Kind
from simulators.sampling import sample
from simulators.scenario_file import read_scenario
from simulators.truth_files import COLUMNS, TruthFiles
from tests.simulators_parts import HOUR, MINUTE, SITE, at, sample_site

DAY = date(2026, 7, 1)


def scenario(folder: Path, text: str) -> list[Fault]:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return read_scenario(str(path), sample_site(), DAY, 1, 1)


def test_a_scenario_names_faults_with_time_and_place(tmp_path: Path) -> None:
    faults = scenario(tmp_path, """
version: 1
faults:
  - {fault: lamp_left_on, place: "301", start: 2026-07-01T18:10, end: 2026-07-01T20:10}
  - {fault: setpoint, place: 302, start: 2026-07-01T09:00, for: 90m, amount: 21}
  - {fault: exception, place: main, start: 2026-07-01T09:00+08:00, for: 1h, amount: 6, register: 72}
""")  # fmt: skip
    assert faults == [
        Fault(Kind.SETPOINT, "302", at("2026-07-01 09:00"), at("2026-07-01 10:30"), 21.0),
        Fault(Kind.EXCEPTION, "main", at("2026-07-01 09:00"), at("2026-07-01 10:00"), 6.0, 72),
        Fault(Kind.LAMP_LEFT_ON, "301", at("2026-07-01 18:10"), at("2026-07-01 20:10")),
    ]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("{fault: lamp_left_on, place: '999', start: 2026-07-01T18:10, for: 1h}", "zone '999' does not exist"),
        ("{fault: silence, place: nobody, start: 2026-07-01T18:10, for: 1h}", "device 'nobody' does not exist"),
        ("{fault: all_silent, place: nowhere, start: 2026-07-01T18:10, for: 1h}", "link 'nowhere' does not exist"),
        ("{fault: gremlins, place: '301', start: 2026-07-01T18:10, for: 1h}", "fault 'gremlins' is not known"),
        (
            "{fault: lamp_left_on, place: '301', start: 2026-07-01T18:10, end: 2026-07-01T18}",
            "ends before it begins",
        ),
        ("{fault: lamp_left_on, place: '301', start: soon, for: 1h}", "start is a date and time"),
        (
            "{fault: tap_running, place: wc-2, start: 2026-07-01T18:10, for: 1h, amount: -5}",
            "amount -5 cannot be; write 0 to 1000",
        ),
        (
            "{fault: late, place: main, start: 2026-07-01T18:10, for: 1h, amount: 1e400}",
            "amount inf cannot be; write 0 to 3600",
        ),
        (
            "{fault: exception, place: main, start: 2026-07-01T18:10, for: 1h, amount: 3.5}",
            "amount 3.5 is no Modbus exception code",
        ),
        ("{fault: lamp_left_on, place: '301', start: 2026-07-01T18:10}", "either end"),
        ("{fault: lamp_left_on, place: '301', start: 2026-07-01T18:10, for: 1h, colour: red}", "unknown key 'colour'"),
        ("{fault: tap_running, place: '301', start: 2026-07-01T18:10, for: 1h}", "has no water meter"),
        ("{fault: garbage, place: main, start: 2026-07-01T18:10, for: 1h}", "not on a mqtt link"),
        ("{fault: kettle, place: main, start: 2026-07-01T18:10, for: 1h}", "plug 'main' does not exist"),
        ("{fault: tap_running, place: wc-2, start: 2026-07-01T18:10, for: 1h, amount: much}", "amount is a number"),
    ],
)
def test_a_fault_that_cannot_be_is_told_in_one_sentence_with_its_line(tmp_path: Path, entry: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as told:
        scenario(tmp_path, f"version: 1\nfaults:\n  - {entry}\n")
    assert len(told.value.problems) == 1
    assert told.value.problems[0].startswith("mine.yaml:3:")


def test_rates_draw_the_same_faults_from_the_same_seed_and_no_two_in_one_zone_at_once() -> None:
    site = sample_site()
    first = read_scenario("standard", site, DAY, 30, 5)
    assert first == read_scenario("standard", site, DAY, 30, 5)
    assert first != read_scenario("standard", site, DAY, 30, 6)
    assert len({fault.kind for fault in first}) >= 14
    assert sum(fault.kind in OF_PEOPLE for fault in first) > 80
    zone_of = {device.id: device.zone or device.id for device in site.devices}
    spans = sorted((zone_of.get(fault.place, fault.place), fault.start, fault.end) for fault in first)
    for before, after in pairwise(spans):
        assert before[0] != after[0] or before[2] <= after[1]
    with pytest.raises(ConfigError, match="there is no scenario 'festive'; known are none, standard"):
        read_scenario("festive", site, DAY, 1, 1)


def test_the_truth_is_written_by_zone_and_minute_with_what_was_due(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    lamp = Fault(Kind.LAMP_LEFT_ON, "301", at("2026-07-01 18:10"), at("2026-07-01 20:10"))
    building = OfficeBuilding(sample_site(), 1, [lamp], start=at("2026-07-01 00:00"))
    with TruthFiles(tmp_path / "truth", building, at("2026-07-02 00:00")) as files:
        sample(building, at("2026-07-02 00:00"), files.day)
    table = parquet.read_table(tmp_path / "truth" / "zones.parquet")
    assert tuple(table.column_names) == COLUMNS
    rows = [row for row in table.to_pylist() if row["zone"] == "301"]
    assert [row["time"] for row in rows] == [at("2026-07-01 00:00") + n * MINUTE for n in range(1440)]
    evening = [row for row in rows if lamp.start <= row["time"] < lamp.end]
    assert all(row["lamp_on"] and row["people"] == 0 for row in evening)
    assert sum(row["kwh"] for row in evening) == pytest.approx(2 * 0.32, rel=0.03)
    told = [json.loads(line) for line in (tmp_path / "truth" / "expected.jsonl").read_text().splitlines()]
    due = next(one for one in told if one["rule"] == "lights_left_on")
    assert (due["since"], due["raised"], due["ended"]) == (lamp.start, lamp.start + 15 * MINUTE, lamp.end)
    assert json.loads((tmp_path / "truth" / "faults.jsonl").read_text())["fault"] == "lamp_left_on"


def test_the_command_scores_a_day_directly_as_one_json_object(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app, ["simulate", str(SITE), "--days", "2", "--faults", "standard", "--direct", "--score", "--json",
              "--truth", str(tmp_path / "truth")],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["readings"]["wrong"] == told["readings"]["lost"] == 0
    assert {"faults", "found", "missed", "false", "precision", "recall", "median_delay_s"} <= set(
        told["rules"]["lights_left_on"]
    )
    assert (tmp_path / "truth" / "zones.parquet").exists()


def test_the_command_draws_a_day(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "day.png"
    done = CliRunner().invoke(
        app, ["simulate", str(SITE), "--days", "1", "--faults", "standard", "--plot", str(picture)]
    )
    assert done.exit_code == 0, done.output
    assert picture.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--faults", "festive"], "there is no scenario 'festive'"),
        (["--faults", "missing.yaml"], "missing.yaml"),
        (["--start", "yesterday"], "'yesterday' is no time"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_2(arguments: list[str], words: str) -> None:
    done = CliRunner().invoke(app, ["simulate", str(SITE), "--days", "1", "--direct", *arguments])
    assert done.exit_code == 2
    assert words in done.output
    assert "Traceback" not in done.output


def test_counters_wrap_reset_and_fall_as_told_while_the_building_goes_on() -> None:
    start, turn = at("2026-07-01 08:00"), at("2026-07-01 10:00")

    def shown(kind: Kind, moment: int, place: str = "light-201", amount: float | None = None) -> float:
        fault = Fault(kind, place, turn, turn + HOUR, amount)
        building = OfficeBuilding(sample_site(), 1, [fault], start=start)
        building.advance(moment)
        if place in building.meters:
            return building.meters[place].energy
        return float(building.pulses(building.site.device[place])[0])

    sound = OfficeBuilding(sample_site(), 1, start=start)
    sound.advance(turn + 30 * MINUTE)
    true = sound.meters["light-201"].energy
    assert shown(Kind.COUNTER_RESET, turn) == 0
    assert 0 < shown(Kind.COUNTER_RESET, turn + 30 * MINUTE) < 1
    assert shown(Kind.METER_EXCHANGE, turn, amount=12.5) == 12.5
    assert shown(Kind.COUNTER_STEP_BACK, turn + 30 * MINUTE) == pytest.approx(true - 0.05)
    assert shown(Kind.COUNTER_STEP_BACK, turn + 61 * MINUTE) > true
    drifted = shown(Kind.DRIFT, turn + 30 * MINUTE, amount=0.2)
    before = OfficeBuilding(sample_site(), 1, start=start)
    before.advance(turn)
    assert drifted - true == pytest.approx(0.2 * (true - before.meters["light-201"].energy))
    wrapping = [shown(Kind.COUNTER_WRAP, start + n * HOUR, "water-wc-2", 20) for n in (0, 8)]
    assert wrapping[0] == 2**32 - 20
    assert wrapping[1] < 1000


def test_the_command_serves_a_site_and_tells_where(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        arguments = ["simulate", str(SITE), "--days", "0.01", "--speed", "2000", "--port", str(port)]
        done = CliRunner().invoke(app, [*arguments, "--truth", str(tmp_path / "truth")])
    assert done.exit_code == 0, done.output
    served = {int(number) for number in re.findall(r"tcp://127\.0\.0\.1:(\d+)", done.output)}
    assert min(served) > port  # the very next one, or a later one where other programs serve too
    assert f"端口 {port} 已被占用" in done.output
    assert (tmp_path / "truth" / "zones.parquet").exists()


def test_a_device_that_cannot_be_played_is_named_with_exit_2(tmp_path: Path) -> None:
    site = tmp_path / "devices.yaml"
    site.write_text("""
zones: [{id: "1"}]
links: [{id: b, mqtt: "mqtt://127.0.0.1:1883"}]
devices: [{id: x, kind: aircon, zone: "1", profile: zigbee2mqtt_sensor, link: b, topic: x}]
""")
    done = CliRunner().invoke(app, ["simulate", str(site), "--days", "0.01", "--speed", "2000"])
    assert done.exit_code == 2
    assert "device 'x': zigbee2mqtt_sensor of kind aircon cannot be simulated" in done.output
