"""The rules there are, one page each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from rules.catalogue import (
    aircon_room_temperature,
    aircon_setpoint,
    aircon_unoccupied,
    balance_mismatch,
    equipment_left_on,
    high_power_appliance,
    lights_in_daylight,
    lights_left_on,
    meter_implausible,
    meter_silent,
    meter_stuck,
    night_base_load,
    quota_pace,
    standby_load,
    tap_left_running,
    water_leak,
)
from rules.catalogue.page import Rule

_PAGES: Final = (
    lights_left_on, lights_in_daylight, tap_left_running, water_leak, standby_load, equipment_left_on,
    aircon_setpoint, aircon_unoccupied, aircon_room_temperature, night_base_load, high_power_appliance,
    balance_mismatch, meter_silent, meter_stuck, meter_implausible, quota_pace,
)  # fmt: skip

CATALOGUE: Final[Mapping[str, Rule]] = MappingProxyType({page.RULE.name: page.RULE for page in _PAGES})
