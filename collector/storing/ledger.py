"""The ledger: slots of every counter, how far each is accounted, and where its accounting can be taken up again.

An SQLite file beside the store, whichever that is: quarters of an hour are one row for each series and UTC day. All of
it can be computed anew from the readings. One process writes, any number may read. Raises StoreAway.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import ClassVar, Final, NamedTuple

import numpy as np

from building.errors import StoreAway
from building.instants import to_iso
from collector.intervals import SLOTS_A_DAY, SlotBook, Slots
from collector.storing.schema import move_aside
from collector.storing.sqlite_file import Damaged, SqliteFile

log = logging.getLogger(__name__)

LEDGER: Final = "intervals.db"
VERSION: Final = 1
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS series (id INTEGER PRIMARY KEY, device TEXT, quantity TEXT, UNIQUE (device, quantity));
CREATE TABLE IF NOT EXISTS days (
    series INTEGER, day INTEGER, slots BLOB NOT NULL, PRIMARY KEY (series, day)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS marks (
    series INTEGER, at INTEGER, memory TEXT NOT NULL, slot TEXT NOT NULL, PRIMARY KEY (series, at)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS progress (series INTEGER PRIMARY KEY, until INTEGER NOT NULL, memory TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""


class Mark(NamedTuple):
    """A place at which accounting can be taken up: nothing was booked after ``at`` (ms), the tracker's memory (plain
    numbers), and what the slot around ``at`` held."""

    at: int
    memory: list[float | None]
    slot: list[float]


class Progress(NamedTuple):
    """How far a series is accounted: every reading up to ``until`` (ms), and the tracker's memory then."""

    until: int
    memory: list[float | None]


