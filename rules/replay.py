"""History through the same engine: readings from a file, alerts out, as live running would have raised them."""

from __future__ import annotations

import gc
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from operator import attrgetter
from typing import Final, NamedTuple

import msgspec

from building.instants import EARLIEST
from building.readings import Reading
from building.site import Site
from rules.alerts import Alert, Scribe
from rules.columns import find
from rules.engine import RuleEngine
from rules.findings import Finding
from rules.memory import Memory
from rules.readings_file import Columns, Stretches, between, open_readings, read_readings
from rules.topology import SILENT

__all__ = ["InOrder", "Replayed", "as_lines", "open_readings", "read_readings", "replay"]

_BATCH: Final = 5_000
_TAKEN: Final = attrgetter("taken_at")
_BY_TIME: Final = attrgetter("taken_at", "device")

Progress = Callable[[int, int], None]
"""Called with how much is done and how much there is: readings, or values of columns."""


class Replayed(NamedTuple):
    """What a replay brought: one alert per stretch of waste in its final state, and how much went in."""

    alerts: list[Alert]
    readings: int  # taken; of columns, values
    first: int | None  # ms, instant of the first reading taken
    last: int | None
    skipped: int  # readings from before 2000, or from the future


class InOrder(NamedTuple):
    """Readings that come in order of time, as a store gives them, and between which instants (ms): however many there
    are, they never lie in memory all at once."""

    readings: Iterable[Reading]
    first: int
    last: int


def replay(
    site: Site,
    source: Columns | Stretches | InOrder | Iterable[Reading],
    *,
    now: int | None = None,
    progress: Progress | None = None,
) -> Replayed:
    """Run readings through the rules of ``site``: columns from ``read_readings`` or ``open_readings``, or readings
    singly, in any order unless they are ``InOrder``.

    Time ends with the last reading: what was still wasting then has ``ended`` None. ``now`` (ms) leaves out readings
    from the future, unless all of them lie there, as simulated ones may. All kinds of source give the same alerts.
    """
    if isinstance(source, Stretches):
        return _replay_columns(site, source, now, progress, source.values)
    if isinstance(source, Mapping):
        return _replay_columns(site, [source], now, progress, None)
    if isinstance(source, InOrder):
        return _replay_singly(site, source.readings, now, progress, source.first, source.last)
    every = sorted(source, key=_BY_TIME)
    if not every:
        return Replayed([], 0, None, None, 0)
    return _replay_singly(site, every, now, progress, every[0].taken_at, every[-1].taken_at)


def _replay_singly(
    site: Site, readings: Iterable[Reading], now: int | None, progress: Progress | None, begin: int, end: int
) -> Replayed:
    engine = RuleEngine(site)
    memory = engine.new_memory()
    log = _Log(site)
    begin = max(begin, EARLIEST)
    first, last, seen, taken = None, 0, 0, 0
    for batch in _batches(readings):
        seen += len(batch)
        kept = [reading for reading in batch if reading.taken_at >= EARLIEST]
        if first is None and kept:
            first = kept[0].taken_at
        if now is not None and first is not None and first <= now:
            kept = [reading for reading in kept if reading.taken_at <= now]
        if kept:
            last = kept[-1].taken_at
            taken += len(kept)
            log.take(engine.step(memory, kept))
        if progress is not None:
            progress(seen, round(seen * (end - begin + 1) / max(batch[-1].taken_at - begin + 1, 1)))
    if first is None:
        return Replayed([], 0, None, None, seen)
    log.take(engine.tick(memory, last))
    return Replayed(log.closed(engine, memory, last), taken, first, last, seen - taken)


def _batches(readings: Iterable[Reading]) -> Iterator[list[Reading]]:
    """Some at a time, by time and device; those of one instant together."""
    coming = iter(readings)
    rest: list[Reading] = []
    while new := list(islice(coming, _BATCH)):
        rest += new
        end = bisect_left(rest, rest[-1].taken_at, key=_TAKEN)
        if end:
            yield sorted(rest[:end], key=_BY_TIME)
            rest = rest[end:]
    if rest:
        yield sorted(rest, key=_BY_TIME)


