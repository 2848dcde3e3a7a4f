"""Errors, named after what to do next.

GreenwardenError
├── ConfigError      stop: the person mends the file, then starts again (exit status 2)
│   └── SecretMissing    stop: set the environment variable or the file it names
├── InputError       stop this command: a file handed in is not what it should be (exit status 1 or 2)
├── LinkDown         back off the whole bus or broker: nothing behind it can be reached
├── NoAnswer         ask again, then mark this one device: the line works, the device is silent
├── MeterRefused     do not ask the same again: the device answered, and said no
├── BadFrame         count and drop: what came is not an answer to what was asked
├── StoreAway        keep and try again later: network, 429, 5xx
├── StoreRefused     put aside with the reason: the store will never take this (HTTP 400)
├── PublishFailed    do what the sentence says, then push again: Grafana is away or says no, and nothing was changed
└── DeliveryFailed   a message did not reach its channel; says whether a retry is worth while
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

_LONGEST_SHOWN: Final = 80


def shown(value: object) -> str:
    """``value`` as it may stand in a sentence: short, on one line, and never what a list or a set of keys holds.

    Contents stay out because a misplaced section may hold a password.
    """
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "a set of keys"
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return "a list"
    if isinstance(value, str) and len(value) > _LONGEST_SHOWN:
        return repr(value[:_LONGEST_SHOWN]) + "…"
    if isinstance(value, int) and value.bit_length() > 4 * _LONGEST_SHOWN:
        return "a very large number"  # Python refuses to spell out thousands of digits
    return repr(value)


def listed(names: Iterable[str]) -> str:
    """Ids or keys as they may stand one after another in a sentence: each cut to what it can bear."""
    return ", ".join(name if len(name) <= _LONGEST_SHOWN else name[:_LONGEST_SHOWN] + "…" for name in names)


class GreenwardenError(Exception):
    """Anything that greenwarden raises on purpose; its text is one sentence a person can act on."""


class ConfigError(GreenwardenError):
    """devices.yaml (or a profile, or a rules file) is wrong. ``problems`` holds one sentence per mistake."""

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class SecretMissing(ConfigError):
    """A secret named in devices.yaml is not set where it says."""


class InputError(GreenwardenError):
    """A file handed to a command cannot be used; the text names the file and the row or line."""


class LinkDown(GreenwardenError):
    """The bus, gateway or broker cannot be reached at all."""


class NoAnswer(GreenwardenError):
    """The device stayed silent."""


class MeterRefused(GreenwardenError):
    """The device answered with a Modbus exception ``code`` (1 function, 2 address, 3 value, 4 failure, 6 busy, …)."""

    def __init__(self, code: int, what: str) -> None:
        self.code = code
        super().__init__(what)


class BadFrame(GreenwardenError):
    """Bytes came that are not an answer to the question: cut short, wrong unit, wrong check sum."""


class StoreAway(GreenwardenError):
    """The store cannot take anything just now."""


class StoreRefused(GreenwardenError):
    """The store will never take this batch as it is."""


class PublishFailed(GreenwardenError):
    """Grafana is away, or will not take the dashboards; what had been changed was put back."""


class DeliveryFailed(GreenwardenError):
    """A channel did not take a message; ``retry`` says whether trying again can help."""

    def __init__(self, what: str, *, retry: bool) -> None:
        self.retry = retry
        super().__init__(what)
