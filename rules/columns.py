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

from collections.abc import Iterator
from typing import Final

import numpy as np

from building.instants import EARLIEST
from building.quantities import MODES
from building.site import DAY
from rules.cells import COUNTER, NEVER, Signal, Track
from rules.clocks import SeasonNow, Ticker
from rules.column_history import history_of
from rules.feeding import Feed, taken
from rules.findings import Finding
from rules.memory import Memory
from rules.readings_file import Columns, Ints, Led, Series, between
from rules.runs import Instants, Run
from rules.spans import Calms

_FIRST: Final = 3 * 3_600_000  # ms; after so long most that will ever speak is known, and what is known can be calm
_MOST: Final = 24 * DAY  # so that one gap keeps little from being calm


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
        history.hear_of(track, [_instants(shared, times, NEVER) for times in said], _offline(own))
        if track.life is not None:
            firsts += [(at, track) for at in _after_silence(track, track.life.limit, said)]
        for run in _runs(memory, track, own, rank, shared):
            history.add(run)
            runs[run.signal] = run
    if memory.now >= EARLIEST:
        history.calm = Calms(memory, history, history.plan(memory), runs, ranks, last)
    feed = Feed(memory, history, _sources(history.calm, runs, firsts), ranks)
    for edge in history.calm.edges if history.calm is not None else ():
        if edge == memory.now:
            feed.turn(edge)
        elif edge < last:
            yield from feed.until(edge)
    yield from feed.until(last)
    history.say_all(memory, [] if history.calm is None else [history.calm.whole])
    yield taken(memory)
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
    silences = _offline(own)
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


def _offline(own: dict[str, Series]) -> Ints:
    """When the device is said to be offline."""
    online = own.get("online")
    return np.empty(0, np.int64) if online is None else online.times[online.values < 0.5]


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
