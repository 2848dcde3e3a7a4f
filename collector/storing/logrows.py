"""One row of the embedded store's log: a batch as it came, in few bytes and little time, exactly.

Everything written goes to the disk twice before it is a block, so bytes cost more than they look. Shapes and instants
are kept as distances from the least of them, in as many bytes as the farthest needs; numbers as whole ones times a
power of ten where all are (so meters speak), else as 32-bit floats, else as 64-bit ones. Nothing is deflated: a row
lives for minutes. Rows written before version 3 of the store had everything in full; they are still read.
"""

from __future__ import annotations

import struct
from itertools import islice
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from collector.storing.blocks import POWERS, Floats, Ints, whole_times

Row = tuple[NDArray[np.uint32], Ints, Floats]
"""Shape and instant of every reading; the columns of all readings one after another."""

_MARK: Final = bytes(4)  # where a row of old has its first shape, and no shape is number 0
_HEAD: Final = struct.Struct("<BqI")  # bytes each, least, how many
_KINDS: Final[dict[int, np.dtype[Any]]] = {
    1: np.dtype("<u1"),
    2: np.dtype("<u2"),
    4: np.dtype("<u4"),
    8: np.dtype("<u8"),
}
_SINGLE, _DOUBLE = 100, 101  # in place of the power of ten
_SAMPLE: Final = 64  # numbers that tell which power of ten is worth a try


def packed_row(shapes: NDArray[np.uint32], times: Ints, numbers: Floats, hint: int) -> tuple[bytes, int]:
    """The row as bytes, and the power of ten that served: hand it in as ``hint`` with the next one."""
    parts = [_MARK, *_narrow(shapes), *_narrow(times)]
    for power in _worth_trying(numbers, hint):
        if (whole := whole_times(numbers, power)) is not None:
            return b"".join([*parts, bytes([power]), *_narrow(whole)]), power
    with np.errstate(over="ignore", invalid="ignore"):
        single = numbers.astype("<f4")
        if (single == numbers).all():  # not so with NaN
            return b"".join([*parts, bytes([_SINGLE]), single.tobytes()]), hint
    return b"".join([*parts, bytes([_DOUBLE]), numbers.astype("<f8").tobytes()]), hint


def log_row(readings: int, data: bytes) -> Row:
    """What ``packed_row`` was given, from a row of ``readings`` readings; or a row of the form of old."""
    if data[:4] != _MARK:
        shapes = np.frombuffer(data, np.uint32, readings)
        times = np.frombuffer(data, np.int64, readings, 4 * readings)
        return shapes, times, np.frombuffer(data, np.float64, -1, 12 * readings)
    found, place = _wide(data, len(_MARK))
    times, place = _wide(data, place)
    power, place = data[place], place + 1
    if power == _SINGLE:
        numbers = np.frombuffer(data, "<f4", -1, place).astype(np.float64)
    elif power == _DOUBLE:
        numbers = np.frombuffer(data, "<f8", -1, place).astype(np.float64)
    else:
        numbers = _wide(data, place)[0] / 10.0**power
    return found.astype(np.uint32), times, numbers


def _worth_trying(numbers: Floats, hint: int) -> list[int]:
    """The power that served last, and the least that serves the first numbers."""
    sample = numbers[:_SAMPLE]
    fits = (power for power in POWERS if power != hint and whole_times(sample, power) is not None)
    return ([hint] if whole_times(sample, hint) is not None else []) + [*islice(fits, 1)]


def _narrow(whole: NDArray[Any]) -> list[bytes]:
    least = int(whole.min())
    span = int(whole.max()) - least
    width = 1 if span < 1 << 8 else 2 if span < 1 << 16 else 4 if span < 1 << 32 else 8
    return [_HEAD.pack(width, least, len(whole)), (whole - least).astype(_KINDS[width]).tobytes()]


def _wide(data: bytes, place: int) -> tuple[Ints, int]:
    """The whole numbers that stand at ``place``, and the place after them."""
    width, least, count = _HEAD.unpack_from(data, place)
    place += _HEAD.size
    whole: Ints = np.frombuffer(data, _KINDS[width], count, place).astype(np.int64) + least
    return whole, place + width * count
