"""Modbus TCP: one connection for all units behind a host, one request at a time unless the host allows more.

Lean, because this is where hundreds of devices are asked: a request is one ``struct.pack`` and one future, an answer is
matched by its transaction number in the protocol's own callback. A late answer finds its number gone and is dropped.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from enum import Enum
from typing import Final

from building.errors import BadFrame, LinkDown, NoAnswer
from collector.links.frames import alone, content, cut_tcp, tcp_question
from collector.links.modbus import READ_DISCRETE
from collector.links.patience import LOOKS
from collector.links.sockets import unwatch, watch
from collector.links.wires import connected

_AT_ONCE: Final = 4096  # bytes; an answer has 260 at most
_DEAF_AFTER: Final = 6
"""Silences in a row, with not a byte heard, after which the connection itself is doubted and opened anew."""


class ModbusTcpLink:
    """A ModbusLink over TCP. ``timeout`` and ``pause`` (quiet time after each answer) are real seconds.

    ``in_flight`` requests may be under way at once; many gateways can do only one.
    """

    def __init__(self, host: str, port: int, *, timeout: float = 1.0, pause: float = 0.0, in_flight: int = 1) -> None:
        self.address = f"{host}:{port}"
        self._host, self._port = host, port
        self._timeout = timeout
        self._pause = pause
        self._free = in_flight
        self._queue: deque[asyncio.Future[None]] = deque()
        self._opening = asyncio.Lock()
        self._connection: _Connection | None = None
        self._silences = 0

    async def read(self, unit: int, function: int, address: int, count: int) -> bytes:
        """See ModbusLink.read."""
        if self._free:
            self._free -= 1
        else:
            await self._wait_for_turn()
        try:
            connection = self._connection
            if connection is None or connection.closed:
                answer = await self._ask_anew(unit, function, address, count)
            else:
                try:
                    answer = await connection.ask(unit, function, address, count)
                except _Failed as failure:
                    if failure.cause is not _Cause.CLOSED:
                        raise self._trouble(connection, failure) from None
                    # Gateways close idle sockets; the first request after that finds out. Once more, on a new one.
                    answer = await self._ask_anew(unit, function, address, count)
        finally:
            if self._pause:
                await asyncio.sleep(self._pause)
            if self._queue:
                self._end_turn()
            else:
                self._free += 1
        self._silences = 0
        if answer[0] != unit:
            raise BadFrame(f"unit {answer[0]} answered in place of unit {unit}; check the gateway's list of units")
        size = 2 * count
        if answer[1] == function and answer[2] == size and len(answer) == size + 3 and function > READ_DISCRETE:
            return answer[3:]
        return content(answer[1:], function, count)

    async def _ask_anew(self, unit: int, function: int, address: int, count: int) -> bytes:
        """On a fresh connection; what goes wrong there is final."""
        connection = await self._connect()
        try:
            return await connection.ask(unit, function, address, count)
        except _Failed as failure:
            raise self._trouble(connection, failure) from None

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # A semaphore in two dozen lines, because asyncio's costs a twentieth of the whole request.

    async def _wait_for_turn(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._end_turn()  # it was given to us in the moment we were cancelled
            raise

    def _end_turn(self) -> None:
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    async def _connect(self) -> _Connection:
        async with self._opening:
            if self._connection is None or self._connection.closed:
                self._silences = 0
                self._connection = _Connection(await connected(self._host, self._port, self._timeout), self._timeout)
            return self._connection

    def _trouble(self, connection: _Connection, failure: _Failed) -> LinkDown | NoAnswer | BadFrame:
        """What a failure means. After a time-out: nothing came, the half of something, or only what was too late."""
        if failure.cause is _Cause.CLOSED:
            return LinkDown(f"{self.address} closed the connection")
        if failure.cause is _Cause.GARBLED:
            return BadFrame(str(failure))
        if connection.unfinished:
            # The rest of a cut frame would be taken for the head of the next one.
            connection.close()
            self._silences = 0
            return BadFrame("the answer was cut short")
        if connection.late:
            connection.late = 0
            self._silences = 0
            return NoAnswer(f"no answer within {self._timeout:g} s, only late ones; a longer timeout: may help")
        self._silences += 1
        if self._silences >= _DEAF_AFTER:
            self._silences = 0
            connection.close()
        return NoAnswer(f"no answer within {self._timeout:g} s")


class _Cause(Enum):
    CLOSED = "the connection ended"
    GARBLED = "what came is no frame"
    SILENT = "nothing came in time"


class _Failed(Exception):
    """Why an answer will not come."""

    def __init__(self, cause: _Cause, text: str = "") -> None:
        super().__init__(text)
        self.cause = cause


class _Connection:
    """One socket, and the questions that are open on it by transaction number, the oldest first.

    One timer looks after all of them: a timer for each would cost more than the question. It looks several times in a
    time-out and gives up only what was open at as many looks: no meter is to blame for a computer that stood still,
    with the answer perhaps already in its buffers. The socket is read and written without a transport, which would
    cost as much as the two system calls.
    """

    def __init__(self, sock: socket.socket, timeout: float) -> None:
        self.closed = False
        self.late = 0
        self._timeout = timeout
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._looks = 0
        # With the moment to give up, and the number of the look that may.
        self._open: dict[int, tuple[float, int, asyncio.Future[bytes]]] = {}
        self._kept = b""
        self._transaction = 0
        watch(self._loop, sock.fileno(), self._readable)

    @property
    def unfinished(self) -> bool:
        """Whether the head of a frame is here whose rest is not."""
        return bool(self._kept)

    def ask(self, unit: int, function: int, address: int, count: int) -> asyncio.Future[bytes]:
        """Send a question; the answer begins with the unit that gives it. Raises _Failed."""
        if self.closed:
            raise _Failed(_Cause.CLOSED)
        self._transaction = transaction = self._transaction % 0xFFFF + 1
        try:
            self._sock.send(tcp_question(transaction, unit, function, address, count))
        except OSError:  # a peer that does not take twelve bytes is gone too
            self._end(_Failed(_Cause.CLOSED))
            raise _Failed(_Cause.CLOSED) from None
        loop = self._loop
        answer: asyncio.Future[bytes] = loop.create_future()
        now = loop.time()
        self._open[transaction] = now + self._timeout, self._looks + LOOKS, answer
        if self._timer is None:
            self._timer = loop.call_at(now + self._timeout / LOOKS, self._look)
        return answer

    def close(self) -> None:
        """End the connection; whoever waits is told."""
        self._end(_Failed(_Cause.CLOSED))

    def _readable(self) -> None:
        try:
            data = self._sock.recv(_AT_ONCE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end(_Failed(_Cause.CLOSED))
            return
        if not self._kept and alone(data):
            self._answer(data[0] << 8 | data[1], data[6:])
            return
        try:
            frames, self._kept = cut_tcp(self._kept + data)
        except BadFrame as error:
            self._end(_Failed(_Cause.GARBLED, str(error)))
            return
        for transaction, unit, body in frames:
            self._answer(transaction, bytes([unit]) + body)

    def _answer(self, transaction: int, answer: bytes) -> None:
        waiting = self._open.pop(transaction, None)
        if waiting is None or waiting[2].done():  # given up, or cancelled
            self.late += 1
        else:
            waiting[2].set_result(answer)

    def _end(self, reason: _Failed) -> None:
        if self.closed:
            return
        self.closed = True
        unwatch(self._loop, self._sock.fileno())
        self._sock.close()
        if self._timer is not None:
            self._timer.cancel()
        for _, _, answer in self._open.values():
            if not answer.done():
                answer.set_exception(reason)

    def _look(self) -> None:
        """Give up what is overdue; look again while something is open."""
        self._timer = None
        self._looks += 1
        now = self._loop.time()
        for transaction, (deadline, look, answer) in list(self._open.items()):
            if deadline > now or look > self._looks:
                self._timer = self._loop.call_at(now + self._timeout / LOOKS, self._look)
                return
            del self._open[transaction]
            if not answer.done():
                answer.set_exception(_Failed(_Cause.SILENT))
