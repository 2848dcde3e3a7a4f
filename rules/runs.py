"""One stretch of a signal's readings, as numpy sees it: where bands change, where gaps end, and its integral.

The sums are made in the same order and by the same operations as one reading at a time, so that they are the same to
the last bit.
"""

from __future__ import annotations

from bisect import bisect_right
from copy import copy
from typing import Final

import numpy as np

from building.quantities import MODES, QUANTITIES, Nature
from rules.cells import COUNTER, HELD, Signal, Turn
from rules.readings_file import Flags, Floats, Ints

_FEW_CUTS: Final = 8  # up to so many, one comparison each is faster than a search for every value


def _places(flags: Flags) -> Ints:
    """Of the readings that differ from the one before: ``flags`` begin with the second."""
    places: Ints = flags.nonzero()[0] + 1
    return places


class Instants:
    """When series speak: looked at once for all that share it."""

    __slots__ = ("array", "gaps", "longest", "step")

    def __init__(self, array: Ints) -> None:
        self.array = array
        self.gaps = np.diff(array)
        self.longest = int(self.gaps.max()) if len(self.gaps) else 0
        self.step = self.longest if len(self.gaps) and int(self.gaps.min()) == self.longest else 0  # 0: no even steps

    def place(self, moment: int, inclusive: bool) -> int:
        """Of the last reading before ``moment``, or at it where ``inclusive``; -1 for none."""
        if not self.step:
            return int(self.array.searchsorted(moment, "right" if inclusive else "left")) - 1
        steps, beyond = divmod(moment - self.array.item(0), self.step)
        if not inclusive and not beyond:
            steps -= 1
        return max(min(steps, len(self.array) - 1), -1)

    def places(self, moments: Ints, inclusive: Flags) -> Ints:
        """The same for several moments."""
        if not self.step:
            before, at = (self.array.searchsorted(moments, side) for side in ("left", "right"))
            return np.where(inclusive, at, before) - 1
        since = moments - self.array.item(0)
        steps: Ints = np.where(inclusive, since, since - 1) // self.step
        return np.maximum(np.minimum(steps, len(self.array) - 1), -1)


