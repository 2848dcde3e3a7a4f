"""The pages of a Parquet column chunk, read only far enough to see that two chunks repeat their values alike.

A dictionary page lists the values that come up; data pages say by place in that list which row has which. Where data
pages are the same to the byte, rows that were alike in one chunk are alike in the other, whatever the values are.
The headers before the pages are Thrift structs in the compact protocol (parquet.thrift, ``PageHeader``).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

_DATA, _DICTIONARY, _DATA_V2 = 0, 2, 3  # PageType
_HEADERS: Final = {_DATA: 5, _DICTIONARY: 7, _DATA_V2: 8}  # the field that holds the header of that type
_STATISTICS: Final = {_DATA: 5, _DATA_V2: 8}  # within it: lowest and highest value, which differ


class Pattern(NamedTuple):
    """How many values the dictionary lists, and of each data page what does not depend on them."""

    compression: str
    listed: int
    pages: tuple[object, ...]


def pattern_of(chunk: bytes, compression: str) -> Pattern | None:
    """The pattern of a column chunk; None where it has no dictionary, or is not understood."""
    listed, pages, at = None, [], 0
    try:
        while at < len(chunk):
            header, at = _struct(chunk, at)
            kind, size = header[1], header[3]
            detail = dict(header[_HEADERS[kind]])
            detail.pop(_STATISTICS.get(kind), None)
            if kind == _DICTIONARY:
                listed = int(detail[1])
            else:
                pages.append((kind, header[2], sorted(detail.items()), chunk[at : at + size]))
            at += size
    except (KeyError, IndexError, ValueError):
        return None
    return None if listed is None else Pattern(compression, listed, tuple(pages))


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _struct(data: bytes, at: int) -> tuple[dict[int, Any], int]:
    """Fields by number, and where the struct ends."""
    found: dict[int, Any] = {}
    number = 0
    while data[at]:
        ahead, kind = divmod(data[at], 16)
        at += 1
        if ahead:
            number += ahead
        else:
            zigzag, at = _varint(data, at)
            number = (zigzag >> 1) ^ -(zigzag & 1)
        found[number], at = _value(data, at, kind)
    return found, at + 1


def _value(data: bytes, at: int, kind: int) -> tuple[Any, int]:
    """One value of a compact type; raises ValueError on those that page headers do not use."""
    if kind in (1, 2):  # true, false: the type says it
        return kind == 1, at
    if kind == 3:
        return data[at], at + 1
    if kind in (4, 5, 6):  # integers of 16, 32, 64 bits
        zigzag, at = _varint(data, at)
        return (zigzag >> 1) ^ -(zigzag & 1), at
    if kind == 8:
        size, at = _varint(data, at)
        return data[at : at + size], at + size
    if kind == 12:
        return _struct(data, at)
    raise ValueError(f"a field of type {kind} in a page header")
