"""One file of the queue: framed records, found again after a crash or damage.

A record is mark (4 bytes), length, CRC-32, number of readings (4 bytes each, little endian), oldest instant (8 bytes,
milliseconds since 1970 UTC) and the body. The check sum covers number, instant and body.
"""

from __future__ import annotations

import struct
import zlib
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

_HEAD: Final = struct.Struct("<4sIIIq")
_SUMMED: Final = struct.Struct("<Iq")
_MARK: Final = b"\xabGQ1"
_LARGEST: Final = 64 << 20  # bytes of one body; a length above it is damage
NEVER: Final = 1 << 62


class Place(NamedTuple):
    """Where one whole record lies in its file, and what its head says."""

    start: int
    end: int
    readings: int
    oldest: int


class Scan(NamedTuple):
    """The whole records of a file; ``gaps`` are stretches between them that are none; ``end`` is after the last."""

    places: list[Place]
    gaps: int
    end: int


def frame(body: bytes, count: int, oldest: int) -> bytes:
    """One record, ready to be written."""
    crc = zlib.crc32(body, zlib.crc32(_SUMMED.pack(count, oldest)))
    return _HEAD.pack(_MARK, len(body), crc, count, oldest) + body


def body_of(record: bytes) -> bytes | None:
    """The body of one whole record; None when its bytes are not what was written."""
    place = _place_in(record, 0)
    return record[_HEAD.size :] if place is not None and place.end == len(record) else None


def scan(data: bytes) -> Scan:
    """Every whole record in ``data``; steps over whatever lies between them."""
    places: list[Place] = []
    at, gaps, reached = 0, 0, 0
    while 0 <= at < len(data):
        place = _place_in(data, at)
        if place is None:
            at = data.find(_MARK, at + 1)
            continue
        gaps += place.start > reached
        places.append(place)
        at = reached = place.end
    return Scan(places, gaps, reached)


def _place_in(data: bytes, at: int) -> Place | None:
    if at + _HEAD.size > len(data):
        return None
    mark, length, crc, count, oldest = _HEAD.unpack_from(data, at)
    end = at + _HEAD.size + length
    if mark != _MARK or length > _LARGEST or end > len(data):
        return None
    body = memoryview(data)[at + _HEAD.size : end]
    if zlib.crc32(body, zlib.crc32(_SUMMED.pack(count, oldest))) != crc:
        return None
    return Place(at, end, count, oldest)


@dataclass(slots=True)
class Segment:
    """A file of the queue and how far it is dealt with.

    ``taken``     everything before this place is acknowledged
    ``handed``    everything before this place is handed out
    ``readings``  not acknowledged yet; ``oldest`` the earliest instant among them
    ``latest``    the latest of the records' oldest instants: how far the file reaches, give or take one record
    ``began``     when the first record was put in, ``written`` when the last was (ms since 1970 UTC)
    ``fold``      ms to which its readings were folded; 0 for readings as they came
    ``busy``      being folded: nothing may be handed out of it
    ``index``     where the records after ``taken`` lie; None until somebody needs it, so that a long backlog costs
                  disk and not memory
    """

    path: Path
    size: int = 0
    taken: int = 0
    handed: int = 0
    readings: int = 0
    oldest: int = NEVER
    latest: int = -NEVER
    began: int = 0
    written: int = 0
    fold: int = 0
    busy: bool = False
    index: deque[Place] | None = field(default_factory=deque)

    def add(self, place: Place) -> None:
        """One more record at the end."""
        self.size = place.end
        self.readings += place.readings
        self.oldest = min(self.oldest, place.oldest)
        self.latest = max(self.latest, place.oldest)
        if self.index is not None:
            self.index.append(place)

    def places(self) -> deque[Place]:
        """Where the records that are not acknowledged lie."""
        if self.index is None:
            found = scan(self.path.read_bytes()).places
            self.index = deque(place for place in found if place.start >= self.taken)
        return self.index

    def forget(self, end: int) -> None:
        """Everything before ``end`` is acknowledged."""
        places = self.places()
        while places and places[0].end <= end:
            places.popleft()
        self.taken = max(self.taken, end)
        self.readings = sum(place.readings for place in places) if places else 0
        self.oldest = min((place.oldest for place in places), default=NEVER)
        if not places:
            self.taken = max(self.taken, self.size)

    @property
    def done(self) -> bool:
        """True when nothing in it waits any more."""
        return self.taken >= self.size
