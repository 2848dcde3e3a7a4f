"""Waiting: for the first of several things, for work that must not be left half done, for a thread to end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


async def first_of(*waits: Coroutine[Any, Any, object]) -> None:
    """Until one of ``waits`` is over, whatever it brought; the others are cancelled, and over when this returns."""
    tasks = [asyncio.create_task(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def unbroken(work: Coroutine[Any, Any, T]) -> T:
    """What ``work`` answers or raises. A cancel meanwhile is passed on when it is done: it must not be half done."""
    task = asyncio.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    answer = task.result()
    if cancelled is not None:
        raise cancelled
    return answer


class Caller(Protocol):
    """An MQTT client of paho with a thread of its own."""

    def disconnect(self) -> object:
        """Say good-bye to the broker; the thread then ends by itself."""

    def loop_stop(self) -> object:
        """Wait for the end of the thread."""


def hang_up(client: Caller) -> None:
    """Leave the broker, and wait for the client's thread."""
    client.disconnect()
    with suppress(AttributeError):  # paho forgets a thread that has ended, sometimes between its two looks at it
        client.loop_stop()
