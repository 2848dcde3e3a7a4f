"""Watches: a rule's condition on one device over time, from the first moment it holds to the finding and its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from rules.cells import Cell, Timeline
from rules.condition import Condition
from rules.findings import Finding, Used
from rules.metering import Meter
from rules.presence import presence

QUIET, PENDING, FIRING = "quiet", "pending", "firing"


class Subject(NamedTuple):
    """What a finding is about: a device (and its zone), or a department."""

    id: str
    zone: str | None = None


class Watch(Cell):
    """One rule on one device: quiet, pending or firing.

    Unknown neither raises nor clears. While pending it stops the count: the time not known is added to the wait. If
    more time than the whole wait goes unknown at once, the count starts again. A firing watch stays so until the
    condition is known to be false, and has been so for ``clear``.
    """

    __slots__ = ("after", "clear", "condition", "device", "due", "ending", "excess", "limits", "mark", "meter", "phase",
                 "raised", "rule", "share", "since", "unknown_since", "waste", "wasted", "zone")  # fmt: skip

    def __init__(
        self,
        memory: Timeline,
        rule: str,
        wasted: Literal["kwh", "litres"] | None,
        subject: Subject,
        values: Mapping[str, float],
        condition: Condition,
        meter: Meter | None,
    ) -> None:
        super().__init__(memory, 4)
        self.rule, self.wasted, self.device, self.zone = rule, wasted, subject.id, subject.zone
        self.after, self.clear = int(values.get("after", 0)), int(values.get("clear", 0))
        self.condition, self.meter, self.limits = condition, meter, dict(values)
        self.phase = QUIET
        self.since = self.due = self.raised = 0
        self.unknown_since = 0
        self.ending = 0  # since when the condition of a firing watch is false
        self.waste: tuple[Any, ...] = ()  # the waste up to there, where a meter tells it
        self.mark: tuple[float, ...] = ()  # the meter when the condition began, or when the share last changed
        self.excess: tuple[float, float] | None = None  # kWh and litres already booked, of a rule with a share
        self.share = 1.0

    def hear(self, moment: int) -> None:
        truth = self.condition.test()
        if truth is None:
            if self.phase != QUIET and not self.unknown_since:
                self.unknown_since = moment
        elif truth:
            self.ending = 0
            self._holds(moment)
        else:
            self._fails(moment)

    def wake(self, moment: int) -> None:
        if self.memory.history is not None:
            self.memory.history.prepare(self)
        if self.phase == PENDING:
            self._judge_due(moment)
        elif self.phase == FIRING and self.ending and self.condition.test() is False:
            self._end()

    def resume(self, moment: int) -> None:
        if self.phase == PENDING and not self.unknown_since:
            if self.condition.proved is None or self.due > moment:  # else who brings the proof wakes it
                self.wake_at(self._sure_due())
        elif self.phase == FIRING and self.ending:
            self.wake_at(max(self.ending + self.clear, moment + 1))

    def used(self, moment: int) -> Used:
        """Waste from ``since`` to ``moment``; of what is over, until it proves to be, up to its end."""
        if self.ending and self.waste:
            return Used(*self.waste)
        return self._used_by(moment)

    def _used_by(self, moment: int) -> Used:
        if self.condition.spent is not None:
            return self.condition.spent(self.since, moment)
        if self.meter is None or not self.mark or self.wasted is None:
            return Used()
        return self.meter.wasted(self.mark, moment, self.wasted, self.excess, self.share, self.condition.share)

    def _holds(self, moment: int) -> None:
        if self.phase == QUIET:
            self._begin(moment)
        elif self.unknown_since:
            gap, self.unknown_since = moment - self.unknown_since, 0
            if self.phase == PENDING:
                if gap > self.after:
                    self._begin(moment)
                else:
                    self.due += gap
        self._book(moment)
        if self.phase == PENDING:
            self._judge_due(moment)

    def _begin(self, moment: int) -> None:
        began = self.condition.began
        self.phase = PENDING
        self.since = min(began(), moment) if began is not None else moment
        self.due = self.since + self.after
        self.unknown_since = 0
        head = self.condition.head
        self.excess = None if head is None else (0.0, head())
        self.share = self.condition.share() if self.condition.share is not None else 1.0
        if self.meter is None:
            self.mark = ()
        elif self.wasted == "kwh" and began is None:
            self.mark = self.meter.mark_of_beginning(moment, self.condition.test)
        else:
            self.mark = self.meter.mark(moment)

    def _book(self, moment: int) -> None:
        """A share that changes while it runs: book what was used at the old one."""
        if self.condition.share is None or self.meter is None:
            return
        share = self.condition.share()
        if share != self.share:
            used = self.used(moment)
            self.excess = (used.kwh or 0.0, used.litres or 0.0)
            self.mark = self.meter.mark(moment)
            self.share = share

    def _judge_due(self, moment: int) -> None:
        if self.unknown_since:
            return
        proved, due = self.condition.proved, self._sure_due()
        if moment < due:
            self.wake_at(due)
        elif proved is None or proved() >= due:
            # A condition that tells when it began may have become due before anything showed it.
            self.phase, self.raised = FIRING, due if proved is None and self.condition.began is None else moment
            self._say("raised", self.raised)

    def _sure_due(self) -> int:
        sure = self.condition.sure
        return self.due if sure is None else max(self.due, sure())

    def _fails(self, moment: int) -> None:
        self.unknown_since = 0
        if self.phase == FIRING:
            if not self.ending:
                self.waste = tuple(self.used(moment)) if self.condition.spent is None else ()
                self.ending = moment
            # Judged when all that belongs to this moment has been said: the condition may hold again at once.
            self.wake_at(max(self.ending + self.clear, moment))
        elif self.phase == PENDING:
            self.phase, self.mark, self.excess = QUIET, (), None

    def _end(self) -> None:
        self._say("resolved", self.ending)
        self.phase, self.ending = QUIET, 0
        self.mark, self.excess = (), None

    def _say(self, state: str, at: int) -> None:
        history = self.memory.history
        if history is not None and history.holds_back(self, state, at):
            return
        self.tell_found(state, at)

    def tell_found(self, state: str, at: int) -> None:
        """Say it, with waste and evidence as of ``at``."""
        used = self._used_by(at) if state == "raised" else self.used(at)  # said late, it may have ended meanwhile
        told = max(at, self.raised)  # where the clock was set back, it may end at an hour before it was raised
        self.memory.findings.append(
            Finding(
                state, self.rule, self.device, self.zone, self.since, self.raised, told, used,
                self._evidence(at),
            )
        )  # fmt: skip

    def _evidence(self, moment: int) -> dict[str, Any]:
        history = self.memory.history
        readings = []
        for signal in self.condition.shown:
            if history is not None:
                history.catch_up(signal, moment)
            if signal.spoken:
                readings.append(
                    {
                        "device": signal.track.device.id,
                        "quantity": signal.quantity,
                        "value": None if signal.unknown else signal.value,
                        "time": signal.heard,
                    }
                )
        room = self.condition.room
        evidence = {
            "readings": readings,
            "limits": self.limits,
            "presence": room and presence(room),
        }
        if self.condition.facts is not None:
            evidence["facts"] = self.condition.facts()
        return evidence
