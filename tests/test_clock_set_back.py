"""Somebody sets the computer's clock back: the rules go on by the new time, and nothing is told twice or made up."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from building.clock import ManualClock
from building.readings import Reading
from collector.storing.keeper import Keeper
from rules.engine import Finding, RuleEngine
from rules.memory import Memory
from rules.service import LiveRules
from rules.shadow import TABLE, Shadow, latest
from rules.shifting import moved
from tests.engine_parts import START, patient_site, streams
from tests.notify_parts import HOUR, ListChannel, notifier_of
from tests.site_parts import local, site_of

MINUTE, DAY = 60_000, 86_400_000
WEEK_BACK = -7 * DAY  # the same weekday and hour, in the same season
LAMP = """
zones: [{id: "301"}]
devices: [{id: lamp, kind: light, zone: "301", every: 1m}]
channels: {desk: {type: terminal}}
rules: {lights_left_on: {after: 10m}}
"""
ENGINE = RuleEngine(patient_site())


def run(readings: list[Reading], place: int, by: int) -> tuple[list[Finding], list[Finding], Memory]:
    """Findings before and after the clock is set by ``by`` after ``place`` readings."""
    memory = ENGINE.new_memory()
    before = ENGINE.step(memory, readings[:place])
    if place and by:
        memory = ENGINE.shifted(memory, by)
    after = ENGINE.step(memory, [reading._replace(taken_at=reading.taken_at + by) for reading in readings[place:]])
    after += ENGINE.tick(memory, readings[-1].taken_at + by)
    return before, after, memory


def comparable(findings: list[Finding]) -> list[tuple[Any, ...]]:
    """Departments' quotas go by the month, which a week back is another one."""
    return sorted(
        (one.state, one.rule, one.device, one.since, one.raised, one.at, one.used)
        for one in findings
        if one.rule != "quota_pace"
    )


@settings(max_examples=120, deadline=None)
@given(streams(), st.data())
def test_after_it_all_is_found_as_without_it_by_the_new_time(readings: list[Reading], data: st.DataObject) -> None:
    assume(readings)
    place = data.draw(st.integers(1, len(readings)))
    first, second, _ = run(readings, place, 0)
    before, after, _ = run(readings, place, WEEK_BACK)
    told = {(one.rule, one.device, one.since) for one in first if one.state == "raised"}
    told -= {(one.rule, one.device, one.since) for one in first if one.state == "resolved"}

    def by_the_new_time(one: Finding) -> Finding:
        if (one.rule, one.device, one.since) in told:  # it stands under the hours by which it was told
            return one._replace(at=max(one.raised, one.at + WEEK_BACK))
        return one._replace(**{name: getattr(one, name) + WEEK_BACK for name in ("since", "raised", "at")})

    assert before == first
    assert comparable(after) == comparable([by_the_new_time(one) for one in second])


