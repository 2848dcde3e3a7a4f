"""What was published, to be compared with what the store has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from building.readings import Reading
from collector.storing.stored import StoredReadings


@dataclass
class Books:
    """What was published, to be compared with what the store has."""

    readings: Counter[str] = field(default_factory=Counter)
    empty: Counter[str] = field(default_factory=Counter)
    values: set[int] = field(default_factory=set)
    latest: dict[str, Reading] = field(default_factory=dict)

    def enter(self, batch: Sequence[Reading]) -> None:
        """Book published readings."""
        for reading in batch:
            if not reading.values:
                self.empty[reading.device] += 1
                continue
            self.readings[reading.device] += 1
            self.latest[reading.device] = reading
            self.values.update(_marks(reading))

    def lost(self, stored: StoredReadings, start: int, end: int) -> int:
        """How many published values the store does not have, or has otherwise."""
        found: set[int] = set()
        for reading in stored.readings(start, end):
            found.update(_marks(reading))
        return len(self.values - found)


def _marks(reading: Reading) -> list[int]:
    return [hash((reading.device, reading.taken_at, name, value)) for name, value in reading.values.items()]
