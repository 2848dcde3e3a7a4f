"""The collector of one site: opens every link, polls and listens, and publishes what it hears to the stream."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple

from building.clock import Clock
from building.document import Document, Where
from building.endpoints import Endpoint, parse_endpoint
from building.errors import ConfigError, LinkDown
from building.site import Device, Link, Site
from collector.finding import Finder
from collector.health import CollectorHealth, DeviceHealth, LinkHealth
from collector.links.mqtt import Access, MqttLink
from collector.listening import Finding, Kept, MqttListener, Notes
from collector.polling import LinkPoller
from collector.profiles import Profile, load_profile
from collector.stations import SPOKEN, line_for
from collector.stream import Stream
from collector.targets import Pace

log = logging.getLogger(__name__)

_CANCEL_AGAIN: Final = 0.5  # real seconds
_FASTEST_TIMEOUT: Final = 0.5  # real seconds; a fast clock waits, and a busy computer may be away for a third of it

Known = tuple[Device, Profile, DeviceHealth]
Credentials = Mapping[str, tuple[str, str]]
Work = Callable[[], Coroutine[None, None, None]]


def check_links(document: Document) -> Iterable[tuple[Where, str]]:
    """Links, and settings of links, that this collector cannot speak (a building.site.Check)."""
    for where, item in document.entries("links"):
        if item.get("in_flight", 1) != 1 and not str(item.get("modbus", "")).startswith("tcp://"):
            yield (*where, "in_flight"), "several requests at once are possible over tcp:// only; leave in_flight: out"
        if item.get("discovery") and item.get("mqtt") is None:
            yield (*where, "discovery"), "devices announce themselves to brokers only (mqtt:); leave discovery: out"
        yield from _tls_mistakes(where, item)


def _tls_mistakes(where: Where, item: Mapping[str, Any]) -> Iterable[tuple[Where, str]]:
    for key in ("ca", "certificate", "key"):
        if item.get(key) is not None and not str(item.get("mqtt", "mqtts://")).startswith("mqtts://"):
            yield (*where, key), f"{key}: is for mqtts://; write mqtt: with mqtts:// or leave {key}: out"
    for one, other in (("certificate", "key"), ("key", "certificate")):
        if item.get(one) is not None and item.get(other) is None:
            yield (*where, one), f"{one}: needs {other}: beside it; both are files"


class Collector:
    """Runs while its ``async with`` lasts. A dead meter, gateway or broker does not stop it; a wrong profile does.

    ``endpoints`` overrides the addresses of links (link id -> "tcp://127.0.0.1:40123"), ``credentials`` their names and
    passwords; ``profiles_folder`` holds the user's own profiles; ``kept(since)`` gives readings that are on disk
    already, so that a message a broker sends again is not taken twice; ``notes`` are topics of every broker that no
    device speaks on. Raises ConfigError when it is built.
    """

    def __init__(
        self,
        site: Site,
        clock: Clock,
        stream: Stream,
        *,
        endpoints: Mapping[str, str] | None = None,
        credentials: Credentials | None = None,
        profiles_folder: Path | None = None,
        kept: Kept | None = None,
        notes: Notes | None = None,
    ) -> None:
        self._site = site
        self._clock = clock
        self._stream = stream
        self._kept = kept
        self._notes = notes
        self._health = CollectorHealth()
        self._stack = AsyncExitStack()
        self._plans: list[_LinkPlan] = []
        for link in site.links:
            devices = [device for device in site.devices if device.link == link.id]
            if not devices and not link.discovery and not (notes and link.mqtt is not None):
                continue
            self._health.links[link.id] = LinkHealth()
            known = [self._known(device, load_profile(device.profile or "", profiles_folder)) for device in devices]
            endpoint = endpoint_of(link, endpoints or {})
            access = access_of(link, endpoint, credentials or {}) if link.mqtt is not None else None
            self._plans.append(_LinkPlan(link, endpoint, known, access))

    def _known(self, device: Device, profile: Profile) -> Known:
        assert device.link is not None
        health = self._health.devices[device.id] = DeviceHealth(device.link)
        return device, profile, health

    def _adopt(self, device: Device) -> DeviceHealth:
        """A device that announced itself becomes known to the house."""
        assert device.link is not None
        self._site.adopt(device)
        return self._health.devices.setdefault(device.id, DeviceHealth(device.link))

    def health(self) -> CollectorHealth:
        """The counters as they are now; they go on changing."""
        return self._health

    async def __aenter__(self) -> Collector:
        async with AsyncExitStack() as opening:
            work: list[tuple[str, Work]] = []
            for plan in self._plans:
                work += self._poll(opening, plan) if plan.access is None else await self._listen(opening, plan)
            tasks = await opening.enter_async_context(_Tasks())  # last in, first out: before the lines close
            for name, coroutine in work:
                tasks.start(name, coroutine)
            self._stack = opening.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def _poll(self, opening: AsyncExitStack, plan: _LinkPlan) -> list[tuple[str, Work]]:
        link, endpoint = plan.link, plan.endpoint
        timeout = timeout_of(link, self._clock)
        pause = link.pause / 1000 / self._clock.speed
        profiles = [profile for _, profile, _ in plan.known]
        line = line_for(link.protocol, endpoint, profiles, timeout=timeout, pause=pause, in_flight=link.in_flight)
        opening.push_async_callback(line.close)
        pace, health = Pace.of(self._clock, timeout), self._health.links[link.id]
        poller = LinkPoller(
            link.id,
            line,
            plan.known,
            self._clock,
            self._stream.publish,
            pace,
            health,
            in_flight=link.in_flight,
        )
        return [(f"poll {link.id}", poller.run)]

    async def _listen(self, opening: AsyncExitStack, plan: _LinkPlan) -> list[tuple[str, Work]]:
        link, endpoint = plan.link, plan.endpoint
        taken = frozenset(device.id for device in self._site.devices)
        listener = MqttListener(
            link.id,
            plan.known,
            self._clock,
            self._site.site.tz,
            self._health.links[link.id],
            self._kept,
            self._notes,
            Finding(Finder(link.id, taken), self._adopt) if link.discovery else None,
        )
        changes: asyncio.Queue[LinkDown | None] = asyncio.Queue()
        assert plan.access is not None
        line = MqttLink(
            endpoint.host,
            endpoint.port,
            listener.topics,
            client_id=link.client_id or client_id_of(self._site, link),
            access=plan.access,
            now=self._clock.now,
            on_state=changes.put_nowait,
            version=link.version,
            will=link.will,
        )
        await opening.enter_async_context(line)

        async def watch() -> None:
            while True:
                await listener.state_changed(await changes.get(), self._stream.publish)

        return [(f"listen {link.id}", lambda: listener.run(line, self._stream)), (f"watch {link.id}", watch)]


class _LinkPlan(NamedTuple):
    """One link to open; ``access`` is for brokers."""

    link: Link
    endpoint: Endpoint
    known: list[Known]
    access: Access | None


class _Tasks:
    """Tasks that end together; one that breaks is logged with its traceback and leaves the others running."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> _Tasks:
        return self

    async def __aexit__(self, *_: object) -> None:
        # A library may swallow a cancel that comes at the moment of an answer (wait_for of Python 3.11 does): again.
        while pending := [task for task in self._tasks if not task.done()]:
            for task in pending:
                task.cancel()
            await asyncio.wait(pending, timeout=_CANCEL_AGAIN)

    def start(self, name: str, work: Work) -> None:
        task = asyncio.create_task(work(), name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    @staticmethod
    def _ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            log.error("the task '%s' has ended by a fault of ours", task.get_name(), exc_info=task.exception())


# -- addresses and access ---------------------------------------------------------------------------------------------


def endpoint_of(link: Link, endpoints: Mapping[str, str]) -> Endpoint:
    """Where ``link`` is. Raises ConfigError for what this collector does not speak."""
    text = endpoints.get(link.id)
    try:
        endpoint = link.endpoint if text is None else parse_endpoint(link.protocol, text)
    except ValueError as error:
        raise ConfigError(f"link '{link.id}': {error}") from None
    if endpoint.scheme not in SPOKEN.get(link.protocol, ()):
        raise ConfigError(f"link '{link.id}': {link.protocol} over {endpoint.scheme}:// is not spoken by this version")
    return endpoint


def timeout_of(link: Link, clock: Clock) -> float:
    """Real seconds to wait for an answer: the link's; on a fast clock less, but long enough for a loopback."""
    return max(link.timeout / 1000 / clock.speed, min(_FASTEST_TIMEOUT, link.timeout / 1000))


def client_id_of(site: Site, link: Link) -> str:
    """A name for the broker that is the same at every start (the session hangs on it) and differs between sites."""
    digest = hashlib.sha256(f"{site.site.name}\n{link.id}".encode()).hexdigest()
    return f"greenwarden{digest[:11]}"  # 22 characters: brokers need not take more than 23


def access_of(link: Link, endpoint: Endpoint, credentials: Credentials) -> Access:
    """Name, password and TLS files of a broker. Raises SecretMissing."""
    if link.id in credentials:
        name, word = credentials[link.id]
        return Access(name, word, endpoint.scheme == "mqtts", link.ca, link.certificate, link.key)
    password = link.password.reveal() if link.password is not None else None
    return Access(link.username, password, endpoint.scheme == "mqtts", link.ca, link.certificate, link.key)
