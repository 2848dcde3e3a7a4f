"""The socket under paho: published messages are cut out of the bytes on the way, all other packets go on to paho.

paho makes three system calls and some 15 us of Python out of each packet; a collector gets nearly nothing but PUBLISH
packets, whose reading is ten lines. Works on plain and TLS sockets, without blocking.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from building.errors import BadFrame

_AT_ONCE: Final = 65_536  # bytes
_MOST_UNSENT: Final = 1 << 20
_LARGEST_PACKET: Final = 1 << 20  # a plug's telemetry has a few hundred bytes; of a longer message the rest is left
_PUBLISH: Final = 0x30
_PUBACK: Final = b"\x40\x02"
RETAINED: Final = 0x01
AGAIN: Final = 0x08
"""Flags of a PUBLISH: the broker kept it from earlier; it sends it once more."""

Published = tuple[str, bytes, int, int]
"""Topic, payload, number to acknowledge (0: none), flags."""


def puback(number: int) -> bytes:
    """The acknowledgement of message ``number``."""
    return _PUBACK + number.to_bytes(2, "big")


class Cut(NamedTuple):
    """What a stream held: messages of QoS 0 and 1, packets of all other kinds, and the rest.

    ``skip`` is how many bytes that are still to come belong to a message too long to be kept. It is passed on as far
    as it is kept: refusing it would end the connection, and the broker would send it again.
    """

    published: list[Published]
    others: list[bytes]
    rest: bytes
    skip: int


def cut_packets(stream: bytes, *, five: bool) -> Cut:
    """The packets at the head of ``stream``; ``five``: of MQTT 5. Raises BadFrame."""
    published: list[Published] = []
    others: list[bytes] = []
    at, have, skip = 0, len(stream), 0
    while have - at >= 2:
        start, size = at + 2, stream[at + 1]
        if size & 0x80:
            size, start = _varint(stream, at + 1)
            if start < 0:
                break
            if size > _LARGEST_PACKET:
                if stream[at] & 0xF4 != _PUBLISH:
                    raise BadFrame(f"a packet of {size} bytes; more than {_LARGEST_PACKET} are not read")
                end = start + _LARGEST_PACKET
                if end <= have:
                    published.append(_published(stream, start, end, stream[at], five=five))
                    at, skip = min(start + size, have), max(0, start + size - have)
                    continue
                break
        end = start + size
        if end > have:
            break
        flags = stream[at]
        if flags & 0xF4 == _PUBLISH:
            published.append(_published(stream, start, end, flags, five=five))
        else:
            others.append(stream[at:end])
        at = end
    return Cut(published, others, stream[at:], skip)


def _published(stream: bytes, at: int, end: int, flags: int, *, five: bool) -> Published:
    if end - at < 2:
        raise BadFrame("a message without a topic")
    body = at + 2 + (stream[at] << 8 | stream[at + 1])
    number = 0
    topic = stream[at + 2 : body]
    if flags & 0x02:
        number = stream[body] << 8 | stream[body + 1] if body + 2 <= end else 0
        body += 2
    if five and body < end:
        size, start = _varint(stream, body)
        body = start + size if start > 0 else end + 1
    if body > end or (flags & 0x02 and not number):
        raise BadFrame("a message whose lengths do not agree")
    try:
        return topic.decode(), stream[body:end], number, flags
    except UnicodeDecodeError:
        raise BadFrame("a message whose topic is no UTF-8 text") from None


def _varint(stream: bytes, at: int) -> tuple[int, int]:
    """A number of variable length at ``at`` and where it ends; an end below 0 when it is not all here."""
    number = shift = 0
    for place in range(at, min(at + 4, len(stream))):
        byte = stream[place]
        number |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return number, place + 1
        shift += 7
    if len(stream) >= at + 4:
        raise BadFrame("a length of more than four bytes")
    return 0, -1


class MqttSocket:
    """What paho takes for its socket. Until ``attach``, nothing is read; sending never blocks."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        # An acknowledgement is four bytes: it must not wait 40 ms for the receipt of the one before.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._for_paho = bytearray()
        self._unsent = bytearray()
        self._kept = b""
        self._skip = 0  # bytes of a message too long, still to come
        self._ended = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_packets: Callable[[list[Published], int], None] = lambda published, rest: None
        self._five = False

    # -- paho's side --------------------------------------------------------------------------------------------------

    def recv(self, size: int) -> bytes:
        """Bytes of packets that are not messages; b"" after the end of the connection."""
        if not self._for_paho and not self._ended:
            raise BlockingIOError
        data = bytes(self._for_paho[:size])
        del self._for_paho[:size]
        return data

    def send(self, data: bytes | bytearray) -> int:
        """Take all of ``data``, and send it when the socket can. Raises OSError on a dead one."""
        self._unsent += data
        self._send_on()
        if len(self._unsent) > _MOST_UNSENT:
            raise ConnectionError("the broker takes no bytes")
        return len(data)

    def setblocking(self, flag: bool) -> None:
        """Never blocks, whatever paho says."""
        self._sock.setblocking(False)

    def fileno(self) -> int:
        """Number of the real socket."""
        return int(self._sock.fileno())

    def close(self) -> None:
        """Close the real socket."""
        if self._loop is not None and self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock)
            self._loop.remove_writer(self._sock)
        self._loop = None
        self._ended = True
        self._sock.close()

    # -- the loop's side ----------------------------------------------------------------------------------------------

    def attach(
        self, loop: asyncio.AbstractEventLoop, on_packets: Callable[[list[Published], int], None], *, five: bool
    ) -> None:
        """Read from now on: ``on_packets`` gets the messages, and how many other packets wait for paho's ``recv``."""
        self._loop, self._on_packets, self._five = loop, on_packets, five
        loop.add_reader(self._sock, self._readable)
        self._send_on()
        self._readable()  # what a TLS handshake has already taken in shows no more on the socket

    def _readable(self) -> None:
        try:
            while not self._ended:
                data = self._sock.recv(_AT_ONCE)
                self._ended = not data
                self._take(data)
                if not isinstance(self._sock, ssl.SSLSocket) or not self._sock.pending():
                    break
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError:
            self._ended = True
        if self._ended:
            if self._loop is not None:
                self._loop.remove_reader(self._sock)
            self._on_packets([], 1)  # paho reads the end

    def _take(self, data: bytes) -> None:
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip, data = self._skip - skipped, data[skipped:]
            if self._skip:
                return
        try:
            stream = self._kept + data if self._kept else data
            published, others, self._kept, self._skip = cut_packets(stream, five=self._five)
        except BadFrame:
            self._ended = True
            return
        for packet in others:
            self._for_paho += packet
        if published or others:
            self._on_packets(published, len(others))

    def _send_on(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: self._sock.send(self._unsent)]
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            if self._loop is not None:
                self._loop.add_writer(self._sock, self._writable)
            return
        if self._loop is not None:
            self._loop.remove_writer(self._sock)

    def _writable(self) -> None:
        try:
            self._send_on()
        except OSError:
            self._ended = True
            self._on_packets([], 1)
