"""Durations as people write them: ``10s``, ``15m``, ``1h30m``, ``2d``, ``500ms``. Kept as whole milliseconds."""

from __future__ import annotations

import functools
import re
from typing import Annotated, Final

from pydantic import BeforeValidator

from building.errors import shown

_UNITS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_LONGEST: Final = 400 * _UNITS["d"]
_SHORTEST_PERIOD: Final = 100  # ms; no meter answers more often
ACCEPTED: Final = "a duration such as 10s, 15m, 1h30m or 2d"


def parse_duration(text: object) -> int:
    """Milliseconds in ``text``. Raises ValueError, naming what is accepted."""
    if isinstance(text, str):
        compact = text.strip()
        parts = _PART.findall(compact)
        if parts and "".join(number + unit for number, unit in parts) == compact:
            total = sum(float(number) * _UNITS[unit] for number, unit in parts)
            if total <= _LONGEST:
                return round(total)
            raise ValueError(f"{shown(compact)} is longer than 400 days")
    raise ValueError(f"{shown(text)} is not {ACCEPTED}")


def parse_period(text: object) -> int:
    """Like ``parse_duration``, for what repeats or is waited for: 100 ms at least. Raises ValueError."""
    total = parse_duration(text)
    if total < _SHORTEST_PERIOD:
        raise ValueError(f"{shown(text)} is too short; write {_SHORTEST_PERIOD}ms or more")
    return total


@functools.lru_cache(maxsize=4096)  # alerts say the same waits and lengths again and again
def format_duration(milliseconds: float) -> str:
    """Shortest spelling in whole seconds, e.g. ``1h30m``; below one second in milliseconds."""
    left = round(milliseconds)
    if left < 1000:
        return f"{left}ms"
    left -= left % 1000
    words = []
    for unit in ("d", "h", "m", "s"):
        count, left = divmod(left, _UNITS[unit])
        if count:
            words.append(f"{count}{unit}")
    return "".join(words)


Duration = Annotated[int, BeforeValidator(parse_duration)]
"""A pydantic field written as text in YAML and held as milliseconds."""

Period = Annotated[int, BeforeValidator(parse_period)]
"""The same for a period or a time-out, which cannot be zero."""
