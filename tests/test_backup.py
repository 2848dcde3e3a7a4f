"""The data folder as one file and back, while somebody writes into it."""

from __future__ import annotations

import gzip
import random
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from building.errors import ConfigError, InputError
from building.readings import Reading
from collector.storing.embedded import DATABASE, EmbeddedStore
from collector.storing.keeper import Keeper
from collector.storing.stored import StoredReadings
from greenwarden.backup import backup, restore
from greenwarden.owning import owned

START = 1_782_900_000_000


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A data folder in use: a store that is open and written to, a memory, a queue segment."""
    folder = tmp_path / "data"
    with EmbeddedStore(folder / DATABASE) as store, Keeper(folder / "memory.db") as keeper:
        store.write([Reading("m", START + n * 1000, {"active_power": float(n)}) for n in range(5000)])
        keeper.save("rules", b"memory")
        (folder / "queue").mkdir()
        (folder / "queue" / "0001.seg").write_bytes(b"frames")
        yield folder


def test_a_backup_taken_while_the_store_is_open_holds_every_reading_and_the_memory(data: Path, tmp_path: Path) -> None:
    assert backup(data, tmp_path / "b.tar.gz") >= 3
    aside = restore(tmp_path / "b.tar.gz", tmp_path / "elsewhere")
    assert aside is None
    with StoredReadings(tmp_path / "elsewhere" / DATABASE) as stored:
        assert stored.count("m") == 5000
    with Keeper(tmp_path / "elsewhere" / "memory.db") as keeper:
        assert keeper.load("rules") == b"memory"
    assert (tmp_path / "elsewhere" / "queue" / "0001.seg").read_bytes() == b"frames"


def test_restoring_moves_what_was_there_aside(data: Path, tmp_path: Path) -> None:
    backup(data, tmp_path / "b.tar.gz")
    other = tmp_path / "other"
    other.mkdir()
    (other / "note").write_text("mine")
    aside = restore(tmp_path / "b.tar.gz", other)
    assert aside is not None
    assert (aside / "note").read_text() == "mine"
    assert (other / DATABASE).exists()


def test_restoring_under_a_running_program_is_refused(data: Path, tmp_path: Path) -> None:
    backup(data, tmp_path / "b.tar.gz")
    with owned(data), pytest.raises(ConfigError, match="another greenwarden"):
        restore(tmp_path / "b.tar.gz", data)
    with closing(sqlite3.connect(data / "memory.db")) as memory:
        assert memory.execute("SELECT count(*) FROM kept_blobs").fetchone() == (1,)


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_a_file_that_is_no_backup_is_refused_and_nothing_changes(
    content: bytes | None, data: Path, tmp_path: Path
) -> None:
    source = tmp_path / "x.tar.gz"
    if content is None:
        with tarfile.open(source, "w:gz") as archive:
            archive.add(data / "memory.db", arcname="memory.db")
    else:
        source.write_bytes(content)
    with pytest.raises(InputError, match="backup"):
        restore(source, data)
    assert (data / DATABASE).exists()


def test_a_member_that_points_out_of_the_folder_is_not_written(data: Path, tmp_path: Path) -> None:
    good = tmp_path / "b.tar.gz"
    backup(data, good)
    evil = tmp_path / "evil.tar.gz"
    with tarfile.open(good) as source, tarfile.open(evil, "w:gz") as target:
        for member in source:
            target.addfile(member, source.extractfile(member))
        target.add(data / "memory.db", arcname="data/../../escaped.db")
    with pytest.raises(InputError, match="backup"):
        restore(evil, tmp_path / "elsewhere")
    assert not (tmp_path / "escaped.db").exists()
    assert not (tmp_path.parent / "escaped.db").exists()


def test_a_backup_of_nothing_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no data folder"):
        backup(tmp_path / "nix", tmp_path / "b.tar.gz")


def test_a_backup_damaged_on_its_way_is_refused_wherever_the_damage_is(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "note").write_bytes(random.Random(1).randbytes(600))
    backup(folder, tmp_path / "b.tar.gz")
    good = (tmp_path / "b.tar.gz").read_bytes()
    damaged, taken = tmp_path / "damaged.tar.gz", 0
    for at in range(good.index(b"\x00", 10) + 1, len(good)):  # from behind the name in gzip's head
        damaged.write_bytes(good[:at] + bytes([good[at] ^ 0x10]) + good[at + 1 :])
        with suppress(InputError):
            restore(damaged, tmp_path / "elsewhere")
            taken += 1
            assert gzip.decompress(damaged.read_bytes()) == gzip.decompress(good)  # a bit that means nothing
    assert taken < len(good) / 20
    assert restore(tmp_path / "b.tar.gz", tmp_path / "new") is None


def test_a_backup_into_the_data_folder_itself_is_refused(data: Path) -> None:
    with pytest.raises(InputError, match="would contain itself; write it somewhere else"):
        backup(data, data / "b.tar.gz")
    assert not (data / "b.tar.gz").exists()


def test_a_data_folder_that_cannot_be_moved_is_told_with_the_way_out(data: Path, tmp_path: Path) -> None:
    backup(data, tmp_path / "b.tar.gz")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "note").write_text("mine")
    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(Path, "rename", _busy)
        with pytest.raises(InputError, match="restore on the computer that holds the volume"):
            restore(tmp_path / "b.tar.gz", tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / "note").read_text() == "mine"


def _busy(*_: object) -> None:
    raise OSError(16, "Device or resource busy")  # what a mount point answers


@pytest.mark.parametrize("target", [Path(), Path("/"), Path("..")])
def test_a_folder_in_place_of_the_file_to_write_is_told(target: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(InputError, match="is a folder; name the file to write"):
        backup(tmp_path / "data", target)


def test_a_damaged_file_is_named_and_nothing_is_left_of_the_backup_begun(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    with Keeper(folder / "memory.db") as keeper:
        keeper.save("rules", random.Random(1).randbytes(50_000))
    whole = (folder / "memory.db").read_bytes()
    (folder / "memory.db").write_bytes(b"not a database at all" + whole[21:])
    with pytest.raises(InputError, match=r"memory\.db is damaged .* start the program again"):
        backup(folder, tmp_path / "b.tar.gz")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_backup_whose_heads_hold_a_time_that_cannot_be_is_refused(data: Path, tmp_path: Path) -> None:
    backup(data, tmp_path / "b.tar.gz")
    with (
        tarfile.open(tmp_path / "b.tar.gz") as good,
        tarfile.open(tmp_path / "odd.tar.gz", "w:gz", format=tarfile.GNU_FORMAT) as odd,
    ):
        for member in good:
            content = good.extractfile(member)
            member.mtime = 2**80
            odd.addfile(member, content)
    with pytest.raises(InputError, match="cannot be read as a backup"):
        restore(tmp_path / "odd.tar.gz", tmp_path / "elsewhere")
