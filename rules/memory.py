"""All that the engine remembers of one site, and how a reading goes into it."""

from __future__ import annotations

import math
from collections.abc import Mapping

from building.quantities import QUANTITIES, Nature
from building.readings import GOOD, Grade, Quality, Reading
from rules.ageing import Ageing
from rules.cells import COUNTER, TRAPEZIUM, Cell, Lasting, Signal, Timeline, Track
from rules.presence import Room
from rules.watching import Watch


class Memory(Timeline):
    """All cells of one site (or of the zones one worker owns), the heap of due moments, and the event time."""

    def __init__(self) -> None:
        super().__init__()
        self.tracks: dict[str, Track] = {}
        self.known: dict[str, Track] = {}  # by the very objects that readings name them by: no letters are compared
        self.rooms: dict[str | None, Room] = {}
        self.clocks: list[Cell] = []
        self.kept: dict[tuple[str, str], Lasting] = {}  # by zone and name: what a restart must not forget
        self.watches: dict[tuple[str, str], Watch] = {}
        self.late: list[tuple[int, str, int, Reading]] = []  # a heap of what waits until ``lateness`` has passed
        self.ageing = Ageing(self)

    def keep(self, zone: str | None, name: str, cell: Lasting) -> None:
        """Have ``cell`` saved under ``name``."""
        self.kept[(zone or "", name)] = cell

    def hear(self, track: Track, at: int) -> None:
        """A device has given a sign of life."""
        if at > track.said:
            track.said = at
        if track.life is not None:
            track.life.speak(at)

    def begin(self, moment: int) -> None:
        """The first moment of all: calendars and rooms take their state."""
        self.now = self.begun = moment
        for cell in self.clocks:
            cell.resume(moment)
        for cell in self.kept.values():
            cell.resume(moment)

    def attend(self, track: Track, at: int, values: Mapping[str, float | str], quality: Quality) -> list[Signal]:
        """Take a reading value by value; the signals of which others must hear. What is not good is unknown.

        One without values (no answer) changes nothing by itself.
        """
        if track.steady and quality is GOOD and at > track.said and values.keys() == track.values.keys():
            return track.shift(values, at, self.take)
        track.release()
        changed = []
        for quantity in values if quality is GOOD else {**values, **quality.flaws}:
            signal = track.signals.get(quantity) or self.signal(track, quantity)
            if signal is None:
                continue
            good = quality is GOOD or (quantity in values and quality.of(quantity) is Grade.GOOD)
            if good and signal.keep(values[quantity], at):
                continue
            if self.take(signal, values.get(quantity, math.nan), at, good):
                changed.append(signal)
        if values:
            newer = at > track.said
            self.hear(track, at)
            if newer:
                alike = quality is GOOD and not changed and values.keys() == track.values.keys()
                if alike and track.hold(values, at):
                    self.ageing.mind(track)
                track.values = values
        return changed

    def take(self, signal: Signal, value: float | str, at: int, good: bool) -> bool:
        """A value that leaves its interval, or comes late, or is flawed; True when listeners must hear of it."""
        if at <= signal.heard:
            return False  # twice, or overtaken by a later one
        signal.before = signal.heard
        if not good or not fits(signal.quantity, value):
            lost = signal.lose()
            signal.heard = at
            worded = QUANTITIES[signal.quantity].nature is Nature.WORD
            told = not worded and not isinstance(value, str) and math.isfinite(value)
            if signal.track.guard is not None and told:  # else it is no value, which is no fault of a meter
                signal.track.guard.flaw(signal, at, at, True)
            return lost
        if signal.summed and not isinstance(value, str):
            if signal.summed == COUNTER:
                signal.count(value, at)
            else:
                if signal.summed == TRAPEZIUM:
                    signal.turn = None if signal.unknown else (at, signal.heard, float(signal.value))
                signal.add(value, at)
        if signal.unknown:
            signal.started = at
            if signal.track.guard is not None:
                signal.track.guard.mend(signal, at)
        signal.settle(value)
        signal.heard = at
        self.ageing.watch(signal)
        return True

    def signal(self, track: Track, quantity: str) -> Signal | None:
        """The signal of a quantity of ``track``, made when first heard; None if it is no quantity."""
        signal = track.signals.get(quantity)
        if signal is None and quantity in QUANTITIES:
            signal = track.signals[quantity] = Signal(self, track, quantity)
        return signal


def fits(quantity: str, value: float | str) -> bool:
    """A number in the plausible range, or a word of the list."""
    entry = QUANTITIES[quantity]
    if entry.nature is Nature.WORD:
        return value in entry.words
    return not isinstance(value, str) and entry.low <= value <= entry.high
