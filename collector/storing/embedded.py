"""The embedded store: readings in SQLite, in blocks per device and shape, and nothing to install.

A batch is first one row of ``log``; when a shape has a block's worth of readings there, they become one block, each
column compressed by itself (``blocks.py``). So a write costs one commit, a query reads few rows, and after a crash the
log says what was in memory. Shapes that speak seldom are sealed when the log gets long, and their last short block is
joined with what came since. Readings may come late, twice or out of order; of one instant the last written counts.

One process writes, any number read at the same time (``stored.StoredReadings``).
"""

from __future__ import annotations

import json
import sqlite3
import threading
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, pairwise
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import numpy as np

from building.errors import StoreAway, StoreRefused
from building.quantities import MODES
from building.readings import GOOD, Reading
from building.site import Retention
from collector.storing.blockrows import Block, fold_shape, insert_blocks, make_block, take_block
from collector.storing.blocks import Floats, Ints
from collector.storing.logrows import Row, log_row, packed_row
from collector.storing.packing import StoredPoint, change_of
from collector.storing.schema import COLUMN_BITS, open_for_writing
from collector.storing.shapes import Columns, LogRow, Rows, in_order, is_plain, joined, row_of, sorted_log
from collector.storing.stored import Point, StoredReadings

DATABASE: Final = "greenwarden.db"
_BLOCK: Final = 512  # readings; measured best of 128 to 2048 for size and for the time of an hourly mean
_LOG_ROWS: Final = 2_000  # what a reader decodes at most when it opens the store
_LOG_NUMBERS: Final = (1 << 18, 1 << 22)  # least and most numbers in the log before the older half is sealed
_LOG_BLOCKS: Final = 1.5  # between those, the log holds so many blocks of every column
_JOINED_ROWS: Final = 128  # of the log, kept in memory as one: rows of few readings would cost many times their numbers
_FRESH_NUMBERS: Final = 1 << 18  # taken apart by shape at once; by the batch it would cost more than all else
_DAY: Final = 86_400_000
_POINTS_KEPT: Final = 7 * _DAY
INTERVAL: Final = "interval"  # the measurement of what collector/accounting.py writes
_WORDS_KEPT: Final = 20_000  # in memory; the rest is looked up


