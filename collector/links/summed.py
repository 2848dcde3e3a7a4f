"""Frames that begin with 68, hold the sum of their bytes and end with 16: DL/T 645, CJ/T 188 and M-Bus. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeVar

T = TypeVar("T")
BEGIN: Final = 0x68
END: Final = 0x16


def sound_frames(heard: bytes, read: Callable[[bytes, int], tuple[T, int] | None]) -> Iterator[T]:
    """Every sound frame in ``heard``, whatever stands between them.

    ``read(heard, at)`` says what begins with the 68 at ``at``, and where its sum stands; None where nothing sound does.
    """
    at = heard.find(BEGIN)
    while at >= 0:
        found = read(heard, at)
        if found is not None:
            frame, at = found
            yield frame
        at = heard.find(BEGIN, at + 1)


def is_summed(heard: bytes, start: int, end: int) -> bool:
    """Whether the byte at ``end`` is the sum of those from ``start`` on, and the mark of the end follows."""
    return len(heard) >= end + 2 and heard[end + 1] == END and sum(heard[start:end]) & 0xFF == heard[end]
