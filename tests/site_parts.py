"""Sites for tests of the ground floor, in a line or two."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import pytest

from building.document import parse_document
from building.errors import ConfigError
from building.site import Site, build_site

SITES: Final = Path(__file__).parent / "sites"


def site_of(text: str) -> Site:
    """The site that a devices.yaml with this text makes."""
    return build_site(parse_document(text.encode(), "devices.yaml", tolerant=True))


def told_about(raw: str | bytes) -> list[str]:
    """What is told about a wrong devices.yaml, without the name of the file."""
    with pytest.raises(ConfigError) as caught:
        build_site(parse_document(raw.encode() if isinstance(raw, str) else raw, "devices.yaml", tolerant=True))
    return [problem.removeprefix("devices.yaml:") for problem in caught.value.problems]


def local(text: str, zone: str = "Asia/Shanghai") -> int:
    """ms since 1970 UTC of a local time such as ``2026-07-01 18:10``."""
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)
