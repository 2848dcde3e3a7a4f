"""What holds for the files of the project as a whole."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.parts import ROOT

FLOORS = {
    "building": set(),
    "collector": {"building"},
    "rules": {"building"},
    "simulators": {"building"},
    "dashboards": {"building", "rules"},
    "greenwarden": {"building", "collector", "rules", "simulators", "dashboards"},
}  # what each may import besides itself
GROUND_FLOOR_LIBRARIES = {"yaml", "pydantic", "pydantic_core", "chinese_calendar"}
LONGEST_FUNCTION = 80
SKIPPED_FOLDERS = {".git", ".venv", "data", "dist", "node_modules"}
TEXT = {
    ".py",
    ".toml",
    ".lock",
    ".md",
    ".yaml",
    ".yml",
    ".json",
    ".sh",
    ".html",
    ".js",
    ".css",
    ".txt",
    ".service",
    ".conf",
    "",
}


def _files() -> Iterator[Path]:
    for path in sorted(ROOT.rglob("*")):
        inside = path.relative_to(ROOT).parts
        hidden = any(part in SKIPPED_FOLDERS or part.endswith(("_cache", "__", ".egg-info")) for part in inside)
        if path.is_file() and not hidden and ".hypothesis" not in inside:
            yield path


def _sources(*folders: str) -> list[Path]:
    return [path for path in _files() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in folders]


def _imported(path: Path) -> set[str]:
    """Top-level names that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").split(".")[0])
    return names


@pytest.mark.parametrize("floor", FLOORS)
def test_imports_point_down_and_wings_do_not_know_each_other(floor: str) -> None:
    for path in _sources(floor):
        strangers = (_imported(path) & FLOORS.keys()) - FLOORS[floor] - {floor}
        assert not strangers, f"{path.relative_to(ROOT)} imports {', '.join(sorted(strangers))}"


def test_the_ground_floor_needs_only_the_standard_library_yaml_and_validation() -> None:
    allowed = GROUND_FLOOR_LIBRARIES | {"building"} | set(sys.stdlib_module_names)
    for path in _sources("building"):
        assert _imported(path) <= allowed, path.name


def test_nothing_of_the_program_imports_the_tests() -> None:
    for path in _sources(*FLOORS):
        assert not _imported(path) & {"tests", "benchmarks"}, path


def test_every_function_is_under_80_lines() -> None:
    long = []
    for path in _sources(*FLOORS, "tests", "benchmarks"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                if length >= LONGEST_FUNCTION:
                    long.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {length} lines")
    assert not long, "\n".join(long)


def test_no_file_names_a_folder_of_the_machine_it_was_written_on() -> None:
    # A home or work folder at the beginning of a path; /usr, /dev, /run and the like are the same everywhere.
    machine = re.compile(r"(?<![\w.}\]/:])/(?:home|root|work|Users|tmp/bash)/\w")
    for path in _files():
        if path.suffix in TEXT and path != Path(__file__):
            found = machine.search(path.read_text(encoding="utf-8", errors="replace"))
            assert not found, f"{path.relative_to(ROOT)}: {found.group()}"


# -- the lock ---------------------------------------------------------------------------------------------------------

LOCK = ROOT / "requirements.lock"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _locked() -> list[Requirement]:
    """Every pin of the lock; a package stands twice where versions differ by Python."""
    logical = LOCK.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    return [Requirement(line.split("--hash")[0].strip()) for line in logical if line and not line.startswith("#")]


def _wanted() -> list[Requirement]:
    project = PROJECT["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    lines = [
        *project["dependencies"],
        *extras,
        *PROJECT["dependency-groups"]["build"],
        *PROJECT["build-system"]["requires"],
    ]
    return [wish for wish in map(Requirement, lines) if wish.name != project["name"]]


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_lock_holds_every_wish_of_pyproject_at_a_version_it_allows() -> None:
    pins: dict[str, list[str]] = {}
    for pin in _locked():
        (specifier,) = pin.specifier
        assert specifier.operator == "==", f"{pin} is no pin"
        pins.setdefault(_canonical(pin.name), []).append(specifier.version)
    for wish in _wanted():
        versions = pins.get(_canonical(wish.name))
        assert versions, f"{wish.name} is not in requirements.lock; run make lock"
        assert all(wish.specifier.contains(version) for version in versions), (
            f"{wish}: locked {versions}; run make lock"
        )


def test_every_pin_has_hashes() -> None:
    logical = LOCK.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    for line in logical:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", line) or not line or line.startswith("#"), line[:60]


def test_no_lock_names_a_host_or_a_file_of_its_own() -> None:
    locks = [
        path
        for path in _files()
        if path.name.endswith((".lock", "-lock.json", "-lock.yaml")) or path.name == "requirements.txt"
    ]
    assert LOCK in locks
    for path in locks:
        found = re.search(
            r"https?:|file:|git\+|--index|--extra-index|--find-links|--trusted", path.read_text(encoding="utf-8")
        )
        assert not found, f"{path.relative_to(ROOT)} holds {found.group()}"


# -- the scripts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["venv", "real-parts", "run"])
def test_a_script_can_be_run_and_read_by_its_shell(name: str) -> None:
    script = ROOT / ".ci" / name
    assert script.stat().st_mode & 0o111
    shell = script.read_text(encoding="utf-8").splitlines()[0].split()[-1].rsplit("/", 1)[-1]
    subprocess.run([shell, "-n", str(script)], check=True)


def _venv(tmp_path: Path, python: str) -> subprocess.CompletedProcess[str]:
    """Runs .ci/venv where PYTHON is a script with the body ``python``."""
    stand_in = tmp_path / "python"
    stand_in.write_text(f"#!/bin/sh\n{python}\n", encoding="utf-8")
    stand_in.chmod(0o755)
    environment = {"PATH": "/usr/bin:/bin", "PYTHON": str(stand_in)}
    command = [str(ROOT / ".ci" / "venv"), str(tmp_path / "made")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_without_a_python_that_is_new_enough_one_sentence_says_so(tmp_path: Path) -> None:
    ended = _venv(tmp_path, "exit 1")
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert ended.stderr.startswith("No Python 3.11 or newer was found; install one")


def test_without_the_venv_module_one_sentence_says_so(tmp_path: Path) -> None:
    ended = _venv(tmp_path, 'case "$*" in *ensurepip*) exit 1;; esac')
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert "has no venv module; install it" in ended.stderr
