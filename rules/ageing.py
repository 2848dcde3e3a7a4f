"""What is told no longer becomes unknown: who sees to that, for thousands of signals at little cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Final

from rules.cells import Cell, Signal, Timeline, Track

CROWD: Final = 128  # signals, or devices, whose age is seen to together
FEW: Final = 8  # the same in columns, where each look costs a search
_SAID: Final = attrgetter("said")


class Losses(Cell):
    """Tells who listens to signals that went stale, once all that go stale at the same moment are unknown: a rule must
    not judge one half of a device's words by themselves, whatever crowds they are in."""

    __slots__ = ("_lost",)

    def __init__(self, memory: Timeline) -> None:
        super().__init__(memory, 1)
        self._lost: list[Signal] = []

    def take(self, lost: Iterable[Signal], moment: int) -> None:
        self._lost += lost
        self.wake_at(moment)

    def wake(self, moment: int) -> None:
        lost, self._lost = self._lost, []
        for cell in dict.fromkeys(listener for signal in lost for listener in signal.listeners):
            cell.hear(moment)


class Ages(Cell):
    """Sees that values told too long ago become unknown, for a crowd of signals that are given the same time.

    One look at the oldest of them, once in about two rounds of readings, is all it takes while they speak. Those of a
    steady device leave the crowd: a ``Pulse`` minds them.
    """

    __slots__ = ("_age", "_losses", "on_change", "signals", "stale_after")

    def __init__(self, memory: Timeline, losses: Losses, stale_after: int, on_change: bool) -> None:
        super().__init__(memory, 0)
        self._losses = losses
        self.stale_after = stale_after
        self.on_change = on_change
        self._age: Callable[[Signal], int] = attrgetter("track.said" if on_change else "said")
        self.signals: list[Signal] = []

    def deadline(self, signal: Signal) -> int:
        """When the last value of ``signal`` no longer says what is so."""
        history = self.memory.history
        return (self._age(signal) if history is None else history.spoken_until(signal)) + self.stale_after

    def wake(self, moment: int) -> None:
        if self.memory.history is None and self.signals:
            due = min(map(self._age, self.signals)) + self.stale_after
            if due > moment:
                self.wake_at(due)
                return
        self._sift(moment)

    def watch(self, signal: Signal) -> None:
        """Wake when ``signal`` goes stale; an earlier wish already made will do."""
        if signal.ages is None:
            signal.ages = self
            self.signals.append(signal)
        due = self.deadline(signal)
        if not self.waking or due < self.waking:
            self.wake_at(due)

    def _sift(self, moment: int) -> None:
        """Part the signals that are stale from those that speak, and from those that need no watching here."""
        lost: list[Signal] = []
        fresh: list[Signal] = []
        due = 0
        for signal in self.signals:
            if signal.unknown or signal.source is not signal:
                signal.ages = None
                continue
            end = self.deadline(signal)
            if end <= moment:
                lost.append(signal)
                continue
            fresh.append(signal)
            due = min(due, end) if due else end
        self.signals = fresh
        if due:
            self.wake_at(due)
        for signal in lost:
            if self.memory.history is not None:
                self.memory.history.catch_up(signal, moment)
            signal.ages = None
            signal.lose()
        if lost:
            self._losses.take(lost, moment)


class Pulse(Cell):
    """Sees that a steady device goes on speaking, for a crowd of devices that are given the same time.

    One that does not is released: from then on each of its signals ages by itself.
    """

    __slots__ = ("patience", "tracks")

    def __init__(self, memory: Timeline, patience: int) -> None:
        super().__init__(memory, 0)  # with the ages of what it releases, before anybody is told
        self.patience = patience
        self.tracks: list[Track] = []

    def watch(self, track: Track) -> None:
        """Wake when ``track`` has been silent for too long; an earlier wish already made will do."""
        track.pulse = self
        self.tracks.append(track)
        due = track.said + self.patience
        if not self.waking or due < self.waking:
            self.wake_at(due)

    def wake(self, moment: int) -> None:
        due = min(map(_SAID, self.tracks), default=moment) + self.patience
        if due <= moment:
            fresh, self.tracks = self.tracks, []
            last = moment - self.patience
            for track in fresh:
                if track.pulse is not self:
                    continue
                if track.steady and track.said > last:
                    self.tracks.append(track)
                    continue
                track.pulse = None
                track.release()
            due = min(map(_SAID, self.tracks), default=moment) + self.patience
        if self.tracks:
            self.wake_at(due)


class Ageing:
    """The crowds of one site: those that still take signals or devices in."""

    def __init__(self, memory: Timeline) -> None:
        self._memory = memory
        self._losses = Losses(memory)
        self._ages: dict[tuple[int, bool], Ages] = {}
        self._pulses: dict[int, Pulse] = {}

    def watch(self, signal: Signal) -> None:
        """See that ``signal`` becomes unknown when it goes stale, where that makes a difference."""
        if signal.ages is not None:
            signal.ages.watch(signal)
        elif signal.ages_matter:
            kind = (signal.stale_after, signal.track.on_change)
            crowd = self._ages.get(kind)
            if crowd is None or len(crowd.signals) >= (CROWD if self._memory.history is None else FEW):
                crowd = self._ages[kind] = Ages(self._memory, self._losses, *kind)
            crowd.watch(signal)

    def mind(self, track: Track) -> None:
        """See that ``track``, just become steady, is so no longer when it does not speak."""
        patience = track.patience
        if patience is None or (track.pulse is not None and track.pulse.patience <= patience):
            return
        crowd = self._pulses.get(patience)
        if crowd is None or len(crowd.tracks) >= CROWD:
            crowd = self._pulses[patience] = Pulse(self._memory, patience)
        crowd.watch(track)
