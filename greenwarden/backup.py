"""``greenwarden backup`` and ``restore``: the data folder as one file, taken while the program runs.

SQLite files are copied by SQLite itself, so that each is whole; the queue's segments only grow, and a frame cut at the
end of a copy is recognised by its check sum when the queue is opened.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
import zlib
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Final

from building.errors import InputError
from greenwarden import __version__
from greenwarden.owning import owned

FORMAT: Final = 1
_MANIFEST: Final = "greenwarden-backup.json"
_LEFT_OUT: Final = (".db-wal", ".db-shm", ".tmp")


def backup(folder: Path, target: Path) -> int:
    """Write ``folder`` to ``target`` (tar.gz), whole or not at all; how many files went in. Raises InputError."""
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no data folder; has the program run yet?")
    if Path(os.path.realpath(target)).is_relative_to(folder.resolve()):
        raise InputError(f"{target} lies in the data folder, and would contain itself; write it somewhere else")
    if os.path.isdir(target) or not target.name:  # Path.is_dir raises for a long name
        raise InputError(f"{target} is a folder; name the file to write, such as {target / 'greenwarden.tar.gz'}")
    half = target.with_name(f".{target.name}.half")
    try:
        with tempfile.TemporaryDirectory(dir=target.parent) as space, tarfile.open(half, "w:gz") as archive:
            files = _pack(folder, Path(space), archive)
        half.replace(target)
    except (OSError, sqlite3.Error) as error:
        raise InputError(f"{target}: the backup could not be written ({error}); see that the disk has room") from None
    finally:
        with suppress(OSError):
            half.unlink(missing_ok=True)
    return files


def _pack(folder: Path, space: Path, archive: tarfile.TarFile) -> int:
    manifest = {"format": FORMAT, "version": __version__, "taken": datetime.now(UTC).isoformat(timespec="seconds")}
    body = json.dumps(manifest).encode()
    head = tarfile.TarInfo(_MANIFEST)
    head.size = len(body)
    archive.addfile(head, io.BytesIO(body))
    files = 0
    # The queue first: what leaves it while we copy is then found in the store, and what is in both is one point.
    for path in sorted(folder.rglob("*"), key=lambda path: (path.suffix == ".db", path)):
        name = path.relative_to(folder)
        if not path.is_file() or path.name.endswith(_LEFT_OUT) or str(name) == "lock":
            continue
        source = path
        if path.suffix == ".db":
            source = space / "copy.db"
            source.unlink(missing_ok=True)
            _copy(path, source)
        try:
            archive.add(source, arcname=f"data/{name.as_posix()}", recursive=False)
        except FileNotFoundError:
            continue  # a segment of the queue that was delivered and deleted meanwhile
        files += 1
    return files


def _copy(path: Path, to: Path) -> None:
    """One SQLite file as it is now. Raises InputError where it is damaged, sqlite3.Error and OSError else."""
    try:
        with closing(sqlite3.connect(path)) as live, closing(sqlite3.connect(to)) as copy:
            live.backup(copy)
    except sqlite3.OperationalError:
        raise  # no room, no right to read
    except sqlite3.DatabaseError as error:
        raise InputError(
            f"{path} is damaged ({error}), and a backup of it would be no backup; start the program again, which says "
            "what to do about it, and then take the backup"
        ) from None


def restore(source: Path, folder: Path) -> Path | None:
    """Put a backup in place of ``folder``; what was there is moved aside, and its new place returned.

    Raises InputError when ``source`` is no backup of ours, ConfigError when a running program holds the folder.
    """
    with owned(folder):
        try:
            return _put_in_place(source, folder)
        except OSError as error:
            raise InputError(
                f"{folder}: the backup cannot be put in its place ({error}); the folder around it must be writable and "
                "have room: where it is a volume of its own, restore on the computer that holds the volume"
            ) from None


def _put_in_place(source: Path, folder: Path) -> Path | None:
    parent = folder.resolve().parent
    with tempfile.TemporaryDirectory(dir=parent) as space:
        fresh = Path(space) / "data"
        fresh.mkdir()
        _unpack(source, fresh)
        aside = _free(parent, f"{folder.name}.before-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
        kept = any(path.name != "lock" for path in folder.iterdir())
        if kept:
            folder.rename(aside)
        else:
            shutil.rmtree(folder)
        shutil.move(fresh, folder)
    return aside if kept else None


def _free(parent: Path, name: str) -> Path:
    """A name that nothing has yet: two restores may come within one second."""
    path, number = parent / name, 1
    while path.exists():
        path, number = parent / f"{name}-{number}", number + 1
    return path


def _unpack(source: Path, folder: Path) -> None:
    try:
        with tarfile.open(source, "r:gz") as archive:
            manifest = _manifest(source, archive)
            if manifest.get("format") != FORMAT:
                raise InputError(f"{source}: made by a newer greenwarden; update this one first")
            for member in archive:
                name = PurePosixPath(member.name)
                if not member.isfile() or name.parts[:1] != ("data",):
                    continue
                member.name = str(PurePosixPath(*name.parts[1:]))
                archive.extract(member, folder, filter="data")
            _read_to_the_end(archive)
    except (OSError, tarfile.TarError, EOFError, zlib.error, ValueError, OverflowError) as error:
        # A damaged head may hold a time or a number that nothing can be: no tar error, but no backup either.
        raise InputError(f"{source}: cannot be read as a backup ({error})") from None


def _read_to_the_end(archive: tarfile.TarFile) -> None:
    """Only there gzip compares its check sum; a file that was damaged on the way must not become somebody's data."""
    assert archive.fileobj is not None
    while archive.fileobj.read(1 << 20):
        pass


def _manifest(source: Path, archive: tarfile.TarFile) -> dict[str, Any]:
    try:
        file = archive.extractfile(_MANIFEST)
        content = json.loads(file.read(10_000)) if file is not None else None
    except (KeyError, ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise InputError(f"{source}: is no backup made by greenwarden")
    return content
