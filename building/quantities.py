"""The closed list of quantities: name, unit, nature, plausible range and one sentence each.

Profiles, store fields, rules and dashboards use these names and no others. Powers and energies are positive for what
is drawn from the grid. The plausible range is what an office building can show; outside it a value is implausible,
its quality is set, and rules do not see it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final, NamedTuple


class Nature(Enum):
    """What kind of number a quantity is."""

    GAUGE = "gauge"  # momentary, may rise and fall
    COUNTER = "counter"  # only rises, until it wraps or is reset
    STATE = "state"  # 0 or 1
    WORD = "word"  # text out of a short list


class Quantity(NamedTuple):
    """One entry of the list. ``low`` and ``high`` bound what is plausible, in ``unit``."""

    name: str
    unit: str
    nature: Nature
    low: float
    high: float
    sentence: str
    words: tuple[str, ...] = ()

    def plausible(self, value: float) -> bool:
        """True for a finite number inside the range."""
        return self.low <= value <= self.high


MODES: Final = ("off", "cool", "heat", "auto", "dry", "fan")

_POWER = 10_000_000.0  # 10 MW: more than any office building's supply

_GAUGES: tuple[tuple[str, str, float, float, str], ...] = (
    ("active_power", "W", -_POWER, _POWER, "Active power; positive when drawn from the grid."),
    ("reactive_power", "var", -_POWER, _POWER, "Reactive power; positive when inductive."),
    ("apparent_power", "VA", 0, _POWER, "Apparent power."),
    ("power_factor", "", -1, 1, "Power factor as the meter gives it; makers disagree about the sign."),
    ("voltage", "V", 0, 1000, "Voltage to neutral, or the mean of the phases."),
    ("current", "A", -10_000, 10_000, "Current, or the sum of the phases."),
    ("frequency", "Hz", 40, 70, "Mains frequency."),
)
_PHASED = ("active_power", "reactive_power", "apparent_power", "power_factor", "voltage", "current")
_OTHERS: tuple[Quantity, ...] = (
    Quantity("energy_import", "kWh", Nature.COUNTER, 0, 1e12, "Energy drawn from the grid since the meter was new."),
    Quantity("energy_export", "kWh", Nature.COUNTER, 0, 1e12, "Energy fed back since the meter was new."),
    Quantity("volume", "m3", Nature.COUNTER, 0, 1e9, "Water that has passed the meter since it was new."),
    Quantity("flow", "L/min", Nature.GAUGE, -10_000, 10_000, "Water flow now."),
    Quantity("temperature", "°C", Nature.GAUGE, -40, 60, "Room air temperature."),
    Quantity("humidity", "%", Nature.GAUGE, 0, 100, "Relative humidity of the room air."),
    Quantity("illuminance", "lx", Nature.GAUGE, 0, 200_000, "Light on the sensor."),
    Quantity("co2", "ppm", Nature.GAUGE, 250, 20_000, "Carbon dioxide in the room air."),
    Quantity("setpoint", "°C", Nature.GAUGE, 5, 40, "Temperature the air conditioner is asked to reach."),
    Quantity("mode", "", Nature.WORD, 0, 0, "What the air conditioner is set to do.", MODES),
    Quantity("running", "", Nature.STATE, 0, 1, "1 while the machine is switched on and working."),
    Quantity("on", "", Nature.STATE, 0, 1, "1 while the lamp, plug or relay is switched on."),
    Quantity("occupancy", "", Nature.STATE, 0, 1, "1 while the sensor sees somebody."),
    Quantity("people", "", Nature.GAUGE, 0, 10_000, "How many people are there."),
    Quantity("contact", "", Nature.STATE, 0, 1, "1 while a door or window contact is closed, 0 while it is open."),
    Quantity("battery", "%", Nature.GAUGE, 0, 100, "Charge left in the sensor's battery."),
    Quantity("online", "", Nature.STATE, 0, 1, "1 while the device's own network says that it is there."),
)


def _listed() -> dict[str, Quantity]:
    listed: dict[str, Quantity] = {}
    for name, unit, low, high, sentence in _GAUGES:
        listed[name] = Quantity(name, unit, Nature.GAUGE, low, high, sentence)
        if name in _PHASED:
            for phase in (1, 2, 3):
                phased = f"{name}_l{phase}"
                listed[phased] = Quantity(phased, unit, Nature.GAUGE, low, high, f"{sentence[:-1]}, phase {phase}.")
    listed.update((quantity.name, quantity) for quantity in _OTHERS)
    return listed


QUANTITIES: Final[Mapping[str, Quantity]] = MappingProxyType(_listed())


def implausible(name: str, value: float | str) -> str:
    """Why ``value`` cannot be a true ``name``; empty when it can. Raises KeyError for a name not on the list."""
    quantity = QUANTITIES[name]
    if quantity.nature is Nature.WORD:
        return "" if value in quantity.words else f"{name} {value!r} is none of {', '.join(quantity.words)}"
    if isinstance(value, str) or not math.isfinite(value):
        return f"{name} {value!r} is not a number"
    if quantity.nature is Nature.STATE and value not in (0, 1):
        return f"{name} {value:g} is neither 0 nor 1"
    if quantity.plausible(value):
        return ""
    return f"{name} {value:g} {quantity.unit} is outside {quantity.low:g} to {quantity.high:g}"
