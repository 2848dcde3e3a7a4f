"""What a store will never take: put aside in ``refused/``, one JSON object a line, with the reason.

It can be sent again (``greenwarden refused retry``): files moved into ``refused/again/`` are queued by the program that
runs, or by the next that starts.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from building.errors import StoreRefused
from building.readings import Flaw, Grade, Quality, Reading
from collector.storing.packing import Parcel, StoredPoint, change_of

log = logging.getLogger(__name__)

_AGAIN: Final = "again"
_AT_ONCE: Final = 5_000  # of a file in memory and in one parcel of the queue
_LARGEST: Final = 64 << 20  # bytes in one day's file; beyond that refusals are counted only


class WhollyRefused(StoreRefused):
    """The store said that it takes nothing of the batch: looking for the bad part would only cost time."""


class Refused:
    """The folder of what was refused, one file for each UTC day."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._full: set[Path] = set()
        self.count = 0
        """Readings and alert changes put aside since the start."""

    def put_reading(self, reading: Reading, reason: str) -> None:
        """Keep ``reading`` and why it was refused. Raises OSError."""
        flaws = {name: [flaw.grade.name, flaw.reason] for name, flaw in reading.quality.flaws.items()}
        quality = [reading.quality.grade.name, reading.quality.reason, flaws]
        record = {"device": reading.device, "taken_at": reading.taken_at, "values": dict(reading.values)}
        self._put(reading.taken_at, {"reason": reason, "reading": {**record, "quality": quality}})

    def put_alert(self, at: int, alert: Mapping[str, object], reason: str) -> None:
        """Keep an alert's change and why it was refused. Raises OSError."""
        self._put(at, {"reason": reason, "alert": alert})

    def put_point(self, point: StoredPoint, reason: str) -> None:
        """Keep a point that is no reading and why it was refused. Raises OSError."""
        self._put(point.at, {"reason": reason, "point": point._asdict()})

    def reasons(self) -> Counter[str]:
        """How many lie here for which reason; also what was put aside by earlier runs."""
        found: Counter[str] = Counter()
        for path in self._files(self._folder):
            with path.open("rb") as file:
                found.update(_reason_of(line) for line in file)
        return found

    def send_again(self) -> int:
        """Hand everything that lies here to the program that runs, or the next that starts; how many files."""
        again = self._folder / _AGAIN
        files = self._files(self._folder)
        for path in files:
            again.mkdir(exist_ok=True)
            path.rename(_free(again, path.name))
        return len(files)

    def handed_in(self) -> list[Path]:
        """The files handed in by ``send_again``; remove each once all its ``parcels_in`` are safe in the queue."""
        return self._files(self._folder / _AGAIN)

    @staticmethod
    def _files(folder: Path) -> list[Path]:
        return sorted(folder.glob("*.jsonl")) if folder.is_dir() else []

    def _put(self, at: int, record: Mapping[str, object]) -> None:
        day = datetime.fromtimestamp(min(max(at, 0), 4_102_444_800_000) / 1000, UTC).date()
        path = self._folder / f"{day}.jsonl"
        line = json.dumps(record, ensure_ascii=False, default=repr) + "\n"
        with self._lock:
            self.count += 1
            self._folder.mkdir(parents=True, exist_ok=True)
            if not path.exists() or path.stat().st_size < _LARGEST:
                with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                    file.write(line)
            elif path not in self._full:
                self._full.add(path)
                log.error("%s is full (%d MB): more of that day is counted only; see why the store refuses so much, "
                          "greenwarden refused list", path, _LARGEST >> 20)  # fmt: skip


def _reason_of(line: bytes) -> str:
    try:
        return str(json.loads(line)["reason"])
    except (ValueError, KeyError, TypeError):
        return "a damaged line"


def _free(folder: Path, name: str) -> Path:
    path, number = folder / name, 1
    while path.exists():
        path, number = folder / f"{Path(name).stem}-{number}.jsonl", number + 1
    return path


def parcels_in(path: Path) -> Iterator[Parcel]:
    """What ``path`` holds, a bounded number at a time; a damaged line is told and left out. Raises OSError."""
    parcel = Parcel([], [], [])
    with path.open("rb") as file:
        for line in file:
            _add(parcel, line)
            if len(parcel.readings) + len(parcel.alerts) + len(parcel.points) >= _AT_ONCE:
                yield parcel
                parcel = Parcel([], [], [])
    yield parcel


def _add(parcel: Parcel, line: bytes) -> None:
    """One line of a file as it was put aside."""
    try:
        record = json.loads(line)
        if "reading" in record:
            parcel.readings.append(_reading_of(record["reading"]))
        elif "point" in record:
            parcel.points.append(_point_of(record["point"]))
        elif "parcel" not in record["alert"]:
            change_of(record["alert"])  # else it could not be queued
            parcel.alerts.append(record["alert"])
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        log.error("a line of what was refused cannot be read (%s) and is left out", error)


def _reading_of(record: Mapping[str, Any]) -> Reading:
    grade, reason, flaws = record["quality"]
    flawed = {str(name): Flaw(Grade[of], str(why)) for name, (of, why) in flaws.items()}
    quality = Quality(Grade[grade], str(reason), flawed)
    return Reading(str(record["device"]), _instant(record["taken_at"]), _values(record["values"]), quality)


def _point_of(record: Mapping[str, Any]) -> StoredPoint:
    tags = {str(name): str(text) for name, text in record["tags"].items()}
    return StoredPoint(str(record["measurement"]), tags, _values(record["fields"]), _instant(record["at"]))


def _values(record: Mapping[str, Any]) -> dict[str, float | str]:
    return {name: value if isinstance(value, str) else float(value) for name, value in record.items()}


def _instant(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value < 1 << 53:
        raise ValueError(f"{value!r} is no instant")
    return value
