"""Waiting for a meter, without blaming it for a computer that stood still with the answer in its own buffers."""

from __future__ import annotations

import asyncio
from typing import Any, Final

LOOKS: Final = 4
"""A time-out is over when as many looks at the clock, evenly apart, have found no answer."""


class Patience:
    """After ``seconds``, and no fewer than ``LOOKS`` turns of the event loop, ``answer`` gets a TimeoutError."""

    def __init__(self, seconds: float, answer: asyncio.Future[Any]) -> None:
        self._answer = answer
        self._apart = seconds / LOOKS
        self._left = LOOKS
        self._timer = asyncio.get_running_loop().call_later(self._apart, self._look)

    def _look(self) -> None:
        self._left -= 1
        if self._left:
            self._timer = asyncio.get_running_loop().call_later(self._apart, self._look)
        elif not self._answer.done():
            self._answer.set_exception(TimeoutError())

    def cancel(self) -> None:
        """The answer is here, or nobody waits for it any more."""
        self._timer.cancel()
