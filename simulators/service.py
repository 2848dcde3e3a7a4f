"""The simulated building on real sockets: one Modbus TCP port for each link, and a broker with a login.

async with Simulation(site, clock, seed=1, faults=faults) as served:
    served.endpoints["gateway-2"]   # "tcp://127.0.0.1:40123"
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Final, NamedTuple, Self
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from building.clock import Clock
from building.errors import ConfigError, LinkDown
from building.site import Link, Site
from simulators.broker import LocalBroker
from simulators.building import STEP, OfficeBuilding
from simulators.faults import Fault, Kind
from simulators.modbus import Gateway
from simulators.payloads import Player, players_of
from simulators.registers.units import images_of, units_of
from simulators.truth import Truth

log = logging.getLogger(__name__)

_CONNECT_WITHIN: Final = 10.0  # seconds
_MOST_QUEUED: Final = 100_000  # messages waiting for the broker


class Login(NamedTuple):
    """How a collector logs in to the broker."""

    username: str
    password: str


class Simulation:
    """Serves every device of ``site`` that has a link, while it is entered.

    ``broker`` names a broker that is already there (``mqtt://user:password@127.0.0.1:1883``); without it one is
    started. Raises ConfigError for devices and faults that cannot be played, LinkDown when the broker cannot be
    reached.
    """

    def __init__(
        self,
        site: Site,
        clock: Clock,
        *,
        seed: int = 1,
        faults: Iterable[Fault] = (),
        broker: str | None = None,
        step: int = STEP,
    ) -> None:
        self.site = site
        self.building = OfficeBuilding(site, seed, faults, start=clock.now(), step=step)
        self.endpoints: dict[str, str] = {}
        self._login = _login(site, broker)
        self.credentials: dict[str, Login] = {link.id: self._login for link in site.links if link.protocol == "mqtt"}
        self._clock = clock
        self._given_broker = broker
        self._answers: Counter[str] = Counter()
        self._players: list[Player] = []
        self._publisher: mqtt.Client | None = None
        self._stack = AsyncExitStack()

    @property
    def truth(self) -> Truth:
        """What is really so in the building."""
        return self.building.truth

    @property
    def said(self) -> Mapping[str, int]:
        """Device -> whole Modbus answers, or MQTT reports of values, sent; one reading may take several answers."""
        return dict(self._answers) | {player.device.id: player.telemetry for player in self._players}

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _open(self) -> None:
        for link in self.site.links:
            match link.protocol:
                case "modbus":
                    await self._open_gateway(link)
                case "mqtt":
                    self._players += players_of(self.building, link)
                case other:
                    raise ConfigError(f"link '{link.id}': {other} cannot be simulated; known are modbus and mqtt")
        brokers = [link.id for link in self.site.links if link.protocol == "mqtt"]
        if brokers:
            address = await self._open_broker()
            self.endpoints.update(dict.fromkeys(brokers, address))
        self._publish_all()
        task = asyncio.create_task(self._run(), name="simulated building")
        task.add_done_callback(_tell)
        self._stack.push_async_callback(_end, task)

    async def _open_gateway(self, link: Link) -> None:
        units = units_of(self.building, link)

        def faults_of(unit: int, kind: Kind) -> Fault | None:
            return next((f for d in units.get(unit, ()) if (f := self.building.fault_of(d.id, kind))), None)

        def answered(unit: int) -> None:
            self._answers.update(device.id for device in units.get(unit, ()))

        gateway = Gateway(images_of(self.building, link), faults_of, self.catch_up, answered)
        await self._stack.enter_async_context(gateway)
        self.endpoints[link.id] = f"tcp://127.0.0.1:{gateway.port}"

    async def _open_broker(self) -> str:
        """Connect the devices to the broker; returns its address for the collector."""
        if self._given_broker is None:
            own = Login("devices", secrets.token_urlsafe(16))
            names = {link.username for link in self.site.links if link.protocol == "mqtt" and link.username}
            users = dict.fromkeys(names | {self._login.username}, self._login.password)
            local = LocalBroker(users | {own.username: own.password})
            await asyncio.to_thread(local.__enter__)
            self._stack.push_async_callback(asyncio.to_thread, local.__exit__, None, None, None)
            host, port = "127.0.0.1", local.port
        else:
            own = self._login
            parts = urlsplit(self._given_broker)
            host, port = parts.hostname or "127.0.0.1", parts.port or 1883
        self._publisher = await asyncio.to_thread(_connected, host, port, own)
        self._stack.push_async_callback(asyncio.to_thread, partial(_disconnect, self._publisher))
        return f"mqtt://{host}:{port}"

    async def _run(self) -> None:
        while True:
            await self._clock.sleep_until(self.building.now + self.building.step)
            self.catch_up()

    def catch_up(self) -> None:
        """Bring the building to the clock's present; what its devices publish on the way goes out."""
        now = self._clock.now()
        while self.building.now + self.building.step <= now:
            self.building.advance(self.building.now + self.building.step)
            self._publish_all()

    def _publish_all(self) -> None:
        if self._publisher is None:
            return
        for player in self._players:
            for message in player.speak(self.building.now):
                self._publisher.publish(message.topic, message.payload, qos=0, retain=message.retain)


def _login(site: Site, broker: str | None) -> Login:
    if broker is not None:
        parts = urlsplit(broker)
        return Login(parts.username or "", parts.password or "")
    names = [link.username for link in site.links if link.protocol == "mqtt" and link.username]
    return Login(names[0] if names else "collector", secrets.token_urlsafe(16))


def _connected(host: str, port: int, login: Login) -> mqtt.Client:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="simulated-devices")
    client.max_queued_messages_set(_MOST_QUEUED)
    if login.username:
        client.username_pw_set(login.username, login.password)
    answered = threading.Event()
    reasons: list[str] = []

    def on_connect(_client: object, _data: object, _flags: object, reason: ReasonCode, _props: object) -> None:
        if reason.is_failure:
            reasons.append(str(reason))
        answered.set()

    client.on_connect = on_connect
    try:
        client.connect(host, port)
    except OSError as error:
        raise LinkDown(f"the broker at {host}:{port} cannot be reached ({error}); start it or give none") from None
    client.loop_start()
    if not answered.wait(_CONNECT_WITHIN) or reasons:
        client.loop_stop()
        raise LinkDown(f"the broker at {host}:{port} refused the simulator: {reasons or 'no answer'}")
    return client


def _disconnect(client: mqtt.Client) -> None:
    client.disconnect()
    client.loop_stop()


def _tell(task: asyncio.Task[None]) -> None:
    """A building that stops is told at once, not only when the simulation is left."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("the simulated building stopped", exc_info=error)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error
