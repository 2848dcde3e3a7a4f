"""What the accounting must know of each meter: which quantity counts what, where it wraps, and what cannot be. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Final

from building.quantities import QUANTITIES
from building.site import Device, Site
from collector.counters import Counter
from collector.profiles import Profile, RegisterPoint
from collector.units import conversion

FIELD_OF: Final[Mapping[str, str]] = {"water": "volume", "gas": "gas", "heat": "heat", "fuel": "fuel"}
"""Kind -> field of an interval; all other kinds use electricity: ``energy``."""

_CIRCUIT_OF: Final[Mapping[str, str]] = {"light": "lighting", "aircon": "aircon"}
"""Kind of what uses electricity -> circuit of the meter in its room that measures it."""

_PLAUSIBLE_KW: Final[Mapping[str, float]] = {
    "plug": 8,
    "light": 100,
    "aircon": 200,
    "electricity": 2_500,
    "heat": 2_500,
}
"""The most that can pass in an hour where the rated power is not told: a 16 A plug twice over, a 2.5 MVA supply."""

_PLAUSIBLE_M3: Final = 100.0  # an hour; a DN 100 water meter's overload flow
_GRAIN_KWH: Final = 1.0  # the coarsest energy registers count whole kWh
_GRAIN_M3: Final = 0.1
_MARGIN: Final = 1.5  # on the rated power
_BINARY: Final = re.compile(r"u(8|16|32|64)$")
_DECIMAL: Final = re.compile(r"(?:bcd|dec)(16|24|32|64)$")


def field_of(device: Device) -> str:
    """The field of an interval in which the use of ``device`` stands."""
    return FIELD_OF.get(device.kind, "energy")


def counted_quantity(device: Device) -> str:
    """The counter by which ``device`` is accounted."""
    return "volume" if field_of(device) in ("volume", "gas", "fuel") else "energy_import"


def counter_of(device: Device, profile: Profile | None) -> Counter:
    """How the counter of ``device`` counts: wraps where its registers do, and is cleared in normal life only in plugs
    and lamps."""
    quantity = counted_quantity(device)
    ratio = device.ct_ratio * device.vt_ratio
    if quantity == "volume":
        most, grain = _PLAUSIBLE_M3, max(_GRAIN_M3, 2 * (device.litres_per_pulse or 0) / 1000)
    else:
        most, grain = _PLAUSIBLE_KW.get(device.kind, _PLAUSIBLE_KW["electricity"]) * ratio, _GRAIN_KWH * ratio
        if device.rated_power:
            most = max(device.rated_power / 1000 * _MARGIN, 1.0)
    return Counter(
        modulus=None if profile is None else _modulus(profile, device, quantity),
        max_per_hour=most,
        grain=grain,
        resets=device.kind in ("plug", "light"),
    )


def _modulus(profile: Profile, device: Device, quantity: str) -> float | None:
    """Where the counter goes back to zero, in the quantity's unit; None where the registers do not say."""
    row = next((row for row in profile.registers if row.quantity == quantity), None)
    if row is None or row.helpers:
        return None
    raw = row.wraps_at or _width(row)
    if raw is None:
        return None
    factor = float(conversion(row.unit, QUANTITIES[quantity])[0]) * row.scale
    if row.unit == "pulse":
        factor *= device.litres_per_pulse or 1.0
    if quantity == "energy_import":
        factor *= device.ct_ratio * device.vt_ratio
    return raw * factor


