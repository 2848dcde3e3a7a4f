"""The rules there are, one page each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from rules.catalogue import aircon_setpoint, aircon_unoccupied, lights_left_on, standby_load, tap_left_running
from rules.catalogue.page import Rule

CATALOGUE: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        page.RULE.name: page.RULE
        for page in (lights_left_on, tap_left_running, standby_load, aircon_setpoint, aircon_unoccupied)
    }
)
