"""Fields that many parts of devices.yaml share: ids, dates, time zones, and where a secret is."""

from __future__ import annotations

import os
import re
from datetime import UTC, date
from pathlib import Path
from typing import Annotated, Any, Final
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from building.errors import SecretMissing, shown
from building.instants import from_iso


class Frozen(BaseModel):
    """A part of devices.yaml: no key but its own, no value of another type, never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _ident(text: str) -> str:
    if not text or len(text) > 200 or any(ord(letter) < 32 for letter in text):
        raise ValueError("an id is 1 to 200 characters without line breaks")
    return text


Ident = Annotated[str, AfterValidator(_ident)]


def _date_text(value: str) -> str:
    try:
        date.fromisoformat(value)
    except ValueError:
        raise ValueError(f"{shown(value)} is not a date such as 2026-10-01") from None
    return value


def _instant_text(value: str) -> str:
    try:
        from_iso(value, UTC)
    except ValueError:
        raise ValueError(f"{shown(value)} is not a date and time such as 2026-07-01T18:30") from None
    return value


DateText = Annotated[str, AfterValidator(_date_text)]
InstantText = Annotated[str, AfterValidator(_instant_text)]


def _zone_name(value: str) -> str:
    if value not in available_timezones():
        raise ValueError(f"{shown(value)} is no time zone; write one such as Asia/Shanghai")
    return value


TimeZone = Annotated[str, AfterValidator(_zone_name)]


# -- secrets ----------------------------------------------------------------------------------------------------------

_SECRET: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}$|file:(.+)$")


class Secret:
    """Where a secret is, never the secret: ``${NAME}`` in the environment or ``file:/path``."""

    __slots__ = ("source",)

    def __init__(self, source: str) -> None:
        self.source = source

    def __repr__(self) -> str:
        return f"Secret({self.source})"

    def reveal(self) -> str:
        """The secret itself; raises SecretMissing with the way out. Do not log what comes back."""
        match = _SECRET.match(self.source)
        assert match is not None
        name, path = match.groups()
        if name is not None:
            value = os.environ.get(name)
            if value is None:
                raise SecretMissing(f"the secret {self.source} is not set; set the environment variable {name}")
            return value
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise SecretMissing(f"the secret file {path} cannot be read; create it, readable by this user") from None


def _secret(value: object) -> Secret:
    if isinstance(value, Secret):
        return value
    if isinstance(value, str) and _SECRET.match(value):
        return Secret(value)
    raise ValueError("a secret must not stand here in clear; write ${NAME} (environment) or file:/path")


SecretField = Annotated[Any, BeforeValidator(_secret)]
