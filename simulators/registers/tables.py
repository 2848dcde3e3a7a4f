"""Register images out of tables: what stands where, in which form. The tables are the makers', see the modules beside.

A row is (wire address, name of a value, form, factor): the register holds value times factor. Forms: u16 s16 u32 s32
u64 s64 f32 f64. Names are those of ``meter_values`` and of the other value functions.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from simulators.building import Meter, OfficeBuilding
from simulators.registers import ILLEGAL_ADDRESS, ILLEGAL_FUNCTION, ILLEGAL_VALUE, Refused

Row = tuple[int, str, str, float]
Values = Mapping[str, float]

_FORMS: Final = {
    "u16": (">H", 0xFFFF), "s16": (">h", 0x7FFF), "u32": (">I", 0xFFFFFFFF), "s32": (">i", 0x7FFFFFFF),
    "u64": (">Q", (1 << 64) - 1), "s64": (">q", (1 << 63) - 1), "f32": (">f", math.nan), "f64": (">d", math.nan),
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """One model. ``holes``: whether registers between the listed ones read 0, or are refused.

    ``most``: registers in one request. ``whole``: a request must not begin or end inside a value. ``tops``: the largest
    kWh its counters hold; 0 for those that never begin again.
    """

    rows: tuple[Row, ...]
    functions: tuple[int, ...] = (3,)
    low_word_first: bool = False
    most: int = 125
    holes: Literal["zero", "refused"] = "zero"
    whole: bool = False
    top_kwh: float = 0.0
    secondary: bool = False
    """Values are those behind the transformers: the reader multiplies by their ratios."""


class TableImage:
    """One unit that answers from a table and the values as they are at each request."""

    def __init__(self, table: Table, values: Callable[[], Values]) -> None:
        self._table = table
        self._values = values
        self._starts = {address: length(form) for address, _, form, _ in table.rows}
        self._known = {address + n for address, words in self._starts.items() for n in range(words)}
        self._inner = self._known - set(self._starts)
        self._last = max(self._known)

    def read(self, function: int, address: int, count: int) -> bytes:
        """``count`` registers. Raises Refused as the device would."""
        if function not in self._table.functions:
            raise Refused(ILLEGAL_FUNCTION)
        if not 1 <= count <= self._table.most:
            raise Refused(ILLEGAL_VALUE)
        asked = range(address, address + count)
        if address + count - 1 > self._last or (self._table.holes == "refused" and not self._known.issuperset(asked)):
            raise Refused(ILLEGAL_ADDRESS)
        if self._table.whole and (address in self._inner or address + count in self._inner):
            raise Refused(ILLEGAL_ADDRESS)
        return self._image(address, count)

    def _image(self, address: int, count: int) -> bytes:
        values = self._values()
        image = bytearray(2 * count)
        for place, name, form, factor in self._table.rows:
            words = length(form)
            if place + words <= address or place >= address + count:
                continue
            raw = encode(values.get(name, math.nan) * factor, form, low_word_first=self._table.low_word_first)
            for n in range(words):
                if address <= place + n < address + count:
                    image[2 * (place + n - address) : 2 * (place + n - address) + 2] = raw[2 * n : 2 * n + 2]
        return bytes(image)


def length(form: str) -> int:
    """Registers that a form takes."""
    return int(form[1:]) // 16


def encode(value: float, form: str, *, low_word_first: bool = False) -> bytes:
    """A number as it stands in registers; NaN becomes the mark that there is no value."""
    packing, none = _FORMS[form]
    if form[0] == "f":
        raw = struct.pack(packing, value)
    else:
        top = 1 << int(form[1:])
        number = none if math.isnan(value) else round(value)
        if form[0] == "u":
            number %= top
        raw = struct.pack(packing, number)
    if low_word_first:
        raw = b"".join(raw[place : place + 2] for place in range(len(raw) - 2, -1, -2))
    return raw


def meter_values(building: OfficeBuilding, meter: Meter) -> Values:
    """Everything an electricity meter knows: V, A, W, var, VA, Hz, kWh, kvarh; phases 1 to 3, and without number."""
    now = building.now
    tangent = math.tan(math.acos(meter.factor))
    power, energy = meter.power, meter.energy
    values = {
        "v": meter.voltage(now),
        "p": power,
        "q": power * tangent,
        "s": power / meter.factor,
        "pf": meter.factor if power else 1.0,
        "hz": 50 + 0.02 * math.sin(2 * math.pi * now / 600_000),  # the grid stays within 0.03 of 50
        "imp": energy,
        "exp": 0.0,
        "rimp": meter.reactive_energy,
        "rexp": 0.0,
        "zero": 0.0,
        "one": 1.0,
    }
    values["i1p"] = values["s"] / values["v"]  # all of it on one phase
    current = 0.0
    for phase, share in enumerate(meter.shares):
        number, volts = str(phase + 1), meter.voltage(now, phase)
        values["v" + number] = volts
        values["p" + number] = power * share
        values["q" + number] = power * share * tangent
        values["s" + number] = power * share / meter.factor
        values["i" + number] = power * share / meter.factor / volts
        values["pf" + number] = values["pf"]
        values["imp" + number] = energy * share
        values["exp" + number] = 0.0
        current += values["i" + number]
    values["i"] = current
    return values
