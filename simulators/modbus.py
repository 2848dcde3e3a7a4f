"""A Modbus TCP gateway that answers from register images, and misbehaves when told to.

Lean on purpose: one ``asyncio.Protocol`` for each connection, no task for each request.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final, Self

from simulators.faults import Fault, Kind
from simulators.registers import ILLEGAL_FUNCTION, ILLEGAL_VALUE, Image, Refused

_HEADER: Final = struct.Struct(">HHHB")
_REQUEST: Final = struct.Struct(">BHH")
_LONGEST: Final = 254  # bytes after the length field
_NO_PATH: Final = 0x0A  # the gateway knows no such unit
_READS: Final = (1, 2, 3, 4)


class Gateway:
    """One listening socket. ``faults_of(unit, kind)`` tells what is wrong with a unit now; ``refresh`` is called before
    each answer so that the images show the present; ``answered(unit)`` after each whole answer."""

    def __init__(
        self,
        images: Mapping[int, Image],
        faults_of: Callable[[int, Kind], Fault | None],
        refresh: Callable[[], None],
        answered: Callable[[int], None],
    ) -> None:
        self._images = images
        self._faults_of = faults_of
        self._refresh = refresh
        self._answered = answered
        self._frozen: dict[tuple[Fault, int, int, int], bytes] = {}
        self._server: asyncio.Server | None = None
        self.connections: set[asyncio.Transport] = set()

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(lambda: _Connection(self), "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for transport in tuple(self.connections):
            transport.abort()
        await self._server.wait_closed()

    def reply(self, unit: int, pdu: bytes) -> bytes | None:
        """The whole answer to ``pdu`` behind the header's unit byte; None for silence; shorter when cut."""
        self._refresh()
        if self._faults_of(unit, Kind.SILENCE) is not None:
            return None
        answer = self._answer(unit, pdu)
        if self._faults_of(unit, Kind.CUT_FRAME) is not None:
            return answer[: len(answer) // 2]
        self._answered(unit)
        return answer

    def is_cut(self, unit: int) -> bool:
        """Whether answers of ``unit`` stop half way just now."""
        return self._faults_of(unit, Kind.CUT_FRAME) is not None

    def _answer(self, unit: int, pdu: bytes) -> bytes:
        function = pdu[0] if pdu else 0
        image = self._images.get(unit)
        try:
            if image is None:
                raise Refused(_NO_PATH)
            if function not in _READS:
                raise Refused(ILLEGAL_FUNCTION)
            if len(pdu) != _REQUEST.size:
                raise Refused(ILLEGAL_VALUE)
            _, address, count = _REQUEST.unpack(pdu)
            self._refuse_on_purpose(unit, address, count)
            data = self._data(image, unit, function, address, count)
        except Refused as refusal:
            return bytes((function | 0x80, refusal.code))
        return bytes((function, len(data))) + data

    def _refuse_on_purpose(self, unit: int, address: int, count: int) -> None:
        fault = self._faults_of(unit, Kind.EXCEPTION)
        if fault is not None and (fault.register is None or address <= fault.register < address + count):
            raise Refused(int(fault.size))

    def _data(self, image: Image, unit: int, function: int, address: int, count: int) -> bytes:
        frozen = self._faults_of(unit, Kind.FROZEN)
        if frozen is None:
            return image.read(function, address, count)
        key = (frozen, function, address, count)
        if key not in self._frozen:
            if len(self._frozen) > 10_000:
                self._frozen.clear()
            self._frozen[key] = image.read(function, address, count)
        return self._frozen[key]


class _Connection(asyncio.Protocol):
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._gateway.connections.add(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self._transport is not None:
            self._gateway.connections.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            transaction, protocol, length, unit = _HEADER.unpack_from(self._buffer)
            if protocol != 0 or not 2 <= length <= _LONGEST:
                self._transport.close()  # not Modbus: nothing in the stream can be trusted any more
                return
            end = 6 + length
            if len(self._buffer) < end:
                return
            pdu = bytes(self._buffer[_HEADER.size : end])
            del self._buffer[:end]
            self._respond(transaction, unit, pdu)

    def _respond(self, transaction: int, unit: int, pdu: bytes) -> None:
        assert self._transport is not None
        reply = self._gateway.reply(unit, pdu)
        if reply is None:
            return
        # A cut answer promises its whole length in the header, as a line that drops out would leave it.
        promised = 2 * len(reply) + 1 if self._gateway.is_cut(unit) else len(reply) + 1
        self._transport.write(_HEADER.pack(transaction, 0, promised, unit) + reply)
