"""What a channel is given: words for people in parts, and the alerts themselves for programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Link(NamedTuple):
    """Something to press: what it does, and where it leads."""

    words: str
    url: str


class Entry(NamedTuple):
    """One alert, or one paragraph, in a message. Plain text: each channel escapes it in its own way."""

    title: str
    lines: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()


class Message(NamedTuple):
    """One message. ``ident`` is the same at every attempt, so that a receiver can tell a repetition.

    ``title`` and ``text`` say everything in plain words; ``entries`` and ``footer`` are the same in parts. ``alert`` is
    the JSON object of the (first) alert, ``alerts`` are all of them. ``mention`` are mobile numbers or user ids to be
    called by name, ``to`` mail addresses, ``picture`` a PNG.
    """

    ident: str
    title: str
    text: str
    alert: Mapping[str, object]
    entries: tuple[Entry, ...] = ()
    footer: tuple[str, ...] = ()
    alerts: tuple[Mapping[str, object], ...] = ()
    mention: tuple[str, ...] = ()
    to: tuple[str, ...] = ()
    language: str = "zh"
    picture: bytes | None = None

    def parts(self) -> tuple[Entry, ...]:
        """The entries; for a message that is only text, the text."""
        return self.entries or (Entry("", tuple(self.text.splitlines())),)

    @property
    def gravity(self) -> str:
        """The worst severity of its alerts that are not over; ``over`` when all are, ``info`` when there is none."""
        alerts = self.alerts or ((self.alert,) if self.alert else ())
        still = {str(alert.get("severity")) for alert in alerts if alert.get("state") != "resolved"}
        if alerts and not still:
            return "over"
        return next((severity for severity in ("critical", "warning") if severity in still), "info")

    def under_title(self) -> tuple[Entry, ...]:
        """The same for where the title stands above them: one that only repeats it goes without its own."""
        return tuple(entry._replace(title="") if entry.title == self.title else entry for entry in self.parts())
