"""Blocks as rows of the embedded store's tables: made, put in, taken out, and folded to coarser ones."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

from collector.storing.blocks import Floats, Ints, decode_floats, decode_times, encode_floats, encode_times
from collector.storing.folding import is_mean
from collector.storing.schema import COLUMN_BITS
from collector.storing.shapes import Columns, Rows, in_order

_STEPS: Final = {1: 900_000, 2: 3_600_000}  # ms of one folded reading, by level
_FOLDED_BLOCK: Final = 1024  # readings
_BLOCKS_AT_ONCE: Final = 400  # of one shape folded in one transaction


class Block(NamedTuple):
    """One block of a shape; of each column the first value, the last, the sum, and all as bytes."""

    shape: int
    first: int
    last: int
    readings: int
    times: bytes
    columns: list[tuple[float, float, float, bytes]]


def make_block(shape: int, times: Ints, rows: Floats, hints: list[int]) -> Block:
    """``rows`` in order of ``times``; ``hints`` (one a column, see encode_floats) are brought up to date."""
    columns = []
    for number, values in enumerate(np.ascontiguousarray(rows.T)):
        data, hints[number] = encode_floats(values, hints[number])
        columns.append((float(values[0]), float(values[-1]), float(values.sum()), data))
    return Block(shape, int(times[0]), int(times[-1]), len(times), encode_times(times), columns)


def insert_blocks(connection: sqlite3.Connection, blocks: Iterable[Block], fold: int = 0) -> None:
    """Put ``blocks`` in; ``fold`` says how coarse they are."""
    columns: list[tuple[int, float, float, float, bytes]] = []
    for block in blocks:
        place = connection.execute(
            "INSERT INTO blocks (shape, first, last, count, times, fold) VALUES (?, ?, ?, ?, ?, ?)", (*block[:5], fold)
        ).lastrowid
        assert place is not None
        columns += ((place << COLUMN_BITS | number, *column) for number, column in enumerate(block.columns))
    connection.executemany("INSERT INTO columns VALUES (?, ?, ?, ?, ?)", columns)


def take_block(connection: sqlite3.Connection, ident: int, count: int, times: bytes, width: int) -> Rows:
    """What the block ``ident`` holds; it is gone after this."""
    place = ident << COLUMN_BITS
    span = (place, place + width)
    columns = connection.execute("SELECT data FROM columns WHERE id >= ? AND id < ? ORDER BY id", span).fetchall()
    connection.execute("DELETE FROM columns WHERE id >= ? AND id < ?", span)
    connection.execute("DELETE FROM blocks WHERE id = ?", (ident,))
    return decode_times(times, count), np.column_stack([decode_floats(data, count) for (data,) in columns])


def fold_shape(connection: sqlite3.Connection, columns: Columns, shape: int, level: int, end: int) -> int:
    """Fold the blocks of ``shape`` that end before ``end`` (ms) to ``level``; how many readings went into means."""
    found = connection.execute(
        "SELECT id, count, times FROM blocks WHERE shape = ? AND last < ? AND fold < ? ORDER BY id LIMIT ?",
        (shape, end, level, _BLOCKS_AT_ONCE),
    ).fetchall()
    if not found:
        return 0
    parts = [take_block(connection, ident, count, times, len(columns)) for ident, count, times in found]
    times, rows = in_order(np.concatenate([at for at, _ in parts]), np.concatenate([part for _, part in parts]))
    times, rows, before = *_folded(times, rows, columns, _STEPS[level]), len(times)
    hints = [0] * len(columns)
    pieces = range(0, len(times), _FOLDED_BLOCK)
    insert_blocks(
        connection,
        [make_block(shape, times[at : at + _FOLDED_BLOCK], rows[at : at + _FOLDED_BLOCK], hints) for at in pieces],
        level,
    )
    return before - len(times)


def _folded(times: Ints, rows: Floats, columns: Columns, step: int) -> Rows:
    """One row for each ``step`` of time: gauges as means, all else as it was last, at the last instant."""
    stretch = -(-times // step)
    lasts = np.flatnonzero(np.append(stretch[1:] != stretch[:-1], True))
    firsts = np.concatenate(([0], lasts[:-1] + 1))
    folded = rows[lasts].copy()
    for number, column in enumerate(columns):
        if is_mean(column):
            folded[:, number] = np.add.reduceat(rows[:, number], firsts) / (lasts - firsts + 1)
    return times[lasts], folded
