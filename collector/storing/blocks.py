"""Columns of numbers as few bytes, exactly: what goes in comes out, bit for bit but for the sign of NaN.

Meters speak in decimals, so a column is tried as whole numbers times a power of ten, then as 32-bit floats (what most
registers hold), and only then kept as 64-bit floats. Whole numbers are kept as they are or as differences, whichever
span is smaller, in the fewest bytes, with bytes of like weight side by side, deflated. Pure functions over numpy.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

POWERS: Final = range(7)
"""Powers of ten by which decimals are tried as whole numbers."""

_SCALES: Final = tuple(10.0**power for power in POWERS)
_EXACT: Final = float(1 << 53)  # whole numbers up to here are exact in a 64-bit float
_WHOLE, _SINGLE, _DOUBLE = 0, 1, 2
_PLAIN, _DIFFERENCES = 0, 1
_HEAD: Final = struct.Struct("<BB")  # kind, power of ten
_INTS: Final = struct.Struct("<BBqq")  # plain or differences, bytes each, first value, least value or difference
_WIDTHS: Final[dict[int, Any]] = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


def encode_floats(values: Floats, hint: int = 0) -> tuple[bytes, int]:
    """``values`` as bytes, and the power of ten that served: hand it in as ``hint`` with the column's next block."""
    for power in (hint, *(power for power in POWERS if power != hint)):
        if (power == hint or whole_times(values[:4], power) is not None) and (
            whole := whole_times(values, power)
        ) is not None:
            return _HEAD.pack(_WHOLE, power) + _encode(whole), power
    with np.errstate(over="ignore", invalid="ignore"):
        single = values.astype(np.float32)
        if np.array_equal(single.astype(np.float64), values):
            return _HEAD.pack(_SINGLE, hint) + _shuffled(_differing_bits(single.view(np.uint32))), hint
        return _HEAD.pack(_DOUBLE, hint) + _shuffled(_differing_bits(values.view(np.uint64))), hint


def decode_floats(data: bytes, count: int) -> Floats:
    """The ``count`` values that ``encode_floats`` was given."""
    kind, power = _HEAD.unpack_from(data)
    body = data[_HEAD.size :]
    if kind == _WHOLE:
        values: Floats = _decode(body, count) / _SCALES[power]
        return values
    if kind == _SINGLE:
        bits = np.bitwise_xor.accumulate(_unshuffled(body, count, 4))
        return bits.view(np.float32).astype(np.float64)
    return np.bitwise_xor.accumulate(_unshuffled(body, count, 8)).view(np.float64)


def encode_times(times: Ints) -> bytes:
    """Milliseconds, in order, as bytes."""
    return _encode(times)


def decode_times(data: bytes, count: int) -> Ints:
    """The ``count`` instants that ``encode_times`` was given."""
    return _decode(data, count)


def whole_times(values: Floats, power: int) -> Ints | None:
    """``values`` times ten to ``power`` when those are whole and come back as the very same floats, else None."""
    scale = _SCALES[power]
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows does not come back equal, and is not taken
        scaled = np.rint(values * scale)
        same = scaled / scale == values
    if not same.all():  # also false for NaN and infinities divided by themselves
        return None
    low, high = scaled.min(), scaled.max()
    if low <= -_EXACT or high >= _EXACT:
        return None
    if low <= 0.0 <= high and (np.signbit(values) & (values == 0)).any():
        return None
    return scaled.astype(np.int64)


def _encode(whole: Ints) -> bytes:
    first = int(whole[0])
    low, high = int(whole.min()), int(whole.max())
    if len(whole) > 1:
        steps = whole[1:] - whole[:-1]
        least, most = int(steps.min()), int(steps.max())
        if most - least < high - low:
            return _packed(_DIFFERENCES, first, least, most - least, steps)
    return _packed(_PLAIN, first, low, high - low, whole)


def _packed(way: int, first: int, least: int, span: int, whole: Ints) -> bytes:
    width = 0 if span == 0 else 1 if span < 1 << 8 else 2 if span < 1 << 16 else 4 if span < 1 << 32 else 8
    head = _INTS.pack(way, width, first, least)
    return head + _shuffled((whole - least).astype(_WIDTHS[width])) if width else head


def _decode(data: bytes, count: int) -> Ints:
    way, width, first, least = _INTS.unpack_from(data)
    length = count - 1 if way == _DIFFERENCES else count
    whole = np.full(length, least, np.int64)
    if width:
        whole += _unshuffled(data[_INTS.size :], length, width).astype(np.int64)
    if way == _PLAIN:
        return whole
    out = np.empty(count, np.int64)
    out[0] = first
    np.cumsum(whole, out=out[1:])
    out[1:] += first
    return out


def _differing_bits(bits: NDArray[Any]) -> NDArray[Any]:
    out = bits.copy()
    out[1:] ^= bits[:-1]
    return out


def _shuffled(items: NDArray[Any]) -> bytes:
    """Bytes of like weight side by side, deflated where that helps."""
    plain = (
        items.view(np.uint8).reshape(len(items), items.itemsize).T.tobytes() if items.itemsize > 1 else items.tobytes()
    )
    small = zlib.compress(plain, 1)
    return b"z" + small if len(small) < len(plain) else b"p" + plain


def _unshuffled(data: bytes, count: int, width: int) -> NDArray[Any]:
    plain = zlib.decompress(data[1:]) if data[:1] == b"z" else data[1:]
    planes = np.frombuffer(plain, np.uint8).reshape(width, count)
    items: NDArray[Any] = np.ascontiguousarray(planes.T).view(_WIDTHS[width]).reshape(count)
    return items
