"""The life of an alert, by a state machine that does what people and readings may do, in any order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from building.calendar import WorkCalendar
from building.errors import InputError
from rules.alerts import AlertDesk
from rules.engine import Finding
from rules.follow_through import saving
from rules.life import OPEN, REASONS, Answer
from rules.metering import Used
from tests.notify_parts import HOUR, MINUTE, SITE, local, site_of

BEGIN = local("2026-07-01 19:00")
DEVICES = ("light-301", "light-201")
OFFICE = site_of(SITE)


def finding(state: str, device: str, since: int, at: int, kwh: float | None = 0.3) -> Finding:
    zone = "301" if device == "light-301" else "201"
    presence = {"source": "calendar", "last_sign": None, "devices": []}
    evidence: dict[str, Any] = {
        "readings": [],
        "limits": {"after": 15 * MINUTE, "on_above": 20.0},
        "presence": presence,
    }
    return Finding(state, "lights_left_on", device, zone, since, since + 15 * MINUTE, at, Used(kwh), evidence)


class Life(RuleBasedStateMachine):
    """A model beside the desk: for each open alert its state, and the answer a silence came after."""

    def __init__(self) -> None:
        super().__init__()
        self.desk, self.now = AlertDesk(OFFICE), BEGIN
        self.model: dict[str, dict[str, Any]] = {}  # device -> {since, state, before, until}
        self.over: set[str] = set()

    def _open(self, device: str) -> dict[str, Any] | None:
        return self.model.get(device)

    def _id(self, device: str) -> str:
        return next(alert.id for alert in self.desk.open if alert.device == device)

    @rule(minutes=st.integers(1, 600))
    def time_passes(self, minutes: int) -> None:
        self.now += minutes * MINUTE
        changed = {alert.device: alert.state for alert in self.desk.lapse(self.now)}
        for device, known in self.model.items():
            if known["state"] == "silenced" and known["until"] <= self.now:
                known["state"] = known["before"]
                assert changed.pop(device) == known["state"]
        assert changed == {}

    @rule(device=st.sampled_from(DEVICES))
    def raised(self, device: str) -> None:
        since = self.model[device]["since"] if device in self.model else self.now - 15 * MINUTE
        changed = self.desk.take([finding("raised", device, since, self.now)])
        if device in self.model:
            assert changed == []  # told twice, after a restart
        else:
            assert [alert.state for alert in changed] == ["firing"]
            self.model[device] = {"since": since, "state": "firing", "before": "firing", "until": 0}

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def resolved(self, data: st.DataObject) -> None:
        device = data.draw(st.sampled_from(sorted(self.model)))
        ident = self._id(device)
        (alert,) = self.desk.take([finding("resolved", device, self.model.pop(device)["since"], self.now)])
        assert (alert.state, alert.id) == ("resolved", ident)
        self.over.add(ident)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), reason=st.sampled_from(REASONS))
    def acknowledged(self, data: st.DataObject, reason: str) -> None:
        device = data.draw(st.sampled_from(sorted(self.model)))
        (alert,) = self.desk.answer(Answer("acknowledge", "Li", self._id(device), reason), self.now)
        assert (alert.state, alert.evidence["answer"]["reason"]) == ("acknowledged", reason)
        self.model[device]["state"] = "acknowledged"

    @precondition(lambda self: self.model)
    @rule(data=st.data(), minutes=st.integers(1, 300))
    def silenced(self, data: st.DataObject, minutes: int) -> None:
        device = data.draw(st.sampled_from(sorted(self.model)))
        until = self.now + minutes * MINUTE
        (alert,) = self.desk.answer(Answer("silence", "Li", self._id(device), why="x", until=until), self.now)
        assert alert.evidence["answer"]["by"] == "Li"
        known = self.model[device]
        known["before"] = known["before"] if known["state"] == "silenced" else known["state"]
        known |= {"state": "silenced", "until": until}

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def released(self, data: st.DataObject) -> None:
        device = data.draw(st.sampled_from(sorted(self.model)))
        known, given = self.model[device], Answer("release", "Li", self._id(device))
        if known["state"] != "silenced":
            with pytest.raises(InputError, match="not silenced"):
                self.desk.answer(given, self.now)
            return
        (alert,) = self.desk.answer(given, self.now)
        known["state"] = known["before"]
        assert alert.state == known["state"]

    @precondition(lambda self: self.over)
    @rule(data=st.data(), action=st.sampled_from(["acknowledge", "silence", "release"]))
    def answered_too_late(self, data: st.DataObject, action: str) -> None:
        ident = data.draw(st.sampled_from(sorted(self.over)))
        if ident in {alert.id for alert in self.desk.open}:
            return
        late = Answer(action, "Li", ident, "fixed", "why", self.now + MINUTE)
        with pytest.raises(InputError, match="may be over by now"):
            self.desk.answer(late, self.now)

    @rule()
    def restarted(self) -> None:
        again = AlertDesk(OFFICE)
        again.restore(self.desk.save())
        assert again.open == self.desk.open
        self.desk = again

    @invariant()
    def the_desk_says_what_the_model_says(self) -> None:
        assert {alert.device: alert.state for alert in self.desk.open} == {
            device: known["state"] for device, known in self.model.items()
        }
        assert all(alert.state in OPEN for alert in self.desk.open)


Life.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestLife = Life.TestCase


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Answer("close", "Li", "x"), "is not known; use one of acknowledge, silence, release"),
        (Answer("acknowledge", " ", "x", "fixed"), "say who you are"),
        (Answer("acknowledge", "Li", "x", "whatever"), "use one of fixed, on_purpose, false_alarm, needs_work_order"),
        (Answer("acknowledge", "Li", rule="lights_left_on", reason="fixed"), "only a single alert"),
        (Answer("silence", "Li", "x", why="y"), "needs an end"),
        (Answer("silence", "Li", "x", why="y", until=BEGIN - 1), "needs an end"),
        (Answer("silence", "Li", "x", why="y", until=BEGIN + 31 * 24 * HOUR), "at most 30 days"),
        (Answer("silence", "Li", "x", until=BEGIN + 1), "say why"),
        (Answer("silence", "Li", why="y", until=BEGIN + 1), "say which alert, or a rule"),
        (Answer("silence", "Li", "x", why="y" * 501, until=BEGIN + 1), "too long"),
    ],
)
def test_an_answer_that_makes_no_sense_is_refused_with_what_is_accepted(answer: Answer, told: str) -> None:
    with pytest.raises(InputError, match=told):
        AlertDesk(OFFICE).answer(answer, BEGIN)


def test_a_silence_of_a_zone_also_holds_for_alerts_to_come_and_ends_by_itself() -> None:
    desk = AlertDesk(OFFICE)
    desk.answer(Answer("silence", "Li", zone="301", why="painting", until=BEGIN + HOUR), BEGIN)
    states = [desk.take([finding("raised", device, BEGIN, BEGIN + 15 * MINUTE)])[0].state for device in DEVICES]
    assert states == ["silenced", "firing"]
    (freed,) = desk.lapse(BEGIN + HOUR)
    assert (freed.device, freed.state) == ("light-301", "firing")
    assert desk.silences == []


def test_ending_a_silence_of_a_zone_frees_its_alerts() -> None:
    desk = AlertDesk(OFFICE)
    desk.take([finding("raised", "light-301", BEGIN, BEGIN + 15 * MINUTE)])
    (held,) = desk.answer(Answer("silence", "Li", zone="301", why="painting", until=BEGIN + HOUR), BEGIN)
    (freed,) = desk.answer(Answer("release", "Li", zone="301"), BEGIN + MINUTE)
    assert (held.state, freed.state, desk.silences) == ("silenced", "firing", [])


def test_the_saving_is_booked_from_the_end_to_the_next_begin_of_work_and_marked_estimated() -> None:
    desk, calendar = AlertDesk(OFFICE), WorkCalendar(OFFICE)
    (alert,) = desk.take([finding("resolved", "light-301", BEGIN, BEGIN + HOUR, kwh=0.3)])
    saved = saving(OFFICE, calendar, alert)
    assert saved is not None
    assert saved["kwh"] == pytest.approx(0.3 * 12.5)  # 20:00 to 08:30 at 0.3 kWh an hour
    assert (saved["until"], saved["estimated"]) == ("2026-07-02T08:30:00+08:00", True)


def test_no_saving_is_booked_where_the_hour_ended_it_or_nothing_was_measured() -> None:
    desk, calendar = AlertDesk(OFFICE), WorkCalendar(OFFICE)
    (morning,) = desk.take([finding("resolved", "light-301", BEGIN, local("2026-07-02 08:30"))])
    (unmeasured,) = desk.take([finding("resolved", "light-301", BEGIN, BEGIN + HOUR, kwh=None)])
    assert saving(OFFICE, calendar, morning) is None
    assert saving(OFFICE, calendar, unmeasured) is None
