"""What the house must remember besides readings: rule memory, alerts, journal, audit.

Named blobs and tables that only grow, in the embedded store's file or one of its own; another process may read while
this one writes. Every call is one commit that survives a power cut.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from collector.storing.sqlite_file import SqliteFile

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS kept_blobs (name TEXT PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS kept_records (
    id INTEGER PRIMARY KEY, list TEXT NOT NULL, at INTEGER NOT NULL, key TEXT NOT NULL, record TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS kept_by_time ON kept_records (list, at);
CREATE INDEX IF NOT EXISTS kept_by_key ON kept_records (list, key, at);
"""


class Keeper(SqliteFile):
    """Blobs by name and records by table in the SQLite file ``path``. May be used from several threads.

    Raises StoreAway when the disk is full, gone or locked, Damaged when the file is broken. It is never put aside by
    itself: it alone holds exchanged meters, answers and alerts, and whoever owns them decides what becomes of them.
    """

    _way_out: ClassVar[str] = (
        "it holds alerts, answers and the journal of exchanged meters, so nothing is begun without it: stop the "
        "program and put a backup in place with greenwarden restore, or, to begin without all that, move it away "
        "together with the files of its name that end in -wal and -shm"
    )

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with self._told():
            self._open(_TABLES, synchronous="FULL")

    def save(self, name: str, blob: bytes) -> None:
        """Keep ``blob`` under ``name`` in place of what was there."""
        with self._told():
            self._connection.execute("INSERT OR REPLACE INTO kept_blobs VALUES (?, ?)", (name, blob))

    def load(self, name: str) -> bytes | None:
        """What was saved last under ``name``; None when nothing was."""
        with self._told():
            row = self._connection.execute("SELECT data FROM kept_blobs WHERE name = ?", (name,)).fetchone()
        return bytes(row[0]) if row else None

    def keep(
        self,
        blobs: Mapping[str, bytes | None],
        records: Iterable[tuple[str, int, str, Mapping[str, object]]] = (),
    ) -> None:
        """Save blobs by name (None: forget it) and append records (table, at, key, record): all of it or nothing."""
        rows = [(table, at, key, json.dumps(record, ensure_ascii=False)) for table, at, key, record in records]
        with self._told():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                for name, blob in blobs.items():
                    if blob is None:
                        self._connection.execute("DELETE FROM kept_blobs WHERE name = ?", (name,))
                    else:
                        self._connection.execute("INSERT OR REPLACE INTO kept_blobs VALUES (?, ?)", (name, blob))
                self._connection.executemany(
                    "INSERT INTO kept_records (list, at, key, record) VALUES (?, ?, ?, ?)", rows
                )
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise

    def kept(self, beginning: str) -> dict[str, bytes]:
        """Every blob whose name begins with ``beginning``, by name."""
        with self._told():
            rows = self._connection.execute(
                "SELECT name, data FROM kept_blobs WHERE name >= ?1 AND name < ?1 || char(1114111) ORDER BY name",
                (beginning,),
            ).fetchall()
        return {name: bytes(data) for name, data in rows}

    def append(self, table: str, at: int, key: str, record: Mapping[str, object]) -> None:
        """Add ``record`` (plain JSON values) to ``table``; ``at`` in ms since 1970 UTC, ``key`` to find it by."""
        text = json.dumps(record, ensure_ascii=False)
        with self._told():
            self._connection.execute(
                "INSERT INTO kept_records (list, at, key, record) VALUES (?, ?, ?, ?)", (table, at, key, text)
            )

    def records(self, table: str, *, since: int | None = None, key: str | None = None) -> list[dict[str, Any]]:
        """The records of ``table`` in order of time, then of appending; from ``since`` on, with ``key``, or all."""
        with self._told():
            rows = self._connection.execute(
                "SELECT record FROM kept_records WHERE list = ?1 AND (?2 IS NULL OR at >= ?2) "
                "AND (?3 IS NULL OR key = ?3) ORDER BY at, id",
                (table, since, key),
            ).fetchall()
        return [json.loads(text) for (text,) in rows]

    def newest(self) -> int:
        """Number of the record appended last, to whatever table; 0 when there is none."""
        with self._told():
            (number,) = self._connection.execute("SELECT max(id) FROM kept_records").fetchone()
        return int(number or 0)

    def newer(self, table: str, than: int = 0) -> list[tuple[int, dict[str, Any]]]:
        """Number and content of the records of ``table`` appended after number ``than``, in the order of appending."""
        with self._told():
            rows = self._connection.execute(
                "SELECT id, record FROM kept_records WHERE list = ? AND id > ? ORDER BY id", (table, than)
            ).fetchall()
        return [(number, json.loads(text)) for number, text in rows]
