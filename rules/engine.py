"""The rule engine: readings in, findings out; pure, with event time as an argument.

One engine serves live running, replay, tests and a worker that owns some zones. It opens nothing and asks no clock:
time is what the readings and ``tick`` say. All that it remembers is in a ``Memory`` that can be saved and restored.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import Final

from building.instants import EARLIEST
from building.readings import GOOD, Grade, Reading
from building.site import MINUTE, Site
from rules.bench import Bench
from rules.catalogue.settings import RuleSettings, read_settings
from rules.cells import COUNTER, Finding, Memory, Signal, Track, Watch
from rules.metering import Used
from rules.saving import dump, load

__all__ = ["Finding", "Memory", "RuleEngine", "Used"]

_AHEAD: Final = 5 * MINUTE  # how far a device's clock may be ahead of ours before its readings are not believed


class RuleEngine:
    """The rules of one site.

    ``lateness`` ms: how late readings may come and still be put in order; findings wait as long. ``zones``: only the
    devices of these zones (a worker's share; "" for those without zone), else all.
    """

    def __init__(self, site: Site, *, lateness: int = 0, zones: Iterable[str] | None = None) -> None:
        self.site = site
        self.lateness = lateness
        self._zones = None if zones is None else frozenset(zones)
        self._settings: list[RuleSettings] = read_settings(site)

    def new_memory(self) -> Memory:
        """A memory that knows nothing yet."""
        memory = Memory()
        bench = Bench(self.site, memory, self._zones)
        for settings in self._settings:
            for device in bench.devices:
                values = settings.for_device(device) if settings.rule.applies(device) else None
                if values is None:
                    continue
                condition = settings.rule.wire(bench, device, values)
                memory.limits.append(dict(values))
                place = len(memory.limits) - 1
                watch = Watch(
                    memory, settings.rule, device, int(values["after"]), condition, bench.meter(device), place
                )
                memory.watches[(settings.rule.name, device.id)] = watch
                for cell in dict.fromkeys(condition.inputs):
                    cell.listeners.append(watch)
        return memory

    def step(self, memory: Memory, readings: Sequence[Reading], now: int | None = None) -> list[Finding]:
        """Take ``readings``; return what they and the time that passed up to them brought about.

        A reading from before 2000 is left out, as is one from the future where ``now`` is given. One that a later
        reading of the same quantity has overtaken, beyond ``lateness``, is left out too.
        """
        if now is not None:
            latest = now + self.lateness + _AHEAD
            readings = [reading for reading in readings if reading.taken_at <= latest]
        if self.lateness:
            readings = self._in_order(memory, readings)
        _take(memory, readings)
        found, memory.findings = memory.findings, []
        return found

    def tick(self, memory: Memory, now: int) -> list[Finding]:
        """Time has come to ``now`` (ms), readings or not: what fell due since. Before any reading, nothing does."""
        moment = now - self.lateness
        if memory.late:
            _take(memory, self._release(memory, moment))
        if memory.now >= EARLIEST and moment > memory.now:
            memory.advance(moment)
        found, memory.findings = memory.findings, []
        return found

    def flush(self, memory: Memory) -> list[Finding]:
        """Take what was held back for ``lateness``: the readings have come to their end."""
        _take(memory, self._release(memory, None))
        found, memory.findings = memory.findings, []
        return found

    def waste_so_far(self, memory: Memory, rule: str, device: str, now: int) -> Used | None:
        """Waste of the rule's condition now running on ``device``; None when none runs."""
        watch = memory.watches.get((rule, device))
        if watch is None or not watch.mark:
            return None
        return watch.used(now)

    def save(self, memory: Memory) -> bytes:
        """``memory`` as bytes for ``restore``, also by a later version of the site's file."""
        return dump(memory)

    def restore(self, saved: bytes) -> Memory:
        """The memory as it was saved. What the site no longer has is forgotten. Raises InputError on bytes not ours."""
        memory = self.new_memory()
        load(memory, saved)
        return memory

    def _in_order(self, memory: Memory, readings: Sequence[Reading]) -> list[Reading]:
        newest = memory.now
        for reading in readings:
            if reading.taken_at >= EARLIEST:
                heapq.heappush(memory.late, (reading.taken_at, reading.device, memory.numbered(), reading))
                newest = max(newest, reading.taken_at - self.lateness)
        return self._release(memory, newest)

    def _release(self, memory: Memory, until: int | None) -> list[Reading]:
        ready = []
        while memory.late and (until is None or memory.late[0][0] <= until):
            ready.append(heapq.heappop(memory.late)[3])
        return ready


def _take(memory: Memory, readings: Iterable[Reading]) -> None:
    """The hot loop. A value inside its signal's interval changes nothing but the signal itself.

    Long for its speed: every call left out here is a tenth of the rate.
    """
    known, heap = memory.known, memory.heap
    for reading in readings:
        device, at, values, quality = reading
        signals = known.get(device)
        if signals is None:
            if at < EARLIEST or device not in memory.tracks:
                continue
            signals = memory.tracks[device].signals
        elif at < EARLIEST:
            continue
        if at > memory.now:
            if heap and heap[0][0] <= at:
                memory.advance(at)
            elif memory.now < EARLIEST:
                memory.begin(at)
            memory.now = at
        if quality is not GOOD:
            _take_with_care(memory, memory.tracks[device], reading)
            continue
        changed: list[Signal] | None = None
        try:
            for quantity in values:
                if quantity not in signals:
                    continue
                value = values[quantity]
                signal = signals[quantity]
                heard = signal.heard
                if signal.low <= value < signal.high and at > heard:
                    summed = signal.summed
                    if summed:
                        if summed == 1:  # TRAPEZIUM; the commonest, so not left to add()
                            gap = at - heard
                            if gap < signal.stale_after:
                                signal.total += (signal.value + value) * 0.5 * gap  # type: ignore[operator]  # numbers
                                signal.covered += gap
                        elif summed == COUNTER:
                            signal.low = signal.total = value  # type: ignore[assignment]  # counters hold numbers
                        else:
                            signal.add(value, at)  # type: ignore[arg-type]  # summed signals hold numbers
                    signal.value = value
                    signal.heard = at
                elif memory.take(signal, value, at, True):
                    if changed is None:
                        changed = [signal]
                    else:
                        changed.append(signal)
        except TypeError:  # text where a number is expected, or the other way round
            _take_with_care(memory, memory.tracks[device], reading)
            continue
        if device not in known:
            memory.hear(memory.tracks[device], at)
        if changed is not None:
            spread(memory, memory.tracks[device], changed, at)


def _take_with_care(memory: Memory, track: Track, reading: Reading) -> None:
    """A reading with flaws: what is not good is unknown. One without values (no answer) changes nothing by itself."""
    changed = []
    for quantity in {**reading.values, **reading.quality.flaws}:
        signal = track.signals.get(quantity)
        if signal is not None:
            good = quantity in reading.values and reading.quality.of(quantity) is Grade.GOOD
            if memory.take(signal, reading.values.get(quantity, 0.0), reading.taken_at, good):
                changed.append(signal)
    if reading.values:
        memory.hear(track, reading.taken_at)
    spread(memory, track, changed, reading.taken_at)


def spread(memory: Memory, track: Track, changed: list[Signal], at: int) -> None:
    """Tell who listens, once all values of the reading are in; then let come due what that made due."""
    online = track.signals["online"]
    if online in changed and not online.unknown and online.number < 0.5:
        track.silence(at)
    for cell in dict.fromkeys(listener for signal in changed for listener in signal.listeners):
        cell.hear(at)
    if memory.heap and memory.heap[0][0] <= memory.now:
        memory.advance(memory.now)
