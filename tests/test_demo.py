"""The demo as a user starts it: a process, its closing object, and a clean end by Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from building.site import load_site
from greenwarden.books import Books
from greenwarden.demo_outcome import Outcome
from greenwarden.demo_screen import closing_tables

TOP = Path(__file__).resolve().parents[1]


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "greenwarden", "demo", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=TOP)


def test_the_demo_loses_nothing_finds_every_fault_and_ends_with_one_object() -> None:
    process = start("--speed", "480", "--hours", "4", "--seed", "2", "--json")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, out + err
    told = json.loads(out.splitlines()[-1])
    assert set(told) == {"readings", "lost", "faults", "found", "missed", "false_alarms", "waste"}
    assert told["readings"] > 5000
    assert told["lost"] == 0
    assert told["faults"] >= 1
    assert (told["found"], told["missed"], told["false_alarms"]) == (told["faults"], 0, 0)
    assert told["waste"]["kwh"] > 0
    assert told["waste"]["currency"] == "CNY"


def test_ctrl_c_ends_the_demo_cleanly() -> None:
    process = start("--speed", "480", "--hours", "24")
    assert process.stdout is not None
    process.stdout.readline()  # the first line of readings: everything is open
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in out + err
    assert err.strip().endswith("stopped")
    assert "error" not in err


@pytest.mark.parametrize(
    ("language", "sum_line"),
    [
        ("zh", "浪费合计 7.44 kWh，497 L，7.84 元，3.95 kgCO2"),
        ("en", "waste in all 7.44 kWh, 497 L, 7.84 CNY, 3.95 kgCO2"),
    ],
)
def test_the_sum_at_the_end_is_in_the_words_of_the_alerts_above_it(
    tmp_path: Path, language: str, sum_line: str
) -> None:
    path = tmp_path / "devices.yaml"
    path.write_text(f"version: 1\nsite: {{name: hall, language: {language}}}\ndevices: []\n", encoding="utf-8")
    alert = cast(Any, SimpleNamespace(waste={"kwh": 7.44, "litres": 497.0, "cost": 7.84, "kgco2": 3.95}))
    outcome = Outcome(load_site(path), Books(), 0, [], [], [], [alert])
    assert str(list(closing_tables(outcome))[-1]).endswith(sum_line)
