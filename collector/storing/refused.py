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
from collector.storing.packing import Parcel, StoredPoint

log = logging.getLogger(__name__)

_AGAIN: Final = "again"
_LARGEST: Final = 64 << 20  # bytes in one day's file; beyond that refusals are counted only


class WhollyRefused(StoreRefused):
    """The store said that it takes nothing of the batch: looking for the bad part would only cost time."""


class Refused:
    """The folder of what was refused, one file for each UTC day."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
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
            with path.open(encoding="utf-8") as file:
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

    def handed_in(self) -> Iterator[tuple[Path, Parcel]]:
        """What was handed in by ``send_again``, file by file; remove a file once its parcel is safe in the queue."""
        for path in self._files(self._folder / _AGAIN):
            parcel = Parcel([], [], [])
            with path.open(encoding="utf-8") as file:
                for line in file:
                    _add(parcel, line)
            yield path, parcel

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
                with path.open("a", encoding="utf-8") as file:
                    file.write(line)


def _reason_of(line: str) -> str:
    try:
        return str(json.loads(line)["reason"])
    except (ValueError, KeyError, TypeError):
        return "a damaged line"


def _free(folder: Path, name: str) -> Path:
    path, number = folder / name, 1
    while path.exists():
        path, number = folder / f"{Path(name).stem}-{number}.jsonl", number + 1
    return path


def _add(parcel: Parcel, line: str) -> None:
    """One line of a file as it was put aside; a damaged one is told and left out."""
    try:
        record = json.loads(line)
        if "reading" in record:
            parcel.readings.append(_reading_of(record["reading"]))
        elif "point" in record:
            parcel.points.append(StoredPoint(**record["point"]))
        elif "parcel" not in record["alert"]:
            parcel.alerts.append(record["alert"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        log.error("a line of what was refused cannot be read (%s) and is left out", error)


def _reading_of(record: Mapping[str, Any]) -> Reading:
    grade, reason, flaws = record["quality"]
    flawed = {name: Flaw(Grade[of], why) for name, (of, why) in flaws.items()}
    return Reading(record["device"], record["taken_at"], record["values"], Quality(Grade[grade], reason, flawed))
