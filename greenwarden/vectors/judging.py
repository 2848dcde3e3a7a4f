"""Verdicts, and how a value found is compared with a value stated."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from building.quantities import QUANTITIES
from collector.units import conversion, convertible

PASS: Final = "pass"  # noqa: S105  # a verdict, not a password
FAIL: Final = "fail"
NO_PROFILE: Final = "no profile"
UNSUPPORTED: Final = "unsupported"

UNITS: Final = {"degC": "°C", "degF": "°F", "lux": "lx", "m³": "m3", "m^3": "m3", "m³/h": "m3/h", "l/h": "L/h"}
_NOISE: Final = 2e-7  # relative; what 32-bit floats and printed decimals leave


class Verdict(NamedTuple):
    """What came of one vector, and the remark that explains it."""

    outcome: str
    remark: str = ""


def remarks(faults: Iterable[str], unchecked: Iterable[str] = (), *, checked: bool = True) -> Verdict:
    """FAIL with the faults, else PASS with what the collector has no use for; UNSUPPORTED when that is all there is."""
    told = list(faults)
    if told:
        return Verdict(FAIL, "; ".join(told))
    left = list(unchecked)
    if left and not checked:
        return Verdict(UNSUPPORTED, f"nothing of it is read: {', '.join(left)}")
    return Verdict(PASS, f"not read: {', '.join(left)}" if left else "")


def best_of(verdicts: Iterable[Verdict]) -> Verdict:
    """Of several pages that may be meant, the verdict of the one that fits best."""
    ranks = {PASS: 0, UNSUPPORTED: 1}
    return min(verdicts, key=lambda verdict: (ranks.get(verdict.outcome, 2), verdict.remark.count(";")))


def same(found: Any, stated: Any, tolerance: float = 0.0) -> bool:
    """Whether ``found`` is what was ``stated``: numbers within the tolerance, words without regard to case."""
    if stated is None or found is None:
        return found is stated
    if isinstance(found, list | tuple):
        return stated in found if not isinstance(stated, list) else _all_same(found, stated, tolerance)
    if isinstance(found, str) and isinstance(stated, int | float) and _number(found) is not None:
        found = _number(found)  # values that come as text
    if isinstance(found, str) or isinstance(stated, str):
        return str(found).strip().lower() == str(stated).strip().lower()
    if not (isinstance(found, int | float) and isinstance(stated, int | float)):
        return bool(found == stated)
    if isinstance(found, int) and isinstance(stated, int):
        return abs(found - stated) <= tolerance
    return math.isclose(found, stated, rel_tol=_NOISE, abs_tol=tolerance + 1e-9)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _all_same(found: list[Any] | tuple[Any, ...], stated: list[Any], tolerance: float) -> bool:
    return len(found) == len(stated) and all(same(a, b, tolerance) for a, b in zip(found, stated, strict=True))


def in_unit(quantity: str, stated: Any, unit: str, tolerance: float) -> tuple[Any, float]:
    """A stated number and its tolerance, from ``unit`` to the quantity's own unit (as it is where that is unknown)."""
    known = QUANTITIES.get(quantity) or QUANTITIES.get(re.sub("_l[123]$", "", quantity))
    unit = UNITS.get(unit, unit)
    numeric = isinstance(stated, int | float) and not isinstance(stated, bool)
    if known is None or not unit or not numeric or not convertible(unit, known):
        return stated, tolerance
    factor, shift = conversion(unit, known)
    return float(stated * factor + shift) if isinstance(stated, int) else (
        stated * factor.numerator / factor.denominator + float(shift)
    ), tolerance * float(factor)
