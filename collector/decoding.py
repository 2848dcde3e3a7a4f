"""Register words to quantities: byte orders, number formats, "no value" marks, units, ratios, plausibility. Pure.

A ``Decoder`` is compiled once for a device's plan, so that an answer costs one ``struct`` call and a short loop. Four
byte orders need two transformations only: BADC and CDAB are read from a copy whose bytes are swapped within each word,
and CDAB and DCBA are then little-endian.
"""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from operator import le
from typing import Final, NamedTuple

from building.errors import ConfigError
from building.quantities import QUANTITIES, Nature, implausible
from building.readings import Flaw, Grade
from building.site import Device
from collector.links.modbus import READ_DISCRETE
from collector.planning import Block, Point, every_point
from collector.profiles import ITEM_TYPES, READ_ITEM, STANDARD_MARKS, WIDTHS, Profile, RegisterPoint
from collector.units import conversion

Values = dict[str, float | str]
Flaws = dict[str, Flaw]

_FORMATS: Final[Mapping[str, str]] = {
    "u16": "H", "s16": "h", "u32": "I", "s32": "i", "u64": "Q", "s64": "q", "f32": "f", "f64": "d", "sm16": "H",
    "bcd16": "2s", "bcd32": "4s", "bcd64": "8s", "mod10k_32": "4s", "mod10k_48": "6s", "mod10k_64": "8s",
    "u8": "B", "dec16": "2s", "dec24": "3s", "dec32": "4s", "sdec16": "2s", "sdec24": "3s", "sdec32": "4s",
    "text12": "12s", "text16": "16s",
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
    words: Mapping[int, str | int | float]
    shift: float
    times: tuple[str, ...]
    tens: str
    plus: tuple[str, ...]
    off_by: str
    four_quadrant: bool
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


_Quick = tuple[
    Callable[[bytes], tuple[float, ...]], tuple[float, ...], tuple[float, ...], tuple[str, ...], dict[str, float | str]
]
"""A single pass of plain floats, laid out for speed: how to unpack, lows, highs, names, and a dict with all names."""


class Decoder:
    """Turns the answers to ``blocks`` into the quantities of ``device``."""

    def __init__(self, profile: Profile, device: Device, blocks: Sequence[Block]) -> None:
        self._passes = [_passes(profile, device, block) if block.function > READ_DISCRETE else () for block in blocks]
        self._bits = [
            _bit_columns(profile, device, block) if block.function <= READ_DISCRETE else () for block in blocks
        ]

        self._quick: _Quick | None = None
        alone = self._passes[0] if len(blocks) == 1 and not self._bits[0] else ()
        if len(alone) == 1 and alone[0].plain and not alone[0].swap:
            only = alone[0]
            blank: Values = dict.fromkeys(only.names, 0.0)
            self._quick = only.unpack.unpack_from, only.lows, only.highs, only.names, blank

    def decode(self, answers: Sequence[bytes | None]) -> tuple[Values, Flaws]:
        """Values and flaws from one answer per block; None for a block that brought none (its points stay absent)."""
        if self._quick is not None and (answer := answers[0]) is not None:  # one block of floats: the hot path
            unpack, lows, highs, names, blank = self._quick
            numbers = unpack(answer)
            if all(map(le, lows + numbers, numbers + highs)):  # low <= number, and number <= high, in one pass
                values = blank.copy()  # quicker than growing a new one
                values.update(zip(names, numbers))  # noqa: B905 - both are as long as the struct, and strict costs
                return values, {}
        job = self._work(answers)
        return job.values, job.flaws

    def decode_all(self, answers: Sequence[bytes | None]) -> Decoded:
        """The same, with the rows that are no quantity."""
        job = self._work(answers)
        return Decoded(job.values, job.flaws, job.details)

    def _work(self, answers: Sequence[bytes | None]) -> _Job:
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
        return job


class _Job:
    """One decoding: what was found so far, and what waits for a helper."""

    __slots__ = ("details", "flaws", "helpers", "values", "waiting")

    def __init__(self) -> None:
        self.values: Values = {}
        self.flaws: Flaws = {}
        self.helpers: dict[str, float | None] = {}
        self.details: Values = {}
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
        if special.type.startswith("text") and isinstance(number, bytes):
            self.details[column.name] = number.decode("ascii", "replace").strip("\0\t ")
            return
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
            if special.times or special.tens or special.plus:
                if not isinstance(found, Flaw):
                    self.waiting.append((column, found))
            elif not isinstance(found, Flaw):
                self.details[column.name] = found
        elif isinstance(found, Flaw):
            self.flaws[column.name] = found
        elif special.times or special.tens or special.plus or special.off_by:
            self.waiting.append((column, found))
        else:
            self._book(column, found)

    def _book(self, column: _Column, value: float | str) -> None:
        if column.special is not None and column.special.helper:
            self.details[column.name] = value
        elif isinstance(value, str) or column.low <= value <= column.high:
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
            summands = [self.helpers.get(name) for name in special.plus]
            if isinstance(value, str) or None in summands:
                self._lack(column, "the device gave only a part of it")
                continue
            value += sum(number * column.top / column.bottom for number in summands if number is not None)
            factors = [self.helpers.get(name) for name in special.times]
            tens = self.helpers.get(special.tens) if special.tens else 0
            if None in factors or tens is None or abs(tens) > 10:
                self._lack(column, "the device gave no scale for it")
                continue
            for factor in factors:
                assert factor is not None
                value *= factor
            # Divided rather than multiplied by 0.01, so that 1234 x 10^-2 is 12.34 to the last bit.
            self._book(column, value / 10 ** int(-tens) if tens < 0 else value * 10 ** int(tens))

    def _lack(self, column: _Column, reason: str) -> None:
        """A value that cannot be told; of a detail there is nothing to say."""
        if column.special is None or not column.special.helper:
            self.flaws[column.name] = Flaw(Grade.BAD, f"{column.name}: {reason}")

    def _settle_switched(self, column: _Column, switch: str, value: float | str) -> None:
        self.details[column.name] = value
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
    if special.four_quadrant and abs(raw) > 1:
        raw = math.copysign(2, raw) - raw
    return raw * column.top / column.bottom + special.shift


def _number(kind: str, number: float | bytes, little: bool) -> float | None:
    """A raw number; None for digits that are none."""
    if not isinstance(number, bytes):
        if kind == "sm16" and number >= 0x8000:
            return 0x8000 - number
        return number
    if "dec" in kind:
        return _decimal(number, signed=kind.startswith("s"))
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


def _decimal(number: bytes, *, signed: bool) -> float | None:
    """Digits two to a byte, lowest byte first; ``signed``: the topmost bit says minus."""
    data = bytearray(number[::-1])
    minus = signed and data[0] & 0x80
    if minus:
        data[0] &= 0x7F
    text = data.hex()
    if not text.isdecimal():
        return None
    return -int(text) if minus else int(text)


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
    layout, at, size = "<" if little else ">", block.address, 1 if block.function == READ_ITEM else 2
    for point in points:
        layout += f"{size * (point.address - at)}x" if point.address > at else ""
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
    if row.type in ITEM_TYPES or row.type.startswith("text"):
        return "ABCD"  # data items and letters are bytes, and their order is the standard's
    return row.order or device.order or profile.order


def _column(row: RegisterPoint, device: Device, little: bool) -> _Column:
    name = row.quantity or row.name
    factor, shift = Fraction(str(row.scale)), Fraction(str(row.offset))
    low, high = -math.inf, math.inf
    if row.quantity:
        quantity = QUANTITIES[row.quantity]
        turn, add = conversion(row.unit, quantity)
        name, ratio = installed(row.quantity, row.unit, device)
        factor, shift = factor * turn * ratio, shift * turn + add
        if quantity.nature is not Nature.WORD:
            low, high = quantity.low, quantity.high
    top, bottom = factor.numerator, factor.denominator
    return _Column(name, top, bottom, low, high, _special(row, float(shift), little))


def installed(quantity: str, unit: str, device: Device) -> tuple[str, Fraction]:
    """What a quantity of the meter is at its place, and the factor: transformer ratios, pulse weight, ``invert``.

    Raises ConfigError for pulses without their weight.
    """
    ratio = Fraction(1)
    if unit == "pulse":
        if device.litres_per_pulse is None:
            raise ConfigError(f"device '{device.id}' counts pulses; add litres_per_pulse: as on the meter's plate")
        ratio *= Fraction(str(device.litres_per_pulse))
    if quantity.startswith(_CT):
        ratio *= Fraction(str(device.ct_ratio))
    if quantity.startswith(_VT):
        ratio *= Fraction(str(device.vt_ratio))
    if device.invert:
        return _OPPOSITE.get(quantity, quantity), -ratio if quantity.startswith(_DIRECTED) else ratio
    return quantity, ratio


def _special(row: RegisterPoint, shift: float, little: bool) -> _Special | None:
    marks = _marks(row)
    plain = _FORMATS.get(row.type, "B") in "HhIiQqfdB" and row.type != "sm16"
    four_quadrant = row.form == "four_quadrant"
    needs = (marks, row.bits, row.words, shift, row.helpers, row.off_by, row.name, four_quadrant)
    if plain and not any(needs):
        return None
    return _Special(
        row.type,
        little,
        marks,
        row.bits,
        row.words,
        shift,
        row.times,
        row.tens,
        row.plus,
        row.off_by,
        four_quadrant,
        bool(row.name),
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


class Decoded(NamedTuple):
    """What a block of registers says: quantities, what is wrong with some, and the rows that are no quantity."""

    values: Values
    flaws: Flaws
    details: Values


def decode_blocks(profile: Profile, device: Device, blocks: Iterable[tuple[int, int, bytes]]) -> Decoded:
    """All rows of ``profile``, details too, that lie wholly in ``blocks``: (function, first address, data) each."""
    planned: list[Block] = []
    answers: list[bytes] = []
    for function, address, data in blocks:
        per_byte = {READ_ITEM: 1.0}.get(function, 0.5 if function > READ_DISCRETE else 8.0)
        count = int(len(data) * per_byte)
        points = every_point(profile, device)
        inside = [p for p in points if p.function == function and address <= p.address and p.end <= address + count]
        planned.append(Block(function, address, count, tuple(inside)))
        answers.append(data)
    return Decoder(profile, device, planned).decode_all(answers)


def decode_block(profile: Profile, device: Device, function: int, address: int, data: bytes) -> Decoded:
    """The same for one block."""
    return decode_blocks(profile, device, [(function, address, data)])


def decode_registers(
    profile: Profile, device: Device, function: int, address: int, data: bytes
) -> tuple[Values, Flaws]:
    """Values and flaws of ``decode_block``."""
    values, flaws, _ = decode_block(profile, device, function, address, data)
    return values, flaws
