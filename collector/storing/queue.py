"""The durable queue: a parcel is on disk before anybody is told that it is safe, and is forgotten on demand only.

A folder of segment files. One append is one ``write``; ``sync_every`` says how often it is also forced through to the
disk. How far each segment has been acknowledged stands in ``taken.json``, replaced in one step; losing that file only
means handing out again what the store has already, which is harmless.

After a crash the torn end of a segment is cut. Records that do not match their check sum are stepped over; the file
they stood in is copied to ``aside/`` and the loss is told. Times are milliseconds since 1970 UTC, sizes bytes. May be
used from several threads, with one taker.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Final, NamedTuple

from collector.storing.segments import NEVER, Place, Segment, body_of, frame, scan

log = logging.getLogger(__name__)

MEGABYTE: Final = 1 << 20
_HOUR: Final = 3_600_000


class Taken(NamedTuple):
    """What ``take`` hands out; give it back to ``acknowledge`` when the store has it."""

    bodies: list[bytes]
    readings: int
    segment: int
    end: int


class QueueStatus(NamedTuple):
    """``readings`` and ``bytes`` not yet acknowledged; ``oldest`` instant among them, None when there is none.

    ``dropped`` readings went because the quota was full; ``damaged`` counts the places that could not be read.
    """

    readings: int
    bytes: int
    oldest: int | None
    dropped: int
    damaged: int


class DurableQueue:
    """A queue of parcels in ``folder`` that outlives the process and the power.

    ``sync_every``     milliseconds between two forced writes; 0 forces every append
    ``segment_bytes``  size at which a new file is begun
    ``quota_bytes``    what may lie on disk; beyond it the oldest segment goes, told and counted
    ``quota_hours``    how far back it may reach; a segment wholly older than that goes likewise
    Every method that touches the disk raises OSError when it is full or gone; what was appended before stays whole.
    """

    def __init__(
        self,
        folder: Path,
        *,
        sync_every: int = 0,
        segment_bytes: int = 8 * MEGABYTE,
        quota_bytes: int = 2048 * MEGABYTE,
        quota_hours: float = 24.0 * 30,
    ) -> None:
        self._folder = folder
        self._sync_every = sync_every / 1000
        self._segment_bytes = segment_bytes
        self._quota_bytes = quota_bytes
        self._quota_hours = quota_hours
        self._lock = threading.RLock()
        self._segments: dict[int, Segment] = {}
        self._dropped = 0
        self._damaged = 0
        self._synced = time.monotonic()
        self._unsynced = False
        folder.mkdir(parents=True, exist_ok=True)
        marks = self._load_marks()
        for path in sorted(folder.glob("*.seg")):
            if path.stem.isdigit():
                self._open_segment(path, marks.get(int(path.stem), 0))
        self._active = max(self._segments, default=0) + 1
        self._file = self._begin()
        self._forget_done()

    # -- putting in ---------------------------------------------------------------------------------------------------

    def append(self, body: bytes, readings: int, oldest: int) -> None:
        """Put one parcel on disk: ``readings`` in number, the first of them taken at ``oldest``. Raises OSError."""
        record = frame(body, readings, oldest)
        with self._lock:
            if self._segments[self._active].size >= self._segment_bytes:
                self.roll()
            segment = self._segments[self._active]
            self._write(record, segment.size)
            segment.add(Place(segment.size, segment.size + len(record), readings, oldest))
            self._unsynced = True
            if time.monotonic() - self._synced >= self._sync_every:
                self.sync()
            self._keep_quota(oldest)

    def sync(self) -> None:
        """Force what was appended through to the disk."""
        with self._lock:
            if self._unsynced:
                os.fdatasync(self._file)
                self._unsynced = False
            self._synced = time.monotonic()

    def roll(self) -> None:
        """Begin a new segment, so that what comes from now on can be taken before what lies behind."""
        with self._lock:
            full = self._segments[self._active]
            if full.size == 0:
                return
            self.sync()
            os.close(self._file)
            self._active += 1
            self._file = self._begin()
            full.index = None
            self._forget_done()

    # -- taking out ---------------------------------------------------------------------------------------------------

    def take(self, limit: int = 5_000, *, newest: bool = False) -> Taken | None:
        """The next parcels, at least one, together up to about ``limit`` readings; None when all are handed out.

        Oldest segment first, or ``newest`` first; within a segment always in order.
        """
        with self._lock:
            for number in sorted(self._segments, reverse=newest):
                segment = self._segments[number]
                if segment.handed < segment.size:
                    return self._take_from(number, segment, limit)
            return None

    def acknowledge(self, taken: Taken) -> None:
        """Forget what ``taken`` holds: the store has it. In the order of taking."""
        with self._lock:
            if segment := self._segments.get(taken.segment):
                segment.forget(taken.end)
                self._forget_done()
                self._save_marks()

    def give_back(self) -> None:
        """Hand out again whatever was taken and not acknowledged."""
        with self._lock:
            for segment in self._segments.values():
                segment.handed = segment.taken

    # -- looking on ---------------------------------------------------------------------------------------------------

    def status(self) -> QueueStatus:
        """How much waits."""
        with self._lock:
            segments = self._segments.values()
            oldest = min(segment.oldest for segment in segments)
            return QueueStatus(
                sum(segment.readings for segment in segments),
                sum(segment.size - segment.taken for segment in segments),
                None if oldest == NEVER else oldest,
                self._dropped,
                self._damaged,
            )

    def close(self) -> None:
        """Everything on disk; the queue cannot be used after this."""
        with self._lock:
            self.sync()
            self._save_marks()
            os.close(self._file)
            if self._segments[self._active].done:
                self._segments[self._active].path.unlink(missing_ok=True)

    # -- files --------------------------------------------------------------------------------------------------------

    def _begin(self) -> int:
        path = self._folder / f"{self._active:010d}.seg"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        self._segments[self._active] = Segment(path)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)  # the new name itself must outlive a power cut
        finally:
            os.close(folder)
        return file

    def _write(self, record: bytes, size: int) -> None:
        """All of ``record`` or nothing: a disk that fills up half-way must not leave half a record."""
        written = 0
        try:
            while written < len(record):
                written += os.write(self._file, record[written:] if written else record)
        except OSError:
            os.ftruncate(self._file, size)
            raise

    def _take_from(self, number: int, segment: Segment, limit: int) -> Taken:
        bodies: list[bytes] = []
        readings, bad = 0, 0
        with segment.path.open("rb") as file:
            for place in segment.places():
                if place.start < segment.handed:
                    continue
                file.seek(place.start)
                body = body_of(file.read(place.end - place.start))
                segment.handed = place.end
                if body is None:
                    bad += 1
                    continue
                bodies.append(body)
                readings += place.readings
                if readings >= limit:
                    break
            else:
                segment.handed = segment.size
        if bad:
            self._put_aside(segment.path, bad)
        return Taken(bodies, readings, number, segment.handed)

    def _open_segment(self, path: Path, taken: int) -> None:
        """The segment as the last run left it: torn end cut, damage told, what waits counted."""
        data = path.read_bytes()
        found = scan(data)
        if found.gaps:
            self._put_aside(path, found.gaps)
        if found.end < len(data):
            torn = len(data) - found.end
            log.warning("%s ended in %d bytes that are no whole record; they are cut off", path.name, torn)
            os.truncate(path, found.end)
        segment = Segment(path, size=found.end, taken=min(taken, found.end))
        segment.handed = segment.taken
        for place in found.places:
            if place.start >= segment.taken:
                segment.readings += place.readings
                segment.oldest = min(segment.oldest, place.oldest)
        segment.index = None
        self._segments[int(path.stem)] = segment

    def _put_aside(self, path: Path, places: int) -> None:
        self._damaged += places
        aside = self._folder / "aside"
        aside.mkdir(exist_ok=True)
        shutil.copy2(path, aside / path.name)
        log.error("%s is damaged; what can be read of it is used, a copy of the file is kept in %s", path.name, aside)

    def _forget_done(self) -> None:
        for number in [n for n, segment in self._segments.items() if n != self._active and segment.done]:
            self._segments.pop(number).path.unlink(missing_ok=True)

    def _keep_quota(self, now: int) -> None:
        while len(self._segments) > 1 and self._too_much(now):
            segment = self._segments.pop(min(self._segments))
            segment.path.unlink(missing_ok=True)
            self._dropped += segment.readings
            log.error(
                "the queue is full (%d MB or %g h): the oldest %d readings went; see why the store takes nothing, "
                "or raise store.queue in devices.yaml",
                self._quota_bytes // MEGABYTE,
                self._quota_hours,
                segment.readings,
            )

    def _too_much(self, now: int) -> bool:
        if sum(segment.size for segment in self._segments.values()) > self._quota_bytes:
            return True
        second = self._segments[sorted(self._segments)[1]]  # where it begins, the first has ended
        return second.oldest < now - self._quota_hours * _HOUR

    def _save_marks(self) -> None:
        path = self._folder / "taken.json"
        fresh = path.with_suffix(".new")
        marks = {str(number): segment.taken for number, segment in self._segments.items() if segment.taken}
        fresh.write_text(json.dumps(marks), encoding="ascii")
        fresh.replace(path)

    def _load_marks(self) -> dict[int, int]:
        try:
            marks = json.loads((self._folder / "taken.json").read_bytes())
            return {int(number): int(taken) for number, taken in marks.items()}
        except FileNotFoundError:
            return {}
        except (ValueError, AttributeError, TypeError):
            log.warning("taken.json of the queue is damaged; what the store may have already is sent again")
            return {}
