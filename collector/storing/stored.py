"""Reading the embedded store, from this process or another, while it is being written.

Every question is answered from one consistent state of the file: blocks, and what is still in the log, which is decoded
once and kept up to date. Instants are milliseconds since 1970 UTC; ranges hold ``start`` and not ``end``.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from building.errors import InputError, StoreAway
from building.readings import Reading
from collector.storing.blocks import Floats, Ints, decode_floats, decode_times
from collector.storing.logrows import log_row
from collector.storing.packing import StoredPoint
from collector.storing.schema import COLUMN_BITS, open_for_reading
from collector.storing.shapes import (
    Columns,
    Rows,
    columns_for,
    in_order,
    is_plain,
    quantity_of,
    reading_of,
    sorted_log,
)
from collector.storing.sqlite_file import SqliteFile

_EVER: Final = (-(1 << 62), 1 << 62)
_AT_ONCE: Final = 200_000  # readings that ``readings`` holds in memory
_WORDS_KEPT: Final = 20_000
_IN_RANGE: Final = "shape = ? AND last >= ? AND first < ?"


class Point(NamedTuple):
    """The value of one series at one instant; a word for quantities such as ``mode``."""

    at: int
    value: float | str


class _Known(NamedTuple):
    id: int
    device: str
    columns: Columns
    plain: bool


class _Logged(NamedTuple):
    """Rows of one shape out of the log: the log's number of each, instants, values."""

    numbers: Ints
    times: Ints
    rows: Floats


