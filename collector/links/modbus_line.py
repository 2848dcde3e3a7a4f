"""Modbus RTU and ASCII: a line without transaction numbers, so one question at a time, on a serial port or over TCP."""

from __future__ import annotations

from functools import partial

from collector.links.exchange import Exchange
from collector.links.frames import Framing, answer_size, content, question
from collector.links.wires import Wire


class ModbusLine:
    """A ModbusLink on ``wire``. ``timeout`` is the meter's time to begin, ``pause`` the quiet after each answer (s)."""

    def __init__(self, wire: Wire, framing: Framing, *, timeout: float = 1.0, pause: float = 0.0) -> None:
        self.address = wire.address
        self._framing = framing
        self._exchange: Exchange[bytes] = Exchange(wire, timeout=timeout, pause=pause)

    async def read(self, unit: int, function: int, address: int, count: int) -> bytes:
        """See ModbusLink.read."""
        framing, size = self._framing, answer_size(function, count)
        answer = await self._exchange.ask(
            framing.question(unit, question(function, address, count)),
            lambda heard: framing.find(heard, unit, function, size),
            framing.characters(size),
            partial(framing.puzzle, unit=unit),
        )
        return content(answer, function, count)

    async def close(self) -> None:
        """Let go of the wire."""
        self._exchange.close()
