"""The durable queue: a parcel is on disk before anybody is told that it is safe, and is forgotten on demand only.

A folder of segment files. One append is one ``write``; ``sync_every`` says how often it is also forced through to the
disk. How far each segment has been acknowledged stands in ``taken.json``, replaced in one step; losing that file only
means handing out again what the store has already, which is harmless.

Beyond its quota the oldest segments are folded to means over 15 minutes, then over an hour, and only what is folded
already goes, each time told and counted. Acknowledged segments may be kept a while longer, for ``history``.

After a crash the torn end of a segment is cut. Records that do not match their check sum are stepped over; the file
they stood in is copied to ``aside/`` and the loss is told. Times are milliseconds since 1970 UTC, sizes bytes. May be
used from several threads, with one taker.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import msgspec

from building.durations import format_duration
from building.readings import Reading
from collector.storing.folding import Folder
from collector.storing.packing import pack_readings, unpack
from collector.storing.segments import NEVER, Place, Segment, body_of, frame, scan

log = logging.getLogger(__name__)

MEGABYTE: Final = 1 << 20
_HOUR: Final = 3_600_000
_FOLDS: Final = (_HOUR // 4, _HOUR)
_ROLL_AFTER: Final = 5 * 60_000  # ms; a segment spans no more, so that it can be forgotten in time
_START_GRACE: Final = 60.0  # seconds after opening in which nothing kept is forgotten: somebody may want history
_FOLDED_PARCEL: Final = 2_000  # readings
_NAME: Final = re.compile(r"(\d+)(?:-(\d+))?$")  # number, and seconds to which it is folded


class Taken(NamedTuple):
    """What ``take`` hands out; give it back to ``acknowledge`` when the store has it."""

    bodies: list[bytes]
    readings: int
    segment: int
    end: int


class QueueStatus(NamedTuple):
    """``readings`` and ``bytes`` not yet acknowledged; ``oldest`` instant among them, None when there is none.

    ``dropped`` readings went because the quota was full, ``folded`` ones live on in means; ``damaged`` counts the
    places that could not be read; ``room`` bytes are left before the oldest is folded.
    """

    readings: int
    bytes: int
    oldest: int | None
    dropped: int
    folded: int
    damaged: int
    room: int


class DurableQueue:
    """A queue of parcels in ``folder`` that outlives the process and the power.

    ``sync_every``     milliseconds between two forced writes; 0 forces every append
    ``segment_bytes``  size at which a new file is begun
    ``quota_bytes``    what may lie on disk
    ``quota_hours``    how far back readings are held as they came, by when they were put in; four times as far by
                       quarters of an hour
    ``keep_for``       ms for which acknowledged parcels stay on disk for ``history``
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
        keep_for: int = 0,
    ) -> None:
        self._folder = folder
        self._sync_every = sync_every / 1000
        self._segment_bytes = segment_bytes
        self._quota_bytes = quota_bytes
        self._quota_hours = quota_hours
        self._keep_for = keep_for
        self._lock = threading.RLock()
        self._folding = threading.Lock()
        self._segments: dict[int, Segment] = {}
        self._dropped = 0
        self._folded = 0
        self._damaged = 0
        self._opened = self._synced = time.monotonic()
        self._unsynced = False
        folder.mkdir(parents=True, exist_ok=True)
        highest = self._open_segments()
        self._newest = max((segment.written for segment in self._segments.values()), default=0)
        self._active = highest + 1
        self._file = self._begin(self._active)
        self._forget_done()

    # -- putting in ---------------------------------------------------------------------------------------------------

    def append(self, body: bytes, readings: int, oldest: int, now: int | None = None) -> None:
        """Put one parcel on disk: ``readings`` in number, the first of them taken at ``oldest``. Raises OSError.

        ``now`` is the clock's instant, by which the quota in hours goes; a stamp from the future changes nothing.
        """
        now = time.time_ns() // 1_000_000 if now is None else now
        record = frame(body, readings, oldest)
        with self._lock:
            segment = self._segments[self._active]
            if segment.size >= self._segment_bytes or (segment.size and now - segment.began > _ROLL_AFTER):
                self.roll()
                segment = self._segments[self._active]
            self._write(record, segment.size)
            segment.add(Place(segment.size, segment.size + len(record), readings, oldest))
            segment.began = segment.began or now
            segment.written = self._newest = now
            self._unsynced = True
            if time.monotonic() - self._synced >= self._sync_every:
                self.sync()
        self._keep_quota(now)

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
            os.utime(full.path, ns=(full.written * 1_000_000, full.written * 1_000_000))
            fresh = self._begin(self._active + 1)  # when the disk has no room for it, the old one goes on
            os.close(self._file)
            self._active, self._file = self._active + 1, fresh
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
                if segment.handed < segment.size and not segment.busy:
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

    def history(self, since: int) -> Iterator[Reading]:
        """Readings taken at ``since`` or later that are still on disk, acknowledged or not, as they were put in."""
        with self._lock:
            if self._unsynced:
                self.sync()
            files = [
                (segment.path.open("rb"), segment.size)
                for _, segment in sorted(self._segments.items())
                if segment.size and segment.latest >= since
            ]
        for file, size in files:
            with file:
                data = file.read(size)
            for place in scan(data).places:
                for reading in _readings_in(body_of(data[place.start : place.end])):
                    if reading.taken_at >= since:
                        yield reading

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
                self._folded,
                self._damaged,
                max(0, self._quota_bytes - sum(segment.size - segment.taken for segment in segments)),
            )

    def close(self) -> None:
        """Everything on disk; the queue cannot be used after this."""
        with self._lock:
            self.sync()
            self._save_marks()
            os.close(self._file)
            last = self._segments[self._active]
            if last.size == 0 or (last.done and not self._keep_for):
                last.path.unlink(missing_ok=True)
            else:
                os.utime(last.path, ns=(last.written * 1_000_000, last.written * 1_000_000))

    # -- files --------------------------------------------------------------------------------------------------------

    def _begin(self, number: int) -> int:
        path = self._folder / f"{number:010d}.seg"
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
            try:
                os.fsync(folder)  # the new name itself must outlive a power cut
            except OSError:
                os.close(file)
                raise
        finally:
            os.close(folder)
        self._segments[number] = Segment(path)
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

    def _open_segments(self) -> int:
        """Take up every file; the highest number that a file or a mark has. No file may get another one's mark."""
        marks = self._load_marks()
        found: dict[int, tuple[int, Path]] = {}
        for path in sorted(self._folder.glob("*.seg")):
            if match := _NAME.match(path.stem):
                number, fold = int(match[1]), int(match[2] or 0) * 1000
                other = found.get(number)
                if other is not None:  # killed between writing the folded file and removing the other
                    min(other, (fold, path))[1].unlink()
                found[number] = max(other, (fold, path)) if other else (fold, path)
        for number, (fold, path) in found.items():
            self._segments[number] = self._open_segment(path, fold, marks.get(path.stem, 0))
        return max([0, *found, *(int(match[1]) for name in marks if (match := _NAME.match(name)))])

    def _open_segment(self, path: Path, fold: int, taken: int) -> Segment:
        """The segment as the last run left it: torn end cut, damage told, what waits counted."""
        data = path.read_bytes()
        found = scan(data)
        written = path.stat().st_mtime_ns // 1_000_000
        if found.gaps:
            self._put_aside(path, found.gaps)
        if found.end < len(data):
            torn = len(data) - found.end
            log.warning("%s ended in %d bytes that are no whole record; they are cut off", path.name, torn)
            os.truncate(path, found.end)
        segment = Segment(path, size=found.end, taken=min(taken, found.end), written=written, began=written, fold=fold)
        segment.handed = segment.taken
        for place in found.places:
            segment.latest = max(segment.latest, place.oldest)
            if place.start >= segment.taken:
                segment.readings += place.readings
                segment.oldest = min(segment.oldest, place.oldest)
        segment.index = None
        return segment

    def _put_aside(self, path: Path, places: int) -> None:
        self._damaged += places
        aside = self._folder / "aside"
        try:
            aside.mkdir(exist_ok=True)
            shutil.copy2(path, aside / path.name)
        except OSError as error:  # a full disk must not keep the whole parcels from the store
            log.error("%s is damaged and cannot be copied aside (%s); what can be read of it is used", path.name, error)
            return
        log.error("%s is damaged; what can be read of it is used, a copy of the file is kept in %s", path.name, aside)

    def _forget_done(self) -> None:
        """Remove acknowledged segments that are old enough; age counts up to what was put in last, not up to now, so
        that a program that lay dead for a day still finds its last minutes."""
        if self._keep_for and time.monotonic() - self._opened < _START_GRACE:
            return
        kept_since = self._newest - self._keep_for
        for number in [n for n, one in self._segments.items() if n != self._active and one.done]:
            if not self._keep_for or self._segments[number].written < kept_since:
                self._remove(number)

    def _remove(self, number: int) -> None:
        self._segments[number].path.unlink(missing_ok=True)
        del self._segments[number]

    # -- quota --------------------------------------------------------------------------------------------------------

    def _keep_quota(self, now: int) -> None:
        """Until the quota is kept: forget what is acknowledged, fold the oldest, let go of what is folded already."""
        if not self._folding.acquire(blocking=False):
            return  # somebody is at it
        try:
            while (number := self._to_shrink(now)) is not None:
                try:
                    self._shrink(number)
                except OSError as error:  # what was put in is safe all the same
                    self._segments[number].busy = False
                    log.error("the queue is over its quota and cannot be folded (%s); make room on the disk", error)
                    return
        finally:
            self._folding.release()

    def _to_shrink(self, now: int) -> int | None:
        """The segment that must give up something next; it is then busy."""
        with self._lock:
            idle = [n for n, one in sorted(self._segments.items()) if n != self._active and one.handed <= one.taken]
            if sum(one.size for one in self._segments.values()) > self._quota_bytes:
                chosen = next((n for n in idle if self._segments[n].done), None)
                for fold in (0, *_FOLDS):
                    chosen = (
                        next((n for n in idle if self._segments[n].fold == fold), None) if chosen is None else chosen
                    )
            else:
                chosen = next((n for n in idle if self._too_old(self._segments[n], now)), None)
            if chosen is not None:
                self._segments[chosen].busy = True
            return chosen

    def _too_old(self, segment: Segment, now: int) -> bool:
        age = now - segment.written
        limit = self._quota_hours * _HOUR
        return not segment.done and (
            (segment.fold == 0 and age > limit) or (segment.fold == _FOLDS[0] and age > 4 * limit)
        )

    def _shrink(self, number: int) -> None:
        segment = self._segments[number]
        if segment.done:
            with self._lock:
                self._remove(number)
            return
        step = next((fold for fold in _FOLDS if fold > segment.fold), None)
        if step is None:
            with self._lock:
                self._remove(number)
                self._dropped += segment.readings
            log.error(
                "the queue is full (%d MB): the oldest %d folded readings went; see why the store takes nothing, or "
                "raise store.queue in devices.yaml", self._quota_bytes // MEGABYTE, segment.readings,
            )  # fmt: skip
            return
        folded = self._fold(number, segment, step)
        with self._lock:
            self._segments[number] = folded
            segment.path.unlink(missing_ok=True)
            self._folded += segment.readings - folded.readings
        log.warning(
            "the queue is full (%d MB or %g h): its oldest %d readings were folded to %d, one for each device and %s; "
            "see why the store takes nothing, or raise store.queue in devices.yaml",
            self._quota_bytes // MEGABYTE, self._quota_hours, segment.readings, folded.readings, format_duration(step),
        )  # fmt: skip

    def _fold(self, number: int, segment: Segment, step: int) -> Segment:
        """What waits in ``segment`` as a new file; what is no reading stays as it is."""
        folder = Folder(step)
        path = self._folder / f"{number:010d}-{step // 1000}.seg"
        folded = Segment(path, written=segment.written, began=segment.began, fold=step, index=None)
        fresh = path.with_suffix(".new")
        with fresh.open("wb") as file, segment.path.open("rb") as old:
            for place in segment.places():
                old.seek(place.start)
                body = body_of(old.read(place.end - place.start))
                if body is not None and place.readings:
                    for reading in _readings_in(body):
                        folder.add(reading)
                elif body is not None:
                    _put(file, folded, body, 0, place.oldest)
            parcel: list[Reading] = []
            for reading in folder.readings():
                parcel.append(reading)
                if len(parcel) >= _FOLDED_PARCEL:
                    _put(file, folded, pack_readings(parcel), len(parcel), parcel[0].taken_at)
                    parcel = []
            if parcel:
                _put(file, folded, pack_readings(parcel), len(parcel), parcel[0].taken_at)
            file.flush()
            os.fsync(file.fileno())
        os.utime(fresh, ns=(segment.written * 1_000_000, segment.written * 1_000_000))
        fresh.replace(path)
        return folded

    # -- marks --------------------------------------------------------------------------------------------------------

    def _save_marks(self) -> None:
        path = self._folder / "taken.json"
        fresh = path.with_suffix(".new")
        marks = {segment.path.stem: segment.taken for segment in self._segments.values() if segment.taken}
        fresh.write_text(json.dumps(marks), encoding="ascii")
        fresh.replace(path)

    def _load_marks(self) -> dict[str, int]:
        try:
            marks = json.loads((self._folder / "taken.json").read_bytes())
            return {str(name): int(taken) for name, taken in marks.items()}
        except FileNotFoundError:
            return {}
        except (ValueError, AttributeError, TypeError):
            log.warning("taken.json of the queue is damaged; what the store may have already is sent again")
            return {}


def _put(file: BinaryIO, segment: Segment, body: bytes, readings: int, oldest: int) -> None:
    record = frame(body, readings, oldest)
    file.write(record)
    segment.add(Place(segment.size, segment.size + len(record), readings, oldest))


def _readings_in(body: bytes | None) -> list[Reading]:
    """The readings of one parcel; none for a parcel of something else or one that cannot be understood."""
    try:
        return unpack(body).readings if body is not None else []
    except (msgspec.DecodeError, ValueError, TypeError):
        return []  # it is told when it is handed over
