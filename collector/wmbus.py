"""Wireless M-Bus telegrams (EN 13757-4, OMS): the layers around the values of EN 13757-3. Pure.

    L C M M A A A A V T   CI ...

The link layer names the meter; then come, each begun by a CI byte, an extended link layer (8C to 8F), authentication
(90) and the values with a long (72), short (7A) or no header (78). Values that are enciphered need the meter's key and
are told as such: deciphering is the gateway's work.
"""

from __future__ import annotations

from typing import Final

from building.errors import BadFrame
from collector.mbus import CIPHERS, Telegram, ident_of, manufacturer_of, read_frame, read_records
from collector.mbus_units import known_medium

_HEAD: Final = 10  # bytes of the link layer
_FIRST_BLOCK: Final = 10
_BLOCK: Final = 16
_POLYNOMIAL: Final = 0x3D65
_EXTENDED: Final = {0x8C: 2, 0x8D: 8, 0x8E: 10, 0x8F: 16}  # bytes behind the CI
_AUTHENTICATION: Final = 0x90
_LONG, _SHORT, _NONE = 0x72, 0x7A, 0x78
_MODES_WITH_ONE_MORE: Final = (7, 13)
_DECIPHERED: Final = b"\x2f\x2f"


def read_telegram(heard: bytes) -> Telegram:
    """What a telegram says; wired frames (68 L L 68) are read too, since gateways hear both.

    Raises BadFrame for what is no telegram, is enciphered, or is laid out in a way of its maker's own.
    """
    if len(heard) > 3 and heard[0] == heard[3] == 0x68 and heard[1] == heard[2]:
        return read_frame(heard)
    frame = _without_checks(heard)
    if len(frame) <= _HEAD:
        raise BadFrame(f"{len(heard)} bytes are too few for a telegram")
    if frame[0] != len(frame) - 1:
        raise BadFrame(f"the telegram says it has {frame[0] + 1} bytes, and has {len(frame)}")
    return _layers(frame)


class _Who:
    """The meter, as the layer nearest to the values names it."""

    def __init__(self, maker: bytes, ident: bytes, version: int, medium: int) -> None:
        self.maker, self.ident, self.version, self.medium = maker, ident, version, medium
        self.access = self.status = 0

    def telegram(self, data: bytes) -> Telegram:
        records, trouble = read_records(data)
        return Telegram(
            ident_of(self.ident),
            manufacturer_of(self.maker),
            self.version,
            self.medium,
            self.access,
            self.status,
            records,
            trouble,
        )


def _layers(frame: bytes) -> Telegram:
    """The values behind however many layers."""
    who = _Who(frame[2:4], frame[4:8], frame[8], frame[9])
    if not known_medium(frame[9]) and known_medium(frame[5]):  # Diehl's older meters: version and medium come first
        who = _Who(frame[2:4], frame[6:10], frame[4], frame[5])
    at = _HEAD
    while at < len(frame):
        kind, body = frame[at], frame[at + 1 :]
        if kind in _EXTENDED and len(body) > _EXTENDED[kind]:
            at += 1 + _EXTENDED[kind]
            _check_session(kind, body, frame[at:])
        elif kind == _AUTHENTICATION and body:
            at += 2 + body[0]
        elif kind == _LONG and len(body) >= 12:
            return _values(_Who(body[4:6], body[:4], body[6], body[7]), body[8:])
        elif kind == _SHORT and len(body) >= 4:
            return _values(who, body)
        elif kind == _NONE:
            return who.telegram(body)
        else:
            raise BadFrame(f"what the telegram holds (CI {kind:02X}) is laid out in its maker's own way, or cut short")
    raise BadFrame("the telegram ends before its values")


def _values(who: _Who, body: bytes) -> Telegram:
    """Values behind access number, status, and two bytes that say how they are enciphered, in some modes three."""
    who.access, who.status = body[0], body[1]
    mode = body[3] & 0x1F
    data = body[5 if mode in _MODES_WITH_ONE_MORE else 4 :]
    if mode in CIPHERS and data[:2] != _DECIPHERED:
        raise BadFrame(f"the values are enciphered (mode {mode}); they need the meter's key: let the gateway have it")
    return who.telegram(data)


def _check_session(kind: int, body: bytes, rest: bytes) -> None:
    """An extended link layer may encipher all behind it; then its checksum over that does not fit."""
    if kind not in (0x8D, 0x8F):
        return
    session = int.from_bytes(body[_EXTENDED[kind] - 6 : _EXTENDED[kind] - 2], "little")
    stated = int.from_bytes(body[_EXTENDED[kind] - 2 : _EXTENDED[kind]], "little")
    if session >> 29 and checksum(rest) != stated:
        raise BadFrame("the telegram is enciphered on its way; it needs the meter's key: let the gateway have it")


# -- checksums of the radio blocks ------------------------------------------------------------------------------------


def checksum(block: bytes) -> int:
    """The CRC-16 of EN 13757."""
    found = 0
    for byte in block:
        found ^= byte << 8
        for _ in range(8):
            found = (found << 1 ^ _POLYNOMIAL if found & 0x8000 else found << 1) & 0xFFFF
    return found ^ 0xFFFF


def _sound(block: bytes) -> bool:
    return len(block) > 2 and checksum(block[:-2]) == int.from_bytes(block[-2:], "big")


def _without_checks(heard: bytes) -> bytes:
    """The telegram without the checksums that radio format A (every block) or B (the end) puts in; else as it is."""
    if _sound(heard[: _FIRST_BLOCK + 2]):
        blocks = [heard[: _FIRST_BLOCK + 2]]
        rest = heard[_FIRST_BLOCK + 2 :]
        blocks += [rest[at : at + _BLOCK + 2] for at in range(0, len(rest), _BLOCK + 2)]
        if not all(map(_sound, blocks)):
            raise BadFrame("a block of the telegram has a wrong checksum")
        return b"".join(block[:-2] for block in blocks)
    if heard and heard[0] == len(heard) - 1 and _sound(heard):
        return bytes([heard[0] - 2]) + heard[1:-2]
    return heard
