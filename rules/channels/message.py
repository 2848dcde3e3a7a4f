"""What a channel is given: text for people, and the alert itself for programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Message(NamedTuple):
    """One message. ``ident`` is the same at every attempt, so that a receiver can tell a repetition."""

    ident: str
    title: str
    text: str
    alert: Mapping[str, object]  # the JSON object of an alert
