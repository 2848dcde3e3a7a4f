"""What an M-Bus value is and in which unit: the VIF codes of EN 13757-3, primary and both extensions. Pure.

Every value becomes one in a plain unit: Wh, J, m^3, m^3/h, W, V, A, s, degrees, kg. Factors are exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Final, NamedTuple


class Meaning(NamedTuple):
    """One VIF code: what it measures, the unit, and value = raw x ``factor``."""

    quantity: str
    unit: str
    factor: Fraction


_YEAR: Final = 31_556_926  # seconds of a tropical year
_MONTH: Final = Fraction(_YEAR, 12)
_TIMES: Final = (Fraction(1), Fraction(60), Fraction(3600), Fraction(86_400))
_LONG_TIMES: Final = (Fraction(3600), Fraction(86_400), _MONTH, Fraction(_YEAR))

_Row = tuple[int, Meaning]


def _decades(first: int, count: int, exponent: int, quantity: str, unit: str) -> Iterator[_Row]:
    """``count`` codes from ``first`` on, each worth ten times the one before."""
    for number in range(count):
        yield first + number, Meaning(quantity, unit, Fraction(10) ** (exponent + number))


def _durations(first: int, quantity: str, times: tuple[Fraction, ...] = _TIMES) -> Iterator[_Row]:
    for number, seconds in enumerate(times):
        yield first + number, Meaning(quantity, "s", seconds)


def _named(first: int, *quantities: str, unit: str = "") -> Iterator[_Row]:
    for number, quantity in enumerate(quantities):
        if quantity:
            yield first + number, Meaning(quantity, unit, Fraction(1))


def _primary() -> Iterator[_Row]:
    yield from _decades(0x00, 8, -3, "Energy", "Wh")
    yield from _decades(0x08, 8, 0, "Energy", "J")
    yield from _decades(0x10, 8, -6, "Volume", "m^3")
    yield from _decades(0x18, 8, -3, "Mass", "kg")
    yield from _durations(0x20, "On time")
    yield from _durations(0x24, "Operating time")
    yield from _decades(0x28, 8, -3, "Power", "W")
    yield from _decades(0x30, 8, 0, "Power", "J/h")
    yield from _decades(0x38, 8, -6, "Volume flow", "m^3/h")
    yield from _decades(0x40, 8, -7, "Volume flow", "m^3/min")
    yield from _decades(0x48, 8, -9, "Volume flow", "m^3/s")
    yield from _decades(0x50, 8, -3, "Mass flow", "kg/h")
    yield from _decades(0x58, 4, -3, "Flow temperature", "°C")
    yield from _decades(0x5C, 4, -3, "Return temperature", "°C")
    yield from _decades(0x60, 4, -3, "Temperature difference", "K")
    yield from _decades(0x64, 4, -3, "External temperature", "°C")
    yield from _decades(0x68, 4, -3, "Pressure", "bar")
    yield from _named(0x6C, "Time point (date)", "Time point (date & time)", unit="-")
    yield from _named(0x6E, "H.C.A.", unit="Units for H.C.A.")
    yield from _named(0x6F, "Reserved", unit="Reserved")
    yield from _durations(0x70, "Averaging Duration")
    yield from _durations(0x74, "Actuality Duration")
    yield from _named(0x78, "Fabrication No", "(Enhanced) Identification", "Bus Address")
    yield from _named(0x7E, "Any VIF", "Manufacturer specific")


_FD_NAMES: Final = (
    "Access Number (transmission count)", "Medium", "Manufacturer", "Parameter set identification", "Model / Version",
    "Hardware version", "Firmware version", "Software version", "Customer location", "Customer", "Access Code User",
    "Access Code Operator", "Access Code System Operator", "Access Code Developer", "Password", "Error flags",
    "Error mask", "", "Digital Output", "Digital Input",
)  # fmt: skip


def _after_fd() -> Iterator[_Row]:
    yield from _decades(0x00, 4, -3, "Credit", "Currency units")
    yield from _decades(0x04, 4, -3, "Debit", "Currency units")
    yield from _named(0x08, *_FD_NAMES)
    yield from _named(0x1C, "Baudrate", unit="Baud")
    yield from _named(0x1D, "Response delay time", unit="Bittimes")
    yield from _named(0x1E, "Retry")
    yield from _named(0x20, "First storage # for cyclic storage", "Last storage # for cyclic storage")
    yield from _named(0x22, "Size of storage block")
    yield from _durations(0x24, "Storage interval", (*_TIMES, _MONTH, Fraction(_YEAR)))
    yield from _durations(0x2C, "Duration since last readout")
    yield from _named(0x30, "Start of tariff", unit="-")
    yield from _durations(0x31, "Duration of tariff", _TIMES[1:])
    yield from _durations(0x34, "Period of tariff", (*_TIMES, _MONTH, Fraction(_YEAR)))
    yield from _named(0x3A, "Dimensionless")
    yield from _decades(0x40, 16, -9, "Voltage", "V")
    yield from _decades(0x50, 16, -12, "Current", "A")
    yield from _named(0x60, "Reset counter", "Cumulation counter", "Control signal", "Day of week", "Week number")
    yield from _named(0x65, "Time point of day change", "State of parameter activation", "Special supplier information")
    yield from _durations(0x68, "Duration since last cumulation", _LONG_TIMES)
    yield from _durations(0x6C, "Operating time battery", _LONG_TIMES)
    yield from _named(0x70, "Date and time of battery change", "RF level")
    yield 0x74, Meaning("Remaining battery life", "s", Fraction(86_400))


def _after_fb() -> Iterator[_Row]:
    yield from _decades(0x00, 2, 5, "Energy", "Wh")
    yield from _decades(0x02, 2, 3, "Reactive energy", "varh")
    yield from _decades(0x04, 2, 3, "Apparent energy", "VAh")
    yield from _decades(0x08, 2, 8, "Energy", "J")
    yield from _decades(0x10, 2, 2, "Volume", "m^3")
    yield from _decades(0x14, 4, 0, "Reactive power", "var")
    yield from _decades(0x18, 2, 5, "Mass", "kg")
    yield from _decades(0x1A, 2, -1, "Relative humidity", "%")
    yield from _decades(0x21, 1, -1, "Volume", "feet^3")
    yield from _decades(0x22, 2, -1, "Volume", "American gallon")
    yield from _decades(0x24, 1, -3, "Volume flow", "American gallon/min")
    yield from _named(0x25, "Volume flow", unit="American gallon/min")
    yield from _named(0x26, "Volume flow", unit="American gallon/h")
    yield from _decades(0x28, 2, 5, "Power", "W")
    yield from _named(0x2A, "Phase U-U", "Phase U-I", unit="°")
    yield from _decades(0x2C, 4, -3, "Frequency", "Hz")
    yield from _decades(0x30, 2, 8, "Power", "J/h")
    yield from _decades(0x34, 4, 0, "Apparent power", "VA")
    yield from _decades(0x58, 4, -3, "Flow temperature", "°F")
    yield from _decades(0x5C, 4, -3, "Return temperature", "°F")
    yield from _decades(0x60, 4, -3, "Temperature difference", "°F")
    yield from _decades(0x64, 4, -3, "External temperature", "°F")
    yield from _decades(0x70, 4, -3, "Cold / Warm Temperature Limit", "°F")
    yield from _decades(0x74, 4, -3, "Cold / Warm Temperature Limit", "°C")
    yield from _decades(0x78, 8, -3, "Cumul count max power", "W")


_TABLES: Final[Mapping[int, Mapping[int, Meaning]]] = {
    0: dict(_primary()), 0xFD: dict(_after_fd()), 0xFB: dict(_after_fb()),
}  # fmt: skip
_RESERVED: Final = Meaning("Reserved", "Reserved", Fraction(1))


def meaning(code: int, extension: int = 0) -> Meaning:
    """What the seven bits of ``code`` mean; ``extension`` is 0xFD or 0xFB where the code follows one of these."""
    return _TABLES[extension].get(code & 0x7F, _RESERVED)


def fixed_meaning(code: int) -> Meaning:
    """The same for the six unit bits of the fixed data structure, where each kind has nine decades."""
    decades = (
        (0x02, 0, "Energy", "Wh"), (0x0B, 3, "Energy", "J"), (0x14, 0, "Power", "W"), (0x1D, 3, "Power", "J/h"),
        (0x26, -6, "Volume", "m^3"), (0x2F, -6, "Volume flow", "m^3/h"),
    )  # fmt: skip
    for first, exponent, quantity, unit in decades:
        if first <= code < first + 9:
            return Meaning(quantity, unit, Fraction(10) ** (exponent + code - first))
    if code == 0x38:
        return Meaning("Temperature", "°C", Fraction(1, 1000))
    return Meaning("H.C.A.", "Units for H.C.A.", Fraction(1)) if code == 0x39 else _RESERVED


_MEDIA: Final[Mapping[int, str]] = {
    0x00: "Other", 0x01: "Oil", 0x02: "Electricity", 0x03: "Gas", 0x04: "Heat: Outlet", 0x05: "Steam",
    0x06: "Warm water (30-90°C)", 0x07: "Water", 0x08: "Heat Cost Allocator", 0x09: "Compressed Air",
    0x0A: "Cooling load meter: Outlet", 0x0B: "Cooling load meter: Inlet", 0x0C: "Heat: Inlet",
    0x0D: "Heat / Cooling load meter", 0x0E: "Bus/System", 0x0F: "Unknown Medium", 0x10: "Irrigation Water",
    0x11: "Water Logger", 0x12: "Gas Logger", 0x13: "Gas Converter", 0x14: "Calorific value",
    0x15: "Hot water (>90°C)", 0x16: "Cold water", 0x17: "Dual water", 0x18: "Pressure", 0x19: "A/D Converter",
    0x1A: "Smoke Detector", 0x1B: "Ambient Sensor", 0x1C: "Gas Detector", 0x20: "Breaker: Electricity",
    0x21: "Valve: Gas or Water", 0x25: "Customer Unit: Display Device", 0x28: "Waste Water", 0x29: "Garbage",
    0x30: "Service Unit", 0x36: "Radio Converter: System", 0x37: "Radio Converter: Meter",
}  # fmt: skip


def known_medium(code: int) -> bool:
    """Whether the standard has a meter of this kind, or keeps the number for one."""
    return code <= 0x3F


def medium_of(code: int) -> str:
    """The kind of meter."""
    if code in _MEDIA:
        return _MEDIA[code]
    return "Reserved" if 0x1D <= code <= 0x3F else f"Unknown medium (0x{code:02x})"
