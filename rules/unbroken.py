"""Work that several files and the memory must agree on goes to its end, also when the program stops in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


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
