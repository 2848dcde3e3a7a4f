"""Register words to quantities: byte orders, number formats, "no value" marks, units, ratios, plausibility. Pure.

A ``Decoder`` is compiled once for a device's plan, so that an answer costs one ``struct`` call and a short loop. Four
byte orders need two transformations only: BADC and CDAB are read from a copy whose bytes are swapped within each word,
and CDAB and DCBA are then little-endian.
"""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from operator import le
from typing import Final, NamedTuple

from building.errors import ConfigError
from building.quantities import QUANTITIES, Nature, implausible
from building.readings import Flaw, Grade
from building.site import Device
from collector.links.modbus import READ_DISCRETE
from collector.planning import Block, Point, points_of
from collector.profiles import STANDARD_MARKS, WIDTHS, Profile, RegisterPoint
from collector.units import conversion

Values = dict[str, float | str]
Flaws = dict[str, Flaw]

_FORMATS: Final[Mapping[str, str]] = {
    "u16": "H", "s16": "h", "u32": "I", "s32": "i", "u64": "Q", "s64": "q", "f32": "f", "f64": "d", "sm16": "H",
    "bcd16": "2s", "bcd32": "4s", "bcd64": "8s", "mod10k_32": "4s", "mod10k_48": "6s", "mod10k_64": "8s",
}  # fmt: skip
_LITTLE: Final = {"CDAB": True, "DCBA": True, "ABCD": False, "BADC": False}
_SWAPPED: Final = {"CDAB": True, "BADC": True, "ABCD": False, "DCBA": False}

NO_VALUE: Final = Flaw(Grade.BAD, "the device says that it has no value")

_CT: Final = ("current", "active_power", "reactive_power", "apparent_power", "energy_import", "energy_export")
_VT: Final = ("voltage", "active_power", "reactive_power", "apparent_power", "energy_import", "energy_export")
_DIRECTED: Final = ("active_power", "reactive_power")
_OPPOSITE: Final = {"energy_import": "energy_export", "energy_export": "energy_import"}


def swapped(data: bytes) -> bytes:
    """``data`` with the two bytes of every word changed round."""
    words = array("H", data)
    words.byteswap()
    return words.tobytes()


class _Column(NamedTuple):
    """One point, compiled: value = raw x top / bottom + shift, good from ``low`` to ``high``."""

    name: str
    top: int
    bottom: int
    low: float
    high: float
    special: _Special | None  # all that a plain number does not need


class _Special(NamedTuple):
    type: str
    little: bool
    marks: frozenset[float]
    bits: tuple[int, int] | None
    words: Mapping[int, str | int]
    shift: float
    times: tuple[str, ...]
    tens: str
    off_by: str
    helper: bool


class _Pass(NamedTuple):
    """Points of one byte order that one struct can unpack: no two share registers."""

    unpack: struct.Struct
    swap: bool
    columns: tuple[_Column, ...]
    names: tuple[str, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]
    plain: bool  # floats already in the quantity's unit: nothing to do but to look at the range


class Decoder:
    """Turns the answers to ``blocks`` into the quantities of ``device``."""

    def __init__(self, profile: Profile, device: Device, blocks: Sequence[Block]) -> None:
        self._passes = [_passes(profile, device, block) if block.function > READ_DISCRETE else () for block in blocks]
        self._bits = [
            _bit_columns(profile, device, block) if block.function <= READ_DISCRETE else () for block in blocks
        ]

    def decode(self, answers: Sequence[bytes | None]) -> tuple[Values, Flaws]:
        """Values and flaws from one answer per block; None for a block that brought none (its points stay absent)."""
        job = _Job()
        for data, passes, bits in zip(answers, self._passes, self._bits, strict=True):
            if data is None:
                continue
            turned = b""
            for one in passes:
                if one.swap and not turned:
                    turned = swapped(data)
                numbers = one.unpack.unpack_from(turned if one.swap else data)
                if one.plain and all(map(le, one.lows, numbers)) and all(map(le, numbers, one.highs)):
                    job.values.update(zip(one.names, numbers, strict=True))
                else:
                    job.take(one.columns, numbers)
            if bits:
                job.take([column for _, column in bits], [data[at >> 3] >> (at & 7) & 1 for at, _ in bits])
        job.settle()
        return job.values, job.flaws


