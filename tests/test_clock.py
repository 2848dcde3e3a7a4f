"""Clocks that are handed in."""

from __future__ import annotations

import asyncio
import time

import pytest

from building.clock import FastClock, ManualClock, SystemClock


async def test_a_manual_clock_wakes_sleepers_in_order_each_at_its_own_moment() -> None:
    clock = ManualClock(1000)
    woken: list[tuple[str, int]] = []

    async def sleeper(name: str, moment: int) -> None:
        await clock.sleep_until(moment)
        woken.append((name, clock.now()))

    async with asyncio.TaskGroup() as group:
        for name, moment in (("late", 5000), ("early", 2000), ("past", 500), ("too late", 9001)):
            group.create_task(sleeper(name, moment))
        await asyncio.sleep(0)
        await clock.advance(8000)
        assert clock.now() == 9000
        await clock.advance(1)
    assert woken == [("past", 1000), ("early", 2000), ("late", 5000), ("too late", 9001)]


async def test_a_manual_clock_wakes_again_whoever_sleeps_on() -> None:
    clock = ManualClock()
    ticks: list[int] = []

    async def ticker() -> None:
        for moment in range(1000, 6000, 1000):
            await clock.sleep_until(moment)
            ticks.append(clock.now())

    async with asyncio.TaskGroup() as group:
        group.create_task(ticker())
        await asyncio.sleep(0)
        await clock.advance(5000)
    assert ticks == [1000, 2000, 3000, 4000, 5000]


async def test_a_sleeper_that_was_cancelled_does_not_disturb_the_others() -> None:
    clock = ManualClock()
    given_up = asyncio.create_task(clock.sleep_until(1000))
    other = asyncio.create_task(clock.sleep_until(2000))
    await asyncio.sleep(0)
    given_up.cancel()
    await clock.advance(2000)
    await other
    assert (clock.now(), given_up.cancelled()) == (2000, True)


async def test_a_fast_clock_runs_as_many_times_as_fast() -> None:
    clock = FastClock(1_000_000, 10_000)
    began = time.monotonic()
    await clock.sleep_until(1_000_000 + 600_000)  # ten minutes in 60 ms
    assert clock.now() >= 1_600_000
    assert 0.055 < time.monotonic() - began < 60


def test_a_fast_clock_that_stands_still_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        FastClock(0, 0)


async def test_the_system_clock_is_the_machines() -> None:
    clock = SystemClock()
    assert abs(clock.now() - time.time() * 1000) < 1000
    await clock.sleep_until(clock.now() + 20)


async def test_a_clock_that_is_set_leaves_the_steady_time_alone() -> None:
    clock = ManualClock(1_000_000)
    woken: list[int] = []

    async def sleep() -> None:
        await clock.sleep_steady(1_000_000 + 5000)
        woken.append(clock.now())

    task = asyncio.create_task(sleep())
    await clock.advance(1000)
    clock.set_by(-3_600_000)
    assert (clock.now(), clock.steady()) == (1_001_000 - 3_600_000, 1_001_000)
    await clock.advance(4000)
    await task
    assert woken == [1_005_000 - 3_600_000]


@pytest.mark.parametrize("clock", [SystemClock(), FastClock(0, 100)])
async def test_the_steady_time_goes_on_at_the_clocks_own_speed(clock: SystemClock | FastClock) -> None:
    before = clock.steady()
    await clock.sleep_steady(before + 20)
    assert before + 20 <= clock.steady() < before + 20_000


def test_a_computer_that_stands_still_makes_a_fast_clock_wait_instead_of_skipping_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = [1_000_000_000]
    monkeypatch.setattr("building.clock.time.monotonic_ns", lambda: real[0])
    clock, true = FastClock(0, 480), FastClock(0, 1)
    for _ in range(100):
        real[0] += 10_000_000
        clock.now()
    assert clock.now() == 480_000  # a second, looked at every 10 ms
    real[0] += 10_000_000_000
    assert clock.now() - 480_000 <= 480 * 50
    assert true.now() == 11_000  # real time is never bent


