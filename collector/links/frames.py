"""Modbus frames as bytes: what to send, and the answer in what came. Pure.

The question says how long its answer must be, so an answer is found by unit, function, length and check sum wherever it
stands: behind noise, an echo of the question or the late answer of another meter. Nothing here waits for a silence,
because converters put 20 ms and more between the bytes of one frame. Check sums and frames sent are pymodbus's.
"""

from __future__ import annotations

import struct
from binascii import Error as NotHex
from binascii import unhexlify
from typing import Final, Protocol

from pymodbus.framer.ascii import FramerAscii
from pymodbus.framer.rtu import FramerRTU
from pymodbus.pdu import DecodePDU

from building.errors import BadFrame, MeterRefused
from collector.links.modbus import READ_DISCRETE, bits_to_bytes, refusal

_QUESTION: Final = struct.Struct(">BHH")
_HEAD: Final = struct.Struct(">HHH")
_MBAP_QUESTION: Final = struct.Struct(">HHHBBHH")
_MBAP_HEAD: Final = 6  # bytes in front of the unit
_ALONE: Final = b"\0\0\0"  # protocol 0, and a length below 256
_SHORTEST_BODY: Final = 2  # unit and function
_LONGEST_BODY: Final = 254  # unit and 253 bytes
_FAILED: Final = 0x80
_RTU: Final = FramerRTU(DecodePDU(False))
_ASCII: Final = FramerAscii(DecodePDU(False))


def question(function: int, address: int, count: int) -> bytes:
    """A read request without unit and check sum."""
    return _QUESTION.pack(function, address, count)


def answer_size(function: int, count: int) -> int:
    """Bytes of registers or packed bits in the answer to a read."""
    return bits_to_bytes(count) if function <= READ_DISCRETE else 2 * count


def content(answer: bytes, function: int, count: int) -> bytes:
    """Registers or packed bits in ``answer`` (function code first). Raises MeterRefused, BadFrame."""
    size = answer_size(function, count)
    if len(answer) == size + 2 and answer[0] == function and answer[1] == size:
        data = answer[2:]
        spare = -count % 8 if function <= READ_DISCRETE else 0
        return data if not spare else data[:-1] + bytes([data[-1] & 0xFF >> spare])
    if len(answer) >= 2 and answer[0] == function | _FAILED:
        raise MeterRefused(answer[1], refusal(answer[1]))
    if answer[0] != function:
        raise BadFrame(f"it answered function {answer[0]} instead of {function}")
    raise BadFrame(f"it sent {max(0, len(answer) - 2)} bytes of values instead of {size}")


# -- Modbus TCP -------------------------------------------------------------------------------------------------------


TcpFrame = tuple[int, int, bytes]
"""One frame of a Modbus TCP stream: transaction, unit, and the body from the function code on."""


def tcp_question(transaction: int, unit: int, function: int, address: int, count: int) -> bytes:
    """A read request with its header."""
    return _MBAP_QUESTION.pack(transaction, 0, 6, unit, function, address, count)


def alone(stream: bytes) -> bool:
    """Whether ``stream`` is one Modbus TCP frame and nothing else, as what comes from a socket nearly always is."""
    return stream[2:5] == _ALONE and len(stream) > _MBAP_HEAD + 1 and stream[5] == len(stream) - _MBAP_HEAD


def cut_tcp(stream: bytes) -> tuple[list[TcpFrame], bytes]:
    """The whole frames at the head of ``stream``, and the rest. Raises BadFrame where no frame can begin."""
    at, have = 0, len(stream)
    frames: list[TcpFrame] = []
    while have - at >= _MBAP_HEAD:
        transaction, protocol, length = _HEAD.unpack_from(stream, at)
        if protocol or not _SHORTEST_BODY <= length <= _LONGEST_BODY:
            raise BadFrame("what came is not Modbus TCP; is this a serial server, to be written rtu+tcp://?")
        end = at + _MBAP_HEAD + length
        if end > have:
            break
        frames.append((transaction, stream[at + _MBAP_HEAD], stream[at + _MBAP_HEAD + 1 : end]))
        at = end
    return frames, stream[at:]


