"""One question at a time, on a wire whose frames have no numbers: Modbus RTU and ASCII, DL/T 645, CJ/T 188."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from building.errors import BadFrame, LinkDown, NoAnswer
from collector.links.patience import Patience
from collector.links.wires import Wire

T = TypeVar("T")
Find = Callable[[bytes], T | None]
Explain = Callable[[bytes], str]

_MOST_HEARD: Final = 4096  # bytes kept while an answer is looked for; a frame has under 520


def no_answer_in(heard: bytes) -> str:
    """What to say of bytes in which no answer was found."""
    return (
        f"{len(heard)} bytes came that are no answer; check baud rate and parity (usually 2400 8E1), "
        "and that no two meters answer at once"
    )


class Exchange(Generic[T]):
    """Sends a question and waits for the bytes in which ``find`` sees the answer.

    ``timeout`` is the meter's time to begin, ``pause`` the quiet after each answer, both in real seconds.
    """

    def __init__(self, wire: Wire, *, timeout: float = 1.0, pause: float = 0.0) -> None:
        self.address = wire.address
        self._wire = wire
        self._timeout = timeout
        self._pause = pause
        self._lock = asyncio.Lock()
        self._heard = bytearray()
        self._last_byte = 0.0  # loop time
        self._find: Find[T] | None = None
        self._answer: asyncio.Future[T] | None = None
        wire.on_bytes = self._on_bytes
        wire.on_broken = self._on_broken

    async def ask(self, question: bytes, find: Find[T], longest: int, explain: Explain = no_answer_in) -> T:
        """What ``find`` sees in the answer to ``question``, which is at most ``longest`` bytes long.

        ``explain`` says what is wrong with bytes that hold no answer. Raises NoAnswer for silence, BadFrame for such
        bytes, LinkDown; and what ``find`` raises.
        """
        async with self._lock:
            fresh = await self._wire.open()
            try:
                return await self._ask(question, find, longest, explain)
            except LinkDown:
                if fresh or self._wire.gap:
                    raise
                # A serial server closed the idle socket; once more on a new one.
                await self._wire.open()
                return await self._ask(question, find, longest, explain)

    def close(self) -> None:
        """Let go of the wire."""
        self._wire.close()

    async def _ask(self, question: bytes, find: Find[T], longest: int, explain: Explain) -> T:
        loop = asyncio.get_running_loop()
        quiet = max(self._wire.gap, self._pause) - (loop.time() - self._last_byte)
        if quiet > 0:
            await asyncio.sleep(quiet)
        self._heard.clear()  # whatever came since the last answer belongs to nobody
        answer: asyncio.Future[T] = loop.create_future()
        self._answer, self._find = answer, find
        travel = (len(question) + longest) * self._wire.character
        patience = Patience(self._timeout + travel, answer)
        try:
            self._wire.write(question)
            return await answer
        except TimeoutError:
            if self._heard:
                raise BadFrame(explain(bytes(self._heard))) from None
            raise NoAnswer(f"no answer within {self._timeout:g} s") from None
        finally:
            patience.cancel()
            self._answer = self._find = None
            self._last_byte = loop.time()

    def _on_bytes(self, data: bytes) -> None:
        self._last_byte = asyncio.get_running_loop().time()
        if self._answer is None or self._find is None or self._answer.done():
            return
        self._heard += data
        del self._heard[:-_MOST_HEARD]
        found = self._find(bytes(self._heard))
        if found is not None:
            self._answer.set_result(found)

    def _on_broken(self, error: LinkDown) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
