"""SunSpec: meters that list their own models. Finds the list, walks it, reads registers counted from a model's head.

The list begins with the words "SunS" at one of three places; each model is id, length, then so many registers; id
0xFFFF ends it. A page for such a meter names the first model of a family (201 for 201 to 204, which share one layout).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from building.errors import BadFrame, MeterRefused
from collector.links.modbus import READ_HOLDING, ModbusLink
from collector.profiles import READ_MODEL

FAMILIES: Final = {201: (201, 202, 203, 204), 211: (211, 212, 213, 214)}
"""Model that pages name -> models of the same layout: meters with scale factors, meters with floats."""

_BASES: Final = (40_000, 50_000, 0)
_MARK: Final = b"SunS"
_END: Final = 0xFFFF
_MOST_MODELS: Final = 100
_NO_SUCH_REGISTER: Final = 2


class Model(NamedTuple):
    """One entry of the list; ``head`` is the wire address of its id."""

    ident: int
    head: int
    length: int


async def find_models(link: ModbusLink, unit: int) -> list[Model]:
    """The models of a device; empty when it is none of SunSpec. Raises as ``link`` does for silence."""
    for base in _BASES:
        try:
            if await link.read(unit, READ_HOLDING, base, 2) == _MARK:
                return await _walk(link, unit, base + 2)
        except MeterRefused:
            continue  # no such registers here; the list may stand at another place
    return []


async def _walk(link: ModbusLink, unit: int, at: int) -> list[Model]:
    found: list[Model] = []
    while at < 65_534:
        head = await link.read(unit, READ_HOLDING, at, 2)
        ident, length = int.from_bytes(head[:2], "big"), int.from_bytes(head[2:], "big")
        if ident == _END or len(found) >= _MOST_MODELS:
            return found
        found.append(Model(ident, at, length))
        at += 2 + length
    raise BadFrame("its list of SunSpec models has no end")


class SunSpecLink:
    """A ModbusLink that also takes READ_MODEL: there ``address`` is model x 256 + register from the model's head.

    Where the models stand is found out once per unit, and anew after a read of them was refused.
    """

    def __init__(self, link: ModbusLink) -> None:
        self._link = link
        self._models: dict[int, list[Model]] = {}

    async def read(self, unit: int, function: int, address: int, count: int) -> bytes:
        """See ModbusLink.read."""
        if function != READ_MODEL:
            return await self._link.read(unit, function, address, count)
        family, offset = address >> 8, address & 0xFF
        try:
            head = await self._head(unit, family)
            return await self._link.read(unit, READ_HOLDING, head + offset, count)
        except MeterRefused:
            self._models.pop(unit, None)
            raise

    async def close(self) -> None:
        """See ModbusLink.close."""
        self._models.clear()
        await self._link.close()

    async def _head(self, unit: int, family: int) -> int:
        if unit not in self._models:
            self._models[unit] = await find_models(self._link, unit)
        for model in self._models[unit]:
            if model.ident in FAMILIES.get(family, (family,)):
                return model.head
        raise MeterRefused(_NO_SUCH_REGISTER, f"lists no SunSpec model {family} or one of its kind")
