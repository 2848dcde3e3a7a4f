"""Instants between people and machines: ISO 8601 with offset outside, milliseconds since 1970 UTC inside."""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

EARLIEST: Final = 946_684_800_000  # 2000-01-01: no reading is older; a device that says 1970 has lost its clock
_FIRST: Final = -2_208_988_800_000  # 1900-01-01
_LAST: Final = 253_370_764_800_000  # 9999-01-01: the day after is still a date in every time zone
_HOUR: Final = 3_600_000  # ms


@functools.lru_cache(maxsize=4096)  # the evidence of many alerts is of the same few moments
def to_iso(moment: int, tz: tzinfo) -> str:
    """``2026-07-01T18:25:00+08:00``; with milliseconds only where there are any."""
    hour, rest = divmod(moment, _HOUR)
    ends = _ends(hour, tz)
    if ends is None:
        local = datetime.fromtimestamp(moment / 1000, UTC).astimezone(tz)
        return local.isoformat(timespec="milliseconds" if moment % 1000 else "seconds")
    second, milliseconds = divmod(rest, 1000)
    fraction = f".{milliseconds:03}" if milliseconds else ""
    return f"{ends[0]}{second // 60:02}:{second % 60:02}{fraction}{ends[1]}"


@functools.lru_cache(maxsize=4096)
def _ends(hour: int, tz: tzinfo) -> tuple[str, str] | None:
    """Date and hour, and offset, of that hour since 1970; None where they are not the same throughout it."""
    begin, end = (datetime.fromtimestamp(hour * 3600 + second, UTC).astimezone(tz) for second in (0, 3599))
    offset = begin.utcoffset()
    if offset is None or offset != end.utcoffset() or offset % timedelta(hours=1):
        return None
    text = begin.isoformat(timespec="seconds")
    return text[:14], text[19:]


def from_iso(text: str, tz: tzinfo | None = None) -> int:
    """Milliseconds of an ISO 8601 text. Without offset it is local to ``tz``.

    Raises ValueError, also for what lies so far away that it could not be told in every time zone.
    """
    parsed = datetime.fromisoformat(text.strip())
    if parsed.tzinfo is None:
        if tz is None:
            raise ValueError(f"{text!r} has no offset; write e.g. 2026-07-01T18:25:00+08:00")
        parsed = parsed.replace(tzinfo=tz)
    moment = round(parsed.timestamp() * 1000) if 1 < parsed.year < 9999 else _LAST
    if not _FIRST <= moment < _LAST:
        raise ValueError(f"{text!r} is not between the years 1900 and 9998")
    return moment