async def test_a_fast_clock_does_not_outrun_an_event_loop_that_is_behind_with_its_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = [1_000_000_000]
    monkeypatch.setattr("building.clock.time.monotonic_ns", lambda: real[0])
    clock = FastClock(0, 480)
    waiting = asyncio.create_task(clock.sleep_until(3_600_000))
    await asyncio.sleep(0)
    for _ in range(100):  # a second of work in one turn of the loop, with many looks at the clock
        real[0] += 10_000_000
        clock.now()
    assert clock.now() == 480 * 5
    waiting.cancel()


def test_a_fast_clock_waits_for_what_is_under_way_and_then_goes_on_from_there(monkeypatch: pytest.MonkeyPatch) -> None:
    real = [1_000_000_000]
    monkeypatch.setattr("building.clock.time.monotonic_ns", lambda: real[0])
    clock, true = FastClock(0, 480), FastClock(0, 1)
    release, other = clock.hold(), clock.hold()
    true.hold()
    for _ in range(100):
        real[0] += 10_000_000
        clock.now()
    release()
    assert clock.now() == 199
    other()
    real[0] += 10_000_000
    assert clock.now() == 199 + 480 * 10
    assert true.now() == 1_010  # nobody holds real time


async def test_sleepers_of_a_fast_clock_wake_in_order_and_not_before_their_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = [1_000_000_000]
    monkeypatch.setattr("building.clock.time.monotonic_ns", lambda: real[0])
    clock, woken = FastClock(0, 30), list[tuple[int, bool]]()

    async def sleeper(moment: int) -> None:
        await clock.sleep_until(moment)
        woken.append((moment, clock.now() >= moment))

    tasks = [asyncio.create_task(sleeper(moment)) for moment in (900, 100, 500, 501, 0)]
    while len(woken) < len(tasks):
        await asyncio.sleep(0)
        real[0] += 100_000
    assert woken == [(0, True), (100, True), (500, True), (501, True), (900, True)]


async def test_a_fast_clock_does_not_pass_the_moment_of_a_sleeper_that_has_not_been_woken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = [1_000_000_000]
    monkeypatch.setattr("building.clock.time.monotonic_ns", lambda: real[0])
    clock = FastClock(0, 960)
    waiting = [asyncio.create_task(clock.sleep_until(moment)) for moment in (1_700, 1_001)]
    await asyncio.sleep(0)
    for _ in range(100):
        real[0] += 10_000_000
        clock.now()
    assert clock.now() == 1_001
    await waiting[1]
    assert clock.now() == 1_001
    real[0] += 10_000_000
    assert clock.now() == 1_700
    waiting[0].cancel()


async def test_a_fast_clock_waits_for_a_task_it_woke_until_that_sleeps_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("building.clock._PATIENCE", 60_000_000_000)
    clock = FastClock(0, 480)
    at_work, told = asyncio.Event(), []

    async def worker() -> None:
        await clock.sleep_until(1000)
        at_work.set()
        began = clock.now()
        for _ in range(20):  # a tenth of a second in slices that a look at the clock cannot tell from an idle computer
            await asyncio.sleep(0.005)
            clock.now()
        told.append(clock.now() - began)
        await clock.sleep_until(clock.now() + 100_000)

    task = asyncio.create_task(worker())
    await at_work.wait()
    await task
    assert told[0] <= 480 * 5  # of 480 * 100 that a watch would have shown
    assert clock.now() > 100_000


async def test_a_fast_clock_stands_still_for_who_is_behind_and_goes_on_without_who_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("building.clock._PATIENCE", 60_000_000_000)
    clock = FastClock(0, 480)
    await clock.sleep_until(480 * 100)
    await clock.sleep_until(1000)  # asked for far too late: this task is behind with its work
    stood = clock.now()
    await asyncio.sleep(0.05)
    assert clock.now() == stood

    async def ended() -> None:
        await clock.sleep_until(1000)

    await asyncio.create_task(ended())
    await clock.sleep_until(stood + 1000)
    assert clock.now() >= stood + 1000
