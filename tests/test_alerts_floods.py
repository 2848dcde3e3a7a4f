"""The flood drills: what a power cut, a dead gateway, a chattering sensor and the like may cost in messages."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from building.clock import ManualClock
from building.readings import Reading
from building.site import Site
from rules.engine import RuleEngine
from rules.service import LiveRules
from tests.notify_parts import (
    HOUR,
    MINUTE,
    SECOND,
    SITE,
    Desk,
    ListChannel,
    MemoryKeeper,
    an_alert,
    local,
    notifier_of,
    over,
    site_of,
)

AT = local("2026-07-01 10:00")
PERIOD = 60 * SECOND


def meters(links: int, per_link: int, routes: str = "{tell: duty, repeat: never}", sensors: int = 0) -> Site:
    """A site of gateways with meters that are read every minute; sensors speak only on change."""
    lines = ["version: 1", "site: {name: Office}", "departments: [{id: finance, name: 财务处}]", "links:"]
    lines += [f"  - {{id: gw-{n}, modbus: 'tcp://10.0.0.{n + 1}:502'}}" for n in range(links)]
    lines += ["  - {id: broker, mqtt: 'mqtt://10.0.0.250:1883'}", "devices:"]
    for link in range(links):
        for unit in range(1, per_link + 1):
            lines.append(
                f"  - {{id: m-{link}-{unit}, kind: electricity, profile: x, link: gw-{link}, unit: {unit}, "
                f"every: 60s, department: finance}}"
            )
    lines += [
        f"  - {{id: s-{n}, kind: sensor, profile: x, link: broker, topic: s-{n}, every: 5m, reports: on_change}}"
        for n in range(sensors)
    ]
    lines += [
        'channels: {duty: {type: dingtalk, token: "${T}"}}',
        "routes:",
        "  people: {duty: {channel: duty}}",
        f"  alerts: [{routes}]",
    ]
    return site_of("\n".join(lines))


def silent(device: str, raised: int, **other: Any) -> dict[str, Any]:
    return an_alert(
        f"silent-{device}", at=raised, since=raised - 5 * PERIOD, rule="meter_silent", device=device, zone=None,
        title=f"{device} 离线", **other,
    )  # fmt: skip


def test_a_power_cut_of_500_meters_is_one_message_down_and_one_up() -> None:
    site = meters(10, 50, sensors=20)
    desk, log = Desk(site), []
    for number, device in enumerate(site.devices[:500]):  # all within ten seconds
        alert = silent(device.id, AT + number * 20)
        log.append(alert)
        desk.take(alert, AT + number * 20)
    desk.run(AT + 20 * MINUTE)
    for number, device in enumerate(site.devices[:500]):  # back after 20 minutes, as each is asked again
        alert = over(silent(device.id, AT + number * 20), AT + 20 * MINUTE + number * 100)
        log.append(alert)
        desk.take(alert, AT + 20 * MINUTE + number * 100)
    desk.run(AT + 6 * HOUR)
    assert len(desk.letters) == 2
    down, up = desk.letters
    assert AT + 30 * SECOND < down.at < AT + 2 * MINUTE
    assert AT + 20 * MINUTE < up.at < AT + 30 * MINUTE
    (cause,) = [case for case in desk.dispatcher.cases.values() if case.alert["rule"] == "site_down"]
    assert (list(down.wishes), list(up.wishes)) == ([cause.id], [cause.id])
    assert cause.alert["evidence"] == {"devices": 520, "silent": 500}
    assert len({alert["id"] for alert in log}) == 500
    assert all(alert["id"] in desk.dispatcher.cases for alert in log)  # 500 records, each to be explained
    assert desk.stage("silent-m-3-7", "duty") == "its beginning was never told"


def test_a_power_cut_raises_no_alert_of_consumption_when_the_meters_come_back() -> None:
    site = meters(2, 20)
    engine = RuleEngine(site)
    memory = engine.new_memory()
    found = []
    for minute in range(120):
        moment = AT + minute * MINUTE
        if not 40 <= minute < 60:
            batch = [
                Reading(device.id, moment + n, {"active_power": 400.0, "energy_import": 100 + minute * 0.4 / 60})
                for n, device in enumerate(site.devices[:40])
            ]
            found += engine.step(memory, batch)
        found += engine.tick(memory, moment + 30 * SECOND)
    assert [finding for finding in found if finding.rule != "meter_silent"] == []


def test_a_gateway_with_30_units_down_is_one_message_naming_it_and_the_30_devices() -> None:
    site = meters(4, 30)
    heard: dict[str, int] = {device.id: AT for device in site.devices}
    desk = Desk(site, heard=heard.get)
    for unit in range(1, 31):
        heard[f"m-2-{unit}"] = AT - 5 * PERIOD
    for unit in range(1, 6):  # the first five are told, the others are not yet five periods silent
        for device in site.devices:
            if device.link != "gw-2":
                heard[device.id] = AT + unit * SECOND
        desk.take(silent(f"m-2-{unit}", AT + unit * SECOND), AT + unit * SECOND)
    for minute in range(10):
        for device in site.devices:
            if device.link != "gw-2":
                heard[device.id] = AT + minute * MINUTE
        desk.run(AT + minute * MINUTE)
    assert len(desk.letters) == 1
    (message,) = desk.messages
    assert "gw-2" in message.title
    assert "30 台设备" in message.text


def test_links_that_go_down_one_after_the_other_become_one_power_cut_and_come_up_as_one() -> None:
    site = meters(3, 10)
    desk = Desk(site)
    for link in range(3):
        for unit in range(1, 11):
            moment = AT + link * 3 * MINUTE + unit * SECOND
            desk.take(silent(f"m-{link}-{unit}", moment), moment)
    desk.run(AT + 15 * MINUTE)
    down = desk.titles()
    assert down[-1] == "全楼断电或断网"
    for link in range(3):
        for unit in range(1, 11):
            began = AT + link * 3 * MINUTE + unit * SECOND
            moment = AT + 20 * MINUTE + unit * SECOND + link
            desk.take(over(silent(f"m-{link}-{unit}", began), moment), moment)
    desk.run(AT + 2 * HOUR)
    assert desk.titles()[len(down) :] == ["【已结束】全楼断电或断网"]


def test_one_meter_alone_is_told_as_that_meter() -> None:
    desk = Desk(meters(2, 10))
    desk.take(silent("m-1-3", AT), AT)
    desk.run(AT + 10 * MINUTE)
    assert desk.titles() == ["m-1-3 离线"]


def test_a_meter_that_stays_silent_when_its_gateway_is_back_is_told_by_itself() -> None:
    desk = Desk(meters(2, 10))
    for unit in range(1, 11):
        desk.take(silent(f"m-0-{unit}", AT + unit), AT + unit)
    desk.run(AT + 20 * MINUTE)
    for unit in range(1, 10):
        desk.take(over(silent(f"m-0-{unit}", AT + unit), AT + 20 * MINUTE + unit), AT + 20 * MINUTE + unit)
    desk.run(AT + HOUR)
    assert desk.titles() == ["通信中断：gw-0", "【已结束】通信中断：gw-0", "m-0-10 离线"]


def test_a_sensor_that_toggles_every_20_s_for_an_hour_is_one_message_marked_so() -> None:
    desk = Desk(meters(1, 3, "{tell: duty}"))
    for number in range(90):
        began = AT + number * 40 * SECOND
        alert = an_alert(f"t{number}", at=began, since=began, device="m-0-1", zone=None)
        desk.take(alert, began)
        desk.take(over(alert, began + 20 * SECOND), began + 20 * SECOND)
    desk.run(AT + 5 * HOUR)
    assert desk.titles() == ["【反复出现】301办公室 灯未关"]
    (letter,) = desk.to("duty")
    assert letter.at < AT + 5 * MINUTE


def test_what_toggled_and_then_stays_on_is_told_once_it_is_calm() -> None:
    desk = Desk(meters(1, 3, "{tell: duty, repeat: never}"))
    for number in range(10):
        began = AT + number * 40 * SECOND
        alert = an_alert(f"t{number}", at=began, since=began, device="m-0-1", zone=None)
        desk.take(alert, began)
        if number < 9:
            desk.take(over(alert, began + 20 * SECOND), began + 20 * SECOND)
    desk.run(AT + 5 * HOUR)
    assert desk.titles() == ["【反复出现】301办公室 灯未关", "301办公室 灯未关"]


def test_an_alert_on_for_three_days_is_reminded_by_the_rule_and_called_standing_after_one() -> None:
    desk = Desk(meters(1, 3, "{tell: duty, repeat: 8h}"))
    desk.take(an_alert("long", at=AT, since=AT, device="m-0-1", zone=None), AT)
    desk.run(AT + 72 * HOUR)
    late, standing = "【仍未处理】301办公室 灯未关", "【超过 24 小时】301办公室 灯未关"
    assert desk.titles() == ["301办公室 灯未关"] + [late] * 2 + [standing] * 6


async def test_a_restart_in_the_middle_of_active_alerts_sends_nothing_twice_and_loses_nothing() -> None:
    site, keeper, clock = meters(1, 30, "{tell: duty, repeat: never}"), MemoryKeeper(), ManualClock(AT)
    got: list[Mapping[str, Any]] = []
    for run in range(6):
        channel = ListChannel()
        async with notifier_of({"duty": channel}, keeper, site=site, clock=clock) as notifier:
            fresh = [an_alert(f"a{run}-{n}", at=clock.now(), device=f"m-0-{run * 5 + n + 1}") for n in range(5)]
            known = [an_alert(f"a{run - 1}-{n}", at=clock.now(), device=f"m-0-{n}") for n in range(5 if run else 0)]
            await notifier.tell([*known, *fresh])  # what was raised before the restart is found again
            for _ in range(7 if run == 5 else run % 3):
                await clock.advance(MINUTE)
                await asyncio.sleep(0.005)
            await notifier.drained(30)
        got += [alert for message in channel.got for alert in message.alerts]
    assert sorted(alert["id"] for alert in got) == sorted(f"a{run}-{n}" for run in range(6) for n in range(5))


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
async def test_a_clock_that_is_set_an_hour_on_or_back_raises_no_alert_by_that(jump: int) -> None:
    site, keeper = site_of(SITE), MemoryKeeper()
    clock, channel = ManualClock(local("2026-07-01 19:00")), ListChannel()
    async with notifier_of({"desk": channel}, keeper, site=site, clock=clock) as notifier:
        rules = LiveRules(site, clock, keeper, notifier)

        async def live(minutes: int, on: float) -> None:
            for _ in range(minutes):
                await clock.advance(MINUTE)
                await rules.take([Reading(device.id, clock.now(), {"on": on}) for device in site.devices])
                await rules.come_to(clock.now())

        await live(5, 1.0)  # of the fifteen minutes after which it would be an alert
        clock.set_by(jump)
        await live(9, 1.0)
        await live(3, 0.0)
        assert await notifier.drained(30)
    assert [message.ident for message in channel.got] == []


async def test_when_the_clock_has_been_set_on_a_lamp_still_on_is_raised_after_its_time_from_then() -> None:
    site, keeper = site_of(SITE + "rules: {meter_silent: {enabled: false}}\n"), MemoryKeeper()
    clock, channel = ManualClock(local("2026-07-01 19:00")), ListChannel()
    async with notifier_of({"desk": channel}, keeper, site=site, clock=clock) as notifier:
        rules = LiveRules(site, clock, keeper, notifier)
        for minute in range(22):
            await clock.advance(MINUTE)
            if minute == 5:
                clock.set_by(HOUR)
            await rules.take([Reading(device.id, clock.now(), {"on": 1.0}) for device in site.devices[:1]])
            await rules.come_to(clock.now())
        assert await notifier.drained(30)
    (message,) = channel.got
    assert str(message.alert["since"]) >= "2026-07-01T20:05"
