"""A TCP proxy that hurts on purpose: cut, delay, trickle, reset, swallow."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Literal

Fault = Literal["none", "cut", "delay", "trickle", "reset", "swallow"]


class Proxy:
    """Passes bytes between its own port and ``target``; ``fault`` says what becomes of the answers.

    cut: half of an answer, then the end · delay: each answer late by ``seconds`` · trickle: byte by byte ·
    reset: the connection is torn down at an answer · swallow: nothing comes back
    """

    def __init__(self, target: int) -> None:
        self.fault: Fault = "none"
        self.seconds = 0.3
        self.connections = 0
        self._target = target
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def hang_up(self) -> None:
        """End every connection that is open now."""
        for task in self._tasks:
            task.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        both = (
            asyncio.create_task(self._pass_on(reader, far_writer)),
            asyncio.create_task(self._answer(far_reader, writer)),
        )
        self._tasks.update(both)
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                task.cancel()
                self._tasks.discard(task)
            writer.close()
            far_writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            match self.fault:
                case "swallow":
                    continue
                case "delay":
                    await asyncio.sleep(self.seconds)
                case "cut":
                    writer.write(data[: len(data) // 2])
                    await writer.drain()
                    return
                case "reset":
                    opened: socket.socket = writer.get_extra_info("socket")
                    opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                case "trickle":
                    for byte in data:
                        writer.write(bytes([byte]))
                        await writer.drain()
                        await asyncio.sleep(0)
                    continue
                case "none":
                    pass
            writer.write(data)
            await writer.drain()
