"""The life of an alert: pending, firing, acknowledged, silenced, resolved. Pure.

    pending  the condition holds, but not yet long enough (the engine's; nobody is told)
    firing -> acknowledged   a person has taken it on, with a reason
    firing, acknowledged -> silenced   a person wants no messages until a moment, and says why
    silenced -> what it was before   at that moment, or when it is released
    any of them -> resolved   the readings show that it is over; nothing comes after

Only readings resolve. Every change is kept with its time and the person who made it.
"""

from __future__ import annotations

from typing import Final

import msgspec

from building.errors import InputError
from building.site import DAY

REASONS: Final = ("fixed", "on_purpose", "false_alarm", "needs_work_order")
ACTIONS: Final = ("acknowledge", "silence", "release")
OPEN: Final = ("firing", "acknowledged", "silenced")
LONGEST_SILENCE: Final = 30 * DAY
_LONGEST_TEXT: Final = 500


class Answer(msgspec.Struct, frozen=True):
    """What a person wants done. For one ``alert``, or (silence, release) for all that fit ``rule``, ``zone``,
    ``device`` and ``department``. ``until`` in ms UTC; ``via``: page, command, mqtt."""

    action: str
    by: str
    alert: str | None = None
    reason: str = ""
    why: str = ""
    until: int | None = None
    rule: str | None = None
    zone: str | None = None
    device: str | None = None
    department: str | None = None
    via: str = "command"
    ident: str = ""

    @property
    def fitting(self) -> dict[str, str]:
        """What an alert must have to be meant, when no single alert is named."""
        asked = {"rule": self.rule, "zone": self.zone, "device": self.device, "department": self.department}
        return {key: value for key, value in asked.items() if value is not None}


class Mark(msgspec.Struct, frozen=True):
    """A person's answer as it stands on an open alert; ``before``: the answer it came after."""

    state: str
    by: str
    at: int
    reason: str = ""
    why: str = ""
    until: int | None = None
    before: Mark | None = None


class Silence(msgspec.Struct, frozen=True):
    """No messages of alerts that fit, also of those to come, until a moment."""

    fitting: dict[str, str]
    mark: Mark


def checked(answer: Answer, now: int) -> Answer:
    """``answer`` if it makes sense; raises InputError saying what is accepted."""
    if answer.action not in ACTIONS:
        raise InputError(f"the action {answer.action[:40]!r} is not known; use one of {', '.join(ACTIONS)}")
    if not answer.by.strip():
        raise InputError("an answer needs a name: say who you are")
    if len(answer.by) > 100 or len(answer.why) > _LONGEST_TEXT:
        raise InputError(f"that is too long; a name may have 100 letters, a reason {_LONGEST_TEXT}")
    if answer.alert is None and not answer.fitting:
        raise InputError("say which alert, or a rule, zone, device or department")
    if answer.action == "acknowledge":
        if answer.alert is None:
            raise InputError("only a single alert can be acknowledged; name its id")
        if answer.reason not in REASONS:
            raise InputError(f"the reason {answer.reason[:40]!r} is not known; use one of {', '.join(REASONS)}")
    if answer.action == "silence":
        if answer.until is None or not now < answer.until <= now + LONGEST_SILENCE:
            raise InputError("a silence needs an end, at most 30 days from now")
        if not answer.why.strip():
            raise InputError("a silence needs a reason: say why")
    return answer


def marked(mark: Mark | None, answer: Answer, now: int) -> Mark | None:
    """The mark after ``answer``; None: firing again. Raises InputError when nothing is there to be released."""
    if answer.action == "acknowledge":
        return Mark("acknowledged", answer.by, now, answer.reason, answer.why)
    if answer.action == "silence":
        before = mark.before if mark is not None and mark.state == "silenced" else mark
        return Mark("silenced", answer.by, now, answer.reason, answer.why, answer.until, before)
    if mark is None or mark.state != "silenced":
        raise InputError("it is not silenced")
    return mark.before


def lapsed(mark: Mark, now: int) -> bool:
    """Whether a silence has come to its end."""
    return mark.state == "silenced" and mark.until is not None and mark.until <= now


def state_of(mark: Mark | None) -> str:
    """The state of an open alert with this mark."""
    return "firing" if mark is None else mark.state
