"""Who is told what, when: stories over the dispatcher alone, with time as an argument."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest

from rules.cases import Book, Case
from rules.dispatch import Dispatcher
from rules.routing import Plan
from tests.notify_parts import CHANNELS, HOUR, MINUTE, ROUTES, SITE, Desk, an_alert, local, over, site_of

WED = "2026-07-01"  # a workday


def answered(alert: dict[str, Any], state: str, by: str = "Li", until: str = "") -> dict[str, Any]:
    return alert | {"state": state, "evidence": {**alert["evidence"], "answer": {"by": by, "until": until}}}


def routes(text: str, people: str = "group: {channel: group}") -> Desk:
    head = "\n".join(f"    {line}" for line in people.splitlines())
    body = "\n".join(f"  {line}" for line in text.strip("\n").splitlines())
    return Desk(site_of(f"{SITE}{CHANNELS}routes:\n  people:\n{head}\n{body}\n"))


def test_the_group_is_told_first_the_keeper_after_an_hour_and_the_duty_office_after_three() -> None:
    desk = Desk()
    desk.take(an_alert(at=local(f"{WED} 08:40")), local(f"{WED} 08:40"))
    desk.run(local(f"{WED} 12:00"))
    told = [line for line in desk.lines() if " firing " in line]
    assert told == [
        "07-01 08:40 group firing a1", "07-01 09:40 keeper firing a1", "07-01 11:40 duty firing a1",
    ]  # fmt: skip


def test_the_clock_of_the_steps_stands_still_over_lunch_and_night_and_weekend() -> None:
    desk = Desk()
    desk.take(an_alert(at=local("2026-07-03 11:30")), local("2026-07-03 11:30"))  # a Friday
    desk.run(local("2026-07-06 12:00"))
    told = [line for line in desk.lines() if " firing " in line]
    # 30 min before lunch, 30 after; then two hours more of the afternoon.
    assert told == ["07-03 11:30 group firing a1", "07-03 14:00 keeper firing a1", "07-03 16:00 duty firing a1"]
    late = Desk()
    late.take(an_alert(at=local("2026-07-03 17:00")), local("2026-07-03 17:00"))
    late.run(local("2026-07-06 12:00"))
    assert "07-06 09:00 keeper firing a1" in late.lines()


def test_once_acknowledged_nobody_further_is_told_and_nobody_is_reminded() -> None:
    desk, alert = Desk(), an_alert(at=local(f"{WED} 08:40"))
    desk.take(alert, local(f"{WED} 08:40"))
    desk.take(answered(alert, "acknowledged"), local(f"{WED} 09:00"))
    desk.run(local("2026-07-02 17:00"))
    assert desk.lines() == ["07-01 08:40 group firing a1"]
    assert desk.stage("a1", "keeper") == "acknowledged"
    desk.take(over(alert, local("2026-07-02 17:00")), local("2026-07-02 17:00"))
    desk.run(local("2026-07-02 17:29"))
    assert desk.lines()[1:] == ["07-02 17:00 group resolved a1"]  # only who was told that it began


def test_what_is_raised_outside_the_routes_hours_is_told_when_they_begin_if_it_is_still_on() -> None:
    desk = Desk()
    desk.take(an_alert("gone", at=local(f"{WED} 19:00")), local(f"{WED} 19:00"))
    desk.take(an_alert("still", at=local(f"{WED} 20:00"), device="ac-301"), local(f"{WED} 20:00"))
    desk.take(over(an_alert("gone"), local(f"{WED} 23:00")), local(f"{WED} 23:00"))
    desk.run(local("2026-07-02 08:29"))
    assert desk.lines() == []
    assert desk.stage("still", "group") == "outside hours"
    desk.run(local("2026-07-02 09:00"))
    assert desk.lines() == ["07-02 08:30 group firing still"]
    assert desk.stage("gone", "group") == "its beginning was never told"


def test_a_holiday_is_no_working_time_and_a_make_up_saturday_is() -> None:
    desk = Desk()
    desk.take(an_alert("a", at=local("2026-10-01 10:00")), local("2026-10-01 10:00"))  # National Day
    desk.run(local("2026-10-07 23:00"))
    assert desk.lines() == []
    desk.run(local("2026-10-08 09:00"))
    assert desk.lines()[0] == "10-08 08:30 group firing a"
    made_up = Desk()
    made_up.take(an_alert("b", at=local("2026-10-10 10:00")), local("2026-10-10 10:00"))  # worked for the holiday
    made_up.run(local("2026-10-10 10:10"))
    assert made_up.lines() == ["10-10 10:00 group firing b"]


def test_a_leak_is_told_at_once_day_and_night() -> None:
    desk, at = Desk(), local("2026-07-05 03:00")  # a Sunday night
    leak = an_alert(at=at, rule="tap_left_running", severity="critical", zone="wc-3", device="water-3")
    desk.take(leak, at)
    assert desk.lines() == ["07-05 03:00 keeper firing a1", "07-05 03:00 duty firing a1"]


def test_a_critical_alert_knows_no_hours_and_no_working_clock_on_other_routes_either() -> None:
    desk, at = Desk(), local("2026-07-05 03:00")
    desk.take(an_alert(at=at, severity="critical"), at)
    desk.run(at + 4 * HOUR)
    assert desk.lines() == [
        "07-05 03:00 group firing a1", "07-05 04:00 keeper firing a1", "07-05 06:00 duty firing a1",
    ]  # fmt: skip


def test_alerts_of_one_department_within_the_wait_come_as_one_message() -> None:
    desk, at = Desk(), local(f"{WED} 09:00")
    for number in range(3):
        desk.take(an_alert(f"a{number}", at=at, device=f"light-{number}"), at + number * 5000)
    desk.take(an_alert("b", at=at, department="service", zone="201"), at + 10_000)
    desk.run(at + 5 * MINUTE)
    finance, service = desk.to("group")
    assert (finance.at, set(finance.wishes)) == (at + 30_000, {"a0", "a1", "a2"})
    assert (service.at, set(service.wishes)) == (at + 40_000, {"b"})


def test_what_ends_before_the_wait_is_over_is_never_told() -> None:
    desk, at = Desk(), local(f"{WED} 09:00")
    alert = an_alert(at=at)
    desk.take(alert, at)
    desk.take(over(alert, at + 20_000), at + 20_000)
    desk.run(at + HOUR)
    assert desk.letters == []


def test_a_group_is_told_of_changes_every_five_minutes_at_most() -> None:
    desk, at = Desk(), local(f"{WED} 09:00")
    for number in range(10):
        moment = at + number * MINUTE
        desk.take(an_alert(f"a{number}", at=moment, device=f"lamp-{number}"), moment)
    desk.run(at + 20 * MINUTE)
    letters = desk.to("group")
    assert [len(letter.wishes) for letter in letters] == [1, 5, 4]
    assert [letter.at - at for letter in letters] == [30_000, 30_000 + 5 * MINUTE, 30_000 + 10 * MINUTE]


def test_reminders_come_by_the_repeat_rule_and_name_what_is_standing() -> None:
    desk = routes("alerts: [{tell: group, repeat: 4h}]", "group: {channel: group}")
    at = local(f"{WED} 09:00")
    desk.take(an_alert(at=at), at)
    desk.run(at + 72 * HOUR)
    letters = desk.to("group")
    assert len(letters) == 1 + 17  # every four hours and half a minute of gathering
    assert all(later.at - before.at >= 4 * HOUR for before, later in pairwise(letters))


def test_without_a_rule_of_the_route_what_is_standing_is_reminded_of_once_a_day() -> None:
    desk, at = routes("alerts: [{tell: group}]"), local(f"{WED} 09:00")
    desk.take(an_alert(at=at), at)
    desk.run(at + 96 * HOUR)
    gaps = [round((later.at - before.at) / HOUR) for before, later in pairwise(desk.to("group"))]
    assert gaps == [4] * 5 + [24] * 3


def test_a_route_may_never_repeat() -> None:
    desk = routes("alerts: [{tell: group, repeat: never}]")
    at = local(f"{WED} 09:00")
    desk.take(an_alert(at=at), at)
    desk.run(at + 72 * HOUR)
    assert len(desk.letters) == 1


def test_a_silenced_alert_is_not_told_until_the_silence_is_over() -> None:
    desk, at = Desk(), local(f"{WED} 09:00")
    alert = an_alert(at=at)
    desk.take(answered(alert, "silenced", until="10:00"), at)
    desk.run(at + HOUR)
    assert desk.lines() == []
    assert desk.stage("a1", "group") == "silenced"
    desk.take(alert, at + HOUR)  # the desk of alerts lets it lapse
    desk.run(at + HOUR + MINUTE)
    assert desk.lines()[0] == "07-01 10:00 group firing a1"


def test_on_one_day_a_person_gets_ten_messages_at_most_and_what_was_held_back_is_named_the_next_day() -> None:
    desk = routes("alerts: [{tell: group, repeat: never}]")
    at = local(f"{WED} 09:00")
    for number in range(14):
        moment = at + number * 10 * MINUTE
        alert = an_alert(f"a{number:02}", at=moment, device=f"lamp-{number}")
        desk.take(alert, moment)
        if number >= 12:
            desk.take(over(alert, moment + 5 * MINUTE), moment + 5 * MINUTE)
    desk.run(local(f"{WED} 23:59"))
    today = desk.to("group")
    assert len(today) == 8  # two of the ten are kept for critical alerts and lists
    assert [letter.last_today for letter in today] == [False] * 7 + [True]
    assert desk.stage("a09", "group") == "daily limit"
    leak = an_alert("leak", at=local(f"{WED} 23:59"), severity="critical", device="water-3")
    desk.take(leak, local(f"{WED} 23:59"))
    assert len(desk.to("group")) == 9
    desk.run(local("2026-07-02 01:00"))
    (first, *_) = desk.to("group")[9:]
    assert set(first.wishes) == {"a08", "a09", "a10", "a11"}
    assert first.more == ["a12", "a13"]  # they ended meanwhile; nothing is dropped in silence


def test_routes_choose_by_department_zone_floor_rule_severity_and_hour_of_raising() -> None:
    desk = routes(
        """
