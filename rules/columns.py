"""Readings in columns through the same engine: only those that can make a difference are handed to it.

For each signal numpy finds where its value leaves the interval no rule can tell apart, where a gap ends, and what its
integral is at every reading. The cells of ``rules.cells`` then run on these few, and look up the rest (the last value
shown as evidence, energy since a mark) when they need it. Zones where nothing is unknown for the whole stretch, or
between two gaps, need not even that: ``rules.calm`` judges them at once.

A long history comes in stretches of time, one after the other: between two of them every signal stands at its last
reading, as it would have in live running, and the next stretch takes up from there. The order of readings is that of
``readings_file.readings_of``: by time, then by device.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from building.instants import EARLIEST
from building.quantities import MODES
from building.site import DAY
from rules.calm import Calm
from rules.cells import COUNTER, NEVER, Cell, Signal, Track, Turn
from rules.clocks import SeasonNow, Ticker
from rules.engine import spread
from rules.findings import Finding
from rules.looking_back import findings
from rules.memory import Memory
from rules.presence import Room
from rules.readings_file import Columns, Ints, Led, Series, between
from rules.runs import Instants, Run
from rules.spans import Calms
from rules.timelines import FIRST_DEVICE
from rules.watching import Watch
from rules.zones import Plan, plan_of

_FIRST: Final = 3 * 3_600_000  # ms; after so long most that will ever speak is known, and what is known can be calm
_MOST: Final = 24 * DAY  # so that one gap keeps little from being calm


class ColumnHistory:
    """What the cells need to know of readings that were not handed to them (``rules.cells.History``)."""

    def __init__(self) -> None:
        self._runs: dict[Signal, Run] = {}
        self._said: dict[Track, list[Instants]] = {}
        self._moment = 0
        self._rank = -1
        self._plan: Plan | None = None
        self.calm: Calms | None = None  # while a stretch is gone through
        self._held_back: dict[Watch, tuple[int, int, int]] | None = None  # what calm zones raised: instant, rank, at

    def plan(self, memory: Memory) -> Plan:
        if self._plan is None:
            self._plan = plan_of(memory)
        return self._plan

    def prepare(self, watch: Cell) -> None:
        calm = None if self.calm is None else self.calm.calm_of(watch)
        if calm is not None:
            calm.prepare(watch, self._moment, self._rank)

    @property
    def only_ends(self) -> bool:
        """Whether what ends in the same stretch need not be said when it is raised."""
        return self._held_back is not None

    def hold_back(self) -> None:
        """Say of what begins and ends in one stretch only the end, where the waste does not depend on a share."""
        if self._held_back is None:
            self._held_back = {}

    def holds_back(self, watch: Cell, state: str, at: int) -> bool:
        if self._held_back is None or self.calm is None or not isinstance(watch, Watch):
            return False
        settled = watch.condition.share is None and watch.condition.spent is None
        if state == "raised" and settled and self.calm.can_look_back(watch):
            self._held_back[watch] = (self._moment, self._rank, at)
            return True
        self._held_back.pop(watch, None)
        return False

    def say_all(self, memory: Memory, calms: Sequence[Calm]) -> None:
        """Say what was held back in ``calms`` and has not ended, as it was then."""
        present = (memory.now, self._moment, self._rank)
        held_back = self._held_back or {}
        for watch, (moment, rank, at) in list(held_back.items()):
            calm = None if self.calm is None else self.calm.calm_of(watch)
            if calm is not None and calm not in calms:
                continue
            memory.now, self._moment, self._rank = moment, moment, rank
            self.prepare(watch)
            watch.tell_found("raised", at)
            del held_back[watch]
        for calm in calms:
            self._look_back(memory, calm)
        memory.now, self._moment, self._rank = present

    def _look_back(self, memory: Memory, calm: Calm) -> None:
        """Say what was raised and ended in calm zones."""
        for watch, episodes in calm.episodes:

            def bring(moment: int, rank: int, watch: Watch = watch) -> None:
                memory.now, self._moment, self._rank = moment, moment, rank
                calm.prepare(watch, moment, rank)

            def bring_room(moment: int, rank: int, room: Room | None = watch.condition.room) -> None:
                memory.now, self._moment, self._rank = moment, moment, rank
                calm.bring(room, moment, rank)

            memory.findings += findings(watch, episodes, self._runs, bring, bring_room)

    def end(self) -> None:
        """The end of a stretch: every signal as it stands then. Its columns are not looked at any more."""
        for run in self._runs.values():
            run.finish()
        for track, said in self._said.items():
            if track.on_change:
                track.said = max(track.said, *(instants.array.item(-1) for instants in said))
        self._runs.clear()
        self._said.clear()

    def add(self, run: Run) -> None:
        self._runs[run.signal] = run

    def hear_of(self, track: Track, times: list[Instants]) -> None:
        """All instants at which ``track`` says anything, by quantity."""
        self._said[track] = times

    def set_now(self, moment: int, rank: int = -1) -> None:
        """Everything before ``moment`` has been said, and at it what devices up to ``rank`` say."""
        if moment == self._moment:  # what fell due through a reading of this very moment comes after that reading
            rank = max(rank, self._rank)
        self._moment, self._rank = moment, rank

    def catch_up(self, signal: Signal, moment: int) -> None:
        run = self._runs.get(signal)
        if run is not None:
            run.bring(self._place(run))

    def turn(self, signal: Signal) -> Turn | None:
        run = self._runs.get(signal)
        return None if run is None else run.turn(self._place(run))

    def spoken_until(self, signal: Signal) -> int:
        run = self._runs.get(signal)
        if signal.track.on_change:
            said = signal.track.said if run is None else max(signal.track.said, self._heard(run))
            return self.said_until(signal.track, signal.stale_after, said)
        return signal.heard if run is None else run.fresh_until(self._place(run))

    def said_until(self, track: Track, limit: int, last: int) -> int:
        """See ``rules.cells.History``. No quantity alone need speak within the limit; together they must."""
        moved = True
        while moved:
            moved = False
            for instants in self._said.get(track, ()):
                times = instants.array
                place = instants.place(last, True) + 1
                if place < len(times) and times.item(place) - last < limit:
                    steady = instants.longest < limit
                    last, moved = times.item(-1) if steady else _stretch_end(times, place, limit), True
        return last

    def _heard(self, run: Run) -> int:
        place = self._place(run)
        return int(run.times[place]) if place >= 0 else NEVER

    def _place(self, run: Run) -> int:
        return run.instants.place(self._moment, run.rank <= self._rank)


def _stretch_end(times: Ints, place: int, limit: int) -> int:
    """Last of the readings from number ``place`` on before a gap of ``limit``."""
    step = 64
    while place < len(times) - 1:
        gaps = np.diff(times[place : place + step + 1])
        long = np.flatnonzero(gaps >= limit)
        if len(long):
            return int(times[place + long[0]])
        place += len(gaps)
        step *= 4
    return int(times[place])


def find(memory: Memory, columns: Columns, *, ends_only: bool = False) -> Iterator[list[Finding]]:
    """Findings of one stretch of readings, in order; ``memory`` is fresh, or stands at the end of the last stretch.

    Everything in ``columns`` is later than what was taken before. Ask for all findings before the next stretch. With
    ``ends_only`` what was raised may go unsaid where its end is said.
    """
    if ends_only:
        history_of(memory).hold_back()
    first, last = _limits(columns)
    for edge in _edges(memory, first, last):
        yield from _find(memory, between(columns, first, edge))
        first = edge
    yield from _find(memory, between(columns, first, None))


def _edges(memory: Memory, first: int, last: int) -> list[int]:
    """Where to part a stretch, so that little of it keeps the rest from being calm: what is known comes first, and the
    turn of a season, or a day on which summer time begins or ends, stands for itself."""
    found = [first + _FIRST] if memory.now < EARLIEST else []
    for clock in memory.clocks:
        if isinstance(clock, SeasonNow):
            found += [edge for turn in clock.turns(first, last) for edge in (turn, turn + _FIRST)]
        elif isinstance(clock, Ticker):
            found += [edge for start, end in clock.odd_days(first, last) for edge in (start, end + _FIRST)]
    edges: list[int] = []
    for edge in [*sorted(set(found)), last + 1]:
        while edge - (edges[-1] if edges else first) > _MOST:
            edges.append((edges[-1] if edges else first) + _MOST)
        if first < edge <= last:
            edges.append(edge)
    return edges


def history_of(memory: Memory) -> ColumnHistory:
    """What ``memory`` knows of columns; from now on it takes nothing else."""
    if not isinstance(memory.history, ColumnHistory):
        memory.history = ColumnHistory()
    return memory.history


def _limits(columns: Columns) -> tuple[int, int]:
    """First and last instant."""
    arrays = {id(series.times): series.times for series in columns.values() if len(series.times)}.values()
    return min((int(times[0]) for times in arrays), default=0), max((int(times[-1]) for times in arrays), default=-1)


def _find(memory: Memory, columns: Columns) -> Iterator[list[Finding]]:
    history = history_of(memory)
    by_device: dict[str, dict[str, Series]] = {}
    for (device, quantity), series in columns.items():
        if device in memory.tracks and len(series.times):
            by_device.setdefault(device, {})[quantity] = series
    if not by_device:
        return
    runs: dict[Signal, Run] = {}
    ranks: dict[Track, int] = {}
    firsts: list[tuple[int, Track]] = []
    shared: dict[tuple[int, int], Instants] = {}
    last = 0
    for rank, device in enumerate(sorted(by_device)):
        track, own = memory.tracks[device], by_device[device]
        ranks[track] = rank
        last = max(last, max(int(series.times[-1]) for series in own.values()))
        if track.said == NEVER:
            # The first word of a device counts even when no rule asks for it: it starts time, and shows what it tells.
            firsts.append((min(int(series.times[0]) for series in own.values()), track))
        said = list({id(series.times): series.times for series in own.values()}.values())
        history.hear_of(track, [_instants(shared, times, NEVER) for times in said])
        if track.life is not None:
            firsts += [(at, track) for at in _after_silence(track, track.life.limit, said)]
        for run in _runs(memory, track, own, rank, shared):
            history.add(run)
            runs[run.signal] = run
    if memory.now >= EARLIEST:
        history.calm = Calms(memory, history, history.plan(memory), runs, ranks, last)
    feed = _Feed(memory, history, _sources(history.calm, runs, firsts), ranks)
    for edge in history.calm.edges if history.calm is not None else ():
        if edge == memory.now:
            feed.turn(edge)
        elif edge < last:
            yield from feed.until(edge)
    yield from feed.until(last)
    history.say_all(memory, [] if history.calm is None else [history.calm.whole])
    yield _taken(memory)
    if history.calm is not None:
        history.calm.end_whole()
        history.calm = None
    history.end()


def _sources(
    calm: Calms | None, runs: dict[Signal, Run], firsts: list[tuple[int, Track]]
) -> list[tuple[Track, Run | None, Ints]]:
    """Who tells the engine something, and when: not the calm zones, nor what nobody listens to while it is known."""
    found: list[tuple[Track, Run | None, Ints]] = [(track, None, np.array([at])) for at, track in firsts]
    for signal, run in runs.items():
        if not len(run.events) or (calm is not None and signal in calm.signals):
            continue
        if signal.listeners or signal.summed == COUNTER or not run.steady:
            found.append((signal.track, run, run.times[run.events]))
    return found


def _after_silence(track: Track, limit: int, said: list[Ints]) -> list[int]:
    """When the device speaks again after having said nothing for ``limit`` ms."""
    before = max([track.said, *(signal.heard for signal in track.signals.values())])
    times = said[0] if len(said) == 1 else np.unique(np.concatenate(said))
    gaps = np.diff(times)
    places = np.flatnonzero(gaps >= limit) + 1 if len(gaps) and gaps.max() >= limit else np.empty(0, np.int64)
    first = int(times[0])
    return [*([first] if before != NEVER and first - before >= limit else []), *times[places].tolist()]


def _runs(
    memory: Memory, track: Track, own: dict[str, Series], rank: int, shared: dict[tuple[int, int], Instants]
) -> Iterator[Run]:
    online = own.get("online")
    silences = np.empty(0, np.int64) if online is None else online.times[online.values < 0.5]
    said = None
    if track.on_change:
        said = np.unique(np.concatenate([series.times for series in own.values()]))
        if track.said != NEVER:
            said = np.concatenate((np.array([track.said]), said))
    for quantity, series in own.items():
        times, values = series
        signal = memory.signal(track, quantity)
        if signal is None:
            continue
        heard = signal.heard if not signal.unknown else NEVER
        instants = _instants(shared, times, heard)
        if heard != NEVER:
            before = MODES.index(signal.value) if isinstance(signal.value, str) else signal.value
            if isinstance(series, Led) and (series.free or series.led[0] == before):
                values = series.led
                values[0] = before
            else:
                values = np.concatenate((np.array([before], np.float64), values))
        run = Run(signal, instants, values, rank, silences, said, _finer(signal, own))
        if run.coarse and not run.steady:  # it begins anew after a gap or a flaw, where the finer cuts count as well
            run = Run(signal, instants, values, rank, silences, said)
        yield run


def _finer(signal: Signal, own: dict[str, Series]) -> bool:
    """Whether the finer cuts make a difference within the stretch."""
    if signal.finer_while is None or signal.each:
        return True
    other, word = signal.finer_while
    told = own.get(other.quantity)
    return other.value == word or (told is not None and bool((told.values == MODES.index(word)).any()))


def _instants(shared: dict[tuple[int, int], Instants], times: Ints, heard: int) -> Instants:
    """``times``, after ``heard`` where that is known."""
    found = shared.get((id(times), heard))
    if found is None:
        whole = times if heard == NEVER else np.concatenate((np.array([heard]), times))
        found = shared[(id(times), heard)] = Instants(whole)
    return found


def _taken(memory: Memory) -> list[Finding]:
    found, memory.findings = memory.findings, []
    return found


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


class _Feed:
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
                        yield _taken(memory)
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
