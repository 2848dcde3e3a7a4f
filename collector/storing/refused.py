"""What a store will never take: put aside in ``refused/``, one JSON object a line, with the reason."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from building.errors import StoreRefused
from building.readings import Reading

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
