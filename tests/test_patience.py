"""A computer that stands still does not blame the meter."""

from __future__ import annotations

import asyncio
import time

import pytest

from collector.links.patience import LOOKS, Patience


async def test_patience_ends_after_its_time_when_nothing_comes() -> None:
    answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    began = time.monotonic()
    Patience(0.02, answer)
    with pytest.raises(TimeoutError):
        await answer
    assert time.monotonic() - began >= 0.019


async def test_an_answer_that_waits_in_a_buffer_while_the_computer_stands_still_is_taken() -> None:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()
    Patience(0.02, answer)
    turns = 0

    def hop() -> None:  # an answer that needs some turns of the loop to get through
        nonlocal turns
        turns += 1
        if turns == LOOKS - 1:
            answer.set_result(b"here")
        else:
            loop.call_later(0, hop)

    loop.call_soon(hop)
    time.sleep(0.2)  # noqa: ASYNC251 - the computer stands still: ten time-outs pass in one turn of the loop
    assert await answer == b"here"


async def test_patience_that_is_no_longer_needed_leaves_the_answer_alone() -> None:
    answer, other = (asyncio.get_running_loop().create_future() for _ in range(2))
    Patience(0.001, answer).cancel()
    Patience(0.01, other)
    with pytest.raises(TimeoutError):
        await other
    assert not answer.done()
