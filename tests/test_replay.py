"""Replay: files in, the same alerts as live stepping out; a bad row is named."""

from __future__ import annotations

import csv
import gzip
import json
import random
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from building.errors import InputError
from building.instants import to_iso
from building.readings import Reading
from rules.replay import as_lines, read_readings, replay
from tests.engine_parts import MINUTE, START, calm_stream, in_order, patient_site, site, steady, streams

SITE = site()
PATIENT = patient_site()
STREAM = in_order(
    steady("lamp", {"on": 1.0, "active_power": 60.0}, 0, 40),
    steady("pir", {"occupancy": 0.0}, 0, 40),
    steady("ac", {"mode": "cool", "setpoint": 24.0}, 0, 40),
)


def write_csv(path: Path, readings: list[Reading], *, unix: bool = False) -> Path:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time", "device", "quantity", "value"])
        for device, at, values, _ in readings:
            time = at / 1000 if unix else to_iso(at, SITE.site.tz)
            writer.writerows([time, device, quantity, value] for quantity, value in values.items())
    return path


@settings(max_examples=150, deadline=None)
@given(streams())
def test_columns_and_single_readings_give_the_same_alerts(readings: list[Reading]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        columns = read_readings(write_csv(Path(folder, "r.csv"), readings), SITE)
    assert replay(PATIENT, columns).alerts == replay(PATIENT, readings).alerts


def test_what_goes_stale_at_the_same_moment_is_lost_before_any_rule_looks(tmp_path: Path) -> None:
    """Found at random: the room went stale in another crowd than the mode, and the unit seemed to cool for a moment."""
    others = {"lamp": {"on": 0.0, "active_power": 0.0}, "meter": {"active_power": 0.0}, "pulses": {"volume": 1.0},
              "water": {"flow": 0.0}}  # fmt: skip
    readings = [Reading(device, START, values) for device, values in others.items()]
    told: dict[str, float | str] = {"running": 1.0, "mode": "auto", "setpoint": 26.0, "temperature": 20.0}
    readings.append(Reading("ac", START + 1, told))
    readings.append(Reading("ac", START + 600 * MINUTE, {"mode": "cool", "setpoint": 26.0}))
    stepped = replay(PATIENT, readings).alerts
    (alert,) = [alert for alert in stepped if alert.rule == "aircon_setpoint"]
    assert alert.ended == START + 600 * MINUTE
    assert replay(PATIENT, read_readings(write_csv(tmp_path / "r.csv", readings), SITE)).alerts == stepped


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**9))
def test_columns_and_single_readings_of_a_calm_building_give_the_same_alerts(seed: int) -> None:
    readings = sorted(calm_stream(random.Random(seed)), key=lambda reading: (reading.taken_at, reading.device))
    with tempfile.TemporaryDirectory() as folder:
        columns = read_readings(write_csv(Path(folder, "r.csv"), readings), SITE)
    alerts = replay(PATIENT, columns).alerts
    assert alerts == replay(PATIENT, readings).alerts
    assert alerts


def test_two_inputs_that_go_stale_at_one_moment_end_nothing_however_they_are_held() -> None:
    readings = [
        Reading("main", START, {"active_power": 0.0}),
        *(Reading(device, START + 1, {"active_power": 0.0}) for device in ("lamp", "meter", "plug")),
        Reading("water", START + 1, {"flow": 0.0}),
        Reading("ac", START + 1 + 20 * MINUTE, {"running": 1.0, "mode": "auto", "setpoint": 26.0, "temperature": 20.0}),
        Reading("ac", START + 1 + 620 * MINUTE, {"mode": "fan"}),
    ]
    with tempfile.TemporaryDirectory() as folder:
        columns = read_readings(write_csv(Path(folder, "r.csv"), readings), SITE)
    assert replay(PATIENT, columns).alerts == replay(PATIENT, readings).alerts


@pytest.mark.parametrize("name", ["r.csv", "r.csv.gz"])
@pytest.mark.parametrize("unix", [False, True])
def test_a_csv_file_in_any_order_gives_the_alerts_of_its_readings(tmp_path: Path, name: str, unix: bool) -> None:
    path = write_csv(tmp_path / name, STREAM[::-1], unix=unix)
    replayed = replay(SITE, read_readings(path, SITE))
    assert {alert.rule for alert in replayed.alerts} == {"lights_left_on", "aircon_setpoint"}
    assert replayed.alerts == replay(SITE, STREAM).alerts


