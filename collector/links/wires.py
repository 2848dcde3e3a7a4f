"""What carries bytes to a bus: a serial port or a serial server's socket. No protocol is known here.

A wire opens when it is first needed and again after it broke; whatever breaks it is a LinkDown with the way out.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from typing import Final, Protocol, TypeVar

import serial

from building.errors import LinkDown

Heard = Callable[[bytes], None]
P = TypeVar("P", bound=asyncio.BaseProtocol)

_DEFAULT_BAUD: Final = 9600
_AT_ONCE: Final = 4096  # bytes
_CONNECT_S: Final = 3.0  # at least, however hasty the meters: TCP sends a lost first packet again after 1 s (RFC 6298)
_QUIET_ABOVE: Final = 19_200  # baud: from there on the silence between frames is fixed


def frame_gap(baudrate: int) -> float:
    """Seconds of silence between two RTU frames: 3.5 characters of 11 bits, above 19200 baud 1.75 ms."""
    return 0.001_75 if baudrate > _QUIET_ABOVE else 3.5 * 11 / baudrate


def baudrate_of(options: Mapping[str, str]) -> int:
    """The baud rate of a serial address' options."""
    return int(options.get("baudrate", _DEFAULT_BAUD))


class Wire(Protocol):
    """A pipe for bytes. ``address`` names it for people; ``character`` and ``gap`` are seconds, 0 where unknown.

    ``on_bytes`` and ``on_broken`` are set by whoever uses it, before it is opened.
    """

    address: str
    character: float
    gap: float
    on_bytes: Heard
    on_broken: Callable[[LinkDown], None]

    async def open(self) -> bool:
        """Be open; True when it was opened just now. Raises LinkDown."""

    def write(self, data: bytes) -> None:
        """Send ``data`` (a few hundred bytes). Raises LinkDown."""

    def close(self) -> None:
        """Let go; opening again is allowed."""


class _Base:
    def __init__(self, address: str) -> None:
        self.address = address
        self.character = 0.0
        self.gap = 0.0
        self.on_bytes: Heard = lambda data: None
        self.on_broken: Callable[[LinkDown], None] = lambda error: None


class SerialWire(_Base):
    """A serial port such as /dev/ttyUSB0, or a pty. ``options``: baudrate, parity, stopbits, bytesize as in the URL."""

    def __init__(self, path: str, options: Mapping[str, str]) -> None:
        super().__init__(path)
        self._settings = {
            "baudrate": baudrate_of(options),
            "parity": options.get("parity", "N"),
            "stopbits": int(options.get("stopbits", "1")),
            "bytesize": int(options.get("bytesize", "8")),
        }
        self._port: serial.Serial | None = None
        self.character = 11 / baudrate_of(options)
        self.gap = frame_gap(baudrate_of(options))

    async def open(self) -> bool:
        """See Wire.open."""
        if self._port is not None:
            return False
        try:
            # Exclusive: two programs on one bus hear each other's answers.
            self._port = port = await asyncio.to_thread(
                serial.Serial, self.address, timeout=0, write_timeout=0, exclusive=True, **self._settings
            )
        except (OSError, ValueError) as error:
            raise LinkDown(self._why_not(error)) from None
        asyncio.get_running_loop().add_reader(port.fileno(), self._readable)
        return True

    def _why_not(self, error: Exception) -> str:
        if not os.path.exists(self.address):
            return f"the serial port {self.address} is not there; check the plug of the converter"
        if not os.access(self.address, os.R_OK | os.W_OK):
            return f"the serial port {self.address} may not be used by this user; add the user to the group dialout"
        return f"the serial port {self.address} cannot be opened ({error}); does another program hold it?"

    def _readable(self) -> None:
        assert self._port is not None
        try:
            data = os.read(self._port.fileno(), _AT_ONCE)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # a converter that was pulled out, or a pty whose other end closed
        if data:
            self.on_bytes(data)
            return
        self.close()
        self.on_broken(LinkDown(f"the serial port {self.address} has gone; check the plug of the converter"))

    def write(self, data: bytes) -> None:
        """See Wire.write."""
        try:
            if self._port is not None and os.write(self._port.fileno(), data) == len(data):
                return
            reason = "takes no bytes"
        except OSError as error:
            reason = f"takes no bytes ({error.strerror})"
        self.close()
        raise LinkDown(f"the serial port {self.address} {reason}; check the plug of the converter")

    def close(self) -> None:
        """See Wire.close."""
        port, self._port = self._port, None
        if port is not None:
            asyncio.get_running_loop().remove_reader(port.fileno())
            port.close()


class TcpWire(_Base):
    """A serial server that passes bytes between a socket and its bus. ``timeout``: of its meters' answers, seconds."""

    def __init__(self, host: str, port: int, *, timeout: float) -> None:
        super().__init__(f"{host}:{port}")
        self._host, self._port = host, port
        self._timeout = timeout
        self._transport: asyncio.Transport | None = None

    async def open(self) -> bool:
        """See Wire.open."""
        if self._transport is not None:
            return False
        self._transport, _ = await connect(self._host, self._port, lambda: _Socket(self), self._timeout)
        return True

    def write(self, data: bytes) -> None:
        """See Wire.write."""
        if self._transport is None:
            raise LinkDown(f"{self.address} closed the connection")
        self._transport.write(data)

    def close(self) -> None:
        """See Wire.close."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    def lost(self, transport: asyncio.BaseTransport | None) -> None:
        """The socket of ``transport`` has ended."""
        if transport is self._transport:
            self._transport = None
            self.on_broken(LinkDown(f"{self.address} closed the connection"))


class _Socket(asyncio.Protocol):
    def __init__(self, wire: TcpWire) -> None:
        self._wire = wire
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._wire.on_bytes(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._wire.lost(self._transport)


def _to_connect(patience: float) -> float:
    """Seconds to wait for a connection where an answer is waited for ``patience`` seconds."""
    return max(patience, _CONNECT_S)


async def connected(host: str, port: int, patience: float) -> socket.socket:
    """A socket that is connected to ``host`` and sends at once. ``patience``: see ``connect``. Raises LinkDown."""
    loop = asyncio.get_running_loop()
    patience = _to_connect(patience)
    why = "does not accept a connection"
    try:
        async with asyncio.timeout(patience):
            for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                sock = socket.socket(family, kind, protocol)
                try:
                    sock.setblocking(False)
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    await loop.sock_connect(sock, address)
                except OSError:
                    sock.close()
                except asyncio.CancelledError:
                    sock.close()
                    raise
                else:
                    return sock
    except TimeoutError:
        why = f"does not accept a connection within {patience:g} s"
    except OSError:
        why = "is no name or address that is known"
    raise LinkDown(f"{host}:{port} {why}; check address, port and cable")


async def connect(host: str, port: int, protocol: Callable[[], P], patience: float) -> tuple[asyncio.Transport, P]:
    """A connection to ``host``, whose answers get ``patience`` seconds; connecting gets at least 3. Raises LinkDown."""
    patience = _to_connect(patience)
    try:
        async with asyncio.timeout(patience):
            return await asyncio.get_running_loop().create_connection(protocol, host, port)
    except TimeoutError:
        why = f"does not accept a connection within {patience:g} s"
    except OSError:
        why = "does not accept a connection"
    raise LinkDown(f"{host}:{port} {why}; check address, port and cable")
