"""Overtime that people book while the program runs, over the MQTT topic ``greenwarden/<site>/overtime``. Pure.

A message is a JSON object: ``{"zone": "301", "from": "2026-07-01T17:30", "to": "2026-07-01T21:00", "by": "Li"}``;
``department`` books all its zones, neither of the two the whole site; ``"cancel": true`` takes a booking back. Times
without offset are local. ``start`` and ``end``, the words of the site file, are understood too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from building.errors import InputError
from building.instants import from_iso, to_iso
from building.site import DAY, Overtime, Site
from rules.memory import Memory

LARGEST: Final = 4096
"""Bytes of a message that is read at all."""

MOST: Final = 100
"""Bookings of one zone that are not over; who wants more wants other working hours."""

LONGEST: Final = 7 * DAY
FURTHEST: Final = 92 * DAY
"""How far ahead a booking may end, ms."""

_SYNONYMS: Final = {"start": "from", "end": "to"}
_NOT_IN_TOPICS: Final = re.compile(r"[+#\0]")


class Booking(msgspec.Struct, frozen=True):
    """People of a zone or department (neither: of the whole site) are expected from ``start`` to ``end`` (ms)."""

    start: int
    end: int
    zone: str | None = None
    department: str | None = None
    by: str = ""
    cancel: bool = False

    def meets(self, site: Site, zone: str | None) -> bool:
        """Whether it is about ``zone``."""
        if self.zone is None and self.department is None:
            return True
        if zone is None:
            return False
        return zone == self.zone or (self.department is not None and site.zone[zone].department == self.department)


class _Said(msgspec.Struct, forbid_unknown_fields=True):
    begin: str = msgspec.field(name="from")
    to: str
    zone: str | None = None
    department: str | None = None
    by: str = ""
    cancel: bool = False


def topic_of(site: Site) -> str:
    """Where bookings are told; signs that no topic may have are written as ``_``."""
    return f"greenwarden/{_NOT_IN_TOPICS.sub('_', site.site.name)}/overtime"


def read_booking(payload: bytes, site: Site, now: int) -> Booking:
    """The booking that a message tells; raises InputError with what is accepted."""
    if len(payload) > LARGEST:
        raise InputError(f"the message has more than {LARGEST} bytes")
    try:
        said = msgspec.json.decode(payload, type=dict[str, Any])
        told = msgspec.convert({_SYNONYMS.get(key, key): value for key, value in said.items()}, _Said)
        start, end = from_iso(told.begin, site.site.tz), from_iso(told.to, site.site.tz)
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
        raise InputError(
            f'it cannot be read ({str(error)[:120]}); write {{"zone": …, "from": …, "to": …, "by": …}}'
        ) from None
    booking = Booking(start, end, told.zone, told.department, told.by.strip(), told.cancel)
    _check(booking, site, now)
    return booking


def _check(booking: Booking, site: Site, now: int) -> None:
    if booking.zone is not None and booking.zone not in site.zone:
        raise InputError(f"there is no zone {booking.zone[:40]!r}")
    if booking.department is not None and booking.department not in site.department:
        raise InputError(f"there is no department {booking.department[:40]!r}")
    if booking.zone is not None and booking.department is not None:
        raise InputError("name a zone or a department, not both")
    if len(booking.by) > 100 or not booking.by.isprintable():
        raise InputError("a name may have 100 letters, on one line")
    if not booking.start < booking.end:
        raise InputError("it ends before it begins")
    if booking.end - booking.start > LONGEST:
        raise InputError("it is longer than 7 days; change working_hours: for that")
    if booking.end <= now:
        raise InputError("it is over already")
    if booking.end > now + FURTHEST:
        raise InputError("it ends more than 92 days from now")


def book(memory: Memory, site: Site, booking: Booking) -> bool:
    """Note ``booking`` in the rooms it is about; False when all of them knew it. Raises InputError when one is full."""
    meant = [room for room in memory.rooms.values() if booking.meets(site, room.zone)]
    full = next((room for room in meant if room.bookings.count(memory.now) >= MOST and not booking.cancel), None)
    if full is not None:
        raise InputError(f"zone {full.zone} has {MOST} bookings already")
    changed = False
    for room in meant:
        change = room.bookings.cancel if booking.cancel else room.bookings.book
        changed |= change(booking.start, booking.end, memory.now)
    return changed


def record_of(booking: Booking, site: Site, now: int) -> dict[str, object]:
    """What is kept of it for a replay of these days."""
    tz = site.site.tz
    return {
        "at": now,
        "start": to_iso(max(booking.start, now), tz),
        "end": to_iso(booking.end, tz),
        "zone": booking.zone,
        "department": booking.department,
        "by": booking.by,
        "cancel": booking.cancel,
    }


def step_of(booking: Booking, site: Site, now: int) -> dict[str, object]:
    """The same for the history that people read."""
    tz = site.site.tz
    why = "cancelled" if booking.cancel else f"from {to_iso(booking.start, tz)[:16]}"
    zone = booking.zone or booking.department
    step = {"at": to_iso(now, tz), "action": "overtime", "zone": zone, "who": booking.by, "via": "mqtt"}
    return {**step, "why": why, "until": to_iso(booking.end, tz)[:16]}


def sentence(booking: Booking, site: Site) -> str:
    """For the log."""
    place = booking.zone or booking.department or "the whole site"
    start, end = (to_iso(moment, site.site.tz)[:16].replace("T", " ") for moment in (booking.start, booking.end))
    done = "cancelled" if booking.cancel else "booked"
    return f"overtime of {place} from {start} to {end} is {done} by {booking.by or 'somebody who gave no name'}"


def with_bookings(site: Site, records: Iterable[Mapping[str, Any]]) -> Site:
    """``site`` with the overtime that was booked while it ran, for a replay. What the site no longer has is left."""
    told: dict[tuple[str | None, str | None, str], Overtime] = {}
    for record in records:
        zone, department = record["zone"], record["department"]
        key = (zone, department, record["end"])
        if record["cancel"]:
            told.pop(key, None)
        elif (zone is None or zone in site.zone) and (department is None or department in site.department):
            told[key] = Overtime(zone=zone, department=department, start=record["start"], end=record["end"])
    if not told:
        return site
    return site.model_copy(update={"overtime": (*site.overtime, *told.values())})
