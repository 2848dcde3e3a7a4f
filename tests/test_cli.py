"""The command line as a whole."""

from __future__ import annotations

import tomllib
from pathlib import Path

from typer.testing import CliRunner

from greenwarden.cli import app

TOP = Path(__file__).resolve().parents[1]


def test_the_version_that_is_told_is_the_projects() -> None:
    told = CliRunner().invoke(app, ["--version"])
    project = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (told.exit_code, told.stdout.strip()) == (0, project["version"])