class _Job:
    """One decoding: what was found so far, and what waits for a helper."""

    __slots__ = ("flaws", "helpers", "values", "waiting")

    def __init__(self) -> None:
        self.values: Values = {}
        self.flaws: Flaws = {}
        self.helpers: dict[str, float | None] = {}
        self.waiting: list[tuple[_Column, float | str]] = []

    def take(self, columns: Sequence[_Column], numbers: Sequence[float | bytes]) -> None:
        """Book one unpacked number per column."""
        values = self.values
        for column, number in zip(columns, numbers, strict=True):
            name, top, bottom, low, high, special = column
            if special is not None:
                self._take_special(column, special, number)
                continue
            value = number * top / bottom  # type: ignore[operator]  # bytes occur in special columns only
            if low <= value <= high:
                values[name] = value
            else:
                self._take_odd(name, value)

    def _take_odd(self, name: str, value: float) -> None:
        if math.isfinite(value):
            self.values[name] = value
            self.flaws[name] = Flaw(Grade.BAD, implausible(name, value))
        else:
            self.flaws[name] = NO_VALUE

    def _take_special(self, column: _Column, special: _Special, number: float | bytes) -> None:
        raw = _number(special.type, number, special.little)
        found: float | str | Flaw
        if raw is None:
            found = Flaw(Grade.BAD, f"{column.name}: the digits are no {special.type} number")
        elif raw in special.marks or not math.isfinite(raw):
            found = NO_VALUE
        else:
            found = _meaning(column, special, raw)
        if special.helper:
            self.helpers[column.name] = found if isinstance(found, int | float) else None
        elif isinstance(found, Flaw):
            self.flaws[column.name] = found
        elif special.times or special.tens or special.off_by:
            self.waiting.append((column, found))
        else:
            self._book(column, found)

    def _book(self, column: _Column, value: float | str) -> None:
        if isinstance(value, str) or column.low <= value <= column.high:
            self.values[column.name] = value
        else:
            self._take_odd(column.name, value)

    def settle(self) -> None:
        """Finish what needed a scale factor, a ratio or the switch."""
        for column, value in self.waiting:
            special = column.special
            assert special is not None
            if special.off_by:
                self._settle_switched(column, special.off_by, value)
                continue
            factors = [self.helpers.get(name) for name in special.times]
            if special.tens:
                tens = self.helpers.get(special.tens)
                factors.append(None if tens is None or abs(tens) > 10 else 10.0**tens)
            if isinstance(value, str) or None in factors:
                self.flaws[column.name] = Flaw(Grade.BAD, f"{column.name}: the device gave no scale for it")
                continue
            # Divided rather than multiplied by 0.01, so that 1234 x 10^-2 is 12.34 to the last bit.
            for factor in factors:
                assert factor is not None
                value = value / round(1 / factor) if 0 < factor < 1 and special.tens else value * factor
            self._book(column, value)

    def _settle_switched(self, column: _Column, switch: str, value: float | str) -> None:
        if switch not in self.values:
            self.flaws[column.name] = Flaw(Grade.BAD, f"{column.name}: whether the machine is on is not known")
        else:
            self._book(column, "off" if self.values[switch] == 0 else value)


def _meaning(column: _Column, special: _Special, raw: float) -> float | str | Flaw:
    if special.bits is not None:
        lowest, width = special.bits
        raw = int(raw) >> lowest & (1 << width) - 1
    if special.words:
        word = special.words.get(int(raw))
        if word is None:
            return Flaw(Grade.BAD, f"{column.name}: {raw:g} is none of {', '.join(map(str, special.words))}")
        return word if isinstance(word, str) else float(word)
    return raw * column.top / column.bottom + special.shift


def _number(kind: str, number: float | bytes, little: bool) -> float | None:
    """A raw number; None for digits that are none."""
    if not isinstance(number, bytes):
        if kind == "sm16" and number >= 0x8000:
            return 0x8000 - number
        return number
    data = number[::-1] if little else number
    if kind.startswith("bcd"):
        text = data.hex()
        return int(text) if text.isdecimal() else None
    total = 0
    for (word,) in struct.iter_unpack(">H", data):
        if word > 9999:
            return None
        total = total * 10_000 + word
    return total


# -- compiling --------------------------------------------------------------------------------------------------------


def _passes(profile: Profile, device: Device, block: Block) -> tuple[_Pass, ...]:
    """Points by byte order; values that share registers go to different passes."""
    heaps: dict[tuple[str, int], list[Point]] = {}
    for point in sorted(block.points, key=lambda point: point.address):
        order, layer = _order(profile, device, point.row), 0
        while (heap := heaps.setdefault((order, layer), [])) and heap[-1].end > point.address:
            layer += 1
        heap.append(point)
    return tuple(_pass(profile, device, block, order, heap) for (order, _), heap in heaps.items())


