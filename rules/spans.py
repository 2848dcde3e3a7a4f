"""Spans of time between the gaps of a zone: in each of them it can be calm, though not for a whole stretch of readings.

A gap of one device keeps its zone from being judged over the stretch at once. So the zone goes event by event around
the gap alone, from the last reading before it to the first one after it; what lies between two gaps is calm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from rules.calm import Calm, Told
from rules.cells import Cell, Signal, Track
from rules.memory import Memory
from rules.readings_file import Ints
from rules.runs import Run
from rules.watching import Watch
from rules.zones import Plan, Zone

_SHORTEST: Final = 6 * 3_600_000  # ms; to judge less at once costs as much as to go through it


def spans_of(
    zone: Zone, runs: Mapping[Signal, Run], offline: Callable[[Track], Ints], start: int, last: int
) -> list[tuple[int, int]]:
    """When nothing is unknown in ``zone`` after ``start`` up to ``last``: from the reading that ends a gap up to the
    one before the next; none where a value was implausible, or where no gap is what keeps the zone from being calm.
    What is said to be offline (``offline``, ms) is in a gap from then on."""
    gaps: list[tuple[int, int]] = []
    for signal in zone.signals:
        run = runs.get(signal)
        for moment in offline(signal.track).tolist():
            following = [] if run is None else run.times[run.instants.place(moment, True) + 1 :][:1].tolist()
            gaps.append((moment - 1, following[0] if following else last))
        if run is None or run.steady:
            continue
        if run.good is not None:
            return []
        if signal.unknown:
            gaps.append((start, run.times.item(0)))
        breaks = run.breaks[run.breaks > 0]
        gaps += zip(run.times[breaks - 1].tolist(), run.times[breaks].tolist(), strict=True)
    for signal in zone.signals:
        run = runs.get(signal)
        if gaps and run is not None and run.times.item(-1) + signal.stale_after <= last:
            gaps.append((run.times.item(-1), last))
    found, free = [], start
    for begin, end in [*sorted(gaps), (last, last)]:
        if gaps and begin - free >= _SHORTEST:
            found.append((free, begin))
        free = max(free, end)
    return found


class Parts(Mapping[Signal, Run]):
    """Runs as they look within a span."""

    def __init__(self, runs: Mapping[Signal, Run], after: int, until: int) -> None:
        self._runs, self._after, self._until = runs, after, until
        self._parts: dict[Signal, Run] = {}

    def __getitem__(self, signal: Signal) -> Run:
        part = self._parts.get(signal)
        if part is None:
            part = self._parts[signal] = self._runs[signal].part(self._after, self._until)
        return part

    def __contains__(self, signal: object) -> bool:
        return signal in self._runs

    def __iter__(self) -> Iterator[Signal]:
        return iter(self._runs)

    def __len__(self) -> int:
        return len(self._runs)


class Calms:
    """All that is calm in one stretch of readings: zones for the whole of it, and others for spans of it."""

    def __init__(self, memory: Memory, history: Told, plan: Plan, runs: Mapping[Signal, Run],
                 ranks: Mapping[Track, int], last: int) -> None:  # fmt: skip
        self._memory, self._history, self._plan, self._runs = memory, history, plan, runs
        self._ranks, self._last = ranks, last
        self._whole = Calm(memory, history, plan, runs, ranks, last)
        self.signals = self._whole.signals  # calm throughout
        self.hears = list(self._whole.hears)  # of what has become calm since they were last taken
        self._of: dict[Cell, Calm] = dict.fromkeys(self._whole.judged(), self._whole)
        self._spans: list[Calm] = []
        self._coming: dict[int, list[tuple[Zone, int]]] = {}
        calm = set(map(id, self._whole.zones))
        for zone in plan.zones:
            if zone.fit and zone.watches and id(zone) not in calm:
                for begin, end in spans_of(zone, runs, history.offline, memory.now, last):
                    self._coming.setdefault(begin, []).append((zone, end))
        self._clocks = [(clock, clock.listeners) for clock in self._whole.clocks()]  # without those asleep throughout
        ends = {end for spans in self._coming.values() for _, end in spans}
        self.edges = sorted({*self._coming, *ends})  # when spans begin and end

    def begin(self, moment: int) -> list[Calm]:
        """What becomes calm after ``moment``, the present."""
        by_end: dict[int, list[Zone]] = {}
        for zone, end in self._coming.pop(moment, ()):
            by_end.setdefault(end, []).append(zone)
        new = [
            Calm(self._memory, self._history, self._plan, Parts(self._runs, moment, end), self._ranks, end,
                 (self._whole, zones))
            for end, zones in by_end.items()
        ]  # fmt: skip
        new = [calm for calm in new if calm.zones]
        for calm in new:
            self._of.update(dict.fromkeys(calm.judged(), calm))
            self.hears += calm.hears
        self._spans += new
        if new:
            self._put_to_sleep()
        return new

    def ending(self, moment: int) -> list[Calm]:
        """What is calm up to ``moment``."""
        return [calm for calm in self._spans if calm.last == moment]

    def end(self, calms: Sequence[Calm]) -> None:
        """All cells of ``calms`` as they stand after their span."""
        for calm in calms:
            for cell in calm.judged():
                del self._of[cell]
            self._spans.remove(calm)
            calm.end()
        if calms:
            self._put_to_sleep()

    def end_whole(self) -> None:
        """All cells as they stand after the stretch; its spans have ended."""
        self._of.clear()
        self._whole.end()

    @property
    def whole(self) -> Calm:
        """What is calm throughout."""
        return self._whole

    def _put_to_sleep(self) -> None:
        quiet: set[Cell] = set()
        for calm in self._spans:
            quiet |= calm.quiet
        for clock, listeners in self._clocks:
            clock.listeners = [cell for cell in listeners if cell not in quiet] if quiet else listeners

    def calm_of(self, watch: Cell) -> Calm | None:
        """Where ``watch`` is judged."""
        return self._of.get(watch)

    def can_look_back(self, watch: Watch) -> bool:
        calm = self._of.get(watch)
        return calm is not None and calm.can_look_back(watch)