alerts:
  - {zone: wc-3, tell: a}
  - {floor: "2", tell: b}
  - {severity: critical, tell: c}
  - {department: finance, during: off_hours, tell: d}
  - {rule: lights_left_on, tell: e}
  - {tell: f}
""",
        "\n".join(f"{name}: {{channel: group}}" for name in "abcdef"),
    )
    noon, night = local(f"{WED} 09:00"), local(f"{WED} 22:00")
    found = {}
    cases = {
        "zone": an_alert(at=noon, zone="wc-3"),
        "floor": an_alert(at=noon, zone="201", department="service"),
        "severity": an_alert(at=noon, severity="critical"),
        "night": an_alert(at=night),
        "rule": an_alert(at=noon),
        "rest": an_alert(at=noon, rule="standby_load"),
    }
    for name, alert in cases.items():
        route = desk.dispatcher.plan.route(alert, noon if name != "night" else night)
        found[name] = [step.person.name for step in route.steps]
    assert found == {
        "zone": ["a"], "floor": ["b"], "severity": ["c"], "night": ["d"], "rule": ["e"], "rest": ["f"],
    }  # fmt: skip


def test_no_two_sites_and_no_two_books_give_a_message_the_same_ident() -> None:
    idents = []
    for name, moment in (("Office", "2026-07-01 18:10"), ("Annex", "2026-07-01 18:10"), ("Office", "2026-08-03 18:10")):
        desk = Desk(site_of((SITE + CHANNELS + ROUTES).replace("name: Office", f"name: {name}")))
        desk.take(an_alert(rule="tap_left_running", severity="critical", at=local(moment)), local(moment))
        idents.append(desk.letters[0].ident)
    assert len(set(idents)) == 3


def test_explain_names_the_stage_the_reason_and_when_it_is_looked_at_again() -> None:
    desk, at = Desk(), local(f"{WED} 17:00")
    desk.take(an_alert(at=at), at)
    desk.run(local(f"{WED} 22:00"))
    decisions = desk.dispatcher.cases["a1"].decisions
    assert [one.stage for one in decisions if one.person == "group"] == [
        "grouping", "sent", "already told", "outside hours",
    ]  # fmt: skip
    waiting = next(one for one in decisions if one.person == "keeper")
    assert waiting.until == local("2026-07-02 09:00")
    reminder = next(one for one in decisions if one.stage == "already told")
    assert reminder.until == local(f"{WED} 21:00") + 30_000


def test_a_line_that_comes_and_goes_fills_no_memory_and_whoever_heard_the_beginning_hears_the_end() -> None:
    desk = Desk()
    told = an_alert("told", at=local(f"{WED} 08:40"))
    desk.take(told, local(f"{WED} 08:40"))
    desk.run(local(f"{WED} 20:00"))
    desk.take(over(told, local(f"{WED} 20:00")), local(f"{WED} 20:00"))  # outside the hours: it waits for the morning
    for number in range(2_500):
        at = local(f"{WED} 20:01") + number * 1_000
        alert = an_alert(f"a{number}", at=at, rule="meter_silent", device=f"light-{number % 7}")
        desk.dispatcher.take(alert, at)
        desk.dispatcher.take(over(alert, at + 500), at + 500)
        if number % 100 == 99:
            desk.run(at + 500)
    cases = desk.dispatcher.cases
    assert len(cases) <= 2_100
    assert "a2499" in cases
    assert "a0" not in cases
    assert "told" in cases
    desk.run(local("2026-07-02 09:00"))
    assert [line for line in desk.lines() if line.endswith("resolved told")] == [
        "07-02 08:30 group resolved told", "07-02 08:30 keeper resolved told", "07-02 08:30 duty resolved told",
    ]  # fmt: skip


@pytest.mark.parametrize("restart_after", range(0, 200, 7))
def test_a_restart_at_any_moment_tells_nothing_twice_and_loses_nothing(restart_after: int) -> None:
    def story(desk: Desk, begin: int, end: int) -> None:
        for minute in range(begin, end):
            moment = local(f"{WED} 08:31") + minute * MINUTE
            if minute % 9 == 0:
                desk.take(an_alert(f"a{minute}", at=moment, device=f"lamp-{minute}"), moment)
            if minute % 9 == 7 and minute % 18 == 7:
                began = moment - 7 * MINUTE
                desk.take(over(an_alert(f"a{minute - 7}", at=began, device=f"lamp-{minute - 7}"), moment), moment)
            desk.run(moment)

    whole = Desk()
    story(whole, 0, 210)
    first = Desk(whole.site)
    story(first, 0, restart_after)
    second = Desk(whole.site)
    book = msgspec.json.decode(msgspec.json.encode(first.dispatcher.book), type=Book)
    second.dispatcher = Dispatcher(Plan(second.site, second.site.channels), book=book)
    cases = [msgspec.json.decode(msgspec.json.encode(case), type=Case) for case in first.dispatcher.cases.values()]
    second.dispatcher.restore(cases)
    second.dispatcher.wake(0)
    second.now = first.now
    story(second, restart_after, 210)
    assert sorted(first.lines() + second.lines()) == sorted(whole.lines())
