"""The demo as a user starts it: a process, its closing object, and a clean end by Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

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