class _Log:
    """Every stretch of waste: its alert once it is over, till then the last finding."""

    def __init__(self, site: Site) -> None:
        self._scribe = Scribe(site)
        self._open: dict[tuple[str, str, int], Finding] = {}
        self._over: dict[tuple[str, str], dict[int, Alert]] = {}

    def take(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            key = (finding.rule, finding.device, finding.since)
            over = self._over.setdefault(key[:2], {})
            if finding.state == "raised" or finding.rule == SILENT:
                over.pop(finding.since, None)
                self._open[key] = finding
            else:
                self._open.pop(key, None)
                over[finding.since] = self._scribe.alert(finding)

    def closed(self, engine: RuleEngine, memory: Memory, last: int) -> list[Alert]:
        """Alerts in order; those still open with their waste up to ``last``.

        A device of which the source holds nothing at all is not silent: it was left out.
        """
        alerts = [alert for over in self._over.values() for alert in over.values()]
        self._over.clear()
        for (rule, device, _), finding in self._open.items():
            if rule == SILENT and not any(signal.spoken for signal in memory.tracks[device].signals.values()):
                continue
            if finding.state == "raised":
                used = engine.waste_so_far(memory, rule, device, last)
                finding = finding if used is None else finding._replace(used=used, at=last)
            alerts.append(self._scribe.alert(finding))
        return sorted(alerts, key=lambda alert: (alert.raised, alert.rule, alert.device))


def _replay_columns(
    site: Site, stretches: Iterable[Columns], now: int | None, progress: Progress | None, total: int | None
) -> Replayed:
    with _no_search_for_circles():
        return _replayed(site, stretches, now, progress, total)


@contextmanager
def _no_search_for_circles() -> Iterator[None]:
    """Columns come and go without circular references; looking for some among all alerts would cost a sixth more."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            if not gc.get_freeze_count():  # what came meanwhile has grown old: else all of it is searched at once
                gc.freeze()
                gc.unfreeze()
            gc.enable()


def _replayed(
    site: Site, stretches: Iterable[Columns], now: int | None, progress: Progress | None, total: int | None
) -> Replayed:
    engine = RuleEngine(site)
    memory = engine.new_memory()
    log = _Log(site)
    first, last, seen, taken = None, 0, 0, 0
    for columns in stretches:
        seen += _count(columns)
        sensible = _cut(columns, None)
        if not sensible:
            continue
        if first is None:
            first = min(int(series.times[0]) for series in sensible.values())
        if now is not None and first <= now:
            sensible = _cut(sensible, now)
            if not sensible:
                continue
        before, last = last or first, max(int(series.times[-1]) for series in sensible.values())
        new = _count(sensible)
        for findings in find(memory, sensible, ends_only=True):
            log.take(findings)
            if progress is not None:
                share = (memory.now - before) / max(last - before, 1)
                progress(taken + round(new * min(share, 1.0)), max(total or 0, seen))
        taken += new
        del columns, sensible  # they need not last while the next ones are read
    if first is None:
        return Replayed([], 0, None, None, seen)
    return Replayed(log.closed(engine, memory, last), taken, first, last, seen - taken)


def _count(columns: Columns) -> int:
    return sum(len(series.times) for series in columns.values())


def _cut(columns: Columns, until: int | None) -> Columns:
    """Without what comes before the year 2000 or after ``until``."""
    return between(columns, EARLIEST, None if until is None else until + 1)


def as_lines(alerts: Iterable[Alert]) -> Iterator[bytes]:
    """One JSON object per line."""
    for alert in alerts:
        yield msgspec.json.encode(alert.to_json()) + b"\n"
