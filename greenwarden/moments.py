"""Times that a person names, on the command line or in a table: local to the site unless they carry an offset."""

from __future__ import annotations

from typing import Final

from building.errors import ConfigError, shown
from building.instants import EARLIEST, from_iso
from building.site import Site

_END: Final = 4_102_444_800_000  # 2100-01-01


def told_moment(site: Site, text: str) -> int:
    """Milliseconds of a date or a time, such as ``2026-07-01`` or ``2026-07-01T18:30``. Raises ConfigError."""
    try:
        moment = from_iso(text, site.site.tz)
    except ValueError:
        moment = _END
    if not EARLIEST <= moment < _END:
        raise ConfigError(
            f"{shown(text)} is no time; write 2026-07-01 or 2026-07-01T18:30 (local), in a year from 2000 to 2099"
        )
    return moment
