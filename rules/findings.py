"""What the engine says: a rule's condition began or ended, and what was used meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Used(NamedTuple):
    """kWh and litres; None where nothing was measured. ``estimated`` when not measured on this very device and time."""

    kwh: float | None = None
    litres: float | None = None
    estimated: bool = False


class Finding(NamedTuple):
    """What the engine says: a rule's condition on a device was raised, or has ended.

    ``since`` began, ``at`` happened, both ms; ``used`` is the waste between them so far.
    """

    state: str  # "raised" or "resolved"
    rule: str
    device: str
    zone: str | None
    since: int
    raised: int
    at: int
    used: Used
    evidence: Mapping[str, Any]