def test_parquet_gives_the_same_by_numbers_by_words_and_by_timestamps(tmp_path: Path) -> None:
    numeric = [reading for reading in STREAM if reading.device != "ac"]
    rows = [(r.taken_at, r.device, q, v) for r in numeric for q, v in r.values.items()]
    seconds = pa.table({"time": [at / 1000 for at, *_ in rows], "device": [r[1] for r in rows],
                        "quantity": [r[2] for r in rows], "value": [float(r[3]) for r in rows]})  # fmt: skip
    stamped = seconds.set_column(0, "time", pa.array([at for at, *_ in rows], pa.timestamp("ms", tz="UTC")))
    worded = seconds.set_column(3, "value", pa.array([str(r[3]) for r in rows]))
    expected = replay(SITE, numeric).alerts
    assert expected
    for number, table in enumerate((seconds, stamped, worded)):
        path = tmp_path / f"{number}.parquet"
        pq.write_table(table, path)
        assert replay(SITE, read_readings(path, SITE)).alerts == expected


def test_open_alerts_have_no_end_and_time_ends_with_the_last_reading() -> None:
    (lamp,) = [alert for alert in replay(SITE, STREAM).alerts if alert.rule == "lights_left_on"]
    assert lamp.ended is None
    assert lamp.waste["kwh"] == pytest.approx(0.040)
    short = [reading for reading in STREAM if reading.taken_at < START + 10 * MINUTE]
    assert replay(SITE, short).alerts == []


def test_one_json_line_per_alert() -> None:
    lines = list(as_lines(replay(SITE, STREAM).alerts))
    assert [json.loads(line)["rule"] for line in lines] == ["aircon_setpoint", "lights_left_on"]


def test_readings_from_the_future_and_from_1970_are_left_out() -> None:
    odd = [Reading("lamp", 5000, {"on": 1.0}), *STREAM, Reading("lamp", START + 10**10, {"on": 1.0})]
    replayed = replay(SITE, odd, now=START + 60 * MINUTE)
    assert replayed.skipped == 2
    assert replayed.alerts == replay(SITE, STREAM).alerts


def test_progress_is_told_up_to_the_end() -> None:
    told: list[tuple[int, int]] = []
    replay(SITE, STREAM, progress=lambda done, whole: told.append((done, whole)))
    assert told[-1] == (len(STREAM), len(STREAM))


GOOD_ROW = "2026-07-01T17:00:00+08:00,lamp,on,1\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("time,device,value\n", r"row 0 .*'quantity' is missing"),
        ("", r"row 0 .*missing"),
        ("time,device,quantity,value\n" + GOOD_ROW + "2026-07-01T17:00:00+08:00,ghost,on,1\n", "row 2: device 'ghost'"),
        ("time,device,quantity,value\n2026-07-01T17:00:00+08:00,lamp,glow,1\n", "row 1: 'glow' is no quantity"),
        ("time,device,quantity,value\n2026-07-01 17:00:00,lamp,on,1\n", "row 1: time .* has no offset"),
        ("time,device,quantity,value\nyesterday,lamp,on,1\n", "row 1: time 'yesterday'"),
        ("time,device,quantity,value\n1782896400000,lamp,on,1\n", "row 1: time '1782896400000' is no Unix time"),
        ("time,device,quantity,value\nnan,lamp,on,1\n", "row 1: time 'nan'"),
        ("time,device,quantity,value\n" + GOOD_ROW + "1782896400,lamp,on,bright\n", "row 2: value 'bright'"),
        ("time,device,quantity,value\n1782896400,ac,mode,freeze\n", "row 1: mode 'freeze' is none of off, cool"),
        ("time,device,quantity,value\n1782896400,lamp\n", "row 1: has 2 of 4 columns"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "r.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=sentence):
        read_readings(path, SITE)


def test_a_file_that_is_not_what_its_name_says_is_one_sentence(tmp_path: Path) -> None:
    for name, content in (("r.csv", b"\xff\xfe\x00t"), ("r.csv.gz", b"no gzip"), ("r.parquet", b"no parquet")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError):
            read_readings(tmp_path / name, SITE)
    with pytest.raises(InputError, match="cannot be read"):
        read_readings(tmp_path / "absent.csv", SITE)


def test_an_empty_value_is_unknown_and_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("time,device,quantity,value\n1782896400,lamp,on,\n1782896460,lamp,on,true\n", encoding="utf-8")
    assert replay(SITE, read_readings(path, SITE)).alerts == []
