"""Sockets and serial lines on which devices are served: a listening port, or a pty that takes its time like a bus.

What is spoken on them is a ``Talk``: bytes in, pieces of bytes to send out, each after a delay.
"""

from __future__ import annotations

import asyncio
import errno
import os
import tty
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Final, NamedTuple, Protocol, Self

_CHARACTER_BITS: Final = 11  # start, eight, parity or a second stop, stop
_FIXED_GAP: Final = 0.00175  # s; above 19200 baud the silence before an answer no longer shrinks
_PIECE: Final = 16  # bytes that leave a pty together, as a converter's buffer would pass them on


class Reply(NamedTuple):
    """Bytes to send, ``late`` seconds after their time."""

    data: bytes
    late: float = 0.0


class Talk(Protocol):
    """One conversation: a connection, or a bus."""

    def heard(self, buffer: bytearray) -> Iterable[Reply]:
        """Take what is whole out of ``buffer`` and answer it. Raises Hangup."""


class Hangup(Exception):
    """What came makes no sense: the device closes the connection."""


class Port:
    """A listening TCP port on loopback. ``wanted`` is tried first, then the next ones; 0 for any that is free."""

    def __init__(self, talk: Callable[[], Talk], wanted: int = 0) -> None:
        self._talk = talk
        self._wanted = wanted
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Transport] = set()
        self.port = 0

    async def __aenter__(self) -> Self:
        await self._listen(self._wanted)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.cut()

    async def cut(self) -> None:
        """Stop listening and break all connections, as a power cut does."""
        if self._server is not None:
            server, self._server = self._server, None
            server.close()
            for transport in tuple(self._connections):
                transport.abort()
            await server.wait_closed()

    async def restore(self) -> None:
        """Listen again on the same port."""
        if self._server is None:
            await self._listen(self.port)

    @property
    def listens(self) -> bool:
        return self._server is not None

    async def _listen(self, wanted: int) -> None:
        loop = asyncio.get_running_loop()
        for port in range(wanted, wanted + 200) if wanted else (0,):
            try:
                self._server = await loop.create_server(lambda: _Connection(self._talk(), self), "127.0.0.1", port)
            except OSError as error:
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    raise
            else:
                self.port = int(self._server.sockets[0].getsockname()[1])
                return
        raise OSError(errno.EADDRINUSE, f"no port from {wanted} on is free")

    def opened(self, transport: asyncio.Transport) -> None:
        self._connections.add(transport)

    def closed(self, transport: asyncio.Transport) -> None:
        self._connections.discard(transport)


class _Connection(asyncio.Protocol):
    """Lean on purpose: no task for each request."""

    def __init__(self, talk: Talk, port: Port) -> None:
        self._talk = talk
        self._port = port
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._port.opened(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self._transport is not None:
            self._port.closed(self._transport)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._buffer += data
        try:
            for reply in self._talk.heard(self._buffer):
                if reply.late > 0:
                    asyncio.get_running_loop().call_later(reply.late, self._send, reply.data)
                else:
                    self._transport.write(reply.data)
        except Hangup:
            self._transport.close()

    def _send(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


class SerialLine:
    """A pty. Its other end is ``path``; answers leave at the pace of ``baudrate``, ``speed`` times as fast.

    A request counts as heard when its last character could have arrived; the answer begins a silence of 3.5 characters
    later. What comes within a pause of the line is forgotten, as a device that misses the beginning would.
    """

    def __init__(self, talk: Talk, baudrate: int, speed: float = 1.0) -> None:
        self._talk = talk
        self._character = _CHARACTER_BITS / baudrate / speed
        self._gap = max(3.5 * self._character, _FIXED_GAP / speed)
        self._buffer = bytearray()
        self._heard_since = 0.0
        self._busy_until = 0.0
        self._master = self._slave = -1
        self.path = ""

    async def __aenter__(self) -> Self:
        self._master, self._slave = os.openpty()  # the slave stays open, or reading ends when the first client leaves
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path = os.ttyname(self._slave)
        asyncio.get_running_loop().add_reader(self._master, self._readable)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)
        os.close(self._slave)
        self._master = -1

    def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            data = os.read(self._master, 4096)
        except BlockingIOError:
            return
        now = loop.time()
        if not self._buffer or now - self._heard_since > 512 * self._character + 0.2:
            self._buffer.clear()
            self._heard_since = now
        self._buffer += data
        size = len(self._buffer)
        for reply in self._talk.heard(self._buffer):
            arrived = max(now, self._heard_since + size * self._character)
            start = max(arrived + self._gap + reply.late, self._busy_until)
            self._busy_until = start + len(reply.data) * self._character
            self._dribble(reply.data, start)

    def _dribble(self, data: bytes, start: float) -> None:
        """Send pieces as they would have been received."""
        loop = asyncio.get_running_loop()
        for at in range(0, len(data), _PIECE):
            piece = data[at : at + _PIECE]
            loop.call_at(start + (at + len(piece)) * self._character, self._send, piece)

    def _send(self, piece: bytes) -> None:
        if self._master >= 0:
            try:
                os.write(self._master, piece)
            except BlockingIOError:
                return  # nobody reads: a line forgets
