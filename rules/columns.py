"""Readings in columns through the same engine: only those that can make a difference are handed to it.

For each signal numpy finds where its value leaves the interval no rule can tell apart, where a gap ends, and what its
integral is at every reading. The cells of ``rules.cells`` then run on these few, and look up the rest (the last value
shown as evidence, energy since a mark) when they need it. The sums are made in the same order and by the same
operations as one reading at a time, so that the findings are the same to the last bit.

The order of readings is that of ``readings_file.readings_of``: by time, then by device.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from building.instants import EARLIEST
from building.quantities import QUANTITIES, Nature
from rules.cells import COUNTER, HELD, Finding, Memory, Signal, Track
from rules.engine import RuleEngine, spread
from rules.readings_file import Columns, Floats, Ints, Series, word_of

Flags = npt.NDArray[np.bool_]


class _Track(NamedTuple):
    """One signal's readings, ready to be looked up."""

    times: Ints
    values: Floats
    good: Ints  # place of the last plausible reading at or before each; -1 where there is none
    total: Floats | None  # integral up to each reading
    covered: Ints | None
    stretch: Ints  # instant at which the stretch of fresh readings ends, by reading
    events: Ints  # places of readings that may change something
    rank: int


class ColumnHistory:
    """What the cells need to know of readings that were not handed to them (``rules.cells.History``)."""

    def __init__(self) -> None:
        self._series: dict[Signal, _Track] = {}
        self._moment = 0
        self._rank = -1

    def add(self, signal: Signal, series: _Track) -> None:
        self._series[signal] = series

    def set_now(self, moment: int, rank: int = -1) -> None:
        """Everything before ``moment`` has been said, and at it what devices up to ``rank`` say."""
        self._moment, self._rank = moment, rank

    def catch_up(self, signal: Signal, moment: int) -> None:
        series = self._series.get(signal)
        if series is not None:
            self.bring(signal, series, self._place(series))

    def bring(self, signal: Signal, series: _Track, place: int) -> None:
        """``signal`` as it stands after its reading number ``place``."""
        if place < 0:
            return
        signal.heard = int(series.times[place])
        good = int(series.good[place])
        if good >= 0:
            signal.value = word_of(signal.quantity, float(series.values[good]))
            if signal.summed == COUNTER:
                signal.total = float(series.values[good])
        if series.total is not None and series.covered is not None:
            signal.total = float(series.total[place])
            signal.covered = int(series.covered[place])

    def spoken_until(self, signal: Signal) -> int:
        series = self._series[signal]
        return int(series.stretch[self._place(series)])

    def _place(self, series: _Track) -> int:
        side = "right" if series.rank <= self._rank else "left"
        return int(series.times.searchsorted(self._moment, side)) - 1  # type: ignore[call-overload]  # side is a word


def find(engine: RuleEngine, memory: Memory, columns: Columns, until: int | None = None) -> Iterator[list[Finding]]:
    """Findings of ``columns`` in order, in a fresh ``memory``; readings after ``until`` (ms) are left out."""
    history = ColumnHistory()
    memory.history = history
    times: list[Ints] = []
    keys: list[tuple[Track, Signal | None, _Track | None]] = []
    devices = sorted({device for device, _ in columns} & set(memory.tracks))
    last = 0
    for rank, device in enumerate(devices):
        track = memory.tracks[device]
        own = {q: cut_off(columns[(d, q)], until) for d, q in columns if d == device}
        own = {quantity: series for quantity, series in own.items() if len(series.times)}
        if not own:
            continue
        last = max(last, max(int(series.times[-1]) for series in own.values()))
        # The first word of a device counts even when no rule asks for it: it starts time, and shows what it tells.
        times.append(np.array([min(series.times[0] for series in own.values())]))
        keys.append((track, None, None))
        for signal, ready in _prepare(track, own, rank):
            history.add(signal, ready)
            times.append(ready.times[ready.events])
            keys.append((track, signal, ready))
    if keys:
        yield from _feed(memory, history, times, keys)
        history.set_now(last, len(devices))
        if last > memory.now:
            memory.advance(last)
        yield _taken(memory)
        history.set_now(last, len(devices))


def cut_off(series: Series, until: int | None) -> Series:
    """Without what comes before the year 2000 or after ``until``."""
    first = int(np.searchsorted(series.times, EARLIEST))
    end = len(series.times) if until is None else int(np.searchsorted(series.times, until, "right"))
    return Series(series.times[first:end], series.values[first:end])


def _taken(memory: Memory) -> list[Finding]:
    found, memory.findings = memory.findings, []
    return found