class Ledger(SqliteFile):
    """The ledger in ``path``, made if need be; with ``read_only`` one that somebody else may be writing.

    Raises StoreAway, for a broken file Damaged.
    """

    _way_out: ClassVar[str] = "greenwarden run puts it aside when it starts and computes the intervals again"

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        super().__init__(path)
        with self._told():
            if read_only:
                self._connection = sqlite3.connect(
                    f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=30, check_same_thread=False
                )
            else:
                self._open(_TABLES, synchronous="NORMAL")
                self._connection.execute(f"PRAGMA user_version = {VERSION}")

    @classmethod
    def mended(cls, path: Path, now: int) -> Ledger:
        """The ledger in ``path``, looked through; a damaged one is put aside under a name with ``now`` (ms) and told.

        For the running program alone. What is not in the new one is accounted again from the readings.
        """
        try:
            ledger = cls(path)
            try:
                ledger._look_through()
            except StoreAway:
                ledger.close()
                raise
            return ledger
        except Damaged as error:
            aside = path.with_name(f"{path.name}.damaged-{to_iso(now, UTC):.19}Z".replace(":", ""))
            try:
                move_aside(path, aside)
            except OSError as trouble:
                raise StoreAway(
                    f"{error}, which cannot be done now ({trouble}); see that data/ may be written"
                ) from None
            log.error(
                "%s is damaged (%s); it is kept as %s and the intervals are computed again from the readings",
                path.name, error.__cause__, aside.name,
            )  # fmt: skip
            return cls(path)

    def _look_through(self) -> None:
        """Raises Damaged when a page of the file is broken, which else shows only when it is asked for."""
        with self._told():
            (found,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise Damaged(f"{self._path.name} is damaged; {self._way_out}") from sqlite3.DatabaseError(
                " ".join(found.split())
            )

    # -- writing ------------------------------------------------------------------------------------------------------

    def series(self) -> dict[tuple[str, str], int]:
        """Number of every series, by device and quantity."""
        with self._told():
            rows = self._connection.execute("SELECT device, quantity, id FROM series")
            return {(device, quantity): ident for device, quantity, ident in rows}

    def number(self, device: str, quantity: str) -> int:
        """Number of one series, given if need be."""
        with self._told():
            self._connection.execute(
                "INSERT OR IGNORE INTO series (device, quantity) VALUES (?, ?)", (device, quantity)
            )
            row = self._connection.execute(
                "SELECT id FROM series WHERE device = ? AND quantity = ?", (device, quantity)
            ).fetchone()
            return int(row[0])

    def progress(self, series: int) -> Progress | None:
        """How far ``series`` is accounted; None when nothing is."""
        with self._told():
            row = self._connection.execute("SELECT until, memory FROM progress WHERE series = ?", (series,)).fetchone()
        return Progress(row[0], json.loads(row[1])) if row else None

    def mark_before(self, series: int, moment: int) -> Mark | None:
        """The last mark of ``series`` before ``moment``."""
        with self._told():
            row = self._connection.execute(
                "SELECT at, memory, slot FROM marks WHERE series = ? AND at < ? ORDER BY at DESC LIMIT 1",
                (series, moment),
            ).fetchone()
        return Mark(row[0], json.loads(row[1]), json.loads(row[2])) if row else None

    def book(self, series: int, first_day: int) -> SlotBook:
        """The slots of ``series`` from ``first_day`` (days since 1970) on, to be gone on with."""
        book = SlotBook()
        with self._told():
            for day, blob in self._connection.execute(
                "SELECT day, slots FROM days WHERE series = ? AND day >= ?", (series, first_day)
            ):
                book.days[day] = _unpacked(blob)
        return book

    def save(
        self, series: int, book: SlotBook, progress: Progress, marks: Iterable[Mark], back_to: int | None = None
    ) -> None:
        """What was accounted, in one commit; marks at ``back_to`` (ms) or later are no longer true."""
        days = [(series, day, zlib.compress(book.days[day].tobytes(), 1)) for day in sorted(book.touched)]
        with self._told(), self._all_or_nothing():
            if back_to is not None:
                self._connection.execute("DELETE FROM marks WHERE series = ? AND at >= ?", (series, back_to))
            self._connection.executemany("INSERT OR REPLACE INTO days VALUES (?, ?, ?)", days)
            self._connection.executemany(
                "INSERT OR REPLACE INTO marks VALUES (?, ?, ?, ?)",
                [(series, mark.at, json.dumps(mark.memory), json.dumps(mark.slot)) for mark in marks],
            )
            self._connection.execute(
                "INSERT OR REPLACE INTO progress VALUES (?, ?, ?)",
                (series, progress.until, json.dumps(progress.memory)),
            )
        book.touched.clear()

    def forget(self, series: int) -> None:
        """Everything of ``series``, so that it is accounted from the first reading on."""
        with self._told(), self._all_or_nothing():
            for table in ("days", "marks", "progress"):
                self._connection.execute(f"DELETE FROM {table} WHERE series = ?", (series,))  # noqa: S608 - constants

    def note(self, name: str, value: int) -> None:
        """Remember a number under ``name``."""
        with self._told():
            self._connection.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value))

    def forget_note(self, name: str) -> None:
        """Remove the number noted under ``name``."""
        with self._told():
            self._connection.execute("DELETE FROM notes WHERE name = ?", (name,))

    def noted(self, name: str) -> int | None:
        """The number noted under ``name``; None when there is none."""
        with self._told():
            row = self._connection.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else None

    def notes(self, beginning: str) -> dict[str, int]:
        """Every number noted under a name with this ``beginning``."""
        with self._told():
            rows = self._connection.execute(
                "SELECT name, value FROM notes WHERE substr(name, 1, length(?1)) = ?1", (beginning,)
            )
            return dict(rows.fetchall())

    # -- reading ------------------------------------------------------------------------------------------------------

    def slots(self, series: int, start: int, end: int) -> tuple[int, Slots]:
        """All slots of the UTC days from that of ``start`` to that of ``end`` (ms), and where the first begins."""
        first, last = start // 86_400_000, end // 86_400_000
        slots = np.zeros((4, (last - first + 1) * SLOTS_A_DAY))
        with self._told():
            for day, blob in self._connection.execute(
                "SELECT day, slots FROM days WHERE series = ? AND day >= ? AND day <= ?", (series, first, last)
            ):
                at = (day - first) * SLOTS_A_DAY
                slots[:, at : at + SLOTS_A_DAY] = _unpacked(blob)
        return first * 86_400_000, slots

    def first_day(self, series: int) -> int | None:
        """The first UTC day (ms) of which ``series`` has slots."""
        with self._told():
            row = self._connection.execute("SELECT min(day) FROM days WHERE series = ?", (series,)).fetchone()
        return None if row[0] is None else int(row[0]) * 86_400_000

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


def _unpacked(blob: bytes) -> Slots:
    return np.frombuffer(zlib.decompress(blob)).reshape(4, SLOTS_A_DAY).copy()
