"""Waiting: for the first of several things, and for work that must not be left half done."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

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
