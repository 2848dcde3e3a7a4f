"""Tells the collector's health: a point a minute to the store, and ``GET /metrics`` to whoever scrapes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, Protocol, Self

from building.clock import Clock
from building.site import Site
from collector.health import CollectorHealth
from collector.metrics import HealthPoints, QueueStatus, prometheus_text
from collector.storing.packing import StoredPoint

log = logging.getLogger(__name__)

_EVERY: Final = 60_000  # ms of the clock
_LONGEST_QUESTION: Final = 8192  # bytes
_PATIENCE: Final = 10.0  # real seconds a scraper has for its question
_MOST_GUESTS: Final = 16

_ANSWER: Final = (
    "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
    "Content-Length: {length}\r\nConnection: close\r\n\r\n"
)


class Storage(Protocol):
    """What is needed of Storing."""

    def status(self) -> QueueStatus: ...

    def write_points(self, points: Sequence[StoredPoint]) -> Awaitable[None]: ...


class Telling:
    """An async context manager. ``address`` is where /metrics is answered, empty when the site does not want it."""

    def __init__(self, site: Site, clock: Clock, health: Callable[[], CollectorHealth], storage: Storage) -> None:
        self.address = ""
        self._site = site
        self._clock = clock
        self._health = health
        self._storage = storage
        self._points = HealthPoints()
        self._guests = 0
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._writing = asyncio.create_task(self._write(), name="health to the store")
        if self._site.metrics is not None:
            host, _, port = self._site.metrics.listen.rpartition(":")
            try:
                self._server = await asyncio.start_server(self._serve, host.strip("[]"), int(port))
            except OSError as error:
                # Collecting matters more than being watched.
                log.warning(
                    "metrics: %s cannot be listened on (%s); choose another port", self._site.metrics.listen, error
                )
            else:
                name = self._server.sockets[0].getsockname()
                self.address = f"http://{host}:{name[1]}/metrics"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writing.cancel()
        with suppress(asyncio.CancelledError):
            await self._writing
        if self._server is not None:
            self._server.close()

    # -- to the store -------------------------------------------------------------------------------------------------

    async def _write(self) -> None:
        in_flight = {link.id: link.in_flight for link in self._site.links}
        moment = self._clock.steady()
        while True:
            moment += _EVERY
            await self._clock.sleep_steady(moment)
            moment = max(moment, self._clock.steady() - _EVERY)  # after a pause: on, without catching up
            steady = int(self._clock.steady() / self._clock.speed)
            points = self._points.points(
                self._health(), self._storage.status(), self._clock.now(), steady=steady, in_flight=in_flight
            )
            await self._storage.write_points(points)

    # -- to Prometheus ------------------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._guests += 1
        try:
            async with asyncio.timeout(_PATIENCE):
                status, text = await self._answer(reader)
                body = text.encode()
                writer.write(_ANSWER.format(status=status, length=len(body)).encode() + body)
                await writer.drain()
        except (TimeoutError, ConnectionError):
            pass  # whoever asked has gone, or never asked
        finally:
            self._guests -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> tuple[str, str]:
        if self._guests > _MOST_GUESTS:
            return "503 Service Unavailable", "too many at once\n"
        try:
            question = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return "400 Bad Request", "that is no HTTP request\n"
        method, _, rest = question.decode("latin-1").partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        if len(question) > _LONGEST_QUESTION or method not in ("GET", "HEAD"):
            return "400 Bad Request", "only GET /metrics is answered\n"
        if path != "/metrics":
            return "404 Not Found", "only /metrics is here\n"
        return "200 OK", prometheus_text(
            self._site.site.name, self._health(), self._storage.status(), self._clock.now()
        )