def _feed(
    memory: Memory,
    history: ColumnHistory,
    times: list[Ints],
    keys: list[tuple[Track, Signal | None, _Track | None]],
) -> Iterator[list[Finding]]:
    """The events of all signals, merged by time and device; those of one device and instant together."""
    at = np.concatenate(times)
    lengths = [len(part) for part in times]
    key = np.repeat(np.arange(len(keys)), lengths)  # keys run by device, so they sort as devices do
    number = np.concatenate([np.arange(length) for length in lengths])
    order = np.lexsort((key, at))
    group: list[tuple[Signal, _Track, int]] = []
    here: tuple[int, Track] | None = None
    for moment, which, place in zip(at[order].tolist(), key[order].tolist(), number[order].tolist(), strict=True):
        track, signal, series = keys[which]
        if here is not None and (here[0] != moment or here[1] is not track):
            _apply(memory, history, here, group)
            if memory.findings:
                yield _taken(memory)
            group = []
        here = (moment, track)
        if signal is not None and series is not None:
            group.append((signal, series, int(series.events[place])))
    if here is not None:
        _apply(memory, history, here, group)


def _apply(
    memory: Memory, history: ColumnHistory, here: tuple[int, Track], group: list[tuple[Signal, _Track, int]]
) -> None:
    moment, track = here
    if moment > memory.now:
        if memory.now < EARLIEST:
            memory.begin(moment)
        memory.advance(moment)
    changed = []
    if group:
        history.set_now(moment, group[0][1].rank)
    for signal, series, place in group:
        history.bring(signal, series, place - 1)
        value = float(series.values[place])
        if memory.take(signal, word_of(signal.quantity, value), moment, True):
            changed.append(signal)
    if moment > track.said:
        track.said = moment
    if changed:
        spread(memory, track, changed, moment)


def _prepare(track: Track, own: dict[str, Series], rank: int) -> Iterator[tuple[Signal, _Track]]:
    """Every signal of a device with the places of its events, stretches and integrals."""
    silences = _silences(track, own)
    said = np.unique(np.concatenate([series.times for series in own.values()])) if track.on_change else None
    for quantity, series in own.items():
        signal = track.signals.get(quantity)
        if signal is not None:
            yield signal, _ready(signal, series, said, silences, rank)


def _silences(track: Track, own: dict[str, Series]) -> Ints:
    """Instants at which the device is told to be offline."""
    online = own.get("online")
    if online is None:
        return np.empty(0, np.int64)
    return online.times[online.values < 0.5]


def _ready(signal: Signal, series: Series, said: Ints | None, silences: Ints, rank: int) -> _Track:
    times, values = series
    stale = signal.stale_after
    count = len(times)
    entry = QUANTITIES[signal.quantity]
    sound = np.ones(count, bool) if entry.nature is Nature.WORD else (values >= entry.low) & (values <= entry.high)
    gap = np.diff(times)
    fresh_start = np.zeros(count, bool)  # readings before which the signal was unknown for its age
    if said is None:
        fresh_start[1:] = gap >= stale
        ends = _stretch_ends(times, fresh_start)
    else:
        breaks = np.flatnonzero(np.diff(said) >= stale)
        nth = np.searchsorted(said[breaks], times, "left")  # how many of the device's silences lie before each reading
        fresh_start[1:] = nth[1:] != nth[:-1]
        ends = np.append(said[breaks], said[-1])[nth]
    silenced = np.searchsorted(times, silences, "right")
    silenced = silenced[silenced < count]
    fresh_start[silenced] = True
    event = fresh_start | _changes(signal, values, sound)
    event[0] = True
    good = np.arange(count)
    if not sound.all():
        good = np.maximum.accumulate(np.where(sound, good, -1))
        event[1:] |= sound[1:] & ~sound[:-1]
    total = covered = None
    if signal.summed and signal.summed != COUNTER:
        broken = fresh_start[1:] | (gap >= stale) | ~sound[1:] | ~sound[:-1]
        mean = values[:-1] if signal.summed == HELD else (values[:-1] + values[1:]) * 0.5
        counted = np.where(broken, 0, gap)
        with np.errstate(invalid="ignore"):
            total = np.concatenate(([0.0], np.cumsum(np.where(broken, 0.0, mean * gap))))
        covered = np.concatenate(([0], np.cumsum(counted)))
    return _Track(times, values, good, total, covered, ends, np.flatnonzero(event), rank)


def _stretch_ends(times: Ints, starts: Flags) -> Ints:
    """For each reading, the instant of the last one before the next start."""
    borders = np.flatnonzero(starts)
    nth: Ints = np.cumsum(starts, dtype=np.int64)
    lasts = np.append(times[borders - 1], times[-1]) if len(borders) else times[-1:]
    if len(borders) and borders[0] == 0:
        nth, lasts = nth - 1, lasts[1:]
    result: Ints = lasts[nth]
    return result


def _changes(signal: Signal, values: Floats, sound: Flags) -> Flags:
    """Readings whose class differs from the one before; a counter's falls; every change where each counts."""
    changed = np.zeros(len(values), bool)
    if signal.each or QUANTITIES[signal.quantity].nature is Nature.WORD:
        changed[1:] = values[1:] != values[:-1]
    elif signal.summed == COUNTER:
        changed[1:] = values[1:] < values[:-1]
    else:
        cuts = signal.cuts()
        if len(cuts) == 1:
            changed[1:] = np.diff(values >= cuts[0])
        elif cuts:
            changed[1:] = np.diff(np.searchsorted(np.array(cuts), values, "right")) != 0
    changed[1:] |= sound[1:] != sound[:-1]
    return changed
