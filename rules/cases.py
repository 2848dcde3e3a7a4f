"""What is remembered of alerts on their way to people: cases, what each person was told, and letters."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from building.instants import from_iso
from building.site import DAY

STANDING: Final = DAY
"""An alert that is open longer than this is standing: it wants a work order, not another message."""


class Told(msgspec.Struct):
    """What one person was told of one case. ``state`` "closed": nothing more is to be told of it."""

    state: str
    at: int
    times: int = 1


class Decision(msgspec.Struct):
    """One decision about one case and one person: ``stage`` "sent" or the one that held it, and until when."""

    person: str
    at: int
    stage: str
    reason: str
    until: int | None = None


class Case(msgspec.Struct):
    """An alert and who knows of it. Moments are ms UTC."""

    alert: dict[str, Any]
    raised: int
    ended: int | None = None
    told: dict[str, Told] = {}
    decisions: list[Decision] = []

    @property
    def id(self) -> str:
        return str(self.alert["id"])

    @property
    def since(self) -> int:
        """When the condition began (ms)."""
        return from_iso(self.alert["since"])

    @property
    def key(self) -> str:
        """Rule and subject: the same for the same waste, however often it comes back."""
        return f"{self.alert['rule']}/{self.alert.get('device') or self.alert.get('department')}"


class Group(msgspec.Struct):
    """Letters to one person about one department."""

    since: int | None = None  # when the oldest thing that waits came
    sent: int | None = None


class Day(msgspec.Struct):
    """One person's day: letters sent, cases that the day's limit held back, and those of days before."""

    date: str = ""
    sent: int = 0
    over: list[str] = []
    carried: list[str] = []


class Chatter(msgspec.Struct):
    """A key that was raised again and again; told once until it is calm."""

    since: int
    last: int
    raises: int
    case: str  # the latest
    told: list[str] = []


class Book(msgspec.Struct):
    """What is remembered besides cases."""

    number: int = 0  # of the last letter
    groups: dict[str, Group] = {}
    days: dict[str, Day] = {}
    raises: dict[str, list[int]] = {}
    chatter: dict[str, Chatter] = {}
    up_again: dict[str, int] = {}  # link ("" for the site) -> when its cause was over
    fired: dict[str, int] = {}  # calendar jobs -> when each was done last


class Letter(msgspec.Struct):
    """A message to be written: who gets it, and of which cases. ``wishes`` go by case id: firing, reminder, resolved,
    chattering, acknowledged, silenced."""

    ident: str
    person: str
    at: int
    wishes: dict[str, str]
    kind: str = "alerts"  # or last_night, still_on, canary, holidays, test
    department: str | None = None
    more: list[str] = []  # cases that a limit held back and that are over by now
    last_today: bool = False
    still: list[dict[str, Any]] = []  # devices still on, of a list at closing time