def _width(row: RegisterPoint) -> float | None:
    if row.bits is not None:
        return float(1 << row.bits[1])
    if binary := _BINARY.match(row.type):
        return float(1 << int(binary[1]))
    if decimal := _DECIMAL.match(row.type):
        return 10.0 ** (int(decimal[1]) // 4)
    return None


def counts_short(device: Device) -> int:
    """The longest step (ms) between two counter readings that is no gap: three periods, also of slow points."""
    return 3 * max(device.every, device.slow or 0) if device.reports == "period" else device.max_age


# -- who is counted where ---------------------------------------------------------------------------------------------

Place = tuple[str, str]
"""Scope and id: ("zone", "301"); the site's id is empty."""


def places_of(site: Site) -> dict[Place, list[Device]]:
    """Every place with the meters whose sum is its use: nothing twice where one meter is behind another.

    The site is what its main meters say where it has any; a circuit called main is that, and no circuit of its own.
    """
    metered = [device for device in site.devices if device.kind != "sensor"]
    above = _aboves(site)
    places: dict[Place, list[Device]] = {("device", device.id): [device] for device in metered}
    for device in metered:
        for scope in ("zone", "department", "circuit"):
            ident = _ident(site, device, scope)
            if ident is not None and not _behind(above, device, partial(_belongs, site, scope, ident)):
                places.setdefault((scope, ident), []).append(device)
    for field in {field_of(device) for device in metered}:
        of_field = [device for device in metered if field_of(device) == field]
        tops = [device for device in of_field if not _behind(above, device, lambda _: True)]
        mains = [device for device in tops if device.circuit == "main"]
        places.setdefault(("site", ""), []).extend(mains or tops)
    return places


def _ident(site: Site, device: Device, scope: str) -> str | None:
    if scope == "zone":
        return device.zone
    if scope == "department":
        return site.department_of(device)
    return circuit_of(device)


def circuit_of(device: Device) -> str | None:
    """Which use the energy of a device counts for; a plug that says none is plugged into a socket."""
    if device.circuit is None and device.kind == "plug":
        return "sockets"
    return None if device.circuit == "main" else device.circuit


def _belongs(site: Site, scope: str, ident: str, device: Device) -> bool:
    return _ident(site, device, scope) == ident


def _aboves(site: Site) -> dict[str, Device]:
    """The meter directly above each device that has one: its parent; for a lamp or air conditioner, whose use is often
    estimated, the meter of that circuit in its room, where no parent says that it hangs elsewhere."""
    above = {
        one.id: site.device[one.parent] for one in site.devices if one.parent is not None and one.parent in site.device
    }
    rooms: dict[tuple[str | None, str | None], Device] = {}
    for device in site.devices:
        plain = all(one.kind not in _CIRCUIT_OF for one in _chain(above, device))
        if device.kind == "electricity" and device.zone is not None and plain:
            rooms.setdefault((device.zone, device.circuit), device)
    found = dict(above)
    for device in (one for one in site.devices if one.kind in _CIRCUIT_OF):
        meter = rooms.get((device.zone, _CIRCUIT_OF[device.kind]))
        if meter is not None and (device.id not in above or above[device.id] in _chain(above, meter)):
            found[device.id] = meter
    return found


def _chain(above: Mapping[str, Device], device: Device) -> Iterator[Device]:
    """What is above ``device``, the nearest first."""
    found = above.get(device.id)
    while found is not None:
        yield found
        found = above.get(found.id)


def _behind(above: Mapping[str, Device], device: Device, counts: Callable[[Device], bool]) -> bool:
    """Whether a meter of the same medium above ``device`` counts for the same place."""
    return any(field_of(one) == field_of(device) and counts(one) for one in _chain(above, device))


def tags_of(site: Site, place: Place) -> dict[str, str]:
    """Tags of a place's intervals: scope, and whatever of zone, floor, department, device, circuit applies."""
    scope, ident = place
    tags: dict[str, object] = {"scope": scope}
    if scope == "device":
        device = site.device[ident]
        tags |= {"device": ident, "zone": device.zone, "circuit": device.circuit}
        tags["department"] = site.department_of(device)
    elif scope != "site":
        tags[scope] = ident
    zone = site.zone.get(str(tags.get("zone")))
    if zone is not None:
        tags["floor"] = zone.floor
        tags.setdefault("department", zone.department)
    return {name: str(value) for name, value in tags.items() if value is not None and str(value).strip()}