class StoredReadings(SqliteFile):
    """What the embedded store in ``path`` holds. May be used from several threads. Raises StoreAway.

    ``lean``: see ``open_for_reading``.
    """

    def __init__(self, path: Path, *, lean: bool = False) -> None:
        super().__init__(path)
        try:
            self._connection = open_for_reading(path, lean=lean)
            self._connection.execute("SELECT count(*) FROM shapes")
        except sqlite3.Error as error:
            raise InputError(
                f"{path} holds no readings ({error}); run greenwarden first, or name the data folder"
            ) from None
        self._shapes: dict[int, _Known] = {}
        self._of_device: dict[str, list[_Known]] = {}
        self._widths = np.zeros(64, np.int64)
        self._tail: dict[int, list[_Logged]] = {}  # by shape
        self._sealed: dict[int, int] = {}
        self._last_blocks: dict[int, tuple[int, tuple[int, int] | None]] = {}  # by shape: sealed then, what was found
        self._seen = 0  # the newest log row in the tail
        self._words: dict[int, str] = {}

    # -- questions ----------------------------------------------------------------------------------------------------

    def series(self) -> list[tuple[str, str]]:
        """Device and quantity of everything that has usable values, in order."""
        with self._snapshot():
            found = {(shape.device, quantity_of(column)) for shape in self._shapes.values() for column in shape.columns}
            return sorted((device, quantity) for device, quantity in found if quantity)

    def devices(self) -> list[str]:
        """Every device that was ever stored, in order; also those that never answered."""
        with self._snapshot():
            return sorted(self._of_device)

    def read(self, device: str, quantity: str, start: int, end: int) -> tuple[Ints, Floats]:
        """Instants and values, in order, without bad ones; a word is its number (``word`` tells which)."""
        with self._snapshot():
            parts: list[Rows] = []
            for shape, column in self._holding(device, quantity):
                parts += self._column(shape, column, start, end)
        times, rows = _joined(parts, 1)
        return times, rows[:, 0]

    def means(self, device: str, quantity: str, start: int, end: int, step: int) -> tuple[Ints, Floats, Ints]:
        """Begin, mean and number of values of every stretch of ``step`` ms from ``start`` on that holds any."""
        times, values = self.read(device, quantity, start, end)
        if len(times) == 0:
            return times, values, times
        stretch = (times - start) // step
        firsts = np.flatnonzero(np.concatenate(([True], stretch[1:] != stretch[:-1])))
        counts = np.diff(np.append(firsts, len(times)))
        return start + stretch[firsts] * step, np.add.reduceat(values, firsts) / counts, counts

    def last(self, device: str, quantity: str) -> Point | None:
        """The newest usable value; None when there was never one."""
        with self._snapshot():
            points = [
                self._point(shape.columns[number], newest[0], newest[1][number])
                for shape, number in self._holding(device, quantity)
                if (newest := self._newest(shape))
            ]
        return max(points, key=_at, default=None)

    def first(self, device: str, quantity: str, start: int) -> int | None:
        """An instant, ``start`` or later, before which the series has no value from ``start`` on; None for no value."""
        with self._snapshot():
            found: list[int] = []
            for shape, _ in self._holding(device, quantity):
                (first,) = self._connection.execute(
                    "SELECT min(first) FROM blocks WHERE shape = ? AND last >= ?", (shape.id, start)
                ).fetchone()
                waiting = self._unsealed(shape.id)
                later = waiting[0][waiting[0] >= start] if waiting else ()
                found += [first] if first is not None else []
                found += [int(later.min())] if len(later) else []  # type: ignore[union-attr]  # not the empty tuple
        return max(start, min(found)) if found else None

    def lasts(self) -> dict[tuple[str, str], Point]:
        """The newest usable value of every series."""
        found: dict[tuple[str, str], Point] = {}
        with self._snapshot():
            for shape in self._shapes.values():
                newest = self._newest(shape)
                for column, value in zip(shape.columns, newest[1], strict=True) if newest else ():
                    quantity = quantity_of(column)
                    if newest is None or quantity is None:
                        continue
                    point = found.get((shape.device, quantity))
                    if point is None or point.at < newest[0]:
                        found[shape.device, quantity] = self._point(column, newest[0], value)
        return found

    def count(self, device: str | None = None) -> int:
        """How many readings are stored, of one device or of all; the same reading twice is one."""
        with self._snapshot():
            shapes = self._shapes.values() if device is None else self._of_device.get(device, [])
            return sum(self._count(shape) for shape in shapes)

    def span(self) -> tuple[int, int] | None:
        """Instants of the first and the last reading; None when there are none."""
        with self._snapshot():
            first, last = self._connection.execute("SELECT min(first), max(last) FROM blocks").fetchone()
            tail = [rows[0] for shape in self._tail if (rows := self._unsealed(shape))]
        firsts = [int(at.min()) for at in tail] + ([first] if first is not None else [])
        lasts = [int(at.max()) for at in tail] + ([last] if last is not None else [])
        return (min(firsts), max(lasts)) if firsts else None

    def readings(self, start: int, end: int, devices: Collection[str] | None = None) -> Iterator[Reading]:
        """Every reading, or those of ``devices``, in order of time, as it was written: with flaws, bad values and "no
        answer"."""
        span = self.span()
        if span is None:
            return
        start, end = max(start, span[0]), min(end, span[1] + 1)
        while start < end:
            step = self._stretch(start, end)
            yield from self._readings(start, min(start + step, end), devices)
            start += step

    def word(self, code: int) -> str:
        """The word that stands behind a number that ``read`` gave for a quantity such as ``mode``."""
        with self._lock:
            if code not in self._words:
                if len(self._words) > _WORDS_KEPT:
                    self._words.clear()
                (self._words[code],) = self._connection.execute(
                    "SELECT text FROM words WHERE code = ?", (code,)
                ).fetchone()
            return self._words[code]

    def alerts(self, start: int, end: int) -> list[dict[str, object]]:
        """Alert objects (design.md section 5), one for each change of state, in order of the changes."""
        with self._snapshot():
            rows = self._connection.execute(
                "SELECT record FROM alert_changes WHERE at >= ? AND at < ? ORDER BY at, alert", (start, end)
            )
            return [json.loads(record) for (record,) in rows]

    def points(self, measurement: str, start: int, end: int) -> list[StoredPoint]:
        """Points that are no readings, such as the collector's own health, in order of time."""
        with self._snapshot():
            rows = self._connection.execute(
                "SELECT tags, fields, at FROM points WHERE measurement = ? AND at >= ? AND at < ? ORDER BY at, tags",
                (measurement, start, end),
            )
            return [StoredPoint(measurement, json.loads(tags), json.loads(fields), at) for tags, fields, at in rows]

    # -- from the file ------------------------------------------------------------------------------------------------

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        """One state of the file for all that is asked within."""
        with self._lock:
            try:
                self._connection.execute("BEGIN")
                try:
                    self._refresh()
                    yield
                finally:
                    self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                raise StoreAway(f"{self._path.name} cannot be read ({error}); see that the disk is there") from error

    def _refresh(self) -> None:
        for ident, device, text in self._connection.execute(
            "SELECT id, device, columns FROM shapes WHERE id > ?", (len(self._shapes),)
        ):
            columns = tuple(json.loads(text))
            known = _Known(ident, device, columns, is_plain(columns))
            self._shapes[ident] = known
            self._of_device.setdefault(device, []).append(known)
            if ident >= len(self._widths):
                self._widths = np.append(self._widths, np.zeros(max(64, ident), np.int64))
            self._widths[ident] = len(columns)
        newest = self._connection.execute("SELECT max(number) FROM log").fetchone()[0]
        if newest is None:
            self._tail.clear()
            return
        if newest == self._seen:
            return
        rows = self._connection.execute(
            "SELECT number, readings, data FROM log WHERE number > ? ORDER BY number", (self._seen,)
        )
        fresh = [(number, *log_row(readings, data)) for number, readings, data in rows]
        for shape, numbers, (times, values) in sorted_log(fresh, self._widths):
            # Copies: a slice would keep all that was read with it for as long as this series waits.
            self._tail.setdefault(shape, []).append(_Logged(numbers.copy(), times.copy(), values.copy()))
        self._seen = newest
        self._sealed = dict(self._connection.execute("SELECT id, sealed FROM shapes"))
        for shape, parts in self._tail.items():
            if parts and parts[0].numbers[-1] <= self._sealed[shape]:  # whether anybody asks for the series or not
                parts[:] = [part for part in parts if part.numbers[-1] > self._sealed[shape]]

    def _unsealed(self, shape: int) -> Rows | None:
        """The rows of ``shape`` that are in the log and in no block."""
        parts = self._tail.get(shape)
        if not parts:
            return None
        if len(parts) > 1:
            parts[:] = [_Logged(*(np.concatenate(column) for column in zip(*parts, strict=True)))]
        numbers, times, rows = parts[0]
        sealed = self._sealed[shape]
        if numbers[0] <= sealed:
            kept = int(np.searchsorted(numbers, sealed, side="right"))
            parts[:] = [_Logged(numbers[kept:], times[kept:], rows[kept:])] if kept < len(numbers) else []
            return self._unsealed(shape)
        return times, rows

    def _holding(self, device: str, quantity: str) -> list[tuple[_Known, int]]:
        wanted = columns_for(quantity)
        return [
            (shape, number)
            for shape in self._of_device.get(device, ())
            for number, column in enumerate(shape.columns)
            if column in wanted
        ]

    def _column(self, shape: _Known, column: int, start: int, end: int) -> list[Rows]:
        """One column of the blocks in order of writing, then of the log."""
        parts: list[Rows] = []
        for count, times, data in self._connection.execute(
            "SELECT b.count, b.times, c.data FROM blocks b JOIN columns c ON c.id = (b.id << ? | ?) "
            "WHERE b.shape = ? AND b.last >= ? AND b.first < ? ORDER BY b.id",
            (COLUMN_BITS, column, shape.id, start, end),
        ):
            parts.append((decode_times(times, count), decode_floats(data, count)[:, None]))
        if waiting := self._unsealed(shape.id):
            parts.append((waiting[0], waiting[1][:, column : column + 1]))
        return [_cut(part, start, end) for part in parts]

    def _rows(self, shape: _Known, start: int, end: int) -> Rows:
        """All columns, each instant once."""
        parts: list[Rows] = []
        for place, count, times in self._connection.execute(
            f"SELECT id, count, times FROM blocks WHERE {_IN_RANGE} ORDER BY id",  # noqa: S608 - a constant
            (shape.id, start, end),
        ).fetchall():
            columns = self._connection.execute(
                "SELECT data FROM columns WHERE id >= ? AND id < ? ORDER BY id",
                (place << COLUMN_BITS, (place << COLUMN_BITS) + len(shape.columns)),
            )
            numbers = np.column_stack([decode_floats(data, count) for (data,) in columns])
            parts.append(_cut((decode_times(times, count), numbers), start, end))
        if waiting := self._unsealed(shape.id):
            parts.append(_cut(waiting, start, end))
        return _joined(parts, len(shape.columns))

    def _newest(self, shape: _Known) -> tuple[int, list[float]] | None:
        """The newest row of ``shape``; of two at one instant the one written last."""
        waiting = self._unsealed(shape.id)
        row = self._last_block(shape.id)
        if waiting is not None:
            times, rows = waiting
            newest = len(times) - 1 - int(np.argmax(times[::-1]))
            if row is None or int(times[newest]) >= row[0]:
                return int(times[newest]), rows[newest].tolist()
        if row is None:
            return None
        place = row[1] << COLUMN_BITS
        lasts = self._connection.execute(
            "SELECT last FROM columns WHERE id >= ? AND id < ? ORDER BY id", (place, place + len(shape.columns))
        ).fetchall()
        if not lasts:  # the block was folded into another one
            del self._last_blocks[shape.id]
            return self._newest(shape)
        return row[0], [last for (last,) in lasts]

    def _last_block(self, shape: int) -> tuple[int, int] | None:
        """Last instant and id of the block that reaches furthest; blocks change with ``sealed`` alone."""
        sealed = self._sealed.get(shape, 0)
        known = self._last_blocks.get(shape)
        if known is None or known[0] != sealed:
            row = self._connection.execute(
                "SELECT last, id FROM blocks WHERE shape = ? ORDER BY last DESC, id DESC LIMIT 1", (shape,)
            ).fetchone()
            known = self._last_blocks[shape] = (sealed, row)
        return known[1]

    def _point(self, column: str, at: int, value: float) -> Point:
        return Point(at, self.word(int(value)) if column.endswith("=") else value)

    def _count(self, shape: _Known) -> int:
        """Blocks that overlap, or that the log reaches into, are looked into: an instant in both counts once."""
        tail = self._unsealed(shape.id)
        waiting = [tail[0]] if tail else []
        spans = self._connection.execute(
            "SELECT first, last, count FROM blocks WHERE shape = ? ORDER BY first", (shape.id,)
        ).fetchall()
        reach = min((int(at.min()) for at in waiting), default=_EVER[1])
        apart = all(before[1] < after[0] for before, after in pairwise(spans))
        if apart and (not spans or spans[-1][1] < reach):
            return sum(int(count) for _, _, count in spans) + sum(len(np.unique(at)) for at in waiting)
        rows = self._connection.execute("SELECT times, count FROM blocks WHERE shape = ?", (shape.id,))
        every = [decode_times(times, count) for times, count in rows] + waiting
        return len(np.unique(np.concatenate(every))) if every else 0

    def _stretch(self, start: int, end: int) -> int:
        """How many ms from ``start`` on hold about as many readings as memory should."""
        with self._snapshot():
            (stored,) = self._connection.execute("SELECT total(count) FROM blocks WHERE last >= ?", (start,)).fetchone()
            waiting = sum(len(part.times) for parts in self._tail.values() for part in parts)
        share = _AT_ONCE / max(1, stored + waiting)
        return max(60_000, min(end - start, int((end - start) * share)))

    def _readings(self, start: int, end: int, devices: Collection[str] | None) -> Iterator[Reading]:
        with self._snapshot():
            shapes = [one for one in self._shapes.values() if devices is None or one.device in devices]
            tables = [(shape, self._rows(shape, start, end)) for shape in shapes]
        tables = [(shape, rows) for shape, rows in tables if len(rows[0])]
        if not tables:
            return
        times = np.concatenate([at for _, (at, _) in tables])
        owners = np.repeat(np.arange(len(tables)), [len(at) for _, (at, _) in tables])
        order = np.argsort(times, kind="stable")
        numbers = [iter(rows.tolist()) for _, (_, rows) in tables]
        for at, owner in zip(times[order].tolist(), owners[order].tolist(), strict=True):
            shape = tables[owner][0]
            yield reading_of(shape.device, at, shape.columns, next(numbers[owner]), self.word, plain=shape.plain)


def _at(point: Point) -> int:
    return point.at


def _cut(part: Rows, start: int, end: int) -> Rows:
    times, rows = part
    if len(times) and start <= times.min() and times.max() < end:
        return part
    inside = (times >= start) & (times < end)
    return times[inside], rows[inside]


def _joined(parts: list[Rows], columns: int) -> Rows:
    if not parts:
        return np.empty(0, np.int64), np.empty((0, columns))
    return in_order(np.concatenate([at for at, _ in parts]), np.concatenate([rows for _, rows in parts]))
