"""Replay's bill, its ranges, other rules beside, periods learned from the readings, and long files in stretches."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from building.document import parse_document
from building.readings import Reading
from building.site import Site, build_site
from greenwarden.cli import app
from rules import parquet_file, readings_file
from rules.columns import find
from rules.engine import RuleEngine
from rules.readings_file import Columns, Series, between, open_readings
from rules.replay import replay
from rules.rhythm import with_rhythms
from tests.engine_parts import patient_site, streams

SITE = """
version: 1
site: {name: hall, timezone: Asia/Shanghai, language: en, tariffs: {electricity: 1.0}}
departments: [{id: finance, name: Finance}]
zones: [{id: "301", department: finance}]
devices:
  - {id: lamp, kind: light, zone: "301", every: 1m, rated_power: 60}
  - {id: ac, kind: aircon, zone: "301", every: 1m}
  - {id: pir, kind: sensor, zone: "301", every: 1m, quantities: [occupancy]}
"""
OTHER = "rules: {lights_left_on: {after: 45m}}\n"


def rows() -> str:
    """1 July 2026, 18:00 to 20:00: nobody there; the lamp is on for the first hour and the last half hour."""
    lines = ["time,device,quantity,value"]
    for minute in range(121):
        moment = f"2026-07-01T{18 + minute // 60}:{minute % 60:02}:00+08:00"
        lines.append(f"{moment},lamp,on,{int(minute < 60 or minute >= 90)}")
        lines.append(f"{moment},pir,occupancy,0")
    return "\n".join(lines) + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "devices.yaml").write_text(SITE, encoding="utf-8")
    (tmp_path / "other.yaml").write_text(OTHER, encoding="utf-8")
    (tmp_path / "r.csv").write_text(rows(), encoding="utf-8")
    return tmp_path


def run(folder: Path, *words: str) -> Any:
    site, readings = str(folder / "devices.yaml"), str(folder / "r.csv")
    return CliRunner().invoke(app, ["replay", site, "--readings", readings, *words])


def summary(folder: Path, *words: str) -> dict[str, Any]:
    told = run(folder, "--json", *words)
    assert told.exit_code == 0, told.stderr
    return dict(json.loads(told.stdout))


def test_the_bill_adds_up_by_rule_and_by_department(folder: Path) -> None:
    told = summary(folder)
    assert told["rules"]["lights_left_on"]["alerts"] == 2
    assert told["rules"]["lights_left_on"]["minutes"] == pytest.approx(90)
    assert told["rules"]["lights_left_on"]["kwh"] == pytest.approx(0.06 * 1.5, rel=0.03)
    assert told["total"]["cost"] == pytest.approx(told["total"]["kwh"])
    assert told["departments"]["finance"]["messages"] == 3  # raised, over, raised
    assert "finance" in told["departments"]


def test_what_is_known_of_no_alert_is_null_in_the_bill_and_a_dash_for_people(folder: Path) -> None:
    unpriced = SITE.replace(", tariffs: {electricity: 1.0}", "").replace(", rated_power: 60", "")
    (folder / "devices.yaml").write_text(unpriced, encoding="utf-8")
    total = summary(folder)["total"]
    assert total["alerts"] == 2
    assert [total[key] for key in ("kwh", "litres", "cost", "kgco2")] == [None, None, None, None]
    (line,) = (line for line in run(folder).stdout.splitlines() if "total" in line)
    assert line.split()[-4:] == ["–", "–", "–", "–"]


def test_energy_without_a_price_is_told_without_money(folder: Path) -> None:
    site = build_site(parse_document(SITE.replace(", tariffs: {electricity: 1.0}", "").encode(), "devices.yaml"))
    (first, *_) = replay(site, open_readings(folder / "r.csv", site)).alerts
    assert first.waste["kwh"] > 0
    assert first.waste["cost"] is None
    assert f"about {first.waste['kwh']:.3f} kWh, {first.waste['kgco2']:.2f} kg CO2." in first.text
    assert "CNY" not in first.text


def test_a_range_holds_its_start_and_not_its_end(folder: Path) -> None:
    told = summary(folder, "--from", "2026-07-01T19:00", "--to", "2026-07-01T19:50")
    assert (told["first"], told["last"]) == ("2026-07-01T19:00:00+08:00", "2026-07-01T19:49:00+08:00")
    assert told["rules"]["lights_left_on"]["alerts"] == 1


def test_other_rules_show_how_many_alerts_fewer_and_how_much_is_still_seen(folder: Path) -> None:
    told = summary(folder, "--rules", str(folder / "other.yaml"))
    assert told["other_rules"]["rules"]["lights_left_on"]["alerts"] == 1
    assert told["other_rules"]["difference"] == {"alerts": -1, "kept": pytest.approx(2 / 3, abs=0.01)}
    text = run(folder, "--rules", str(folder / "other.yaml")).stdout
    assert "With these rules: 1 alert fewer, 67% of the saving kept." in text


def test_shadow_rules_speak_beside_and_leave_the_alerts_file_alone(folder: Path) -> None:
    run(folder, "--alerts", str(folder / "plain.jsonl"))
    told = summary(folder, "--shadow", str(folder / "other.yaml"), "--alerts", str(folder / "beside.jsonl"))
    assert told["shadow"]["alerts"] == 1
    assert (folder / "plain.jsonl").read_bytes() == (folder / "beside.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (("--from", "tomorrow"), 2, "'tomorrow' is no time"),
        (("--from", "2026-07-02", "--to", "2026-07-01"), 2, "is not before"),
        (("--rules", "devices.yaml"), 2, "has no section rules:"),
    ],
)
def test_a_wrong_wish_is_one_sentence(folder: Path, words: tuple[str, ...], status: int, sentence: str) -> None:
    told = run(folder, *(str(folder / word) if word.endswith(".yaml") else word for word in words))
    assert told.exit_code == status
    assert sentence in told.stderr


@pytest.mark.parametrize("name", ["absent.parquet", "absent.csv"])
def test_a_file_that_is_not_there_is_one_sentence(folder: Path, name: str) -> None:
    told = CliRunner().invoke(app, ["replay", str(folder / "devices.yaml"), "--readings", str(folder / name)])
    assert told.exit_code == 2
    assert "does not exist; give the path of a file" in told.stderr


def test_a_mistake_in_the_other_rules_names_that_file(folder: Path) -> None:
    (folder / "other.yaml").write_text("rules: {lights_left_on: {after: 0s}}\n", encoding="utf-8")
    told = run(folder, "--rules", str(folder / "other.yaml"))
    assert told.exit_code == 2
    assert "other.yaml:1:" in told.stderr


# -- periods ----------------------------------------------------------------------------------------------------------


def hasty(*devices: str) -> Site:
    lines = "\n".join(f"  - {{{device}}}" for device in devices)
    return build_site(parse_document(f"version: 1\nsite: {{name: hall}}\ndevices:\n{lines}\n".encode(), "devices.yaml"))


def every(seconds: float, count: int = 100) -> Series:
    times = 1_782_896_400_000 + (np.arange(count) * seconds * 1000).astype(np.int64)
    return Series(times, np.zeros(count))


def pressed() -> Series:
    """A switch: bursts of presses with hours between."""
    gaps = np.tile([40, 55, 7_200, 300, 20_000], 20)
    return Series(1_782_896_400_000 + 1000 * np.cumsum(gaps), np.tile([0.0, 1.0], 50))


def test_five_minute_data_of_a_device_without_period_is_not_stale_in_between() -> None:
    site, learned = with_rhythms(hasty("id: pir, kind: sensor"), {("pir", "occupancy"): every(300)})
    assert site.device["pir"].every == 300_000
    assert [one.device for one in learned] == ["pir"]


def test_a_switch_that_speaks_when_pressed_is_taken_for_one() -> None:
    site, _ = with_rhythms(hasty("id: lamp, kind: light"), {("lamp", "on"): pressed()})
    assert site.device["lamp"].reports == "on_change"


def test_what_the_file_says_stays_and_meters_keep_a_period() -> None:
    columns: Columns = {("lamp", "on"): pressed(), ("water", "volume"): pressed(), ("pir", "occupancy"): every(60)}
    site = hasty("id: lamp, kind: light, every: 1m", "id: water, kind: water", "id: pir, kind: sensor")
    found, _ = with_rhythms(site, columns)
    assert found.device["lamp"] == site.device["lamp"]
    assert found.device["water"].reports == "period"
    assert found.device["pir"] == site.device["pir"]


def test_a_device_that_dies_is_no_switch() -> None:
    times = np.concatenate([every(60).times, every(60).times + 10 * 86_400_000])
    site, learned = with_rhythms(hasty("id: pir, kind: sensor"), {("pir", "occupancy"): Series(times, np.zeros(200))})
    assert not learned
    assert site.device["pir"].reports == "period"


# -- stretches --------------------------------------------------------------------------------------------------------

PATIENT = patient_site()


def columns_of(readings: list[Reading]) -> Columns:
    gathered: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for device, at, values, _ in readings:
        for quantity, value in values.items():
            number = readings_file.MODES.index(value) if isinstance(value, str) else value
            gathered.setdefault((device, quantity), []).append((at, number))
    return {
        key: Series(np.array([at for at, _ in pairs], np.int64), np.array([value for _, value in pairs], np.float64))
        for key, pairs in gathered.items()
    }


@settings(max_examples=60, deadline=None)
@given(streams(), st.lists(st.floats(0, 1), max_size=3))
def test_readings_cut_into_stretches_give_the_same_findings(readings: list[Reading], cuts: list[float]) -> None:
    assume(readings)
    columns = columns_of(readings)
    first, last = readings[0].taken_at, readings[-1].taken_at
    edges = [None, *sorted({first + round(cut * (last - first)) for cut in cuts}), None]
    memory = RuleEngine(PATIENT).new_memory()
    whole = [finding for found in find(memory, columns) for finding in found]
    memory = RuleEngine(PATIENT).new_memory()
    parted = []
    for start, end in pairwise(edges):
        for found in find(memory, between(columns, start, end)):
            parted += found
    assert parted == whole


@pytest.mark.parametrize("form", ["by series", "by time"])
def test_a_long_file_is_read_in_stretches_with_the_same_alerts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    site = build_site(parse_document(SITE.encode(), "devices.yaml"))
    path = tmp_path / "r.parquet"
    minutes = np.arange(3000)
    parts = [
        ("lamp", "on", (minutes // 200 % 2).astype(float)),
        ("pir", "occupancy", (minutes % 150 < 20).astype(float)),
    ]
    writer = None
    for start in range(0, 3000, 500):
        span = slice(start, start + 500)
        table = pa.table({
            "time": np.concatenate([1_782_896_400 + 60 * minutes[span]] * 2),
            "device": np.repeat([name for name, _, _ in parts], 500),
            "quantity": np.repeat([quantity for _, quantity, _ in parts], 500),
            "value": np.concatenate([values[span] for _, _, values in parts]),
        })  # fmt: skip
        table = table.sort_by("time") if form == "by time" else table
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()
    whole = replay(site, open_readings(path, site))
    monkeypatch.setattr(readings_file, "WHOLE_UP_TO", 10)
    monkeypatch.setattr(parquet_file, "_AT_ONCE", 1200)
    stretches = open_readings(path, site)
    assert len(list(stretches)) > 2
    parted = replay(site, stretches)
    assert parted.alerts
    assert parted == whole


def test_row_groups_with_the_same_names_in_the_same_or_another_order_are_read_right(tmp_path: Path) -> None:
    site = build_site(parse_document(SITE.encode(), "devices.yaml"))
    path, whole = tmp_path / "r.parquet", []
    times = np.repeat(1_782_896_400 + 60 * np.arange(200), 2)
    names = {"by time": ["lamp", "pir"] * 200, "turned": ["pir", "lamp"] * 200,
             "by series": ["lamp"] * 200 + ["pir"] * 200}  # fmt: skip
    writer = None
    for number, order in enumerate(["by time", "by time", "turned", "by series", "by series", "by time"]):
        devices = names[order]
        at = times if order != "by series" else np.concatenate([times[::2]] * 2)
        table = pa.table({
            "time": at + 12_000 * number,
            "device": devices,
            "quantity": ["on" if device == "lamp" else "occupancy" for device in devices],
            "value": np.random.default_rng(number).integers(0, 2, 400).astype(float),
        })  # fmt: skip
        whole.append(table)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()
    read = readings_file.read_readings(path, site)
    rows = pa.concat_tables(whole).to_pylist()
    for (device, _), series in read.items():
        pairs = sorted((row["time"] * 1000, row["value"]) for row in rows if row["device"] == device)
        assert list(zip(series.times.tolist(), series.values.tolist(), strict=True)) == pairs
