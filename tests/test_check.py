"""``greenwarden check``: the plan it prints, in both languages and on narrow terminals."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from building.instants import from_iso
from greenwarden.checking import check_site
from tests.parts import ROOT

SITE = """\
version: 1
site: {{name: 市民服务中心, language: {language}}}
links:
  - {{id: bus, modbus: "rtu:///dev/ttyUSB0?baudrate=9600"}}
  - {{id: gateway, modbus: "tcp://10.1.0.5:502", in_flight: 4}}
devices:
{devices}
  - {{id: g, kind: electricity, profile: eastron_sdm630, link: gateway, unit: 1, every: 30s}}
  - {{id: lamp, kind: light}}
"""


def checked(folder: Path, *options: str, meters: int = 1, every: str = "10s", language: str = "en") -> str:
    row = "  - {{id: m{n}, kind: electricity, profile: eastron_sdm120, link: bus, unit: {n}, every: {every}}}"
    devices = "\n".join(row.format(n=n, every=every) for n in range(1, meters + 1))
    path = folder / "devices.yaml"
    path.write_text(SITE.format(language=language, devices=devices), encoding="utf-8")
    command = [sys.executable, "-m", "greenwarden", "check", str(path), *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_the_plan_tells_requests_registers_points_and_the_share_of_a_serial_line(tmp_path: Path) -> None:
    told = json.loads(checked(tmp_path, "--json", meters=2))
    meter = told["devices"][0]
    assert (meter["points"], meter["requests"], meter["registers"]) == (9, 2, 38)
    bus, gateway = told["links"]
    assert bus["requests_per_minute"] == 24
    # 13 + 64 and 13 + 12 characters of 11 bits, two silences of 3.5 characters after each; two meters in ten seconds
    assert bus["line_share"] == pytest.approx(2 * (77 + 25 + 4 * 3.5) * 11 / 9600 / 10)
    assert gateway["line_share"] is None
    assert gateway["requests_per_minute"] == 2


@pytest.mark.parametrize(("language", "sentence"), [("en", "polls will come late"), ("zh", "轮询会延迟")])
def test_a_line_that_is_too_full_is_told_with_the_way_out(tmp_path: Path, language: str, sentence: str) -> None:
    assert sentence in checked(tmp_path, meters=30, every="4s", language=language)
    assert sentence not in checked(tmp_path, meters=30, every="30s", language=language)


@pytest.mark.parametrize(
    ("language", "sentence"),
    [("en", "Without link: lamp. Nobody asks them"), ("zh", "未设 link: 的设备：lamp。程序不会采集它们")],
)
def test_devices_that_nobody_asks_are_named(tmp_path: Path, language: str, sentence: str) -> None:
    assert sentence in checked(tmp_path, language=language)


@pytest.mark.parametrize(("language", "right"), [("en", "devices.yaml is right."), ("zh", "devices.yaml 无误。")])
def test_it_says_that_the_file_is_right_in_the_sites_language(tmp_path: Path, language: str, right: str) -> None:
    assert right in checked(tmp_path, language=language)


@pytest.mark.parametrize(("language", "sentence"), [("en", "of 2090 are not known"), ("zh", "2090 年的节假日")])
def test_holidays_that_are_not_known_are_told_with_the_way_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], language: str, sentence: str
) -> None:
    checked(tmp_path, language=language)
    now = from_iso("2090-03-01T00:00:00+08:00")
    check_site(tmp_path / "devices.yaml", as_json=False, now=now)
    told = "".join(capsys.readouterr().out.split("\n"))
    assert sentence in told
    assert "extra_holidays" in told
    check_site(tmp_path / "devices.yaml", as_json=True, now=now)
    assert json.loads(capsys.readouterr().out)["missing_holidays"] == 2090
    check_site(tmp_path / "devices.yaml", as_json=True, now=from_iso("2026-03-01T00:00:00+08:00"))
    assert json.loads(capsys.readouterr().out)["missing_holidays"] is None


def test_one_is_not_told_as_many_and_what_nobody_asks_has_no_period(tmp_path: Path) -> None:
    path = tmp_path / "devices.yaml"
    path.write_text(
        "version: 1\nsite: {name: hall, language: en}\n"
        'links: [{id: gateway, modbus: "tcp://10.1.0.5:502"}]\n'
        "devices:\n  - {id: main, kind: electricity, profile: eastron_sdm120, link: gateway, unit: 1, every: 10s}\n"
        "  - {id: gas, kind: gas}\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "greenwarden", "check", str(path)]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert told.startswith("devices.yaml: hall, 0 zones, 1 link, 2 devices\n")
    (main,) = [line.split() for line in told.splitlines() if line.strip().startswith("main")]
    (gas,) = [line.split() for line in told.splitlines() if line.strip().startswith("gas")]
    assert (main[-1], gas) == ("10s", ["gas", "gas"])
