"""Polling: the schedule, the silent, the refused, and lines that vanish. The clock is handed in."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from building.clock import FastClock, ManualClock, SystemClock
from building.errors import BadFrame, GreenwardenError, LinkDown, MeterRefused, NoAnswer
from building.readings import Grade, Reading
from building.site import Site
from collector.asking import read_once
from collector.health import DeviceHealth, LinkHealth
from collector.polling import LinkPoller
from collector.profiles import load_profile
from collector.service import Collector
from collector.stream import Stream, Subscription
from collector.targets import Pace
from tests.parts import eventually, free_port
from tests.wire_parts import SDM120, Image, MeterServer, floats, image, meters

SECOND = 1000


class Line:
    """A ModbusLink over images in memory. ``trouble`` may raise for a request before it is answered."""

    def __init__(self, units: Mapping[int, Image]) -> None:
        self.units = units
        self.asked: list[tuple[int, int, int, int]] = []
        self.trouble: Callable[[int, int, int, int], GreenwardenError | None] = lambda *request: None

    async def read(self, unit: int, function: int, address: int, count: int) -> bytes:
        self.asked.append((unit, function, address, count))
        error = self.trouble(unit, function, address, count)
        if error is not None:
            raise error
        return b"".join(self.units[unit][function, address + at].to_bytes(2, "big") for at in range(count))

    async def close(self) -> None:
        pass


class Bench:
    """A poller on a line in memory and a clock that is advanced by hand."""

    def __init__(self, site: Site, units: Mapping[int, Image]) -> None:
        self.clock = ManualClock(1_000_000)
        self.line = Line(units)
        self.readings: list[Reading] = []
        self.health = {device.id: DeviceHealth("line") for device in site.devices}
        self.link_health = LinkHealth()
        known = [(one, load_profile(one.profile or ""), self.health[one.id]) for one in site.devices]
        pace = Pace.of(self.clock, 1.0)
        self.poller = LinkPoller("line", self.line, known, self.clock, self._publish, pace, self.link_health)

    async def _publish(self, readings: list[Reading]) -> None:
        self.readings += readings

    async def advance(self, milliseconds: int) -> None:
        await self.clock.advance(milliseconds)
        await _settle()

    def of(self, device: str) -> list[Reading]:
        return [reading for reading in self.readings if reading.device == device]


async def _settle() -> None:
    for _ in range(300):
        await asyncio.sleep(0)


@asynccontextmanager
async def bench(site: Site, units: Mapping[int, Image]) -> AsyncIterator[Bench]:
    one = Bench(site, units)
    task = asyncio.create_task(one.poller.run())
    await _settle()
    yield one
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


# -- the schedule -----------------------------------------------------------------------------------------------------


async def test_a_device_is_asked_at_the_start_and_then_on_its_grid_without_drift() -> None:
    async with bench(meters({"id": "a", "unit": 1}, every="10s"), {1: SDM120}) as one:
        for _ in range(30):
            await one.advance(SECOND)
        assert [reading.taken_at for reading in one.readings] == [1_000_000 + 10_000 * n for n in range(4)]


async def test_devices_are_spread_over_the_period_after_the_start() -> None:
    site = meters(*({"id": f"m{n}", "unit": n} for n in range(1, 6)), every="10s")
    async with bench(site, dict.fromkeys(range(1, 6), SDM120)) as one:
        for _ in range(200):
            await one.advance(100)
        late = [reading.taken_at % 10_000 for reading in one.readings if reading.taken_at >= 1_010_000]
        assert late == [0, 2000, 4000, 6000, 8000, 0]


async def test_an_aligned_device_is_asked_on_the_round_moments_of_the_clock() -> None:
    async with bench(meters({"id": "a", "unit": 1, "aligned": True}, every="15m"), {1: SDM120}) as one:
        for _ in range(40):
            await one.advance(60 * SECOND)
        assert [reading.taken_at for reading in one.readings][1:] == [1_800_000, 2_700_000]


async def test_slow_points_have_their_own_period() -> None:
    async with bench(meters({"id": "a", "unit": 1, "slow": "60s"}, every="10s"), {1: SDM120}) as one:
        for _ in range(59):
            await one.advance(SECOND)
        power = [reading for reading in one.readings if "active_power" in reading.values]
        energy = [reading for reading in one.readings if "energy_import" in reading.values]
        assert (len(power), len(energy)) == (6, 1)
        assert set(energy[0].values) == {"energy_import", "energy_export"}


async def test_the_identity_is_asked_once_a_day_and_another_serial_number_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    site = meters({"id": "a", "unit": 1, "profile": "abb_b23"}, every="10m")
    serial = {(3, 0x8900): 0x0012, (3, 0x8901): 0x3456}

    class Anything(dict[tuple[int, int], int]):
        def __missing__(self, key: tuple[int, int]) -> int:
            return 0

    async with bench(site, {1: Anything(serial)}) as one:
        for _ in range(26 * 6):
            await one.advance(600 * SECOND)
        asked = [request for request in one.line.asked if request[2] <= 0x8900 < request[2] + request[3]]
        assert len(asked) == 2
        assert one.health["a"].identity == {"serial_number": 0x123456}
        assert "not the one it was" not in caplog.text
        one.line.units[1][3, 0x8901] = 0x3457  # type: ignore[index]
        for _ in range(24 * 6):
            await one.advance(600 * SECOND)
        assert "serial_number 1193047, was 1193046" in caplog.text
        assert all("serial_number" not in reading.values for reading in one.readings)


async def test_what_was_missed_during_a_pause_is_counted_and_not_caught_up_with() -> None:
    async with bench(meters({"id": "a", "unit": 1}, every="10s"), {1: SDM120}) as one:
        one.clock._now += 95_000  # the machine slept
        await one.advance(6_000)
        assert len(one.readings) == 3  # the start, the one that was overdue, the next on the grid
        assert one.readings[-1].taken_at == 1_100_000
        assert one.health["a"].missed == 8


# -- silence ----------------------------------------------------------------------------------------------------------


def silent(*units: int) -> Callable[[int, int, int, int], GreenwardenError | None]:
    return lambda unit, *_: NoAnswer("no answer within 1 s") if unit in units else None


async def test_a_silent_device_is_told_once_asked_seldom_and_costs_its_neighbour_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    site = meters({"id": "dead", "unit": 1}, {"id": "good", "unit": 2}, every="10s")
    async with bench(site, {1: SDM120, 2: SDM120}) as one:
        one.line.trouble = silent(1)
        for _ in range(3600):
            await one.advance(SECOND)
        told = one.of("dead")[1:]
        assert [(reading.values, reading.quality.grade) for reading in told] == [({}, Grade.BAD)]
        assert "no answer" in told[0].quality.reason
        probes = [request for request in one.line.asked if request[0] == 1]
        assert len(probes) < 25
        assert all(count == 2 for *_, count in probes[3:])
        assert len(one.of("good")) == 361
        assert sum("dead is silent" in record.message for record in caplog.records) == 1


async def test_the_rest_of_a_silent_device_grows_from_two_seconds_to_five_minutes() -> None:
    async with bench(meters({"id": "a", "unit": 1}, every="1s"), {1: SDM120}) as one:
        one.line.trouble = silent(1)
        moments: list[int] = []
        for _ in range(1500):
            before = len(one.line.asked)
            await one.advance(SECOND)
            if len(one.line.asked) > before:
                moments.append(one.clock.now())
        gaps = [(b - a) // SECOND for a, b in pairwise(moments)]
        assert gaps[:9] == [2, 4, 8, 16, 32, 64, 128, 256, 300]


async def test_a_device_that_returns_is_read_whole_at_once_and_said_to_be_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with bench(meters({"id": "a", "unit": 1}, every="60s"), {1: SDM120}) as one:
        one.line.trouble = silent(1)
        await one.advance(60 * SECOND)
        await one.advance(5 * SECOND)
        one.line.trouble = silent()
        await one.advance(10 * SECOND)
        assert one.readings[-1].values["active_power"] == 331.75
        assert one.health["a"].silent_since is None
        assert "answers again after" in caplog.text


async def test_one_lost_answer_is_made_good_by_asking_again_and_is_no_silence() -> None:
    async with bench(meters({"id": "a", "unit": 1}, every="60s"), {1: SDM120}) as one:
        one.line.trouble = silent(1)
        await one.advance(60 * SECOND)
        one.line.trouble = silent()
        await one.advance(2 * SECOND)
        assert [bool(reading.values) for reading in one.readings] == [True, True]


async def test_a_device_that_answers_in_small_but_never_in_full_is_silent_all_the_same() -> None:
    async with bench(meters({"id": "a", "unit": 1}, every="10s"), {1: SDM120}) as one:
        one.line.trouble = lambda unit, function, address, count: NoAnswer("silent") if count > 2 else None
        for _ in range(600):
            await one.advance(SECOND)
        assert [reading.values for reading in one.readings[1:]] == [{}]
        assert len(one.line.asked) < 40


async def test_what_a_device_answered_before_it_fell_silent_is_kept() -> None:
    image = {**SDM120, **floats(4, {}, 0)}
    async with bench(meters({"id": "a", "unit": 1}, every="10s"), {1: image}) as one:
        assert len({request[2:] for request in one.line.asked}) == 2  # two requests: the gap is too wide for one
        one.line.trouble = lambda unit, function, address, count: NoAnswer("silent") if address else None
        await one.advance(10 * SECOND)
        last = one.readings[-1]
        assert last.values["active_power"] == 331.75
        assert "energy_import" not in last.values
        assert last.quality.of("energy_import") is Grade.BAD
        assert last.quality.of("active_power") is Grade.GOOD


@pytest.mark.parametrize("code", [10, 11])
async def test_a_gateway_that_cannot_reach_a_device_makes_that_device_silent_only(code: int) -> None:
    site = meters({"id": "far", "unit": 1}, {"id": "near", "unit": 2}, every="10s")
    async with bench(site, {1: SDM120, 2: SDM120}) as one:
        one.line.trouble = lambda unit, *_: MeterRefused(code, "did not answer its gateway") if unit == 1 else None
        for _ in range(60):
            await one.advance(SECOND)
        assert [reading.values for reading in one.of("far")[1:]] == [{}]
        assert len(one.of("near")) == 7


async def test_rests_grow_with_what_a_time_out_costs_and_a_fast_clock_waits_for_it() -> None:
    assert Pace.of(SystemClock(), 1.0) == Pace(2_000, 300_000, 2_000)
    assert Pace.of(SystemClock(), 90.0) == Pace(180_000, 360_000, 2_000)
    assert Pace.of(FastClock(0, 480), 0.5) == Pace(2_000, 300_000, 48_000)


# -- refusals ---------------------------------------------------------------------------------------------------------


async def test_one_refused_register_costs_only_itself_and_is_asked_for_once() -> None:
    image = {key: word for key, word in SDM120.items() if key != (4, 0x18)}
    async with bench(meters({"id": "a", "unit": 1}, every="10s"), {1: image}) as one:
        one.line.trouble = lambda unit, function, address, count: (
            None if all((function, at) in image for at in range(address, address + count)) else MeterRefused(2, "no")
        )
        await one.advance(10 * SECOND)
        after = len(one.line.asked)
        last = one.readings[-1]
        assert len(last.values) == 8
        assert "reactive_power" not in last.values
        assert last.quality.of("reactive_power") is Grade.BAD
        assert last.quality.of("active_power") is Grade.GOOD
        assert "reactive_power" in one.health["a"].refused[0]
        for _ in range(60):
            await one.advance(SECOND)
        assert len(one.line.asked) - after == 6 * 3  # before the hole, behind it, and the energies
        await one.advance(6 * 3600 * SECOND)
        await one.advance(10 * SECOND)
        assert any(address <= 0x18 < address + count for _, _, address, count in one.line.asked[after + 18 :])


def refuses(unit: int) -> Callable[[int, int, int, int], GreenwardenError | None]:
    return lambda asked, *_: MeterRefused(2, "has no such register (exception 2)") if asked == unit else None


async def test_a_device_that_refuses_everything_is_asked_on_seldom_and_found_silent_when_it_is() -> None:
    site = meters({"id": "a", "unit": 1}, {"id": "b", "unit": 2}, every="10s")
    async with bench(site, {1: SDM120, 2: SDM120}) as one:
        one.line.trouble = refuses(1)
        for _ in range(60):
            await one.advance(SECOND)
        last = one.of("a")[-1]
        assert (last.values, last.quality.grade) == ({}, Grade.BAD)
        assert one.health["a"].silent_since is None
        asked = len(one.line.asked)
        for _ in range(1200):
            await one.advance(SECOND)
        assert [request for request in one.line.asked[asked:] if request[0] == 1] == [(1, 4, 0, 2)] * 4
        assert one.of("a")[-1].taken_at > last.taken_at
        one.line.trouble = silent(1)
        for _ in range(400):
            await one.advance(SECOND)
        assert one.health["a"].silent_since is not None
        assert "no answer" in one.of("a")[-1].quality.reason
        assert (one.health["b"].missed, one.health["b"].resting) == (0, 0)


async def test_a_meter_that_refuses_everything_while_it_starts_is_read_whole_minutes_later() -> None:
    async with bench(meters({"id": "a", "unit": 1}, every="10s"), {1: SDM120}) as one:
        one.line.trouble = refuses(1)
        for _ in range(60):
            await one.advance(SECOND)
        one.line.trouble = silent()
        for _ in range(310):
            await one.advance(SECOND)
        last = one.of("a")[-1]
        assert last.values["active_power"] == 331.75
        assert not last.quality.flaws
        assert one.health["a"].refused == ()


async def test_gaps_that_a_device_does_not_give_are_left_out_and_every_value_is_kept() -> None:
    points = {at for row in load_profile("eastron_sdm120").registers for at in (row.address, row.address + 1)}
    async with bench(meters({"id": "a", "unit": 1}, every="10s"), {1: SDM120}) as one:
        one.line.trouble = lambda unit, function, address, count: (
            None if set(range(address, address + count)) <= points else MeterRefused(2, "no such register")
        )
        await one.advance(10 * SECOND)
        assert len(one.readings[-1].values) == 9
        assert one.readings[-1].quality.grade is Grade.GOOD
        assert not one.health["a"].refused


async def test_a_device_that_takes_short_requests_only_is_asked_in_parts() -> None:
    async with bench(
        meters({"id": "a", "unit": 1, "profile": "eastron_sdm630"}, every="10s"), {1: floats(4, {}, 99)}
    ) as one:
        one.line.trouble = lambda unit, function, address, count: MeterRefused(3, "too many") if count > 20 else None
        await one.advance(10 * SECOND)
        assert len(one.readings[-1].values) == 26
        before = len(one.line.asked)
        await one.advance(10 * SECOND)
        assert all(count <= 20 for *_, count in one.line.asked[before:])


async def test_a_function_the_device_does_not_know_is_not_tried_register_by_register() -> None:
    async with bench(meters({"id": "a", "unit": 1}, every="10s"), {1: SDM120}) as one:
        one.line.trouble = lambda *_: MeterRefused(1, "does not know this kind of read")
        before = len(one.line.asked)
        await one.advance(60 * SECOND)
        assert len(one.line.asked) - before == 2  # one for each block
        assert set(one.readings[-1].quality.flaws) == set(load_profile("eastron_sdm120").quantities)


async def test_a_busy_device_is_asked_once_more_before_its_values_are_left_out() -> None:
    async with bench(
        meters({"id": "a", "unit": 1, "profile": "eastron_sdm630"}, every="10s"), {1: floats(4, {}, 99)}
    ) as one:
        busy = iter([MeterRefused(6, "is busy")])
        one.line.trouble = lambda *_: next(busy, None)
        await one.advance(10 * SECOND)
        await eventually(lambda: len(one.readings) == 2, "the second attempt")
        assert len(one.readings[-1].values) == 26


@pytest.mark.parametrize("code", [4, 8])
async def test_a_passing_failure_of_the_device_leaves_its_values_out_this_once(code: int) -> None:
    async with bench(meters({"id": "a", "unit": 1}, every="10s"), {1: SDM120}) as one:
        one.line.trouble = lambda *_: MeterRefused(code, "reports a failure of its own")
        await one.advance(10 * SECOND)
        assert one.readings[-1].values == {}
        assert one.readings[-1].quality.of("voltage") is Grade.BAD
        one.line.trouble = lambda *_: None
        await one.advance(10 * SECOND)
        assert len(one.readings[-1].values) == 9


async def test_a_bad_frame_is_counted_and_no_value_is_made_up() -> None:
    async with bench(meters({"id": "a", "unit": 1}, every="10s"), {1: SDM120}) as one:
        one.line.trouble = lambda *_: BadFrame("cut short")
        await one.advance(30 * SECOND)
        assert one.health["a"].errors["BadFrame"] >= 2
        assert [reading.values for reading in one.readings[1:]] == [{}]


async def test_a_fault_of_ours_with_one_device_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    site = meters({"id": "odd", "unit": 1}, {"id": "good", "unit": 2}, every="10s")
    async with bench(site, {2: SDM120}) as one:  # unit 1 is missing in the line: a KeyError
        for _ in range(20):
            await one.advance(SECOND)
        assert len(one.of("good")) == 3
        assert one.health["odd"].errors["internal"] == 3
        assert "Traceback" in caplog.text


# -- the line itself --------------------------------------------------------------------------------------------------


async def test_a_dead_line_is_one_event_for_all_behind_it(caplog: pytest.LogCaptureFixture) -> None:
    site = meters(*({"id": f"m{n}", "unit": n} for n in range(1, 6)), every="10s")
    async with bench(site, dict.fromkeys(range(1, 6), SDM120)) as one:
        one.line.trouble = lambda *_: LinkDown("nobody is there")
        for _ in range(600):
            await one.advance(SECOND)
        assert sum(not reading.values for reading in one.readings) == 5
        assert [record.message for record in caplog.records] == ["link line is down: nobody is there"]
        assert one.link_health.down_since is not None
        one.line.trouble = lambda *_: None
        for _ in range(330):
            await one.advance(SECOND)
        assert one.link_health.down_since is None
        assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
        assert all(one.of(f"m{n}")[-1].values for n in range(1, 6))


async def test_a_gateway_behind_which_nobody_answers_is_one_event(caplog: pytest.LogCaptureFixture) -> None:
    site = meters(*({"id": f"m{n}", "unit": n} for n in range(1, 31)), every="10s")
    async with bench(site, dict.fromkeys(range(1, 31), SDM120)) as one:
        await one.advance(20 * SECOND)
        one.line.trouble = silent(*range(1, 31))
        for _ in range(1200):
            await one.advance(SECOND)
        assert sum(not reading.values for reading in one.readings) == 30
        told = [record.message for record in caplog.records]
        assert told == ["link line is down: none of the 30 devices behind it answers; check its bus and its power"]
        assert len(one.line.asked) < 400
        one.line.trouble = silent(7)
        for _ in range(330):
            await one.advance(SECOND)
        told = [record.message for record in caplog.records][1:]
        assert told[0].startswith("link line is back after 2")
        assert told[1].startswith("device m7 is silent")
        assert len(told) == 2
        assert all(bool(one.of(f"m{n}")[-1].values) is (n != 7) for n in range(1, 31))


async def test_the_only_device_that_lives_on_a_line_is_read_again_at_once_after_a_moment_of_silence() -> None:
    """Nine of ten meters are switched off for good; the tenth must not wait for the turn of each of them."""
    site = meters(*({"id": f"m{n}", "unit": n} for n in range(1, 11)), every="10s")
    async with bench(site, dict.fromkeys(range(1, 11), SDM120)) as one:
        one.line.trouble = silent(*range(1, 10))
        for _ in range(600):
            await one.advance(SECOND)
        one.line.trouble = silent(*range(1, 11))
        for _ in range(15):
            await one.advance(SECOND)
        assert one.link_health.down_since is not None
        one.line.trouble = silent(*range(1, 10))
        heard = len(one.of("m10"))
        for _ in range(30):
            await one.advance(SECOND)
        assert any(reading.values for reading in one.of("m10")[heard:])
        assert one.link_health.down_since is None


async def test_of_a_line_that_was_mute_another_device_than_the_last_may_come_back_first() -> None:
    site = meters(*({"id": f"m{n}", "unit": n} for n in range(1, 4)), every="10s")
    async with bench(site, dict.fromkeys(range(1, 4), SDM120)) as one:
        one.line.trouble = silent(1, 2, 3)
        for _ in range(60):
            await one.advance(SECOND)
        one.line.trouble = silent(1, 3)
        for _ in range(700):
            await one.advance(SECOND)
        assert one.link_health.down_since is None
        assert one.of("m2")[-1].values


async def test_a_silent_device_beside_one_that_speaks_is_its_own_event_even_when_that_is_seldom_asked(
    caplog: pytest.LogCaptureFixture,
) -> None:
    site = meters({"id": "dead", "unit": 1}, {"id": "seldom", "unit": 2, "every": "15m"}, every="10s")
    async with bench(site, {1: SDM120, 2: SDM120}) as one:
        await one.advance(20 * SECOND)
        one.line.trouble = silent(1)
        for _ in range(60):
            await one.advance(SECOND)
        assert one.link_health.down_since is None
        assert [reading.values for reading in one.of("dead")[-1:]] == [{}]
        assert "device dead is silent" in caplog.text


@pytest.mark.parametrize("by", [-3600 * SECOND, 3600 * SECOND])
async def test_a_clock_that_is_set_moves_the_stamps_and_not_the_schedule(by: int) -> None:
    async with bench(meters({"id": "a", "unit": 1}, every="10s"), {1: SDM120}) as one:
        await one.advance(25 * SECOND)
        one.clock.set_by(by)
        for _ in range(30):
            await one.advance(SECOND)
        first, *_, last = [reading.taken_at for reading in one.readings]
        assert len(one.readings) == 6
        assert last - first == 50 * SECOND + by
        assert one.health["a"].missed == 0


async def test_an_aligned_device_follows_a_clock_that_is_set() -> None:
    async with bench(meters({"id": "a", "unit": 1, "aligned": True}, every="60s"), {1: SDM120}) as one:
        await one.advance(60 * SECOND)
        one.clock.set_by(-20_500)
        for _ in range(240):
            await one.advance(SECOND)
        assert [reading.taken_at % (60 * SECOND) for reading in one.readings][-3:] == [0, 0, 0]


async def test_with_several_requests_in_flight_the_blocks_of_a_poll_are_asked_at_once() -> None:
    site = meters({"id": "a", "unit": 1}, every="10s")
    under_way = most = 0

    class Wide(Line):
        async def read(self, unit: int, function: int, address: int, count: int) -> bytes:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0)
            under_way -= 1
            return await super().read(unit, function, address, count)

    readings: list[Reading] = []

    async def publish(batch: list[Reading]) -> None:
        readings.extend(batch)

    clock = ManualClock(0)
    known = [(site.devices[0], load_profile("eastron_sdm120"), DeviceHealth("line"))]
    line, health = Wide({1: SDM120}), LinkHealth()
    poller = LinkPoller("line", line, known, clock, publish, Pace.of(clock, 1.0), health, in_flight=4)
    task = asyncio.create_task(poller.run())
    await _settle()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert most == 2
    assert len(readings[0].values) == 9


async def test_a_device_with_nothing_but_failures_of_its_own_is_told_once_and_asked_more_seldom(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with bench(meters({"id": "a", "unit": 1}, every="2s"), {1: SDM120}) as one:
        one.line.trouble = lambda *_: MeterRefused(4, "reports a failure of its own (exception 4)")
        for _ in range(300):
            await one.advance(SECOND)
        assert sum("failure of its own" in record.message for record in caplog.records) == 1
        assert len(one.line.asked) < 30
        assert one.health["a"].silent_since is None, "it answers: it is not silent"
        one.line.trouble = lambda *_: None
        for _ in range(300):
            await one.advance(SECOND)
        assert len(one.readings[-1].values) == 9
        assert one.health["a"].errors["exception 4"] > 5


async def test_what_a_profile_asks_in_the_wrong_table_is_told_as_such(caplog: pytest.LogCaptureFixture) -> None:
    async with bench(meters({"id": "a", "unit": 1}, every="10s"), {1: SDM120}) as one:
        one.line.trouble = lambda *_: MeterRefused(1, "does not know this kind of read (exception 1)")
        await one.advance(10 * SECOND)
        assert "the profile may not fit: try one whose table: is holding" in caplog.text


# -- over sockets, through the collector ------------------------------------------------------------------------------


async def _until_readings(subscription: Subscription, enough: Callable[[list[Reading]], bool]) -> list[Reading]:
    found: list[Reading] = []

    async def gather() -> None:
        async for batch in subscription:
            found.extend(batch)
            if enough(found):
                return

    await asyncio.wait_for(gather(), 60)
    return found


async def test_a_site_is_read_over_sockets_while_one_meter_is_silent() -> None:
    site = meters({"id": "a", "unit": 1}, {"id": "dead", "unit": 2}, {"id": "c", "unit": 3}, every="1s", timeout="1s")
    async with MeterServer({1: SDM120, 3: SDM120}) as server:
        stream = Stream()
        subscription = stream.subscribe("test")
        clock = SystemClock()
        async with Collector(site, clock, stream, endpoints={"line": server.url}) as collector:
            found = await _until_readings(
                subscription,
                lambda all_: sum(r.device == "c" for r in all_) >= 3 and any(r.device == "dead" for r in all_),
            )
            assert collector.health().devices["dead"].silent_since is not None
        assert {reading.device for reading in found if reading.values} == {"a", "c"}
        assert all(abs(reading.taken_at - clock.now()) < 60_000 for reading in found)
        assert next(r for r in found if r.values).values["frequency"] == 50.0


async def test_a_gateway_that_starts_late_is_found() -> None:
    port = free_port()
    site = meters({"id": "a", "unit": 1}, every="1s")
    stream = Stream()
    subscription = stream.subscribe("test")
    clock = FastClock(1_782_835_200_000, 20)
    server = MeterServer({1: SDM120})
    async with Collector(site, clock, stream, endpoints={"line": f"tcp://127.0.0.1:{port}"}) as collector:
        await eventually(lambda: collector.health().links["line"].down_since, "the link to be down")
        await server.open(port)
        found = await _until_readings(subscription, lambda all_: any(reading.values for reading in all_))
        assert not found[0].values
        assert found[0].quality.grade is Grade.BAD
    await server.shut()


async def test_the_collector_leaves_nothing_behind_when_it_ends() -> None:
    async with MeterServer({1: SDM120}) as server:
        before, threads = asyncio.all_tasks(), set(threading.enumerate())
        async with Collector(meters({"id": "a", "unit": 1}), SystemClock(), Stream(), endpoints={"line": server.url}):
            await eventually(lambda: server.requests, "the first request")
            assert asyncio.all_tasks() > before
            assert server.open_connections == 1
        ours = {task for task in asyncio.all_tasks() - before if task not in server.serving}
        assert ours == set()
        left = {thread.name for thread in set(threading.enumerate()) - threads}
        assert {name for name in left if not name.startswith("asyncio_")} == set(), "but for the event loop's own pool"
        await eventually(lambda: server.open_connections == 0, "the connection's end")
        assert asyncio.all_tasks() == before


async def test_the_collector_ends_even_when_a_library_swallows_the_cancel() -> None:
    """asyncio.wait_for of Python 3.11 loses a cancel that comes together with the answer."""
    stubborn = 0

    class Line:
        async def read(self, unit: int, function: int, address: int, count: int) -> bytes:
            nonlocal stubborn
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                stubborn += 1
            return bytes(2 * count)

        async def close(self) -> None:
            pass

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("collector.service.line_for", lambda *_, **__: Line())
        patch.setattr("collector.service._CANCEL_AGAIN", 0.01)
        async with asyncio.timeout(30):
            async with Collector(meters({"id": "a", "unit": 1}, every="100ms"), SystemClock(), Stream()):
                await asyncio.sleep(0)
    assert stubborn == 2  # and the third cancel found the poller between two polls


async def test_read_once_gives_the_reading_and_the_raw_words() -> None:
    async with MeterServer({1: SDM120}) as server:
        site = meters({"id": "a", "unit": 1})
        answer = await read_once(site, "a", SystemClock(), endpoints={"line": server.url})
    assert answer.reading.values["voltage"] == 230.5
    assert answer.blocks[0][1][:4].hex() == "43668000"


async def test_an_air_conditioner_that_is_off_says_mode_off() -> None:
    unit = image(3, 0, "0000 0004 0000 0000 00FF 8000 0000")
    site = meters({"id": "ac", "kind": "aircon", "profile": "intesis_inmbs", "unit": 5})
    async with MeterServer({5: unit}) as server:
        reading = (await read_once(site, "ac", SystemClock(), endpoints={"line": server.url})).reading
    assert reading.values["mode"] == "off"
    assert reading.values["on"] == 0
    assert "temperature" not in reading.values
    assert reading.quality.of("temperature") is Grade.BAD
