"""What a site gives its rules, as far as the truth depends on it. Read from the file, not from the rules' own code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from building.durations import parse_duration
from building.site import Device, Site

MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE

AFTER: Final[Mapping[str, int]] = {
    "lights_left_on": 15 * MINUTE,
    "lights_in_daylight": 20 * MINUTE,
    "tap_left_running": 10 * MINUTE,
    "water_leak": 24 * HOUR,
    "standby_load": 30 * MINUTE,
    "equipment_left_on": 30 * MINUTE,
    "aircon_setpoint": 10 * MINUTE,
    "aircon_unoccupied": 30 * MINUTE,
    "aircon_room_temperature": 30 * MINUTE,
    "high_power_appliance": 2 * MINUTE,
    "meter_stuck": 12 * HOUR,
    "meter_implausible": 0,
    "balance_mismatch": 24 * HOUR,
}
"""Rule -> its usual ``after`` in ms. ``meter_silent`` counts periods of its device."""

_USUAL: Final[Mapping[tuple[str, str], float]] = {
    ("lights_left_on", "on_above"): 20.0,  # W
    ("lights_in_daylight", "lux_above"): 500.0,  # lx
    ("tap_left_running", "flow_above"): 1.0,  # L/min
    ("standby_load", "band_low"): 0.5,  # W
    ("standby_load", "band_high"): 30.0,  # W
    ("equipment_left_on", "working_above"): 30.0,  # W
    ("high_power_appliance", "power_above"): 1500.0,  # W
    ("aircon_setpoint", "cooling_floor"): 26.0,  # °C
    ("aircon_setpoint", "heating_ceiling"): 18.0,  # °C
    ("aircon_room_temperature", "cooling_floor"): 26.0,  # °C
    ("aircon_room_temperature", "heating_ceiling"): 18.0,  # °C
    ("aircon_room_temperature", "margin"): 1.5,  # K
    ("meter_silent", "periods"): 5.0,
    ("night_base_load", "margin"): 25.0,  # %
    ("night_base_load", "least"): 20.0,  # W
    ("quota_pace", "margin"): 10.0,  # %
}
"""The table of rules in the design: (rule, parameter) -> what holds where the site says nothing."""


class Settings:
    """The numbers a site gives its rules, and what it has them look at."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def looks_at(self, rule: str, about: str, zone: str | None) -> bool:
        """Whether the site wants ``rule`` to speak of ``about`` (a device or department) in ``zone``."""
        settings = self._of(rule)
        given = settings.get("except")
        excepted = given if isinstance(given, tuple | list) else ()
        return settings.get("enabled") is not False and about not in excepted and zone not in excepted

    def number(self, rule: str, key: str, zone: str | None) -> float:
        """A parameter of ``rule`` in ``zone``, in the unit of the rule's page."""
        given = self._given(rule, key, zone)
        return float(given) if isinstance(given, int | float) else _USUAL[rule, key]

    def after(self, rule: str, device: Device) -> int:
        """How long the rule waits at this device, ms."""
        if rule == "meter_silent":
            return round(self.number(rule, "periods", device.zone) * device.every)
        given = self._given(rule, "after", device.zone)
        return AFTER[rule] if given is None else parse_duration(given)

    def hold(self, device: Device) -> int:
        """How long the zone of a device must have been without a sign of people to be sure to be empty, ms."""
        zone = self._site.zone.get(device.zone or "")
        own = zone.presence_hold if zone is not None else None
        return self._site.site.presence_hold if own is None else own

    def limits(self, rule: str, device: Device) -> tuple[float, float]:
        """Cooling floor and heating ceiling of ``rule``, °C."""
        return self.number(rule, "cooling_floor", device.zone), self.number(rule, "heating_ceiling", device.zone)

    def _of(self, rule: str) -> Mapping[str, object]:
        settings = self._site.rules.get(rule)
        return settings if isinstance(settings, Mapping) else {}

    def _given(self, rule: str, key: str, zone: str | None) -> object:
        zones = self._of(rule).get("zones")
        own = zones.get(zone) if isinstance(zones, Mapping) else None
        for found in (own, self._of(rule)):
            if isinstance(found, Mapping) and found.get(key) is not None:
                return found[key]
        return None