@contextmanager
def _away() -> Iterator[None]:
    """SQLite's complaints as the house's error."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreAway(
            f"the embedded store cannot be written ({error}); see that the disk has room and data/ may be written"
        ) from error


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing of what is written within, in one commit."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _neither(reading: Reading, error: Exception) -> StoreRefused:
    return StoreRefused(f"a reading of {reading.device} holds what is neither number nor word: {error}")


class _Shape:
    """One device and one set of columns: what of it is in the log and not in a block yet."""

    __slots__ = ("columns", "full", "hints", "id", "newest", "parts", "plain", "since", "waiting")

    def __init__(self, ident: int, columns: Columns) -> None:
        self.id = ident
        self.columns = columns
        self.plain = is_plain(columns)
        self.hints = [0] * len(columns)
        self.newest = 0
        self.full = _BLOCK // 2 + ident * 37 % (_BLOCK // 2)  # the first is short, so that not all are full at once
        self.parts: list[Rows] = []
        self.waiting = 0
        self.since = 0  # number of the log row that holds the first of them


class EmbeddedStore:
    """Readings and alert changes in the SQLite file ``path``. May be used from several threads.

    ``power_safe`` (default): what ``write`` returned from survives a power cut; else only the end of the process.
    Every method raises StoreAway when the disk is full, gone or locked; the same batch may then be written again.
    """

    def __init__(self, path: Path, *, power_safe: bool = True) -> None:
        self._path = path
        self._power_safe = power_safe
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._closed = False
        self._forget_memory()
        with _away():
            self._open()
        self._reader = StoredReadings(path, lean=True)

    def _forget_memory(self) -> None:
        self._shapes: dict[tuple[str, Columns], _Shape] = {}
        self._plain: dict[tuple[str, Columns], int] = {}
        self._lately: dict[str, int] = {}  # by device: the plain shape in which it spoke last
        self._kinds: Ints = np.zeros(64, np.int64)  # by shape: which getter takes its columns
        self._getters: list[tuple[int, Callable[[Mapping[str, float | str]], Any]]] = []
        self._kind_of: dict[Columns, int] = {}
        self._by_id: dict[int, _Shape] = {}
        self._widths: Ints = np.zeros(64, np.int64)
        self._words: dict[str, int] = {}
        self._new_words: list[tuple[int, str]] = []
        self._new_shapes: list[tuple[int, str, str]] = []
        self._full: list[_Shape] = []
        self._log: dict[int, int] = {}
        self._power = 0  # of ten, that made whole numbers of the last batch
        self._logged = 0
        self._fresh: list[LogRow] = []
        self._joined = 0  # of them, that are many in one
        self._fresh_numbers = 0
        self._columns = 0

    def __enter__(self) -> EmbeddedStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Everything is on disk already; lets go of the file."""
        self._reader.close()
        with self._lock:
            self._closed = True
            self._shut()

    # -- writing ------------------------------------------------------------------------------------------------------

    def write(self, readings: Sequence[Reading]) -> None:
        """Store ``readings``; they are on disk when this returns. Raises StoreRefused for what is no number or word."""
        if not readings:
            return
        with self._lock, _away():
            connection = self._connection or self._open()
            shapes, times, numbers = self._as_numbers(readings)
            try:
                self._write(connection, shapes, times, numbers)
            except BaseException:
                self._shut()  # memory is ahead of the disk now; the next write begins from the disk
                raise

    def write_alerts(self, alerts: Sequence[Mapping[str, object]]) -> None:
        """Store one change of state per alert object (design.md section 5); the same change twice is one."""
        rows = [
            (change_of(alert), str(alert["id"]), str(alert["state"]), json.dumps(alert, ensure_ascii=False))
            for alert in alerts
        ]
        with self._lock, _away():
            connection = self._connection or self._open()
            with _transaction(connection):
                connection.executemany("INSERT OR REPLACE INTO alert_changes VALUES (?, ?, ?, ?)", rows)

    def write_points(self, points: Sequence[StoredPoint]) -> None:
        """Store points that are no readings; intervals are kept in the ledger and need no second place."""
        rows = [
            (point.measurement, point.at, json.dumps(point.tags, ensure_ascii=False, sort_keys=True),
             json.dumps(point.fields, ensure_ascii=False))
            for point in points
            if point.measurement != INTERVAL
        ]  # fmt: skip
        with self._lock, _away():
            connection = self._connection or self._open()
            with _transaction(connection):
                connection.executemany("INSERT OR REPLACE INTO points VALUES (?, ?, ?, ?)", rows)

    def fold(self, now: int, keep: Retention) -> int:
        """Fold readings that are older than ``keep`` allows, device by device; how many readings went into means.

        Whole UTC days only. Between two devices others may write. Points that are no readings (the collector's health)
        are kept for a week.
        """
        spared = 0
        with self._lock, _away():
            connection = self._connection or self._open()
            connection.execute("DELETE FROM points WHERE at < ?", (now - _POINTS_KEPT,))
        for level, days in ((1, keep.raw_days), (2, keep.quarter_days)):
            if days is None:
                continue
            end = (now - round(days * _DAY)) // _DAY * _DAY
            for ident in list(self._by_id):
                with self._lock, _away():
                    connection = self._connection or self._open()
                    shape = self._by_id.get(ident)
                    if shape is None:
                        continue  # new, and its first write has failed meanwhile
                    with _transaction(connection):
                        spared += fold_shape(connection, shape.columns, ident, level, end)
        return spared

    def _write(
        self, connection: sqlite3.Connection, shapes: array[int], times: array[int], numbers: array[float]
    ) -> None:
        self._number += 1
        row = np.frombuffer(shapes, np.uint32), np.frombuffer(times, np.int64), np.frombuffer(numbers)
        data, self._power = packed_row(*row, self._power)
        self._add(self._number, row)
        if self._full or self._fresh_numbers >= max(_FRESH_NUMBERS, 8 * self._columns):
            self._sort_fresh({})  # a shape is sealed up to this number, so all of it must be at its shape
        blocks = [block for shape in self._full for block in self._sealed(shape)]
        sealed = [(self._number, shape.id) for shape in self._full]
        self._full.clear()
        with _transaction(connection):
            connection.executemany("INSERT INTO words VALUES (?, ?)", self._new_words)
            connection.executemany("INSERT INTO shapes (id, device, columns) VALUES (?, ?, ?)", self._new_shapes)
            connection.execute("INSERT INTO log VALUES (?, ?, ?)", (self._number, len(shapes), data))
            insert_blocks(connection, blocks)
            connection.executemany("UPDATE shapes SET sealed = ? WHERE id = ?", sealed)
            if len(self._log) > _LOG_ROWS or self._logged > self._log_limit:
                self._shorten_log(connection)
        self._new_words.clear()
        self._new_shapes.clear()

    @property
    def _log_limit(self) -> int:
        least, most = _LOG_NUMBERS
        return int(min(max(least, _LOG_BLOCKS * _BLOCK * self._columns), most))

    def _as_numbers(self, readings: Sequence[Reading]) -> tuple[array[int], array[int], array[float]]:
        """Shape, instant and all columns of every reading, in an order that keeps each shape's own.

        Good readings of numbers in shapes that are known, nearly all there are, never meet a loop written in Python.
        """
        # Objects made and dropped one at a time: thousands at once would wake the garbage collector each time.
        flat: list[Any] = list(chain.from_iterable(readings))  # each is a tuple of four
        devices, values = flat[0::4], flat[2::4]
        if flat[3::4].count(GOOD) == len(readings):
            try:
                return self._as_lately(devices, flat[1::4], values)
            except (KeyError, TypeError):
                pass  # a device that is new or speaks otherwise than it did last, or says words
            shapes = list(map(self._plain.get, zip(devices, map(tuple, values), strict=True)))
            if None not in shapes:
                try:
                    numbers: array[float] = array("d", list(chain.from_iterable(map(dict.values, values))))
                    self._lately.update(zip(devices, shapes, strict=True))  # type: ignore[arg-type]  # no None in it
                    return array("I", shapes), array("q", flat[1::4]), numbers  # type: ignore[arg-type]
                except TypeError:
                    pass  # a quantity that used to be a number came as a word, or a mapping that is no dict
        return self._singly(readings)

    def _as_lately(
        self, devices: list[str], times: list[int], values: list[Mapping[str, float | str]]
    ) -> tuple[array[int], array[int], array[float]]:
        """The same when every device speaks as it did last; else raises KeyError or TypeError."""
        shapes = array("I", list(map(self._lately.__getitem__, devices)))
        kinds = self._kinds[np.frombuffer(shapes, np.uint32)]
        first = int(kinds[0])
        if (kinds == first).all():
            return shapes, array("q", times), self._numbers(first, values)
        order = np.argsort(kinds, kind="stable")
        kinds = kinds[order]
        values = np.fromiter(values, object, len(values))[order].tolist()
        numbers: array[float] = array("d")
        for start, end in pairwise([0, *(np.flatnonzero(kinds[1:] != kinds[:-1]) + 1).tolist(), len(kinds)]):
            numbers += self._numbers(int(kinds[start]), values[start:end])
        sorted_shapes, sorted_times = array("I"), array("q")
        sorted_shapes.frombytes(np.frombuffer(shapes, np.uint32)[order].tobytes())
        sorted_times.frombytes(np.array(times, np.int64)[order].tobytes())
        return sorted_shapes, sorted_times, numbers

    def _numbers(self, kind: int, values: list[Mapping[str, float | str]]) -> array[float]:
        """All columns of readings that have the columns of ``kind``, no more and no less, else raises KeyError."""
        width, getter = self._getters[kind]
        if set(map(len, values)) != {width}:
            raise KeyError(kind)
        rows = map(getter, values)
        return array("d", list(rows if width == 1 else chain.from_iterable(rows)))

    def _singly(self, readings: Sequence[Reading]) -> tuple[array[int], array[int], array[float]]:
        """The same, every reading looked at by itself."""
        shapes, numbers = array("I"), array("d")
        get = self._plain.get
        for reading in readings:
            shape = get((reading.device, tuple(reading.values))) if reading.quality is GOOD else None
            if shape is None or str in map(type, reading.values.values()):
                shape, row = self._slowly(reading)
            else:
                row = list(reading.values.values())  # type: ignore[arg-type]  # no words among them
            try:
                numbers.extend(row)
            except TypeError as error:
                raise _neither(reading, error) from None
            shapes.append(shape)
        return shapes, array("q", [reading.taken_at for reading in readings]), numbers

    def _slowly(self, reading: Reading) -> tuple[int, list[float]]:
        try:
            columns, row = row_of(reading, self._code)
        except (TypeError, ValueError) as error:
            raise _neither(reading, error) from None
        if not columns:
            columns, row = ("?",), [self._code("0 ")]  # an empty good reading: the fact that it came is kept
        return self._shape(reading.device, columns).id, row

    def _shape(self, device: str, columns: Columns) -> _Shape:
        shape = self._shapes.get((device, columns))
        if shape is None:
            if len(columns) >= 1 << COLUMN_BITS:
                raise StoreRefused(f"a reading of {device} has {len(columns)} columns; at most 255 are kept")
            shape = self._remember(len(self._by_id) + 1, device, columns)
            self._new_shapes.append((shape.id, device, json.dumps(columns)))
        return shape

    def _remember(self, ident: int, device: str, columns: Columns) -> _Shape:
        shape = _Shape(ident, columns)
        self._shapes[device, columns] = self._by_id[ident] = shape
        if shape.plain:
            self._plain[device, columns] = self._lately[device] = ident
        if ident >= len(self._widths):
            self._widths = np.append(self._widths, np.zeros(max(64, ident), np.int64))
            self._kinds = np.append(self._kinds, np.zeros(max(64, ident), np.int64))
        self._widths[ident] = len(columns)
        self._kinds[ident] = self._kind_of.setdefault(columns, len(self._getters))
        if len(self._kind_of) > len(self._getters):
            self._getters.append((len(columns), itemgetter(*columns)))
        self._columns += len(columns)
        return shape

    def _code(self, word: str) -> int:
        code = self._words.get(word)
        if code is None:
            if len(self._words) > _WORDS_KEPT:
                self._words.clear()
                self._words.update((text, number) for number, text in self._new_words)
            assert self._connection is not None
            row = self._connection.execute("SELECT code FROM words WHERE text = ?", (word,)).fetchone()
            if row is None:
                self._new_words.append((self._next_code, word))
                row = (self._next_code,)
                self._next_code += 1
            code = self._words[word] = row[0]
        return code

    # -- from log to blocks -------------------------------------------------------------------------------------------

    def _add(self, number: int, row: Row) -> None:
        """Take one row of the log into memory."""
        self._fresh.append((number, *row))
        if len(self._fresh) - self._joined >= _JOINED_ROWS:
            self._fresh[self._joined :] = [joined(self._fresh[self._joined :])]
            self._joined += 1
        self._fresh_numbers += len(row[2])
        self._log[number] = len(row[2])
        self._logged += len(row[2])

    def _sort_fresh(self, sealed: Mapping[int, int]) -> None:
        """Put what came lately to its shapes, but for what is ``sealed`` (shape to number in the log) already."""
        fresh = self._fresh
        self._fresh = []
        self._fresh_numbers = self._joined = 0
        for ident, numbers, (at, rows) in sorted_log(fresh, self._widths):
            kept = int(np.searchsorted(numbers, sealed.get(ident, 0), side="right"))
            if kept == len(numbers):
                continue
            shape = self._by_id[ident]
            if not shape.parts:
                shape.since = int(numbers[kept])
            shape.parts.append((at[kept:].copy(), rows[kept:].copy()))  # slices would keep all that came with them
            before, shape.waiting = shape.waiting, shape.waiting + len(at) - kept
            if before < shape.full <= shape.waiting:
                self._full.append(shape)

    def _sealed(self, shape: _Shape, short: Rows | None = None) -> Iterator[Block]:
        """What waits of ``shape`` as blocks; late readings apart from new ones, so that a block spans little time."""
        parts = [short, *shape.parts] if short else shape.parts
        times, rows = in_order(np.concatenate([at for at, _ in parts]), np.concatenate([part for _, part in parts]))
        late = int(np.searchsorted(times, shape.newest, side="right")) if short is None else 0
        for start, end in ((0, late), (late, len(times))):
            for first, last in pairwise([*range(start, end, 2 * _BLOCK), end]):
                yield make_block(shape.id, times[first:last], rows[first:last], shape.hints)
        shape.newest = max(shape.newest, int(times[-1]))
        shape.parts = []
        shape.waiting = 0
        shape.full = _BLOCK

    def _shorten_log(self, connection: sqlite3.Connection) -> None:
        """Seal the shapes that hold the older half of the log, and forget that half."""
        self._sort_fresh({})
        self._full.clear()
        half = sorted(self._log)[len(self._log) // 2]
        for shape in self._by_id.values():
            if shape.parts and (shape.since < half or shape.waiting >= shape.full):
                short = self._take_short_block(connection, shape)
                insert_blocks(connection, self._sealed(shape, short))
                connection.execute("UPDATE shapes SET sealed = ? WHERE id = ?", (self._number, shape.id))
        for number in [number for number in self._log if number < half]:
            self._logged -= self._log.pop(number)
        connection.execute("DELETE FROM log WHERE number < ?", (half,))

    @staticmethod
    def _take_short_block(connection: sqlite3.Connection, shape: _Shape) -> Rows | None:
        """The last block of ``shape`` when it is short and older than all that waits; it is then taken out.

        Not when a block written after it reaches into it: put in anew, it would count as the one written last.
        """
        row = connection.execute(
            "SELECT id, last, count, times, first FROM blocks WHERE shape = ? AND fold = 0 ORDER BY last DESC LIMIT 1",
            (shape.id,),
        ).fetchone()
        if row is None or row[2] >= _BLOCK // 2 or row[1] >= min(int(at.min()) for at, _ in shape.parts):
            return None
        ident, _, count, times, first = row
        mended = "SELECT 1 FROM blocks WHERE shape = ? AND last >= ? AND id > ? LIMIT 1"
        if connection.execute(mended, (shape.id, first, ident)).fetchone():
            return None
        return take_block(connection, ident, count, times, len(shape.columns))

    # -- opening ------------------------------------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        """Memory as the disk has it."""
        if self._closed:
            raise StoreAway("the embedded store is closed")
        connection = open_for_writing(self._path, power_safe=self._power_safe)
        self._forget_memory()
        with _transaction(connection):
            connection.executemany("INSERT OR IGNORE INTO words VALUES (?, ?)", list(enumerate(MODES)))
        self._next_code = connection.execute("SELECT max(code) FROM words").fetchone()[0] + 1
        sealed: dict[int, int] = {}
        for ident, device, columns, number in connection.execute("SELECT id, device, columns, sealed FROM shapes"):
            self._remember(ident, device, tuple(json.loads(columns)))
            sealed[ident] = number
        for ident, newest in connection.execute("SELECT shape, max(last) FROM blocks GROUP BY shape"):
            self._by_id[ident].newest = newest
        self._number = max(sealed.values(), default=0)
        for number, readings, data in connection.execute("SELECT number, readings, data FROM log ORDER BY number"):
            self._add(number, log_row(readings, data))
            self._number = max(self._number, number)
        self._sort_fresh(sealed)
        self._connection = connection
        return connection

    def _shut(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # -- reading ------------------------------------------------------------------------------------------------------

    def series(self) -> list[tuple[str, str]]:
        """See StoredReadings.series."""
        return self._reader.series()

    def read(self, device: str, quantity: str, start: int, end: int) -> tuple[Ints, Floats]:
        """See StoredReadings.read."""
        return self._reader.read(device, quantity, start, end)

    def first(self, device: str, quantity: str, start: int) -> int | None:
        """See StoredReadings.first."""
        return self._reader.first(device, quantity, start)

    def means(self, device: str, quantity: str, start: int, end: int, step: int) -> tuple[Ints, Floats, Ints]:
        """See StoredReadings.means."""
        return self._reader.means(device, quantity, start, end, step)

    def last(self, device: str, quantity: str) -> Point | None:
        """See StoredReadings.last."""
        return self._reader.last(device, quantity)

    def lasts(self) -> dict[tuple[str, str], Point]:
        """See StoredReadings.lasts."""
        return self._reader.lasts()

    def count(self, device: str | None = None) -> int:
        """See StoredReadings.count."""
        return self._reader.count(device)

    def readings(self, start: int, end: int) -> Iterator[Reading]:
        """See StoredReadings.readings."""
        return self._reader.readings(start, end)

    def alerts(self, start: int, end: int) -> list[dict[str, object]]:
        """See StoredReadings.alerts."""
        return self._reader.alerts(start, end)
