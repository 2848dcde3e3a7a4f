"""The accounting: from counter readings in the store to intervals, journal and points; late readings mend what was.

Each counter is followed reading by reading, and what it books goes into the ledger's slots. Once a day a mark is set
from which the same can be done again, so that a reading that comes late, an exchange told afterwards, or a wish to have
all of it computed anew leads to exactly what would have come of it in time. Readings are read from the store, whichever
it is; what people tell by hand lies in the keeper, so that another process can tell it while this one works.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

from building.errors import ConfigError
from building.instants import EARLIEST, from_iso, to_iso
from building.readings import Reading
from building.site import Device, Site
from collector.counters import Counter, CounterTracker, Event, Memory, Step
from collector.intervals import DAY, PERIODS, SLOTS_A_DAY, SlotBook
from collector.metering import Place, counted_quantity, counter_of, counts_short, places_of
from collector.profiles import Profile, load_profile
from collector.storing.keeper import Keeper
from collector.storing.ledger import Ledger, Mark, Progress
from collector.storing.packing import StoredPoint
from collector.summing import POWER, SWITCH, TOLD, interval_point, intervals

READINGS, AMOUNTS, EXCHANGES, ANEW = "meter_readings", "meter_amounts", "meter_exchanges", "meter_anew"
"""Tables of the keeper in which people tell register readings, amounts over a time, exchanges, and what to compute
anew; ``JOURNAL`` is the one in which the accounting tells what happened to counters."""
JOURNAL: Final = "journal"

_READ_AT_ONCE: Final = 7 * DAY  # ms of readings in memory
_OLDEST_POINTS: Final = 62 * DAY  # ms; so far back intervals are published at once, what is older in portions
_PORTION: Final = 7 * DAY  # ms of older intervals published in one go
_OLDER, _OLDER_TO = "older ", "older to"
"""Notes of the ledger: from when on each place has older intervals to be published, and up to when."""

_POINTS_AT_ONCE: Final = 5_000
_FRESH: Final = Memory()
_NO_WHEN: Final = 1 << 62

Publish = Callable[[Sequence[StoredPoint]], None]


class RawReadings(Protocol):
    """A store that can be asked for one series."""

    def read(self, device: str, quantity: str, start: int, end: int) -> tuple[Any, Any]: ...
    def first(self, device: str, quantity: str, start: int) -> int | None: ...


class _Entry(NamedTuple):
    """A reading, an exchange (``new`` is set) or a change of ratio (``value`` None), in order of ``at``."""

    at: int
    value: float | None
    new: float | None = None


class Accountant:
    """Accounts the meters of ``site`` into ``ledger``. Call ``run`` whenever intervals shall be up to date."""

    def __init__(
        self,
        site: Site,
        store: RawReadings,
        ledger: Ledger,
        keeper: Keeper,
        *,
        profiles_folder: Path | None = None,
    ) -> None:
        self._site = site
        self._store = store
        self._ledger = ledger
        self._keeper = keeper
        self._places = places_of(site)
        self._counters = {
            device.id: counter_of(device, _profile(device, profiles_folder))
            for device in site.devices
            if device.kind != "sensor"
        }
        newest = keeper.newest()
        for table in _TABLES:
            if (ledger.noted(table) or 0) > newest:  # the keeper was begun anew, and counts from one again
                ledger.forget_note(table)
        self._numbers = ledger.series()
        self._looked: dict[tuple[str, str], int] = {}  # series that are not there: up to when they were looked for
        self._until: dict[str, int] = {}  # what of each device is older than this comes late
        for (device_id, _), number in self._numbers.items():
            if progress := ledger.progress(number):
                self._until[device_id] = max(progress.until, self._until.get(device_id, 0))
        noted = {device: ledger.noted(f"late {device}") for device in self._counters}
        self._late = {device: at for device, at in noted.items() if at is not None}
        self._guard = threading.Lock()

    def note(self, readings: Sequence[Reading]) -> None:
        """Readings that the store has just taken; remembers, on disk, that some are older than what is accounted."""
        until = self._until.get
        late = [one for one in readings if one.taken_at <= until(one.device, 0)]
        with self._guard:
            for device, at, _, _ in late:
                if at < self._late.get(device, _NO_WHEN):
                    self._late[device] = at
                    self._ledger.note(f"late {device}", at)

    def told(self) -> bool:
        """Whether people have told something that is not accounted yet."""
        return any(self._keeper.newer(table, self._ledger.noted(table) or 0) for table in _TABLES)

    def run(self, now: int, publish: Publish | None = None) -> None:
        """Account everything up to ``now``; ``publish`` gets the points of all intervals that are new or have changed,
        but for those of long ago, which ``publish_older`` gives bit by bit.

        Raises StoreAway or StoreRefused when the store cannot be asked; the next run then goes on.
        """
        before = self._ledger.noted("until") or 0
        anew, seen, late = self._take_told()
        changed: dict[str, int] = {}
        for device_id in self._counters:
            edge = self._account(self._site.device[device_id], now, anew.get(device_id))
            if edge is not None:
                changed[device_id] = edge
        if publish is not None:
            _publish(self._points(changed, before, now), publish)
        for table, number in seen.items():
            self._ledger.note(table, number)
        self._forget_late(late)
        self._ledger.note("until", now)

    # -- what people told ---------------------------------------------------------------------------------------------

    def _take_told(self) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
        """From which instant each device must be accounted again, the last record seen of each table, and which late
        readings that covers."""
        seen: dict[str, int] = {}
        with self._guard:
            late = dict(self._late)
        anew = dict(late)
        for table in _TABLES:
            for number, record in self._keeper.newer(table, self._ledger.noted(table) or 0):
                seen[table] = number
                at = int(record["start" if table == AMOUNTS else "at"])
                for device in [str(record["device"])] if record["device"] else self._counters:
                    anew[device] = min(at, anew.get(device, at))
        self._check_ratios(anew)
        return anew, seen, late

    def _forget_late(self, late: Mapping[str, int]) -> None:
        """Late readings that this run has covered; one that came meanwhile and is later still stays."""
        with self._guard:
            for device, at in late.items():
                if self._late.get(device, at) >= at:
                    self._late.pop(device, None)
                    self._ledger.forget_note(f"late {device}")

    def _check_ratios(self, anew: dict[str, int]) -> None:
        """Transformer ratios that were changed in devices.yaml: counting begins anew where the first reading after the
        change lies, and the journal says so."""
        for device_id in self._counters:
            device = self._site.device[device_id]
            signature = f"{device.ct_ratio:g} x {device.vt_ratio:g}"
            name = f"ratio of {device_id}"
            known = self._keeper.load(name)
            if known is not None and known.decode() != signature and device_id in self._until:
                at = self._until[device_id] + 1
                record = {"device": device_id, "at": at, "old": None, "new": None}
                self._keeper.append(EXCHANGES, at, device_id, record)
                told = {"event": "ratio_change", "before": known.decode(), "after": signature}
                self._tell(device, at, told)
                anew[device_id] = min(at, anew.get(device_id, at))
            if known is None or known.decode() != signature:
                self._keeper.save(name, signature.encode())

    def _tell(self, device: Device, at: int, told: Mapping[str, object]) -> None:
        moment = to_iso(at, self._site.site.tz)
        self._keeper.append(JOURNAL, at, device.id, {"device": device.id, "at": moment, **told})

    # -- one device ---------------------------------------------------------------------------------------------------

    def _account(self, device: Device, now: int, anew: int | None) -> int | None:
        """Bring ``device`` up to ``now``; from where on its slots have changed, None for not at all."""
        edges = [self._book_told(device)] if anew is not None else []
        quantity = counted_quantity(device)
        edges.append(self._follow(device, quantity, now, anew))
        if quantity == "energy_import" and (device.id, quantity) not in self._numbers:
            edges.append(self._follow(device, POWER, now, anew))
            if (device.id, POWER) not in self._numbers and device.rated_power:
                edges.append(self._follow(device, SWITCH, now, anew))
        return min((edge for edge in edges if edge is not None), default=None)

    def _follow(self, device: Device, quantity: str, now: int, anew: int | None) -> int | None:
        """Follow one series from where it was left, or from the mark before ``anew``, to ``now``."""
        number = self._numbers.get((device.id, quantity))
        progress = self._ledger.progress(number) if number is not None else None
        follower = _Follower(device, quantity, self._counters[device.id])
        back_to: int | None = None
        if number is not None and progress is not None:
            if anew is not None and anew <= progress.until:
                mark = self._ledger.mark_before(number, anew)
                back_to = mark.at + 1 if mark else 0
                follower.begin_at(mark, self._ledger.book(number, mark.at // DAY if mark else 0))
            else:
                follower.go_on(progress, self._ledger.book(number, _edge_of(progress) // DAY))
        found = False
        for entries in self._entries(device, quantity, follower.until + 1, now + 1, anew):
            found = True
            follower.take(entries)
        self._until[device.id] = max(follower.until, self._until.get(device.id, 0))
        if not found and back_to is None:
            return None
        if number is None:
            number = self._numbers[device.id, quantity] = self._ledger.number(device.id, quantity)
        self._journal(device, quantity, follower.events, back_to)
        self._ledger.save(number, follower.book, follower.progress, follower.marks, back_to)
        return follower.changed_from

    def _entries(self, device: Device, quantity: str, start: int, end: int, anew: int | None) -> Iterator[list[_Entry]]:
        """Readings of the store and of people, and exchanges, a week or so at a time, in order."""
        told = list(self._told_entries(device, quantity))
        series = (device.id, quantity)
        if start < EARLIEST:
            looked = EARLIEST if series in self._numbers else self._looked.get(series, EARLIEST)
            start = self._first(device, quantity, told, looked if anew is None else min(looked, anew), end)
            self._looked[series] = end
            self._until[device.id] = max(end - 1, self._until.get(device.id, 0))
        while start < end:
            stop = min(end, start + _READ_AT_ONCE)
            times, values = self._store.read(device.id, quantity, start, stop)
            entries = [_Entry(at, value) for at, value in zip(times.tolist(), values.tolist(), strict=True)]
            entries += [entry for entry in told if start <= entry.at < stop]
            if entries:
                entries.sort(key=_at)
                yield entries
            start = stop

    def _first(self, device: Device, quantity: str, told: Sequence[_Entry], start: int, end: int) -> int:
        """Where a series begins, at ``start`` or later; ``end`` where nothing is."""
        stored = self._store.first(device.id, quantity, max(start, EARLIEST))
        return min([entry.at for entry in told] + [end if stored is None else stored])

    def _told_entries(self, device: Device, quantity: str) -> Iterator[_Entry]:
        if quantity != counted_quantity(device):
            return
        for record in self._keeper.records(READINGS, key=device.id):
            yield _Entry(int(record["at"]), float(record["value"]))
        for record in self._keeper.records(EXCHANGES, key=device.id):
            old, new = record["old"], record["new"]
            yield _Entry(int(record["at"]), old, new) if new is not None else _Entry(int(record["at"]), None)

    def _book_told(self, device: Device) -> int | None:
        """Book what people told as amounts over a time; of two that begin together the later told counts."""
        amounts = {int(one["start"]): one for one in self._keeper.records(AMOUNTS, key=device.id)}
        if not amounts:
            return None
        number = self._numbers[device.id, TOLD] = self._ledger.number(device.id, TOLD)
        before = self._ledger.book(number, 0)
        book = SlotBook()
        for start, record in sorted(amounts.items()):
            book.book(start, int(record["end"]), float(record["amount"]))
        for day in before.days:
            if day not in book.days:
                book.days[day] = np.zeros((4, SLOTS_A_DAY))
        book.touched.update(book.days)
        until = max(int(record["end"]) for record in amounts.values())
        self._ledger.save(number, book, Progress(until, []), [])
        return min(amounts)

    # -- journal ------------------------------------------------------------------------------------------------------

    def _journal(self, device: Device, quantity: str, steps: Sequence[Step], back_to: int | None) -> None:
        """Tell what happened to the counter, once; what a late reading has explained is withdrawn."""
        if not steps and back_to is None:
            return
        tz = self._site.site.tz
        since = min([step.at for step in steps] + ([back_to] if back_to is not None else []))
        standing: dict[tuple[str, str], dict[str, Any]] = {}
        for record in self._keeper.records(JOURNAL, since=since, key=device.id):
            if record.get("quantity") == quantity:
                standing[record["at"], record["event"]] = record
        found = {(to_iso(step.at, tz), step.event.value): step for step in steps if step.event is not None}
        for key, record in standing.items():
            if key not in found and not record.get("withdrawn"):
                self._keeper.append(JOURNAL, from_iso(key[0], tz), device.id, {**record, "withdrawn": True})
        for key, step in found.items():
            known = standing.get(key)
            if known is None or known.get("withdrawn"):
                told = {"quantity": quantity, "event": key[1], "before": step.before, "after": step.after}
                self._tell(device, step.at, {**told, "booked": step.delta})

    # -- points -------------------------------------------------------------------------------------------------------

    def _points(self, changed: Mapping[str, int], before: int, now: int) -> Iterator[StoredPoint]:
        """Intervals of every place that has a meter whose slots changed, and of all since the last run: a meter that
        says nothing makes missing ones. What lies too far back is noted for ``publish_older``."""
        known = {device for device, _ in self._numbers}
        starts: dict[Place, int] = {}
        limit = now - _OLDEST_POINTS
        for place, devices in self._places.items():
            edges = [changed.get(device.id, now) for device in devices if device.id in known]
            if edges:
                start = min(*edges, before or min(edges))
                if start < limit:
                    self._note_older(place, start, limit)
                starts[place] = max(start, limit)
        return self._points_of(starts, now, now)

    def _points_of(self, starts: Mapping[Place, int], end: int, now: int) -> Iterator[StoredPoint]:
        for period in PERIODS:
            for start in sorted(set(starts.values())):
                places = {place: self._places[place] for place, since in starts.items() if since == start}
                for interval in intervals(self._site, self._ledger, places, period, start, end, now):
                    yield interval_point(self._site, interval)

    # -- what is older than a run publishes ----------------------------------------------------------------------------

    def _note_older(self, place: Place, start: int, limit: int) -> None:
        name = _OLDER + json.dumps(place)
        self._ledger.note(_OLDER_TO, max(limit, self._ledger.noted(_OLDER_TO) or 0))
        self._ledger.note(name, min(start, self._ledger.noted(name) or start))

    def older(self) -> tuple[int, int] | None:
        """Of which time (ms, end not included) older intervals are still to be published; None for nothing."""
        starts, end = self._older_starts(), self._ledger.noted(_OLDER_TO)
        return (min(starts.values()), end) if starts and end is not None else None

    def publish_older(self, publish: Publish) -> tuple[int, int] | None:
        """Publish one portion of the older intervals, the newest of them; what is then left, as ``older`` tells it.

        Whatever the store held before the first run gets its intervals so, a bounded number at a time; after a
        restart it goes on where it was.
        """
        left = self.older()
        if left is None:
            return None
        start = max(left[0], left[1] - _PORTION)
        starts = {place: max(since, start) for place, since in self._older_starts().items() if since < left[1]}
        _publish(self._points_of(starts, left[1], self._ledger.noted("until") or left[1]), publish)
        if start > left[0]:
            self._ledger.note(_OLDER_TO, start)
        else:
            for name in self._ledger.notes(_OLDER):
                self._ledger.forget_note(name)
        return self.older()

    def _older_starts(self) -> dict[Place, int]:
        """From when on each place has older intervals to be published; places that the site has no more left out."""
        noted = self._ledger.notes(_OLDER)
        return {place: noted[name] for place in self._places if (name := _OLDER + json.dumps(place)) in noted}


def _publish(points: Iterator[StoredPoint], publish: Publish) -> None:
    while chunk := list(islice(points, _POINTS_AT_ONCE)):
        publish(chunk)


_TABLES: Final = (READINGS, AMOUNTS, EXCHANGES, ANEW)


def _at(entry: _Entry) -> tuple[int, bool]:
    return entry.at, entry.new is not None


def _edge_of(progress: Progress) -> int:
    """Before this nothing will be booked any more."""
    memory = Memory(*progress.memory)  # type: ignore[arg-type]  # as it was saved
    return min(at for at in (progress.until, memory.at, memory.fallen_at) if at is not None)


def _profile(device: Device, folder: Path | None) -> Profile | None:
    if device.profile is None:
        return None
    try:
        return load_profile(device.profile, folder)
    except ConfigError:
        return None  # the collector tells it; a meter fed by hand is accounted all the same


class _Follower:
    """Follows one series: entries in, slots, marks and events out."""

    def __init__(self, device: Device, quantity: str, counter: Counter) -> None:
        self._counts = quantity not in (POWER, SWITCH)
        self._factor = (device.rated_power or 0.0) if quantity == SWITCH else 1.0
        self._short = max(counts_short(device), device.stale_after)
        self._tracker = CounterTracker(counter)
        self.book = SlotBook()
        self.until = 0
        self.marks: list[Mark] = []
        self.events: list[Step] = []
        self.changed_from: int | None = None
        self._marked_day = 0

    @property
    def progress(self) -> Progress:
        return Progress(self.until, list(self._tracker.memory))

    def begin_at(self, mark: Mark | None, book: SlotBook) -> None:
        """Forget what was booked after ``mark``, or everything."""
        self.book = book
        if mark is None:
            for day, slots in book.days.items():
                slots[:] = 0.0
                book.touched.add(day)
            self.changed_from = min(book.days, default=0) * DAY or None
            return
        self.book.forget_after(mark.at, mark.slot)
        self._tracker.memory = Memory(*mark.memory)  # type: ignore[arg-type]  # as it was saved
        self.until = self.changed_from = mark.at
        self._marked_day = mark.at // DAY

    def go_on(self, progress: Progress, book: SlotBook) -> None:
        """Take up where the last run stopped."""
        self.book = book
        self._tracker.memory = Memory(*progress.memory)  # type: ignore[arg-type]  # as it was saved
        self.until = progress.until
        self._marked_day = progress.until // DAY

    def take(self, entries: Sequence[_Entry]) -> None:
        """Follow ``entries``, all of them later than ``until``."""
        for entry in entries:
            if entry.at // DAY > self._marked_day:
                self._mark(entry.at // DAY)
            step = self._step(entry)
            self.until = entry.at
            if step is None:
                continue
            if step.event is not None and not self._goes_on_held(step):
                self.events.append(step)
            if step.delta is not None and step.since is not None and step.since < step.at:
                self.book.book(step.since, step.at, step.delta, estimated=not self._counts)
                self.changed_from = min(step.since, self.changed_from if self.changed_from is not None else step.since)
        if self.changed_from is None and entries:
            self.changed_from = entries[0].at

    def _goes_on_held(self, step: Step) -> bool:
        return step.event is Event.STEP_BACK and self._tracker.memory.held_since != step.at

    def _step(self, entry: _Entry) -> Step | None:
        if not self._counts:
            return self._power_step(entry)
        if entry.value is None:
            self._tracker.memory = _FRESH  # the ratio was changed: nothing can be said of this step
            return None
        if entry.new is not None:
            return self._tracker.exchange(entry.at, entry.value, entry.new)
        return self._tracker.take(entry.at, entry.value)

    def _power_step(self, entry: _Entry) -> Step:
        """Energy between two readings of power: their mean times the time, where they are no further apart than three
        periods; else nothing is known."""
        at, value = self._tracker.memory.at, self._tracker.memory.value
        watts = (entry.value or 0.0) * self._factor
        self._tracker.memory = Memory(entry.at, watts)
        if at is None or value is None or entry.at - at > self._short:
            return Step(entry.at, at, value, watts, None)
        hold = value if self._factor != 1.0 else (value + watts) / 2  # a switch holds its state until it speaks again
        return Step(entry.at, at, value, watts, max(hold, 0.0) * (entry.at - at) / 3_600_000_000)

    def _mark(self, day: int) -> None:
        """A new UTC day begins: if nothing is pending, this is a place to take up from."""
        memory = self._tracker.memory
        pending = memory.held_since, memory.fallen_at, memory.high_at
        if memory.at is None or memory.at != self.until or any(one is not None for one in pending):
            return
        self._marked_day = day
        self.marks.append(Mark(memory.at, list(memory), self.book.column(memory.at)))
