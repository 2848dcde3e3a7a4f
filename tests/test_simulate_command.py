"""``greenwarden simulate`` as people start it: which site it plays, and its picture."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from greenwarden.cli import app

MAIN_ONLY = """
site: {name: Town hall, language: en}
devices: [{id: main, kind: electricity, circuit: main, every: 1m}]
"""


def test_a_site_file_that_is_not_there_is_told_and_no_other_site_played_in_its_place(tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["simulate", str(tmp_path / "devices.yaml"), "--days", "0.01", "--direct"])
    assert told.exit_code == 2
    assert "devices.yaml: cannot be read" in told.stderr


def test_where_no_site_is_named_and_none_is_here_it_says_that_it_plays_the_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(app, ["simulate", "--days", "0.01", "--direct"])
    assert told.exit_code == 0
    assert "the sample site is simulated" in told.stderr


def test_a_day_of_a_site_that_has_only_a_main_meter_can_be_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "devices.yaml").write_text(MAIN_ONLY, encoding="utf-8")
    words = ["simulate", str(tmp_path / "devices.yaml"), "--days", "1", "--plot", str(tmp_path / "day.png")]
    told = CliRunner().invoke(app, words)
    assert (told.exit_code, told.stderr) == (0, "")
    assert (tmp_path / "day.png").read_bytes().startswith(b"\x89PNG")


def test_a_cost_that_alerts_themselves_call_estimated_is_marked_so(tmp_path: Path) -> None:
    path = tmp_path / "devices.yaml"
    path.write_text(
        """
version: 1
site: {name: hall, language: en, working_hours: {mon-fri: "08:30-17:30"}, tariffs: {electricity: 0.8}}
zones: [{id: "201", headcount: 4, area: 40}]
devices:
  - {id: ac-201, kind: aircon, zone: "201", every: 1m, rated_power: 1600}
  - {id: pir-201, kind: sensor, zone: "201", every: 1m, quantities: [occupancy]}
""",
        encoding="utf-8",
    )
    words = ["simulate", str(path), "--days", "7", "--start", "2026-07-01", "--faults", "standard"]
    told = CliRunner().invoke(app, [*words, "--score", "--direct"])
    (line,) = [line for line in told.stdout.splitlines() if "aircon_unoccupied" in line]
    assert line.rstrip().endswith("~"), told.stdout
    assert "~ is an estimate" in told.stdout
