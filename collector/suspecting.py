"""Values that give a wrong set-up away: of voltages and frequencies everybody knows what they must be. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

_MAINS: Final = (("voltage", 90.0, 480.0), ("frequency", 45.0, 65.0))
_TINY: Final = 1e-6
_HUGE: Final = 1e9


_SENTENCES: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        "absurd": "{odd}: this looks like a wrong word order or a wrong profile; "
        "try order: CDAB (or ABCD, BADC, DCBA) for the device, then another profile",
        "odd": "{odd}: no mains are like this; it looks like a wrong profile "
        "or a ratio (ct_ratio, vt_ratio) that is not set",
    },
    "zh": {
        "absurd": "{odd}：像是字序不对（wrong word order）或型号不对；"
        "请为该设备试设 order: CDAB（或 ABCD、BADC、DCBA），再试其他型号",
        "odd": "{odd}：电网不会是这样；像是型号不对，或未设互感器变比（ct_ratio、vt_ratio）",
    },
}


def suspicion(values: Mapping[str, float | str], language: str = "en") -> str:
    """What is probably set wrong, in ``language`` (zh or en); empty when voltage and frequency are what mains have.

    A byte or word order that is wrong turns 230 V into about 1e-41 or 1e+23; another map gives small odd numbers.
    """
    absurd = [
        f"{name} {value:.3g}"
        for name, value in values.items()
        if not isinstance(value, str) and (0 < abs(value) < _TINY or abs(value) > _HUGE)
    ]
    odd = [
        f"{name} {value:.4g}"
        for name, value in values.items()
        for kind, low, high in _MAINS
        if name.startswith(kind) and not isinstance(value, str) and value != 0 and not low <= value <= high
    ]
    sentences = _SENTENCES[language]
    if absurd:
        return sentences["absurd"].format(odd=", ".join(absurd[:3]))
    return sentences["odd"].format(odd=", ".join(odd[:3])) if odd else ""


def plausibility(values: Mapping[str, float | str]) -> float:
    """How well values fit an electricity meter on the mains, 0 (not at all) to 1."""
    judged = [
        low <= value <= high or value == 0
        for name, value in values.items()
        for kind, low, high in _MAINS
        if name.startswith(kind) and not isinstance(value, str)
    ]
    sane = [
        math.isfinite(value) and (value == 0 or _TINY <= abs(value) <= _HUGE)
        for value in values.values()
        if not isinstance(value, str)
    ]
    every = [*judged, *judged, *sane]  # voltage and frequency count threefold
    return sum(every) / len(every) if every else 0.0
