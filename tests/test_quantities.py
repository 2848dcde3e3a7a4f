"""The closed list of quantities."""

from __future__ import annotations

import math

import pytest

from building.quantities import QUANTITIES, Nature, implausible

# The list of the design, with its units.
UNITS = {
    "active_power": "W", "reactive_power": "var", "apparent_power": "VA", "power_factor": "", "voltage": "V",
    "current": "A", "frequency": "Hz", "energy_import": "kWh", "energy_export": "kWh", "volume": "m3", "flow": "L/min",
    "temperature": "°C", "humidity": "%", "illuminance": "lx", "co2": "ppm", "setpoint": "°C", "mode": "",
    "running": "", "on": "", "occupancy": "", "people": "", "contact": "", "battery": "%", "online": "",
}  # fmt: skip
PHASED = {"active_power", "reactive_power", "apparent_power", "power_factor", "voltage", "current"}


def test_the_list_is_the_designs_with_its_units() -> None:
    phases = {f"{name}_l{phase}": UNITS[name] for name in PHASED for phase in (1, 2, 3)}
    assert {name: quantity.unit for name, quantity in QUANTITIES.items()} == UNITS | phases


def test_every_quantity_has_a_range_and_one_sentence() -> None:
    for quantity in QUANTITIES.values():
        assert quantity.sentence.endswith(".")
        assert quantity.low < quantity.high or quantity.nature is Nature.WORD


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -40),
        ("temperature", 60.0),
        ("on", 0),
        ("on", 1.0),
        ("mode", "cool"),
        ("energy_import", 0.0),
        ("voltage", 230.5),
    ],
)
def test_what_an_office_can_show_is_plausible(name: str, value: float | str) -> None:
    assert implausible(name, value) == ""


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("temperature", 85.0, "temperature 85 °C is outside -40 to 60"),
        ("temperature", math.nan, "temperature nan is not a number"),
        ("active_power", math.inf, "active_power inf is not a number"),
        ("volume", "12", "volume '12' is not a number"),
        ("on", 0.5, "on 0.5 is neither 0 nor 1"),
        ("mode", "turbo", "mode 'turbo' is none of off, cool, heat, auto, dry, fan"),
        ("mode", 3, "mode 3 is none of off, cool, heat, auto, dry, fan"),
    ],
)
def test_what_it_cannot_show_is_told(name: str, value: float | str, why: str) -> None:
    assert implausible(name, value) == why


def test_a_name_off_the_list_is_an_error() -> None:
    with pytest.raises(KeyError):
        implausible("power", 1)
