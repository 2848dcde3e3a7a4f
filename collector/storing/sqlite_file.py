"""A SQLite file of ours that several threads use, one at a time."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Final, Self

from building.errors import StoreAway
from collector.storing.schema import SMALL_CACHE

_DAMAGE: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Damaged(StoreAway):
    """The file is no database any more, or a broken one: no room on the disk will mend it."""


class SqliteFile:
    """What its users have in common: a lock, a connection that they open, an end, and a sentence for a full disk."""

    _connection: sqlite3.Connection
    _way_out: ClassVar[str] = "put a backup in place with greenwarden restore"
    """What to do about a damaged file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    def _open(self, tables: str, *, synchronous: str) -> None:
        """Open the file for writing, made if need be; ``synchronous`` as SQLite's pragma of that name has it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(self._path, timeout=30, isolation_level=None, check_same_thread=False)
        try:
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute(f"PRAGMA synchronous = {synchronous}")
            self._connection.execute(SMALL_CACHE)
            self._connection.executescript(tables)
        except sqlite3.Error:
            self._connection.close()
            raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        """One thread at a time; what SQLite cannot do is a StoreAway."""
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                # The low byte says what is wrong, the others where; errors of the module itself have no code.
                if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE:
                    raise Damaged(f"{self._path.name} is damaged ({error}); {self._way_out}") from error
                raise StoreAway(
                    f"{self._path.name} cannot be used ({error}); see that the disk has room and data/ may be written"
                ) from error