class Run:
    """One signal's readings of one stretch, ready to be looked up.

    Where the signal was known before, its last reading of then stands first, as reading number 0 of ``times``.
    """

    __slots__ = ("_high", "_low", "ages", "breaks", "coarse", "cuts", "entered", "events", "first", "good", "instants",
                 "rank", "signal", "steady", "times", "total", "values", "worded")  # fmt: skip

    def __init__(
        self,
        signal: Signal,
        instants: Instants,
        values: Floats,
        rank: int,
        silences: Ints,
        said: Ints | None,
        finer: bool = True,
    ) -> None:
        """``instants`` and ``values`` are those of the stretch; of a signal that was known, those before it as well.
        Without ``finer``, what the finer cuts part counts as alike (``Signal.finer_while``)."""
        self.signal = signal
        self.rank = rank
        known = not signal.unknown
        self.cuts, self.coarse, self.entered = np.array(signal.cuts(finer=finer)), not finer, signal.number
        times = instants.array
        self.instants, self.times, self.values = instants, times, values
        self._low, self._high = float(values.min()), float(values.max())
        nature = QUANTITIES[signal.quantity].nature
        self.worded = nature is Nature.WORD
        starts = self._starts(silences, said)
        self.ages = said is None and not len(silences)  # unknown for nothing but the age of its own readings
        self.breaks = starts  # places of readings before which the signal was unknown for its age
        sound = self._sound()
        self.good: Ints | None = None  # place of the last plausible reading at or before each, where some are not
        events = self._changes(sound)
        if sound is not None:
            self.good = np.maximum.accumulate(np.where(sound, np.arange(len(times)), -1))
            told = np.isfinite(self.values).astype(np.int8) + sound  # no value, an implausible one, a sound one
            events = np.union1d(events, _places(told[1:] != told[:-1]))
        if len(starts):
            events = np.union1d(events, starts)
        if not known:
            events = np.union1d(events, np.zeros(1, np.int64))
        self.events: Ints = events
        self.steady = known and self.good is None and not len(starts) and not len(silences)  # neither gap nor flaw
        self.first = 0  # place of the last reading before the events
        self.total: Floats | None = None
        if signal.summed and signal.summed != COUNTER:
            self._integrate(starts, sound, known)

    def _starts(self, silences: Ints, said: Ints | None) -> Ints:
        """Readings that come after the signal has gone stale, or the device has been said to be offline."""
        times = self.times
        if said is None:
            stale = self.signal.stale_after
            late = self.instants.longest >= stale
            starts = _places(self.instants.gaps >= stale) if late else np.empty(0, np.int64)
        else:
            pauses = said[:-1][np.diff(said) >= self.signal.stale_after]
            nth = np.searchsorted(pauses, times, "left")  # how many of the device's silences lie before each reading
            starts = _places(nth[1:] != nth[:-1])
        if len(silences):
            after = np.searchsorted(times, silences, "right")
            starts = np.union1d(starts, after[(after > 0) & (after < len(times))])
        return starts

    def _sound(self) -> Flags | None:
        """None where all values are plausible."""
        entry = QUANTITIES[self.signal.quantity]
        if self.worded or (self._low >= entry.low and self._high <= entry.high):
            return None
        return (self.values >= entry.low) & (self.values <= entry.high)

    def _changes(self, sound: Flags | None) -> Ints:
        """Readings whose class differs from the one before; a counter's falls and returns; every change if each."""
        values, signal = self.values, self.signal
        if signal.each or self.worded:
            return _places(values[1:] != values[:-1])
        if signal.summed == COUNTER:
            return self._falls(sound)
        cuts = self.cuts
        if not len(cuts):
            return np.empty(0, np.int64)
        if sound is None:
            cuts = cuts[(cuts > self._low) & (cuts <= self._high)]
            if not len(cuts):
                return np.empty(0, np.int64)
        if len(cuts) > _FEW_CUTS:
            bands = cuts.searchsorted(values, "right")
            return _places(bands[1:] != bands[:-1])
        above = values >= cuts[0]
        changed = above[1:] != above[:-1]
        for cut in cuts[1:]:
            above = values >= cut
            changed |= above[1:] != above[:-1]
        return _places(changed)

    def _falls(self, sound: Flags | None) -> Ints:
        values = self.values
        changed = values[1:] < values[:-1]
        fallen = self.signal.fell_from
        if fallen == np.inf and sound is None and not changed.any():
            return np.empty(0, np.int64)
        ceiling = values if sound is None else np.where(sound, values, -np.inf)
        highest = np.maximum.accumulate(ceiling)
        if fallen != np.inf:
            highest = np.maximum(highest, fallen)
        changed |= (values[:-1] < highest[:-1]) & (values[1:] >= highest[:-1])
        return _places(changed)

    def _integrate(self, starts: Ints, sound: Flags | None, known: bool) -> None:
        """The integral up to each reading: what it was, and one addition for each reading, in order."""
        times, values = self.times, self.values
        parts = np.empty(len(times))
        parts[0] = self.signal.total
        gaps = float(self.instants.step) or self.instants.gaps  # one number where all are alike
        with np.errstate(invalid="ignore"):
            if self.signal.summed == HELD:
                np.multiply(values[:-1], gaps, out=parts[1:])
            else:
                np.add(values[:-1], values[1:], out=parts[1:])
                parts[1:] *= 0.5
                parts[1:] *= gaps
        parts[starts] = 0.0
        if not len(starts) or starts[0] != 0:
            parts[0] = self.signal.total
        if sound is not None:
            parts[1:][~(sound[1:] & sound[:-1])] = 0.0
        self.total = np.add.accumulate(parts)

    def part(self, after: int, until: int) -> Run:
        """The same after ``after`` up to ``until`` (ms) alone: no other events, steady where it has no gap then. Only
        to be asked for while the signal is as it stands within that span."""
        part = copy(self)
        part.first = first = self.instants.place(after, True)
        end = self.instants.place(until, True) + 1
        events, breaks = self.events, self.breaks
        part.events = events[slice(*events.searchsorted([first + 1, end]).tolist())]
        broken = len(breaks) and int(breaks.searchsorted(first + 1)) != int(breaks.searchsorted(end))
        part.steady = first >= 0 and self.good is None and not broken and not self.signal.unknown
        return part

    def bring(self, place: int) -> None:
        """The signal as it stands after reading number ``place``."""
        if place < 0:
            return
        signal = self.signal
        signal.heard = self.times.item(place)
        good = place if self.good is None else int(self.good[place])
        if good >= 0:
            value = self.values.item(good)
            signal.value = MODES[int(value)] if self.worded else value
            if signal.summed == COUNTER:
                signal.total = value
        if self.total is not None:
            signal.total = self.total.item(place)

    def finish(self) -> None:
        """The signal as it stands after the last reading."""
        self.bring(len(self.times) - 1)
        if self.coarse:
            self.signal.number = self._number()

    def _number(self) -> float:
        """With which value it entered the finest interval in which it lies after the last reading."""
        cuts, values = self.signal.cuts(), self.values
        place = bisect_right(cuts, values.item(-1))
        low = cuts[place - 1] if place else -np.inf
        high = cuts[place] if place < len(cuts) else np.inf
        end, size = len(values), 64
        while end:
            start = max(end - size, 0)
            part = values[start:end]
            outside = ((part < low) | (part >= high)).nonzero()[0]
            if len(outside):
                return values.item(start + int(outside[-1]) + 1)
            end, size = start, size * 4
        return self.entered

    def turn(self, place: int) -> Turn | None:
        """What reading number ``place`` has changed, if it and the one before it are known; else None."""
        if place < 1:
            return None
        nth = int(self.events.searchsorted(place))
        if nth == len(self.events) or self.events.item(nth) != place or place in self.breaks:
            return None
        if self.good is not None and (self.good.item(place) != place or self.good.item(place - 1) != place - 1):
            return None
        return self.times.item(place), self.times.item(place - 1), self.values.item(place - 1)

    def fresh_at(self, moment: int, rank: int) -> float | None:
        """See ``rules.learning.fresh``, at ``moment``, when devices up to ``rank`` have spoken; it is known then."""
        place = self.instants.place(moment, self.rank <= rank)
        return self.values.item(place) if moment - self.times.item(place) < self.signal.stale_after else None

    def fresh_until(self, place: int) -> int:
        """Last instant of the stretch in which reading number ``place`` stands."""
        breaks = self.breaks
        if len(breaks):
            following = int(breaks.searchsorted(place, "right"))
            if following < len(breaks):
                return int(self.times[breaks[following] - 1])
        return int(self.times[-1])
