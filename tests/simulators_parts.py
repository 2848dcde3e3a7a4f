"""A plain reading of the table of rules, written for the tests of the simulated building alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from building.instants import from_iso
from building.site import Site, load_site
from simulators.building import OfficeBuilding

SITE = Path(__file__).resolve().parents[1] / "devices.yaml"
MINUTE = 60_000
HOUR = 60 * MINUTE


def sample_site() -> Site:
    """The sample devices.yaml of the project."""
    return load_site(SITE)


def at(text: str) -> int:
    """Milliseconds of a local time at the sample site, e.g. ``2026-07-01 18:10``."""
    return from_iso(text.replace(" ", "T") + ":00+08:00")


def wrongs(building: OfficeBuilding) -> Iterator[tuple[str, str]]:
    """(rule, device or zone) for all that a rule would object to at this very moment, hold and ``after`` left out."""
    day, now = building.day, building.now
    for zone, place in building.installation.places.items():
        if not zone:
            continue
        off_hours = not building.calendar.is_working(now, zone)
        empty = bool(day.empty[zone].at(now))
        lit = bool(day.lamps[zone].at(now))
        if place.lights and lit:
            if empty:
                yield "lights_left_on", zone
            if place.sensors and building.illuminance(building.site.device[place.sensors[0]]) > 500:
                yield "lights_in_daylight", zone
        for ident in place.aircons:
            setpoint, room = day.setpoint[ident].at(now), building.temperature(building.site.device[ident])
            if not day.switched[ident].at(now):
                continue
            if empty:
                yield "aircon_unoccupied", ident
            if setpoint < 26 if day.cooling else setpoint > 18:
                yield "aircon_setpoint", ident
            if room < 24.5 if day.cooling else room > 19.5:
                yield "aircon_room_temperature", ident
        for ident in place.plugs:
            power = building.meters[ident].power
            if 0.5 <= power <= 30 and (empty or off_hours):
                yield "standby_load", ident
            if power > 30 and (empty or off_hours):
                yield "equipment_left_on", ident
            if power > 1500:
                yield "high_power_appliance", ident
        if day.flow[zone].at(now) > 1:
            yield "tap_left_running", zone


def longest_wrongs(building: OfficeBuilding, until: int, step: int = 15_000) -> dict[tuple[str, str], int]:
    """Let the building run; the longest unbroken stretch (ms) of everything ``wrongs`` names."""
    longest: dict[tuple[str, str], int] = defaultdict(int)
    since: dict[tuple[str, str], int] = {}
    while building.now < until:
        building.advance(building.now + step)
        now = set(wrongs(building))
        for key in now:
            began = since.setdefault(key, building.now)
            longest[key] = max(longest[key], building.now - began)
        for key in set(since) - now:
            del since[key]
    return dict(longest)
