"""The rule engine: readings in, findings out; pure, with event time as an argument.

One engine serves live running, replay, tests and a worker that owns some zones. It opens nothing and asks no clock:
time is what the readings and ``tick`` say. All that it remembers is in a ``Memory`` that can be saved and restored.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import Final

from building.instants import EARLIEST
from building.readings import GOOD, Reading
from building.site import MINUTE, Site
from rules.bench import Bench
from rules.catalogue.page import Rule
from rules.catalogue.settings import RuleSettings, read_settings
from rules.cells import TRAPEZIUM, Signal, Track
from rules.condition import Condition, Values
from rules.findings import Finding, Used
from rules.memory import Memory
from rules.metering import Meter
from rules.saving import dump, load
from rules.shifting import calendar, shift
from rules.watching import Subject, Watch

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
            if settings.rule.of_department is not None:
                self._watch_departments(bench, memory, settings)
                continue
            for device in bench.devices:
                values = settings.for_device(device) if settings.rule.applies(device) else None
                condition = settings.rule.wire(bench, device, values) if values is not None else None
                if condition is not None and values is not None:
                    meter = bench.meter(device) if settings.rule.wasted is not None else None
                    _watch(memory, settings.rule, Subject(device.id, device.zone), values, condition, meter)
        return memory

    def _watch_departments(self, bench: Bench, memory: Memory, settings: RuleSettings) -> None:
        """Only where all devices are at hand: a worker that owns some zones does not know a department's sum."""
        if self._zones is not None or not settings.enabled or settings.rule.of_department is None:
            return
        for department in self.site.departments:
            if department.id not in settings.excepted:
                condition = settings.rule.of_department(bench, department, settings.values)
                if condition is not None:
                    _watch(memory, settings.rule, Subject(department.id), settings.values, condition, None)

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
        if memory.now >= EARLIEST and moment >= memory.now:
            memory.advance(moment)
        found, memory.findings = memory.findings, []
        return found

    def flush(self, memory: Memory) -> list[Finding]:
        """Take what was held back for ``lateness``: the readings have come to their end."""
        _take(memory, self._release(memory, None))
        if memory.now >= EARLIEST:
            memory.advance(memory.now)
        found, memory.findings = memory.findings, []
        return found

    def waste_so_far(self, memory: Memory, rule: str, device: str, now: int) -> Used | None:
        """Waste of the rule's condition now running on ``device``; None when none runs."""
        watch = memory.watches.get((rule, device))
        if watch is None or watch.phase == "quiet":
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

    def shifted(self, memory: Memory, by: int) -> Memory:
        """``memory`` after the clock was set by ``by`` ms: what runs runs on, at the hour that it is now.

        Readings still held back for ``lateness`` are judged first, by the old clock; give ``memory`` up.
        """
        _take(memory, self._release(memory, None))
        before = calendar(memory)
        shift(memory, by)
        after = self.restore(self.save(memory))
        after.findings = memory.findings
        for (_, stood), (cell, stands) in zip(before, calendar(after), strict=True):
            if stands != stood:
                cell.tell(after.now)
        return after

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


def _watch(
    memory: Memory, rule: Rule, subject: Subject, values: Values, condition: Condition, meter: Meter | None
) -> None:
    """Hang a watch on the cells its condition looks at."""
    watch = Watch(memory, rule.name, rule.wasted, subject, values, condition, meter)
    memory.watches[(rule.name, subject.id)] = watch
    for cell in dict.fromkeys(condition.inputs):
        cell.listeners.append(watch)


def _take(memory: Memory, readings: Iterable[Reading]) -> None:
    """The hot loop. A reading of a steady device, all of it inside its bands, changes nothing but the device's track.

    Long for its speed: every call left out here is a tenth of the rate.
    """
    known, heap = memory.known, memory.heap
    for device, at, values, quality in readings:
        if at > memory.now:
            if heap and heap[0][0] <= at:
                memory.advance(at)
            elif memory.now < EARLIEST:
                if device not in memory.tracks:
                    continue
                memory.begin(at)
            memory.now = at
        track = known.get(device)
        if track is None:
            track = memory.tracks.get(device)
            if track is None:
                continue
            known[device] = track
        if len(values) == track.count and quality is GOOD and at > track.said:
            try:
                for quantity, low, high in track.bands:
                    if not low <= (value := values[quantity]) < high:
                        break
                else:
                    last = track.values
                    for quantity, high in track.rising:
                        if not last[quantity] <= values[quantity] < high:  # type: ignore[operator]  # counters are numbers
                            break
                    else:
                        if track.summed:  # the last of the bands, a number
                            if track.summed == TRAPEZIUM:
                                track.total += (track.number + value) * 0.5 * (at - track.said)
                            else:
                                track.total += track.number * (at - track.said)
                            track.number = value
                        track.values = values
                        track.said = at
                        continue
            except (KeyError, TypeError):  # another quantity, or text where a number is expected
                pass
        if at >= EARLIEST:
            changed = memory.attend(track, at, values, quality)
            if changed or (heap and heap[0][0] <= memory.now):
                spread(memory, track, changed, at)


def spread(memory: Memory, track: Track, changed: list[Signal], at: int) -> None:
    """Tell who listens, once all values of the reading are in; then let come due what that made due."""
    online = track.signals["online"]
    if online in changed and not online.unknown and online.number < 0.5:
        track.silence(at)
    for cell in dict.fromkeys(listener for signal in changed for listener in signal.listeners):
        cell.hear(at)
    if memory.heap and memory.heap[0][0] <= memory.now:
        memory.advance(memory.now)
