"""A Modbus conversation on a socket or a serial line."""

from __future__ import annotations

from collections.abc import Iterator

from simulators.answering import Responder
from simulators.framing import Framing, NotModbus
from simulators.lines import Hangup, Reply


class ModbusTalk:
    """Answers requests in one framing. What comes late does so by real seconds, as time-outs are of real seconds."""

    def __init__(self, responder: Responder, framing: Framing) -> None:
        self._responder = responder
        self._framing = framing

    def heard(self, buffer: bytearray) -> Iterator[Reply]:
        """An answer for every whole request. Raises Hangup on what is no Modbus."""
        while True:
            try:
                request = self._framing.take(buffer)
            except NotModbus:
                raise Hangup from None
            if request is None:
                return
            answer = self._responder.answer(request.unit, request.pdu)
            if answer is not None:
                yield Reply(self._framing.put(request, answer), answer.late)
