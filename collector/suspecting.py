"""Values that give a wrong set-up away: of voltages and frequencies everybody knows what they must be. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

_MAINS: Final = (("voltage", 90.0, 480.0), ("frequency", 45.0, 65.0))
_TINY: Final = 1e-6
_HUGE: Final = 1e9


def suspicion(values: Mapping[str, float | str]) -> str:
    """A sentence that says what is probably set wrong; empty when voltage and frequency are what mains have.

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
    if absurd:
        return (
            f"{', '.join(absurd[:3])}: this looks like a wrong word order or a wrong profile; "
            "try order: CDAB (or ABCD, BADC, DCBA) for the device, then another profile"
        )
    if odd:
        return (
            f"{', '.join(odd[:3])}: no mains are like this; it looks like a wrong profile "
            "or a ratio (ct_ratio, vt_ratio) that is not set"
        )
    return ""


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
