"""Instants between people and machines: ISO 8601 with offset outside, milliseconds since 1970 UTC inside."""

from __future__ import annotations

import functools
from datetime import UTC, datetime, tzinfo

EARLIEST = 946_684_800_000  # 2000-01-01: no reading is older; a device that says 1970 has lost its clock


@functools.lru_cache(maxsize=4096)  # the evidence of many alerts is of the same few moments
def to_iso(moment: int, tz: tzinfo) -> str:
    """``2026-07-01T18:25:00+08:00``; with milliseconds only where there are any."""
    local = datetime.fromtimestamp(moment / 1000, UTC).astimezone(tz)
    return local.isoformat(timespec="milliseconds" if moment % 1000 else "seconds")


def from_iso(text: str, tz: tzinfo | None = None) -> int:
    """Milliseconds of an ISO 8601 text. Without offset it is local to ``tz``. Raises ValueError."""
    parsed = datetime.fromisoformat(text.strip())
    if parsed.tzinfo is None:
        if tz is None:
            raise ValueError(f"{text!r} has no offset; write e.g. 2026-07-01T18:25:00+08:00")
        parsed = parsed.replace(tzinfo=tz)
    return round(parsed.timestamp() * 1000)