def test_every_instant_that_the_memory_holds_is_moved() -> None:
    """What looks like an instant of these years in what is saved, and is none of an alert that was told, has moved."""
    assert moved(START, -HOUR) == START - HOUR
    assert moved([(START, 2.0, 3, 4.0), ()], -HOUR) == [(START - HOUR, 2.0, 3, 4.0), ()]
    assert [moved(nothing, -HOUR) for nothing in (0, None, [], ())] == [0, None, [], ()]
    memory = ENGINE.new_memory()
    for minute in range(0, 3 * 24 * 60, 10):
        at = START + minute * MINUTE
        on = 60.0 if minute % 120 < 60 else 1.0
        ENGINE.step(
            memory,
            [
                Reading("lamp", at, {"on": float(on > 1), "active_power": on}),
                Reading("pir", at, {"occupancy": float(minute % 180 == 0), "illuminance": 900.0}),
                Reading("plug", at, {"active_power": on}),
                Reading("ac", at, {"running": float(on > 1), "mode": "cool", "setpoint": 22.0, "temperature": 25.0}),
                Reading("water", at, {"flow": 3.0 if on > 1 else 0.0}),
                Reading("pulses", at, {"volume": 1 + minute * 0.01}),
                Reading("meter", at, {"active_power": on, "energy_import": 5 + minute * on / 60_000}),
            ],
        )
    late = START + 2 * DAY
    kept = {key: cell for key, cell in memory.kept.items() if key[1] != "bookings"}
    instants = {
        (key, name)
        for key, cell in kept.items()
        for name in cell.STATE
        if isinstance(value := getattr(cell, name), int) and value >= START
    }
    assert len(instants) > 15
    assert {name for _, name in instants} >= {"first", "last_sign", "since", "moved", "began", "last", "due"}
    assert all(name in memory.kept[key].INSTANTS for key, name in instants)
    after = ENGINE.shifted(memory, -7 * DAY)
    assert after.now < late - 6 * DAY
    assert all(getattr(after.kept[key], name) < START for key, name in instants)
    assert all(signal.heard < START for track in after.tracks.values() for signal in track.signals.values())


class Office:
    """A lamp and live rules, by a clock that can be set."""

    def __init__(self, rules: LiveRules, clock: ManualClock) -> None:
        self.rules, self.clock = rules, clock
        self.kept: list[Reading] = []

    async def minutes(self, count: int, *, on: bool) -> None:
        for _ in range(count):
            await self.clock.advance(MINUTE)
            reading = Reading("lamp", self.clock.now(), {"on": float(on)})
            self.kept.append(reading)
            await self.rules.take([reading])
            await self.rules.come_to(self.clock.now())

    def told(self) -> list[tuple[str, str, str, str | None]]:
        found = []
        for alert in self.rules.alerts.values():
            one = alert.to_json()
            ended = one["ended"]
            found.append((one["rule"], one["since"][11:16], one["raised"][11:16], ended and ended[11:16]))
        return found


