"""The README does what it says: its commands run, its sample loads, in both languages."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from building.clock import SystemClock
from building.site import load_site
from greenwarden.cli import app
from greenwarden.door import open_site
from simulators.service import Simulation

TOP = Path(__file__).resolve().parents[1]
READMES = ("README.md", "README.zh-CN.md")


def text_of(name: str) -> str:
    return (TOP / name).read_text(encoding="utf-8")


def sample_of(name: str) -> str:
    """The devices.yaml that the README shows."""
    lines = text_of(name).splitlines()
    start = next(number for number, line in enumerate(lines) if line.strip() == "version: 1")
    block = []
    for line in lines[start:]:
        if line and not line.startswith("       "):
            break
        block.append(line[7:])
    return "\n".join(block) + "\n"


def greenwarden(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "greenwarden", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(TOP)}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)


@pytest.mark.parametrize("name", READMES)
def test_every_make_target_named_in_the_readme_exists(name: str) -> None:
    make = shutil.which("make")
    assert make is not None
    targets = set(re.findall(r"`make (\w+)`|^ {4}make (\w+)", text_of(name), re.M))
    names = {one or other for one, other in targets}
    assert {"demo", "test", "install"} <= names
    for target in names:
        assert subprocess.run([make, "-n", target], cwd=TOP, capture_output=True).returncode == 0, target


@pytest.mark.parametrize("name", READMES)
def test_every_command_named_in_the_readme_exists_and_every_command_is_named(name: str) -> None:
    rows = re.findall(r"^\| (`greenwarden [^|]+)\|", text_of(name), re.M)
    commands = set(getattr(get_command(app), "commands", {}))
    assert {row.split()[1].strip("`") for row in rows} <= commands
    assert commands <= {word for row in rows for word in re.findall(r"[a-z-]+", row)}


@pytest.mark.parametrize("name", READMES)
async def test_the_readmes_first_meter_is_checked_and_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / "devices.yaml"
    path.write_text(sample_of(name), encoding="utf-8")
    checked = greenwarden("check", path)
    assert checked.returncode == 0, checked.stderr
    assert "eastron_sdm120" in checked.stdout

    async with Simulation(load_site(path), SystemClock()) as served:
        content = yaml.safe_load(sample_of(name))
        content["links"][0]["modbus"] = served.endpoints["gateway"]
        path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
        open_site(path)
        process = asyncio.create_subprocess_exec(
            sys.executable, "-m", "greenwarden", "read", "main", "--site", str(path), "--json",
            stdout=subprocess.PIPE, cwd=TOP,
        )  # fmt: skip
        running = await process
        answer, _ = await running.communicate()
    assert running.returncode == 0
    assert b'"voltage"' in answer


def test_pictures_and_pages_that_the_readmes_link_to_are_there() -> None:
    for name in READMES:
        for target in re.findall(r"\]\(([^)#]+)\)", text_of(name)):
            assert (TOP / target).exists(), f"{name}: {target}"
