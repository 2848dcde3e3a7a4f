"""Readings folded to coarser ones: for each device and stretch of time one reading. Pure.

A gauge becomes the mean of its usable values; counters, states and words keep their last value, and the folded reading
is stamped with the last instant, where its counters are exact. Its quality says that it is folded. A stretch in which
a device said nothing usable keeps its last reading as it was: silence and flaws are facts too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from building.durations import format_duration
from building.quantities import QUANTITIES, Nature
from building.readings import Grade, Quality, Reading

_MEAN: Final = frozenset(name for name, quantity in QUANTITIES.items() if quantity.nature is Nature.GAUGE)


def is_mean(quantity: str) -> bool:
    """True when ``quantity`` is folded to its mean, false when its last value counts."""
    return quantity in _MEAN


class _Stretch:
    __slots__ = ("counts", "last", "sums", "values")

    def __init__(self, first: Reading) -> None:
        self.last = first
        self.values: dict[str, float | str] = {}
        self.sums: dict[str, float] = {}
        self.counts: dict[str, int] = {}

    def add(self, reading: Reading) -> None:
        newest = reading.taken_at >= self.last.taken_at
        if newest:
            self.last = reading
        for name, value in reading.values.items():
            if reading.quality.of(name) is Grade.BAD:
                continue
            if name in _MEAN and not isinstance(value, str):
                self.sums[name] = self.sums.get(name, 0.0) + value
                self.counts[name] = self.counts.get(name, 0) + 1
                self.values[name] = 0.0  # keeps the order of the quantities; the mean comes at the end
            elif newest or name not in self.values:
                self.values[name] = value

    def folded(self, quality: Quality) -> Reading:
        if not self.values:
            return self.last
        means = {name: total / self.counts[name] for name, total in self.sums.items()}
        return Reading(self.last.device, self.last.taken_at, {**self.values, **means}, quality)


class Folder:
    """Takes readings in any order, gives one for each device and ``step`` (ms) of time that had any."""

    def __init__(self, step: int) -> None:
        self._step = step
        self._quality = Quality(Grade.GOOD, f"folded to {format_duration(step)}")
        self._stretches: dict[tuple[str, int], _Stretch] = {}

    def add(self, reading: Reading) -> None:
        """Take one more reading in."""
        # A stretch ends with the instant that is its name, so that its last reading tells the counter there.
        key = (reading.device, -(-reading.taken_at // self._step))
        stretch = self._stretches.get(key)
        if stretch is None:
            stretch = self._stretches[key] = _Stretch(reading)
        stretch.add(reading)

    def readings(self) -> Iterator[Reading]:
        """What was taken in, folded, in order of time."""
        folded = [stretch.folded(self._quality) for stretch in self._stretches.values()]
        folded.sort(key=lambda reading: reading.taken_at)
        yield from folded