async def test_what_was_running_is_raised_in_that_hour_and_what_comes_is_seen(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    clock, channel, site = ManualClock(local("2026-07-01 20:00")), ListChannel(), site_of(LAMP)
    with Keeper(tmp_path / "memory.db") as keeper:
        async with notifier_of({"desk": channel}, keeper, site=site, clock=clock) as notifier:
            trial = Shadow(site_of(LAMP.replace("10m", "20m")), keeper)
            rules = LiveRules(site, clock, keeper, notifier, shadow=trial)
            office = Office(rules, clock)
            await office.minutes(6, on=True)
            clock.set_by(-HOUR)
            assert office.told() == []
            await office.minutes(3, on=True)
            assert rules.blind_until is None
            assert office.told() == []
            await office.minutes(2, on=True)
            assert office.told() == [("lights_left_on", "19:01", "19:11", None)]  # ten minutes by any clock
            await office.minutes(14, on=True)
            await office.minutes(3, on=False)
            assert office.told() == [("lights_left_on", "19:01", "19:11", "19:26")]
            await rules.settle()
        assert [said["raised"][11:16] for said in latest(keeper.records(TABLE))] == ["19:21"]
        steps = [(step["from"], step["to"]) for step in keeper.records("audit")]
    assert steps == [("pending", "firing"), ("firing", "resolved")]
    assert "set back by 3600 s" in caplog.text


async def test_an_alert_that_was_told_stays_one_alert_and_ends_no_earlier_than_it_was_raised(tmp_path: Path) -> None:
    clock, channel, site = ManualClock(local("2026-07-01 20:00")), ListChannel(), site_of(LAMP)
    with Keeper(tmp_path / "memory.db") as keeper:
        async with notifier_of({"desk": channel}, keeper, site=site, clock=clock) as notifier:
            office = Office(LiveRules(site, clock, keeper, notifier), clock)
            await office.minutes(15, on=True)
            raised = [("lights_left_on", "20:01", "20:11", None)]
            assert office.told() == raised
            clock.set_by(-HOUR)
            await office.minutes(15, on=True)
            assert office.told() == raised
            await office.minutes(3, on=False)
            assert office.told() == [("lights_left_on", "20:01", "20:11", "20:11")]
            await office.minutes(12, on=True)
            assert office.told()[1:] == [("lights_left_on", "19:34", "19:44", None)]
            assert await notifier.drained(30)
        told = [(record["since"][11:16], record["state"]) for record in keeper.records("alerts")]
    assert sorted(told) == [("19:34", "firing"), ("20:01", "firing"), ("20:01", "resolved")]


async def test_a_restart_takes_nothing_from_the_store_of_an_hour_that_was_shown_twice(tmp_path: Path) -> None:
    """In the first 19:15 to 20:00 the lamp was on; in the second it was off, and the program down from 19:10."""
    clock, channel, site = ManualClock(local("2026-07-01 19:00")), ListChannel(), site_of(LAMP)
    with Keeper(tmp_path / "memory.db") as keeper:
        async with notifier_of({"desk": channel}, keeper, site=site, clock=clock) as notifier:
            office = Office(LiveRules(site, clock, keeper, notifier), clock)
            await office.minutes(52, on=False)
            await office.minutes(8, on=True)
            clock.set_by(-HOUR)
            await office.minutes(10, on=False)
            await office.rules.settle()
            await clock.advance(55 * MINUTE)
            asked: list[int] = []

            def history(since: int) -> list[Reading]:
                asked.append(since)
                return sorted((r for r in office.kept if r.taken_at >= since), key=lambda r: r.taken_at)

            again = LiveRules(site, clock, keeper, notifier, history=history)
            await again.run(Nothing())
            assert asked == [local("2026-07-01 20:00") + 1]
            assert (again.alerts, again.pending()) == ({}, [])


async def test_a_clock_set_back_while_the_program_was_down_makes_the_rules_blind_no_more(tmp_path: Path) -> None:
    clock, channel, site = ManualClock(local("2026-07-01 20:00")), ListChannel(), site_of(LAMP)
    with Keeper(tmp_path / "memory.db") as keeper:
        async with notifier_of({"desk": channel}, keeper, site=site, clock=clock) as notifier:
            office = Office(LiveRules(site, clock, keeper, notifier), clock)
            await office.minutes(6, on=True)
            await office.rules.settle()
            clock.set_by(-HOUR)
            again = Office(LiveRules(site, clock, keeper, notifier, history=lambda since: []), clock)
            await again.rules.run(Nothing())
            assert again.rules.blind_until is None
            await again.minutes(14, on=True)
            ((rule, _, raised, ended),) = again.told()
    assert (rule, raised, ended) == ("lights_left_on", "19:12", None)  # a minute of which nothing is known not counted


async def test_a_device_whose_own_clock_is_minutes_ahead_is_no_clock_set_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, channel, site = ManualClock(local("2026-07-01 20:00")), ListChannel(), site_of(LAMP)
    with Keeper(tmp_path / "memory.db") as keeper:
        async with notifier_of({"desk": channel}, keeper, site=site, clock=clock) as notifier:
            rules = LiveRules(site, clock, keeper, notifier)
            ahead = clock.now() + 4 * MINUTE
            await rules.take([Reading("lamp", ahead, {"on": 1.0})])
            await rules.settle()
            again = LiveRules(site, clock, keeper, notifier)
            await again.run(Nothing())
            assert again.memory.now == ahead
            assert not again.memory.tracks["lamp"].signals["on"].unknown
    assert "set back" not in caplog.text


class Nothing:
    """A source that ends at once."""

    waiting = 0

    def __aiter__(self) -> Nothing:
        return self

    async def __anext__(self) -> list[Reading]:
        raise StopAsyncIteration

    def acknowledge(self) -> None: ...
