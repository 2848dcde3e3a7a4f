"""Between readings and rows of numbers: which columns a reading fills, and what its words and flaws become.

The readings of a device that carry the same columns are a *shape*; they are stored as one table of numbers. A column is

    ``name``     the number of a quantity
    ``name=``    its word, as a number out of the store's list of words (``mode``)
    ``!name``    a value of grade BAD: kept as it came, out of every mean
    ``?name``    the flaw of one quantity, ``?`` that of the whole reading; words such as ``2 no answer``
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from building.readings import GOOD, Flaw, Grade, Quality, Reading

Columns = tuple[str, ...]
Rows = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Instants (n) and numbers (n by columns)."""

LogRow = tuple[int | NDArray[np.int64], NDArray[np.uint32], NDArray[np.int64], NDArray[np.float64]]
"""Number in the log, one for all readings or one for each; shape and instant of every reading; the columns of all
readings one after another."""

_WORD: Final = "="
_BAD: Final = "!"
_FLAW: Final = "?"


def columns_for(quantity: str) -> tuple[str, str]:
    """The columns that hold usable values of ``quantity``: as number, as word."""
    return quantity, quantity + _WORD


def quantity_of(column: str) -> str | None:
    """The quantity whose usable values ``column`` holds; None for bad values and flaws."""
    return None if column[:1] in (_BAD, _FLAW) else column.removesuffix(_WORD)


def is_plain(columns: Columns) -> bool:
    """True when a reading of this shape is good and holds numbers alone."""
    return not any(column[:1] in (_BAD, _FLAW) or column.endswith(_WORD) for column in columns)


def row_of(reading: Reading, code: Callable[[str], int]) -> tuple[Columns, list[float]]:
    """Columns and numbers of any ``reading``; ``code`` gives a word's number."""
    quality = reading.quality
    columns: list[str] = []
    row: list[float] = []
    for name, value in reading.values.items():
        mark = _BAD if quality.of(name) is Grade.BAD else ""
        columns.append(mark + name + (_WORD if isinstance(value, str) else ""))
        row.append(code(value) if isinstance(value, str) else float(value))
    for name, flaw in quality.flaws.items():
        columns.append(_FLAW + name)
        row.append(code(f"{int(flaw.grade)} {flaw.reason}"))
    told = max((flaw.grade for flaw in quality.flaws.values()), default=Grade.GOOD)
    if quality.reason or quality.grade is not told:
        columns.append(_FLAW)
        row.append(code(f"{int(quality.grade)} {quality.reason}"))
    return tuple(columns), row


def reading_of(
    device: str, at: int, columns: Columns, row: Sequence[float], word: Callable[[int], str], *, plain: bool
) -> Reading:
    """The reading whose columns and numbers these are; ``plain`` as ``is_plain`` said of the columns."""
    if plain:
        return Reading(device, at, dict(zip(columns, row, strict=True)))
    values: dict[str, float | str] = {}
    flaws: dict[str, Flaw] = {}
    whole: Flaw | None = None
    for column, number in zip(columns, row, strict=True):
        if column[:1] != _FLAW:
            name = column.removeprefix(_BAD)
            values[name.removesuffix(_WORD)] = word(int(number)) if name.endswith(_WORD) else number
        elif column == _FLAW:
            whole = _flaw(word(int(number)))
        else:
            flaws[column[1:]] = _flaw(word(int(number)))
    if whole is None and not flaws:
        return Reading(device, at, values, GOOD)
    grade, reason = whole or Flaw(max(flaw.grade for flaw in flaws.values()), "")
    return Reading(device, at, values, Quality(grade, reason, flaws))


def _flaw(text: str) -> Flaw:
    grade, _, reason = text.partition(" ")
    return Flaw(Grade(int(grade)), reason)


def sorted_log(log: Sequence[LogRow], widths: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64], Rows]]:
    """Rows of the log taken apart: every shape in them, the log's number of each of its rows, and the rows, in order.

    ``widths`` is the number of columns by shape.
    """
    if not log:
        return
    shapes = np.concatenate([row[1] for row in log])
    wide = widths[shapes]
    starts = np.cumsum(wide) - wide
    order = np.argsort(shapes, kind="stable")
    shapes, wide = shapes[order], wide[order]
    ends = np.cumsum(wide)
    gather = np.repeat(starts[order] - (ends - wide), wide) + np.arange(ends[-1])
    values = np.concatenate([row[3] for row in log])[gather]
    times = np.concatenate([row[2] for row in log])[order]
    numbers = _numbers(log)[order]
    firsts = np.flatnonzero(np.concatenate(([True], shapes[1:] != shapes[:-1])))
    places = [*(ends - wide)[firsts].tolist(), len(values)]
    for index, (first, last) in enumerate(pairwise([*firsts.tolist(), len(shapes)])):
        rows = values[places[index] : places[index + 1]].reshape(last - first, -1)
        yield int(shapes[first]), numbers[first:last], (times[first:last], rows)


def joined(log: Sequence[LogRow]) -> LogRow:
    """Several rows of the log as one. A row of one reading costs 2 kB by itself, most of it the objects around it."""
    shapes, times, values = (np.concatenate([row[part] for row in log]) for part in (1, 2, 3))
    return _numbers(log), shapes, times, values


def _numbers(log: Sequence[LogRow]) -> NDArray[np.int64]:
    return np.concatenate([np.broadcast_to(row[0], len(row[1])) for row in log])


def in_order(times: NDArray[np.int64], rows: NDArray[np.float64]) -> Rows:
    """The same rows by time; of those with one instant, the one written last."""
    if len(times) < 2 or bool((times[1:] > times[:-1]).all()):
        return times, rows
    order = np.argsort(times, kind="stable")
    times, rows = times[order], rows[order]
    latest = np.append(times[1:] != times[:-1], True)
    return times[latest], rows[latest]
