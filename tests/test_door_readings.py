"""The doors for files of readings and for what the command line says: odd columns, damaged files, years far away."""

from __future__ import annotations

import datetime as dt
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from building.document import parse_document
from building.errors import InputError
from building.instants import from_iso
from building.site import build_site
from greenwarden.backup import restore
from greenwarden.cli import app
from rules import readings_file
from rules.overtime import read_booking
from rules.replay import open_readings, replay

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

SITE = b"version: 1\nsite: {name: s, language: en}\ndevices: [{id: lamp, kind: light}, {id: ac, kind: aircon}]\n"
AT = 1_782_860_400  # s, 2026-07-01T07:00+08:00


def table(**columns: Any) -> Any:
    rows = {"time": [AT, AT + 60], "device": ["lamp"] * 2, "quantity": ["on"] * 2, "value": [1.0, 0.0]}
    return pa.table({**rows, **columns})


def told(path: Path) -> str:
    site = build_site(parse_document(SITE, "s.yaml"))
    with pytest.raises(InputError) as refused:
        replay(site, open_readings(path, site))
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 800
    return str(refused.value)


@pytest.fixture(params=[4_000_000, 0], ids=["whole", "in stretches"])
def _read(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readings_file, "WHOLE_UP_TO", request.param)


UTC_MS = pa.timestamp("ms", "UTC")


@pytest.mark.usefixtures("_read")
@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"device": [b"lamp"] * 2}, "the column 'device' is of type binary; write it as text"),
        ({"device": [["lamp"]] * 2}, "the column 'device' is of type list"),
        ({"quantity": [1.5] * 2}, "the column 'quantity' is of type double; write it as text"),
        ({"value": [[1.0]] * 2}, "the column 'value' is of type list"),
        ({"value": [dt.timedelta(1)] * 2}, "the column 'value' is of type duration[us]; write it as numbers or text"),
        ({"time": [dt.date(2026, 7, 1)] * 2}, "the column 'time' is of type date32"),
        ({"Device": ["lamp"] * 2}, "the column 'device' stands 2 times; keep one"),
        ({"device": pa.nulls(2)}, "row 1: device is empty"),
        ({"time": pa.array([AT * 1000, -(2**62)], UTC_MS)}, "row 2: time"),
        ({"time": pa.array([2**62, 2**62])}, "row 1: time"),
        ({"time": pa.array([AT * 1000, 2**62], UTC_MS)}, "row 2: time"),
        ({"time": pa.array([AT * 1000, 2**62], UTC_MS), "value": ["1", "0"]}, "row 2: time"),
        ({"time": pa.array([AT] * 2, pa.timestamp("s")), "value": ["1", "0"]}, "row 1: time has no offset"),
    ],
)
def test_columns_that_are_no_readings_are_told(tmp_path: Path, columns: Any, sentence: str) -> None:
    path = tmp_path / "r.parquet"
    pq.write_table(table(**columns), path)
    assert sentence in told(path)


@pytest.mark.usefixtures("_read")
def test_parquet_damaged_anywhere_is_read_or_told(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    pq.write_table(table(), path)
    whole, site, refused = path.read_bytes(), build_site(parse_document(SITE, "s.yaml")), 0
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            replay(site, open_readings(path, site))
        except InputError as error:
            refused += "\n" not in str(error)
    assert refused


def test_words_beside_timestamps_of_any_unit_are_read(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    site = build_site(parse_document(SITE, "s.yaml"))
    for unit, parts in (("s", 1), ("ms", 1000), ("us", 10**6), ("ns", 10**9)):
        times = pa.array([AT * parts, (AT + 60) * parts], pa.timestamp(unit, "Asia/Shanghai"))
        pq.write_table(table(time=times, device=["ac"] * 2, quantity=["mode"] * 2, value=["cool", "off"]), path)
        (columns,) = open_readings(path, site)
        assert columns[("ac", "mode")].times.tolist() == [AT * 1000, (AT + 60) * 1000]


@pytest.mark.parametrize(
    "time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "3000-01-01T00:00:00Z", "x" * 3000]
)
def test_a_time_far_away_is_told_with_its_row(tmp_path: Path, time: str) -> None:
    path = tmp_path / "r.csv"
    path.write_text(f"time,device,quantity,value\n{time},lamp,on,1\n", encoding="utf-8")
    assert "row 1: time" in told(path)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs /dev/zero")
def test_a_file_without_lines_is_not_read_to_its_end() -> None:
    assert "is missing" in told(Path("/dev/zero"))


def test_a_backup_with_a_time_that_no_computer_knows_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "b.tar.gz", "w:gz") as archive:
        for name, body in (("greenwarden-backup.json", b'{"format": 1}'), ("data/a", b"abc")):
            head = tarfile.TarInfo(name)
            head.size, head.mtime = len(body), 1e19 if name == "data/a" else 0
            archive.addfile(head, io.BytesIO(body))
    with pytest.raises(InputError, match="cannot be read as a backup"):
        restore(tmp_path / "b.tar.gz", tmp_path / "data")


@pytest.mark.parametrize("change", [{"by": "Wang\nERROR forged"}, {"to": "x" * 3000}])
def test_a_booking_of_odd_text_is_refused_in_one_short_sentence(change: dict[str, str]) -> None:
    said = {"from": "2026-07-01T18:00", "to": "2026-07-01T21:00", "by": "Wang", **change}
    site = build_site(parse_document(SITE, "s.yaml"))
    with pytest.raises(InputError) as refused:
        read_booking(json.dumps(said).encode(), site, AT * 1000)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00", "1899-12-31T23:59:59Z"])
def test_an_instant_that_no_time_zone_could_tell_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not between the years 1900 and 9998"):
        from_iso(text)


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["simulate", "--direct", "--start=9999-12-31T23:59:59-14:00"], 2, "is no time"),
        (["simulate", "--direct", "--start=9998-01-01"], 2, "a year from 2000 to 2099"),
        (["simulate", "--direct", f"--faults={'x' * 3000}"], 2, "there is no scenario"),
        (["decode", "eastron_sdm120", "rec.txt", f"--site={'x' * 3000}"], 2, "rec.txt"),
        (["decode", "eastron_sdm120", "rec.txt", "--site=loop"], 2, "rec.txt"),
        (["dashboards", "export", "x" * 3000], 1, "cannot be written"),
        (["backup", "/"], 1, "/ is a folder; name the file to write"),
        (["replay", f"--alerts={'x' * 300}/a.jsonl", "--readings=r.csv"], 1, "does not exist"),
    ],
)
def test_odd_paths_and_dates_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], status: int, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "devices.yaml").write_bytes(SITE)
    (tmp_path / "data").mkdir()
    os.symlink("loop", tmp_path / "loop")
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, SystemExit), result.exception
    assert (result.exit_code, sentence in result.output) == (status, True), result.output


@pytest.mark.parametrize(
    "words",
    [
        ("replay", "devices.yaml", "--readings"),
        ("why", "lights_left_on", "lamp", "--readings"),
        ("meter", "import"),
        ("restore",),
        ("decode", "eastron_sdm120"),
        ("decode", "mbus"),
        ("decode", "--vectors"),
    ],
)
def test_a_file_that_is_not_there_ends_with_status_2_like_a_site_file_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "devices.yaml").write_bytes(SITE)
    (tmp_path / "folder").mkdir()
    for name, sentence in (("nofile", "nofile does not exist"), ("folder", "folder is a folder")):
        result = CliRunner().invoke(app, [*words, name])
        assert (result.exit_code, sentence in result.stderr) == (2, True), result.output
