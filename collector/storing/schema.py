"""The embedded store's tables, and how a connection to them is opened."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

VERSION: Final = 3  # 2: folded blocks; 3: rows of the log in few bytes, see logrows.py
_WAL_PAGES: Final = 4_000  # 16 MB between two checkpoints: each costs two forced writes
SMALL_CACHE: Final = "PRAGMA cache_size = -512"
"""KiB of pages in memory, for files of which little is read again; SQLite would keep 2 MiB for each connection."""

COLUMN_BITS: Final = 8
"""A column of a block stands in row ``block << COLUMN_BITS | number``, found without an index."""

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS words (code INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS shapes (
    id INTEGER PRIMARY KEY, device TEXT NOT NULL, columns TEXT NOT NULL,
    sealed INTEGER NOT NULL DEFAULT 0,  -- rows of the log up to this number are in blocks already
    UNIQUE (device, columns)
);
CREATE TABLE IF NOT EXISTS log (number INTEGER PRIMARY KEY, readings INTEGER NOT NULL, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS blocks (
    id INTEGER PRIMARY KEY, shape INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    count INTEGER NOT NULL, times BLOB NOT NULL,
    fold INTEGER NOT NULL DEFAULT 0  -- 0 readings as they came, 1 quarters of an hour, 2 hours
);
CREATE INDEX IF NOT EXISTS blocks_by_time ON blocks (shape, last, first);
CREATE TABLE IF NOT EXISTS columns (
    id INTEGER PRIMARY KEY, first REAL, last REAL, total REAL, data BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS alert_changes (
    at INTEGER NOT NULL, alert TEXT NOT NULL, state TEXT NOT NULL, record TEXT NOT NULL,
    PRIMARY KEY (at, alert, state)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS points (
    measurement TEXT NOT NULL, at INTEGER NOT NULL, tags TEXT NOT NULL, fields TEXT NOT NULL,
    PRIMARY KEY (measurement, at, tags)
) WITHOUT ROWID;
"""


def open_for_writing(path: Path, *, power_safe: bool) -> sqlite3.Connection:
    """The store in ``path``, made if need be; a file that is no database is put aside and told.

    ``power_safe``: a commit has reached the disk when it returns. Raises sqlite3.Error when the disk does not serve.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _prepared(path, power_safe)
    except sqlite3.OperationalError:
        raise  # locked, full, not allowed: the file itself may be good
    except sqlite3.DatabaseError as error:
        aside = _free_name(path)
        move_aside(path, aside)
        log.error("%s is damaged (%s); it is kept as %s and a new one is begun", path.name, error, aside.name)
        return _prepared(path, power_safe)


def move_aside(path: Path, aside: Path) -> None:
    """Give the SQLite file ``path``, with what lies beside it, the name ``aside``. Nobody may have it open."""
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))


def open_for_reading(path: Path, *, lean: bool = False) -> sqlite3.Connection:
    """Read while somebody else may write. Raises sqlite3.Error when there is no store in ``path``.

    ``lean``: for a process that lives long. Its memory must not grow with the file, as it would with a mapped one
    (up to 256 MiB); the same questions then take half as long again.
    """
    connection = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=30, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA cache_size = -1024" if lean else "PRAGMA mmap_size = 268435456")
    return connection


def _prepared(path: Path, power_safe: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
        connection.execute(f"PRAGMA synchronous = {'FULL' if power_safe else 'NORMAL'}")
        connection.executescript(_TABLES)
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        if found > VERSION:
            raise sqlite3.OperationalError(f"{path.name} was written by a newer greenwarden; install that version")
        if found == 1:
            connection.execute("ALTER TABLE blocks ADD COLUMN fold INTEGER NOT NULL DEFAULT 0")
        connection.execute(f"PRAGMA user_version = {VERSION}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _free_name(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    return aside
