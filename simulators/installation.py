"""What hangs where: which meter stands in front of what, and what each zone has."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from random import Random
from typing import Final

from building.site import Device, Site, Zone
from simulators.appliances import Appliance, appliance_of
from simulators.recognising import is_contact

LOSSES: Final = 1.015  # cables and contacts between a meter and the meters behind it
_WINDOWLESS: Final = frozenset({"corridor", "toilet", "pantry", "server", "plant"})
_CIRCUIT_OF: Final = {"light": "lighting", "aircon": "aircon"}
NOWHERE: Final = ""
"""The place of devices without zone."""


@dataclass
class Place:
    """One zone and its devices. ``window``: part of outdoor daylight that falls on the sensor."""

    zone: Zone
    area: float
    window: float
    lamps: dict[str, float] = field(default_factory=dict)  # device -> W while on; a metered lamp is under its meter
    lights: list[str] = field(default_factory=list)  # everything that shows the lamps: lamps and lighting meters
    plugs: list[str] = field(default_factory=list)
    sockets: list[str] = field(default_factory=list)
    aircons: list[str] = field(default_factory=list)
    sensors: list[str] = field(default_factory=list)  # those that see people
    contacts: list[str] = field(default_factory=list)  # on windows
    taps: list[str] = field(default_factory=list)


class Installation:
    """The site as its electrician and plumber know it."""

    def __init__(self, site: Site, seed: int) -> None:
        self.site = site
        self.places = {zone.id: _place(zone, seed) for zone in site.zones}
        self.places[NOWHERE] = _place(Zone(id="(site)", use="plant"), seed)
        self.appliances: dict[str, Appliance] = {}
        self.children = _children(site)
        devices = site.devices
        metered = {(device.zone, device.circuit) for device in devices if device.kind == "electricity"}
        # What a circuit's own meter already shows must not count twice further up.
        self.covered = frozenset(
            device.id for device in devices if (device.zone, _CIRCUIT_OF.get(device.kind, NOWHERE)) in metered
        )
        for device in devices:
            self._furnish(device, seed)
        self.meters = [device for device in devices if device.kind in ("electricity", "plug", "light")]
        self.meters.sort(key=lambda device: -len(self.above(device.id)))
        """Leaves first, so that a meter comes after all that hang behind it."""

    def _furnish(self, device: Device, seed: int) -> None:
        place = self.places[device.zone or NOWHERE]
        if device.kind == "plug":
            place.plugs.append(device.id)
            self.appliances[device.id] = appliance_of(device, Random(f"{seed}/appliance/{device.id}"))
        elif device.kind == "aircon":
            place.aircons.append(device.id)
        elif device.kind == "sensor":
            (place.contacts if is_contact(device) else place.sensors).append(device.id)
        elif device.kind == "water":
            place.taps.append(device.id)
        elif device.kind == "light" or (device.circuit == "lighting" and device.id not in self.children):
            place.lights.append(device.id)
            if device.id not in self.covered:
                place.lamps[device.id] = device.rated_power or 8.0 * place.area
        elif device.circuit == "sockets" and device.id not in self.children:
            place.sockets.append(device.id)

    def outdoor_of(self, ident: str) -> int:
        """The number of the outdoor unit that an air conditioner shares with others; -1 for one of its own.

        Units behind one meter of circuit ``aircon`` share the outdoor unit that the meter feeds.
        """
        parent = self.site.device[ident].parent
        if parent is None or self.site.device[parent].circuit != "aircon":
            return -1
        units = [child for child in self.children[parent] if self.site.device[child].kind == "aircon"]
        return list(self.children).index(parent) if len(units) > 1 else -1

    def place_of(self, device: Device) -> Place:
        return self.places[device.zone or NOWHERE]

    def unmetered(self) -> list[str]:
        """Lamps and air conditioners that no meter but the main one shows."""
        covered = self.covered
        return [d.id for d in self.site.devices if d.parent is None and d.kind in _CIRCUIT_OF and d.id not in covered]

    @property
    def main(self) -> str | None:
        """The site's main meter."""
        return next((d.id for d in self.site.devices if d.kind == "electricity" and d.circuit == "main"), None)

    def above(self, ident: str) -> list[str]:
        """The meters in front of a device, nearest first."""
        found: list[str] = []
        while True:
            front = next((parent for parent, behind in self.children.items() if ident in behind), None)
            if front is None or front in found:
                return found
            found.append(front)
            ident = front


def _place(zone: Zone, seed: int) -> Place:
    luck = Random(f"{seed}/zone/{zone.id}")
    return Place(zone, zone.area or 30.0, 0.0 if zone.use in _WINDOWLESS else luck.uniform(0.004, 0.011))


def _children(site: Site) -> dict[str, list[str]]:
    """Meter -> what hangs behind it; a lone main meter stands in front of all that has no parent."""
    children: dict[str, list[str]] = defaultdict(list)
    for device in site.devices:
        if device.parent is not None:
            children[device.parent].append(device.id)
    mains = [device for device in site.devices if device.kind == "electricity" and device.circuit == "main"]
    if len(mains) == 1 and mains[0].id not in children:
        children[mains[0].id] = [
            device.id
            for device in site.devices
            if device.kind in ("electricity", "plug") and device.parent is None and device is not mains[0]
        ]
    return dict(children)
