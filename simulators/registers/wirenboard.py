"""Wiren Board WB-MCM8: eight pulse inputs. Counters are u32, high word first, in input registers 60 + 2 n."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

from building.site import Device
from simulators.building import OfficeBuilding
from simulators.registers import ILLEGAL_ADDRESS, ILLEGAL_FUNCTION, Refused, bits, words

_FIRST: Final = 60
_INPUTS: Final = 8


class CounterImage:
    """One module; ``meters`` are the water meters on its inputs, input -> device."""

    def __init__(self, building: OfficeBuilding, meters: Mapping[int, Device]) -> None:
        self._building = building
        self._meters = meters

    def read(self, function: int, address: int, count: int) -> bytes:
        """Counters by function 4, the inputs' states by 2, the debounce times (ms) by 3."""
        match function:
            case 2:
                return bits([False] * _INPUTS, address, count)
            case 3:
                if address < 20:
                    raise Refused(ILLEGAL_ADDRESS)
                return words(struct.pack(">8H", *[50] * _INPUTS), address - 20, count)
            case 4:
                if address < _FIRST:
                    raise Refused(ILLEGAL_ADDRESS)
                counts = [self._building.pulses(self._meters[n]) if n in self._meters else 0 for n in range(_INPUTS)]
                return words(struct.pack(">8I", *counts), address - _FIRST, count)
            case _:
                raise Refused(ILLEGAL_FUNCTION)
