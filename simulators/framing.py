"""Modbus frames as the simulated devices send and take them: TCP, RTU and ASCII. Written from the protocol's text."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple, Protocol

from simulators.answering import Answer

_HEADER: Final = struct.Struct(">HHHB")
_LONGEST_TCP: Final = 254  # bytes after the length field
_LONGEST_RTU: Final = 256


class NotModbus(Exception):
    """What came is no request, and nothing behind it can be trusted."""


class Request(NamedTuple):
    """One request; ``transaction`` is 0 where the framing knows none."""

    unit: int
    pdu: bytes
    transaction: int = 0


class Framing(Protocol):
    """One way of putting a PDU on a wire."""

    def take(self, buffer: bytearray) -> Request | None:
        """The first whole request, taken out of ``buffer``; None until there is one. Raises NotModbus."""

    def put(self, request: Request, answer: Answer) -> bytes:
        """The bytes of an answer, with what is wrong with it."""


class Tcp:
    """Seven bytes of header, no check sum."""

    def take(self, buffer: bytearray) -> Request | None:
        if len(buffer) < _HEADER.size:
            return None
        transaction, protocol, length, unit = _HEADER.unpack_from(buffer)
        if protocol != 0 or not 2 <= length <= _LONGEST_TCP:
            raise NotModbus
        if len(buffer) < 6 + length:
            return None
        pdu = bytes(buffer[_HEADER.size : 6 + length])
        del buffer[: 6 + length]
        return Request(unit, pdu, transaction)

    def put(self, request: Request, answer: Answer) -> bytes:
        # TCP has no check sum: what is spoilt answers a transaction that nobody began. What is cut promises its whole
        # length in the header, as a line that drops out would leave it.
        transaction = request.transaction ^ 0x5555 if answer.spoilt else request.transaction
        pdu = answer.pdu[: len(answer.pdu) // 2] if answer.cut else answer.pdu
        return _HEADER.pack(transaction, 0, len(answer.pdu) + 1, answer.unit) + pdu


class Rtu:
    """Unit, PDU, CRC. Requests are told apart by their length; a wrong CRC throws away what came."""

    def take(self, buffer: bytearray) -> Request | None:
        while len(buffer) >= 4:
            size = _request_size(buffer)
            if size is None or len(buffer) < size:
                return None
            frame = bytes(buffer[:size])
            if crc(frame[:-2]) == frame[-2:]:
                del buffer[:size]
                return Request(frame[0], frame[1:-2])
            del buffer[:1]  # look for a request behind the noise
        return None

    def put(self, request: Request, answer: Answer) -> bytes:
        body = bytes((answer.unit,)) + answer.pdu
        check = crc(body)
        if answer.spoilt:
            check = bytes((check[0] ^ 0xFF, check[1]))
        frame = body + check
        return frame[: len(frame) // 2] if answer.cut else frame


class Ascii:
    """Hexadecimal between a colon and CR LF, with a sum that makes 0."""

    def take(self, buffer: bytearray) -> Request | None:
        while (end := buffer.find(b"\r\n")) >= 0:
            line = bytes(buffer[:end])
            del buffer[: end + 2]
            start = line.rfind(b":")
            try:
                raw = bytes.fromhex(line[start + 1 :].decode("ascii"))
            except ValueError:
                continue
            if start >= 0 and len(raw) >= 3 and sum(raw) % 256 == 0:
                return Request(raw[0], raw[1:-1])
        if len(buffer) > 2 * _LONGEST_RTU:
            buffer.clear()
        return None

    def put(self, request: Request, answer: Answer) -> bytes:
        body = bytes((answer.unit,)) + answer.pdu
        check = -sum(body) % 256 ^ (0xFF if answer.spoilt else 0)
        frame = b":" + (body + bytes((check,))).hex().upper().encode() + b"\r\n"
        return frame[: len(frame) // 2] if answer.cut else frame


def _request_size(buffer: bytearray) -> int | None:
    """Length of the request that begins here; None until that can be told."""
    if buffer[1] in (15, 16):
        return 9 + buffer[6] if len(buffer) > 6 else None
    return 8


def crc(frame: bytes) -> bytes:
    """CRC-16 of Modbus, as it is sent: low byte first."""
    value = 0xFFFF
    for byte in frame:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
    return value.to_bytes(2, "little")
