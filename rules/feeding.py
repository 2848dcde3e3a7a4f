"""Handing to the engine, in order of time, the few readings of columns that can make a difference."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from building.instants import EARLIEST
from building.quantities import MODES
from rules.calm import Calm
from rules.cells import COUNTER, NEVER, Cell, Signal, Track
from rules.column_history import ColumnHistory
from rules.engine import spread
from rules.findings import Finding
from rules.memory import Memory
from rules.readings_file import Ints
from rules.runs import Run
from rules.timelines import FIRST_DEVICE


class _Events:
    """What a run hands to the engine: for each event the value, and how the signal stood just before."""

    __slots__ = ("at", "heard", "run", "stood", "totals", "values")

    def __init__(self, run: Run) -> None:
        self.run = run
        places = run.events
        before = np.maximum(places - 1, 0)
        self.values: list[Any] = run.values[places].tolist()
        if run.worded:
            self.values = [MODES[int(value)] for value in self.values]
        self.heard = np.where(places > 0, run.times[before], NEVER).tolist()
        stood = before if run.good is None else run.good[before]
        known = np.where((places > 0) & (stood >= 0), stood, -1)
        self.stood: list[Any] = np.where(known >= 0, run.values[known], np.nan).tolist()
        if run.worded:
            self.stood = [MODES[int(value)] if value == value else None for value in self.stood]
        self.totals = None if run.total is None else run.total[before].tolist()
        self.at = 0

    def bring(self, place: int) -> None:
        """The signal as it stood before event number ``place``."""
        heard = self.heard[place]
        if heard == NEVER:
            return
        signal = self.run.signal
        signal.heard = heard
        stood = self.stood[place]
        if stood is not None and stood == stood:
            signal.value = stood
            if signal.summed == COUNTER:
                signal.total = stood
        if self.totals is not None:
            signal.total = self.totals[place]


class Feed:
    """What signals must take, and watches hear of, by time and device; of one instant, a device's signals together."""

    def __init__(
        self,
        memory: Memory,
        history: ColumnHistory,
        sources: list[tuple[Track, Run | None, Ints]],
        ranks: dict[Track, int],
    ) -> None:
        self._memory, self._history, self._speakers = memory, history, len(ranks)
        self._turns = turns = len(ranks) + FIRST_DEVICE + 1
        self._sources = sources
        self._numbers: dict[Signal, int] = {run.signal: n for n, (_, run, _) in enumerate(sources) if run is not None}
        self._awake = np.ones(len(sources) + 1, np.bool_)  # which sources are not judged in some calm span
        keys = [times * turns + (ranks[track] + FIRST_DEVICE) for track, _, times in sources]
        lengths = [len(part) for part in keys]
        whole = np.concatenate(keys) if keys else np.empty(0, np.int64)
        which = np.repeat(np.arange(len(sources)), lengths)
        number = np.concatenate([np.arange(length) for length in lengths]) if keys else whole
        order = np.lexsort((which, whole))
        self._keys, self._which, self._number = whole[order], which[order], number[order]
        self._events: list[_Events | None] = [None] * len(sources)
        self._tracks = {rank: track for track, rank in ranks.items()}
        self._at = 0
        self._hears: list[tuple[int, Cell]] = []

    def until(self, moment: int) -> Iterator[list[Finding]]:
        """All up to ``moment``, and what falls due by then; then begin and end what is calm from there."""
        memory = self._memory
        yield from self._go(moment)
        if moment > memory.now:
            memory.advance(moment)
        self._history.set_now(moment, self._speakers)
        memory.advance(moment)
        self.turn(moment)

    def turn(self, moment: int) -> None:
        """Begin and end what is calm from ``moment`` on."""
        history, calms = self._history, self._history.calm
        if calms is None:
            return
        ending = calms.ending(moment)
        if ending:
            history.say_all(self._memory, ending)
            self._mark(ending, moment, awake=True)
            calms.end(ending)
        self._mark(calms.begin(moment), moment, awake=False)

    def _mark(self, calms: list[Calm], moment: int, *, awake: bool) -> None:
        for calm in calms:
            for signal in calm.signals:
                self._history.catch_up(signal, moment)
                if signal in self._numbers:
                    self._awake[self._numbers[signal]] = awake

    def _part(self, moment: int) -> Iterator[tuple[int, int, int | Cell]]:
        """Keys up to ``moment``, in order, with source and number, or who hears."""
        calms = self._history.calm
        if calms is not None:
            self._hears += calms.hears
            calms.hears = []
        limit = (moment + 1) * self._turns
        begin, self._at = self._at, int(self._keys.searchsorted(limit))
        part = slice(begin, self._at)
        keys, which, number = self._keys[part], self._which[part], self._number[part]
        if not self._awake.all():
            up = self._awake[which]
            keys, which, number = keys[up], which[up], number[up]
        calls = [cell for key, cell in self._hears if key < limit]
        if calls:
            heard = [key for key, _ in self._hears if key < limit]
            self._hears = [told for told in self._hears if told[0] >= limit]
            keys = np.concatenate((keys, np.array(heard, np.int64)))
            which = np.concatenate((which, np.full(len(calls), len(self._sources))))
            number = np.concatenate((number, np.arange(len(calls))))
            order = np.lexsort((which, keys))
            keys, which, number = keys[order], which[order], number[order]
        for key, source, place in zip(keys.tolist(), which.tolist(), number.tolist(), strict=True):
            yield key, source, calls[place] if source == len(self._sources) else place

    def _events_of(self, source: int) -> _Events | None:
        run = self._sources[source][1]
        found = self._events[source]
        if found is None and run is not None:
            found = self._events[source] = _Events(run)
        return found

    def _go(self, moment: int) -> Iterator[list[Finding]]:
        memory = self._memory
        group: list[tuple[_Events, int]] = []
        listening: list[Cell] = []
        spoken = False
        now = -1
        for key, source, what in self._part(moment):
            if key != now:
                if now >= 0:
                    self._apply(now, spoken, group, listening)
                    if memory.findings:
                        yield taken(memory)
                group, listening, spoken, now = [], [], False, key
            if isinstance(what, Cell):
                listening.append(what)
                continue
            spoken = True
            found = self._events_of(source)
            if found is not None:
                group.append((found, what))
        if now >= 0:
            self._apply(now, spoken, group, listening)

    def _apply(self, key: int, spoken: bool, group: list[tuple[_Events, int]], listening: list[Cell]) -> None:
        moment, rank = key // self._turns, key % self._turns - FIRST_DEVICE
        here = (moment, rank, self._tracks[rank] if spoken else None)
        _apply(self._memory, self._history, here, group, listening)


def _apply(
    memory: Memory,
    history: ColumnHistory,
    here: tuple[int, int, Track | None],
    group: list[tuple[_Events, int]],
    listening: list[Cell],
) -> None:
    moment, rank, track = here
    if moment > memory.now:
        if memory.now < EARLIEST:
            memory.begin(moment)
        memory.advance(moment)
    history.set_now(moment, rank)
    if track is not None:
        changed = []
        for events, place in group:
            events.bring(place)
            if memory.take(events.run.signal, events.values[place], moment, True):
                changed.append(events.run.signal)
        memory.hear(track, moment)
        spread(memory, track, changed, moment)
    for cell in listening:
        history.prepare(cell)
        cell.hear(moment)
    if listening and memory.heap and memory.heap[0][0] <= memory.now:
        memory.advance(memory.now)


def taken(memory: Memory) -> list[Finding]:
    """The findings since they were last taken."""
    found, memory.findings = memory.findings, []
    return found
