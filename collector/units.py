"""From the unit a meter counts in to the unit of the quantity, exactly: value = raw x factor + shift, as fractions."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Final

from building.quantities import Quantity

Conversion = tuple[Fraction, Fraction]
"""Factor and shift."""


def _by(*pairs: tuple[str, str]) -> Mapping[str, Conversion]:
    return {unit: (Fraction(factor), Fraction(0)) for unit, factor in pairs}


_TABLE: Final[Mapping[str, Mapping[str, Conversion]]] = {
    "W": _by(("W", "1"), ("kW", "1000"), ("MW", "1000000"), ("mW", "1/1000")),
    "var": _by(("var", "1"), ("kvar", "1000")),
    "VA": _by(("VA", "1"), ("kVA", "1000")),
    "V": _by(("V", "1"), ("kV", "1000"), ("mV", "1/1000")),
    "A": _by(("A", "1"), ("mA", "1/1000"), ("kA", "1000")),
    "Hz": _by(("Hz", "1"), ("mHz", "1/1000")),
    "kWh": _by(("kWh", "1"), ("Wh", "1/1000"), ("MWh", "1000"), ("Wmin", "1/60000"), ("mWh", "1/1000000")),
    "m3": _by(("m3", "1"), ("L", "1/1000"), ("pulse", "1/1000")),  # a pulse: times litres_per_pulse of the device
    "L/min": _by(("L/min", "1"), ("L/h", "1/60"), ("L/s", "60"), ("m3/h", "50/3")),
    "°C": {
        **_by(("°C", "1"), ("C", "1")),
        "°F": (Fraction(5, 9), Fraction(-160, 9)),
        "F": (Fraction(5, 9), Fraction(-160, 9)),
    },
    "%": _by(("%", "1"), ("1", "100")),
    "lx": _by(("lx", "1"), ("klx", "1000")),
    "ppm": _by(("ppm", "1")),
    "": _by(("1", "1"), ("%", "1/100")),
}


def units_of(quantity: Quantity) -> tuple[str, ...]:
    """The units a profile may name for ``quantity``."""
    return tuple(_TABLE[quantity.unit])


def convertible(unit: str, quantity: Quantity) -> bool:
    """Whether ``unit`` can become the quantity's own."""
    return unit in _TABLE[quantity.unit]


def conversion(unit: str, quantity: Quantity) -> Conversion:
    """Factor and shift from ``unit`` ('' = the quantity's own). Raises KeyError for a unit it cannot come from."""
    return _TABLE[quantity.unit][unit] if unit else (Fraction(1), Fraction(0))
