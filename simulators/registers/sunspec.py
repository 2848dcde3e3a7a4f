"""A SunSpec meter: the mark at 40000, a common block, model 203 (integers and scale factors) or 213 (f32), the end."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

from simulators.building import Meter, OfficeBuilding
from simulators.registers import Image, NumbersImage
from simulators.registers.tables import meter_values

_BASE: Final = 40_000
_NOT_THERE: Final = 0x8000
_SCALED: Final = {
    # offset from the model's id: (name, power of ten)
    2: ("i", -2), 3: ("i1", -2), 4: ("i2", -2), 5: ("i3", -2), 7: ("v", -1), 8: ("v1", -1), 9: ("v2", -1),
    10: ("v3", -1), 16: ("hz", -2), 18: ("p", 0), 19: ("p1", 0), 20: ("p2", 0), 21: ("p3", 0), 23: ("s", 0),
    28: ("q", 0), 33: ("pf", -2), 34: ("pf1", -2), 35: ("pf2", -2), 36: ("pf3", -2),
}  # fmt: skip
_FACTORS: Final = {6: -2, 15: -1, 17: -2, 22: 0, 27: 0, 32: 0, 37: -2, 54: 1}
_FLOATS: Final = {
    2: "i", 4: "i1", 6: "i2", 8: "i3", 10: "v", 12: "v1", 14: "v2", 16: "v3", 26: "hz", 28: "p", 30: "p1", 32: "p2",
    34: "p3", 36: "s", 44: "q", 52: "pf", 54: "pf1", 56: "pf2", 58: "pf3", 60: "exp", 62: "exp1", 64: "exp2",
    66: "exp3", 68: "imp", 70: "imp1", 72: "imp2", 74: "imp3",
}  # fmt: skip


def sunspec(building: OfficeBuilding, meter: Meter, *, floats: bool) -> Image:
    """One meter of model 213 (``floats``) or 203."""

    def registers() -> Mapping[int, int]:
        values = meter_values(building, meter)
        model = _float_model(values) if floats else _integer_model(values)
        common = [1, 66] + [0x2020] * 66
        words = [0x5375, 0x6E53, *common, *model, 0xFFFF, 0]
        return {_BASE + place: word for place, word in enumerate(words)}

    return NumbersImage({3: registers})


def _integer_model(values: Mapping[str, float]) -> list[int]:
    model = [_NOT_THERE] * 107
    model[0:2] = [203, 105]
    for place, (name, tens) in _SCALED.items():
        percent = 100 if name.startswith("pf") else 1
        model[place] = round(values[name] * percent / 10**tens) & 0xFFFF
    for place, tens in _FACTORS.items():
        model[place] = tens & 0xFFFF
    for first, kind in ((38, "exp"), (46, "imp")):
        for number, name in enumerate((kind, f"{kind}1", f"{kind}2", f"{kind}3")):
            high, low = divmod(round(values[name] * 1000 / 10) % (1 << 32), 1 << 16)
            model[first + 2 * number : first + 2 * number + 2] = [high, low]
    return model


def _float_model(values: Mapping[str, float]) -> list[int]:
    model = [0x7FC0, 0] * 63
    model[0:2] = [213, 124]
    for place, name in _FLOATS.items():
        factor = 100 if name.startswith("pf") else 1000 if name[:3] in ("imp", "exp") else 1
        model[place : place + 2] = struct.unpack(">HH", struct.pack(">f", values[name] * factor))
    return model