def _pass(profile: Profile, device: Device, block: Block, order: str, points: Sequence[Point]) -> _Pass:
    little = _LITTLE[order]
    layout, at = "<" if little else ">", block.address
    for point in points:
        layout += f"{2 * (point.address - at)}x" if point.address > at else ""
        layout += _FORMATS[point.row.type]
        at = point.end
    columns = tuple(_column(point.row, device, little) for point in points)
    return _Pass(
        struct.Struct(layout),
        _SWAPPED[order],
        columns,
        tuple(column.name for column in columns),
        tuple(column.low for column in columns),
        tuple(column.high for column in columns),
        all(c.special is None and c.top == c.bottom == 1 for c in columns)
        and all(point.row.type in ("f32", "f64") for point in points),
    )


def _bit_columns(profile: Profile, device: Device, block: Block) -> tuple[tuple[int, _Column], ...]:
    return tuple((point.address - block.address, _column(point.row, device, False)) for point in block.points)


def _order(profile: Profile, device: Device, row: RegisterPoint) -> str:
    return row.order or device.order or profile.order


def _column(row: RegisterPoint, device: Device, little: bool) -> _Column:
    name = row.quantity or row.name
    factor, shift = Fraction(str(row.scale)), Fraction(str(row.offset))
    low, high = -math.inf, math.inf
    if row.quantity:
        quantity = QUANTITIES[row.quantity]
        turn, add = conversion(row.unit, quantity)
        factor, shift = factor * turn * _ratio(row, device), shift * turn + add
        if quantity.nature is not Nature.WORD:
            low, high = quantity.low, quantity.high
        if device.invert:
            name = _OPPOSITE.get(name, name)
            factor = -factor if name.startswith(_DIRECTED) else factor
    top, bottom = factor.numerator, factor.denominator
    return _Column(name, top, bottom, low, high, _special(row, float(shift), little))


def _ratio(row: RegisterPoint, device: Device) -> Fraction:
    """Transformer ratios and pulse weight of the device, for the quantities they concern."""
    ratio = Fraction(1)
    if row.unit == "pulse":
        if device.litres_per_pulse is None:
            raise ConfigError(f"device '{device.id}' counts pulses; add litres_per_pulse: as on the meter's plate")
        ratio *= Fraction(str(device.litres_per_pulse))
    if row.quantity.startswith(_CT):
        ratio *= Fraction(str(device.ct_ratio))
    if row.quantity.startswith(_VT):
        ratio *= Fraction(str(device.vt_ratio))
    return ratio


def _special(row: RegisterPoint, shift: float, little: bool) -> _Special | None:
    marks = _marks(row)
    plain = _FORMATS.get(row.type, "B") in "HhIiQqfdB" and row.type != "sm16"
    needs = (marks, row.bits, row.words, shift, row.times, row.tens, row.off_by, row.name)
    if plain and not any(needs):
        return None
    return _Special(
        row.type, little, marks, row.bits, row.words, shift, row.times, row.tens, row.off_by, bool(row.name)
    )


def _marks(row: RegisterPoint) -> frozenset[float]:
    """Raw numbers that mean "no value". Hex marks may be written unsigned for signed types: 0x8000 is -32768."""
    marks: set[float] = set()
    for mark in row.none:
        if mark == "standard":
            marks.update(STANDARD_MARKS.get(row.type, ()))
        else:
            top = 1 << 16 * WIDTHS[row.type]
            marks.add(mark - top if row.type.startswith("s") and row.type != "sm16" and mark >= top // 2 else mark)
    return frozenset(marks)


# -- one value, one block ---------------------------------------------------------------------------------------------


def decode_value(kind: str, order: str, data: bytes, none: Iterable[float] = ()) -> float | None:
    """The raw number of type ``kind`` in ``data``; None for one of the marks ``none``, NaN, or digits that are none."""
    little = _LITTLE[order]
    layout = struct.Struct(("<" if little else ">") + _FORMATS[kind])
    (number,) = layout.unpack(swapped(data) if _SWAPPED[order] else data)
    raw = _number(kind, number, little)
    return None if raw is None or raw in frozenset(none) or not math.isfinite(raw) else raw


def decode_registers(
    profile: Profile, device: Device, function: int, address: int, data: bytes
) -> tuple[Values, Flaws]:
    """All points of ``profile`` that lie wholly in the registers ``data``, read with ``function`` from ``address``."""
    count = len(data) // 2 if function > READ_DISCRETE else len(data) * 8
    inside = [
        point
        for point in points_of(profile, device)
        if point.function == function and address <= point.address and point.end <= address + count
    ]
    block = Block(function, address, count, tuple(inside))
    return Decoder(profile, device, [block]).decode([data])
