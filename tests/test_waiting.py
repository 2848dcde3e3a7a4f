"""Waiting for the first of several, and for what must not be half done."""

from __future__ import annotations

import asyncio
import threading

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from building.waiting import first_of, hang_up, unbroken


async def test_the_others_are_over_when_the_first_is() -> None:
    ended = []

    async def wait(event: asyncio.Event, name: str) -> None:
        try:
            await event.wait()
        finally:
            ended.append(name)

    due, never = asyncio.Event(), asyncio.Event()
    asyncio.get_running_loop().call_soon(due.set)
    await first_of(wait(due, "due"), wait(never, "never"))
    assert sorted(ended) == ["due", "never"]


async def test_whoever_is_cancelled_meanwhile_leaves_no_wait_behind() -> None:
    begun = asyncio.Event()
    waiting = asyncio.create_task(first_of(asyncio.Event().wait(), _never(begun)))
    await begun.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def _never(begun: asyncio.Event) -> None:
    begun.set()
    await asyncio.Event().wait()


async def test_work_that_is_cancelled_again_and_again_goes_to_its_end_and_the_cancel_is_passed_on() -> None:
    steps: list[int] = []
    go_on = asyncio.Event()

    async def work() -> None:
        steps.append(1)
        await go_on.wait()
        steps.append(2)

    waiting = asyncio.create_task(unbroken(work()))
    for _ in range(3):
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.sleep(0)
    assert (steps, waiting.done()) == ([1], False)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert steps == [1, 2]


async def test_what_unbroken_work_answers_or_raises_is_passed_on() -> None:
    async def work(number: int) -> int:
        return 10 // number

    assert await unbroken(work(2)) == 5
    with pytest.raises(ZeroDivisionError):
        await unbroken(work(0))


class Ending(Client):
    """Its thread ends, and is forgotten, just after it was asked for."""

    looks = 0

    @property
    def _thread(self) -> threading.Thread | None:
        self.looks += 1
        return threading.Thread() if self.looks == 1 else None

    @_thread.setter
    def _thread(self, thread: threading.Thread | None) -> None:
        """paho writes None here at first."""


def test_hanging_up_bears_with_a_thread_that_ends_while_it_is_looked_for() -> None:
    client = Ending(CallbackAPIVersion.VERSION2)
    client.looks = 0
    hang_up(client)
    assert client.looks >= 2
