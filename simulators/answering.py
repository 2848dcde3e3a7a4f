"""What a Modbus unit answers to one request, and what the faults of its line make of it. No socket here."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from simulators.faults import Fault, Kind
from simulators.registers import ILLEGAL_FUNCTION, ILLEGAL_VALUE, Image, Refused

_REQUEST: Final = struct.Struct(">BHH")
_NO_PATH: Final = 0x0A  # the gateway knows no such unit
_READS: Final = (1, 2, 3, 4)


class Answer(NamedTuple):
    """One answer on its way: PDU of ``unit``, ``late`` seconds after its time; ``cut`` half way, or ``spoilt`` so that
    its check does not fit."""

    unit: int
    pdu: bytes
    late: float = 0.0
    cut: bool = False
    spoilt: bool = False


class Responder:
    """The units behind one link. ``fault_of(unit, kind)`` tells what is wrong with a unit now, ``silent(unit)`` whether
    it says nothing; ``refresh`` is called before each answer so that the images show the present; ``answered(unit)``
    after each sound answer. A gateway says of units that it does not know that there is no path; on a bus they are
    simply not there."""

    def __init__(
        self,
        images: Mapping[int, Image],
        fault_of: Callable[[int, Kind], Fault | None],
        silent: Callable[[int], bool],
        refresh: Callable[[], None],
        answered: Callable[[int], None],
        *,
        gateway: bool,
    ) -> None:
        self._images = images
        self._fault_of = fault_of
        self._silent = silent
        self._refresh = refresh
        self._answered = answered
        self._gateway = gateway
        self._frozen: dict[tuple[Fault, int, int, int], bytes] = {}

    def answer(self, unit: int, pdu: bytes) -> Answer | None:
        """The answer to ``pdu``; None for silence."""
        self._refresh()
        if self._silent(unit) or (unit not in self._images and not self._gateway):
            return None
        said = self._say(unit, pdu)
        late = self._fault_of(unit, Kind.LATE)
        wrong_unit = self._fault_of(unit, Kind.WRONG_UNIT)
        cut, spoilt = self._fault_of(unit, Kind.CUT_FRAME), self._fault_of(unit, Kind.WRONG_CRC)
        if not (cut or spoilt or wrong_unit or late):
            self._answered(unit)
        told = unit % 247 + 1 if wrong_unit is not None else unit
        return Answer(told, said, late.size if late is not None else 0.0, cut is not None, spoilt is not None)

    def _say(self, unit: int, pdu: bytes) -> bytes:
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
            return bytes((function & 0x7F | 0x80, refusal.code))
        return bytes((function, len(data))) + data

    def _refuse_on_purpose(self, unit: int, address: int, count: int) -> None:
        fault = self._fault_of(unit, Kind.EXCEPTION)
        if fault is not None and (fault.register is None or address <= fault.register < address + count):
            raise Refused(int(fault.size))

    def _data(self, image: Image, unit: int, function: int, address: int, count: int) -> bytes:
        frozen = self._fault_of(unit, Kind.FROZEN)
        key = (frozen, function, address, count) if frozen is not None else None
        if key is not None and key in self._frozen:
            return self._frozen[key]
        data = image.read(function, address, count)
        if key is not None:
            if len(self._frozen) > 10_000:
                self._frozen.clear()
            self._frozen[key] = data
        if function in (3, 4):
            if self._fault_of(unit, Kind.NO_VALUE) is not None:
                return b"\xff" * len(data)
            if self._fault_of(unit, Kind.SWAPPED_WORDS) is not None:
                return swapped(data)
        return data


def swapped(data: bytes) -> bytes:
    """The two words of each pair in the other order; an odd last one stays."""
    pairs = len(data) // 4 * 4
    turned = b"".join(data[at + 2 : at + 4] + data[at : at + 2] for at in range(0, pairs, 4))
    return turned + data[pairs:]