# -- RTU and ASCII ----------------------------------------------------------------------------------------------------


class Framing(Protocol):
    """How questions and answers look on a line that carries one at a time."""

    def question(self, unit: int, body: bytes) -> bytes:
        """``body`` (function code first) with unit and check sum."""

    def find(self, heard: bytes, unit: int, function: int, size: int) -> bytes | None:
        """The answer (function code first) of ``unit``, ``size`` bytes of values or a refusal; None: not there yet."""

    def puzzle(self, heard: bytes, unit: int) -> str:
        """What to say of bytes that were no answer."""

    def characters(self, size: int) -> int:
        """How many characters an answer with ``size`` bytes of values has."""


class RtuFraming:
    """Binary, with a CRC-16."""

    def question(self, unit: int, body: bytes) -> bytes:
        """See Framing."""
        return _RTU.encode(body, unit, 0)

    def find(self, heard: bytes, unit: int, function: int, size: int) -> bytes | None:
        """See Framing."""
        good = _find_rtu(heard, bytes([unit, function, size]), size + 5)
        return good if good is not None else _find_rtu(heard, bytes([unit, function | _FAILED]), 5)

    def puzzle(self, heard: bytes, unit: int) -> str:
        """See Framing."""
        for at in range(max(0, len(heard) - 4)):
            size = 5 if heard[at + 1] & _FAILED else heard[at + 2] + 5
            if heard[at + 1] & ~_FAILED in (1, 2, 3, 4) and len(heard) >= at + size and _sound(heard[at : at + size]):
                return _stranger(heard[at], unit)
        return _garbled(len(heard))

    def characters(self, size: int) -> int:
        """See Framing."""
        return 5 + size


class AsciiFraming:
    """Hexadecimal text between a colon and a line end, with an LRC."""

    def question(self, unit: int, body: bytes) -> bytes:
        """See Framing."""
        return _ASCII.encode(body, unit, 0)

    def find(self, heard: bytes, unit: int, function: int, size: int) -> bytes | None:
        """See Framing."""
        for body in _ascii_bodies(heard):
            if body[0] == unit and body[1:3] == bytes([function, size]) and len(body) == size + 3:
                return body[1:]
            if body[0] == unit and body[1] == function | _FAILED and len(body) == 3:
                return body[1:]
        return None

    def puzzle(self, heard: bytes, unit: int) -> str:
        """See Framing."""
        bodies = _ascii_bodies(heard)
        return _stranger(bodies[0][0], unit) if bodies else _garbled(len(heard))

    def characters(self, size: int) -> int:
        """See Framing."""
        return 11 + 2 * size


def _find_rtu(heard: bytes, head: bytes, length: int) -> bytes | None:
    at = heard.find(head)
    while at >= 0 and len(heard) - at >= length:
        frame = heard[at : at + length]
        if _sound(frame):
            return frame[1:-2]
        at = heard.find(head, at + 1)
    return None


def _sound(frame: bytes) -> bool:
    return FramerRTU.check_CRC(frame[:-2], int.from_bytes(frame[-2:], "big"))


def _ascii_bodies(heard: bytes) -> list[bytes]:
    """Every whole line with a right check sum, without it."""
    bodies = []
    for line in heard.split(b"\r\n")[:-1]:
        try:
            body = unhexlify(line[line.rfind(b":") + 1 :])
        except (NotHex, ValueError):
            continue
        if len(body) >= 4 and FramerAscii.check_LRC(body[:-1], body[-1]):
            bodies.append(body[:-1])
    return bodies


def _stranger(who: int, unit: int) -> str:
    if who == unit:
        return "what came was no answer to the question: late, or of another length"
    return f"unit {who} answered in place of unit {unit}; is there a second master on the line, or a late answer?"


def _garbled(length: int) -> str:
    return (
        f"{length} bytes came whose check sum is wrong or missing; "
        "check baud rate, parity and wiring, and that no two devices have one address"
    )
