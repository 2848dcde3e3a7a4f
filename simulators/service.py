"""The simulated building on real sockets and serial lines: a port or pty for each link, and a broker with a login.

async with Simulation(site, clock, seed=1, faults=faults) as served:
    served.endpoints["gateway-2"]   # "tcp://127.0.0.1:40123"
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

from building.clock import Clock
from building.errors import ConfigError
from building.site import Device, Link, Site
from simulators import cjt188, dlt645
from simulators.answering import Responder
from simulators.broker import LocalBroker
from simulators.building import OfficeBuilding
from simulators.cjt188 import COLD, GAS, Cjt188Meter
from simulators.days import Day
from simulators.dlt645 import Dlt645Meter
from simulators.families import players_of
from simulators.faults import Fault, Kind
from simulators.framing import Ascii, Framing, Rtu, Tcp
from simulators.lines import Port, Reply, SerialLine, Talk
from simulators.modbus import ModbusTalk
from simulators.numbered import NumberedTalk
from simulators.payloads import Player, local
from simulators.publishing import Login, Publisher
from simulators.recognising import counts_pulses
from simulators.registers.units import images_of, units_of
from simulators.truth import Truth

log = logging.getLogger(__name__)

_LONGEST_REST: Final = 60_000  # ms of building time between two looks at the clock
_FRAMINGS: Final[Mapping[str, Callable[[], Framing]]] = {
    "tcp": Tcp, "rtu+tcp": Rtu, "ascii+tcp": Ascii, "rtu": Rtu, "ascii": Ascii,
}  # fmt: skip


class Simulation:
    """Serves every device of ``site`` that has a link, while it is entered.

    ``broker`` names a broker that is already there (``mqtt://user:password@127.0.0.1:1883``); without it one is
    started. ``first_port``: links listen there and on the next ports, where these are free. ``told`` hears of each day
    of the building once it is over, and of the last one at the end. Raises ConfigError for devices and faults that
    cannot be played, LinkDown when the broker cannot be reached.
    """

    def __init__(
        self,
        site: Site,
        clock: Clock,
        *,
        seed: int = 1,
        faults: Iterable[Fault] = (),
        broker: str | None = None,
        first_port: int = 0,
        told: Callable[[Day], None] | None = None,
    ) -> None:
        self.site = site
        self.building = OfficeBuilding(site, seed, faults, start=clock.now())
        self.endpoints: dict[str, str] = {}
        self._login = _login(site, broker)
        self.credentials: dict[str, Login] = {link.id: self._login for link in site.links if link.protocol == "mqtt"}
        self._clock = clock
        self._given_broker = broker
        self._next_port = first_port
        self._told = told
        self._day = self.building.day
        self._answers: Counter[str] = Counter()
        self._players: list[Player] = []
        self._agenda: list[tuple[int, int]] = []  # when a player speaks, and its number
        self._publisher: Publisher | None = None
        self._local_broker: LocalBroker | None = None
        self._power: list[tuple[str, Port]] = []
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
        if self._told is not None:
            self._told(self.building.day)

    async def _open(self) -> None:
        for link in self.site.links:
            match link.protocol:
                case "modbus":
                    await self._open_modbus(link)
                case "mqtt":
                    self._players += players_of(self.building, link)
                case "dlt645" | "cjt188":
                    await self._open_metering(link)
        brokers = [link.id for link in self.site.links if link.protocol == "mqtt"]
        if brokers:
            address = await self._open_broker()
            self.endpoints.update(dict.fromkeys(brokers, address))
        self._agenda = [(self.building.now, number) for number in range(len(self._players))]
        self._publish_due()
        task = asyncio.create_task(self._run(), name="simulated building")
        task.add_done_callback(_tell)
        self._stack.push_async_callback(_end, task)

    # -- lines --------------------------------------------------------------------------------------------------------

    async def _open_modbus(self, link: Link) -> None:
        units = units_of(self.building, link)

        def fault_of(unit: int, kind: Kind) -> Fault | None:
            return next((f for d in units.get(unit, ()) if (f := self.building.fault_of(d.id, kind))), None)

        def silent(unit: int) -> bool:
            return any(self.building.silent(device) is not None for device in units.get(unit, ()))

        def answered(unit: int) -> None:
            self._answers.update(device.id for device in units.get(unit, ()))

        scheme = link.endpoint.scheme
        images = images_of(self.building, link)
        responder = Responder(images, fault_of, silent, self.catch_up, answered, gateway=scheme == "tcp")
        framing = _FRAMINGS[scheme]()
        await self._open_line(link, lambda: ModbusTalk(responder, framing), 9600)

    async def _open_metering(self, link: Link) -> None:
        """DL/T 645 or CJ/T 188 meters, by their plate numbers."""
        devices = [device for device in self.site.devices if device.link == link.id]
        by_number = {(device.address or str(device.unit or number)): device for number, device in enumerate(devices, 1)}
        problems = [
            f"device '{device.id}': a {device.kind} device cannot be simulated on a {link.protocol} link"
            for device in devices
            if counts_pulses(device) is (link.protocol == "dlt645")
            or device.kind in ("aircon", "sensor", "heat", "fuel")
        ]
        if problems:
            raise ConfigError(*problems)

        def silent(number: str) -> bool:
            return self.building.silent(by_number[number]) is not None

        def spoil(number: str, frame: bytes) -> Reply:
            return self._spoilt(by_number[number], frame)

        talk: Talk
        if link.protocol == "dlt645":
            meters = [Dlt645Meter(self.building, self.building.meters[d.id], n) for n, d in by_number.items()]
            talk = NumberedTalk(meters, dlt645.split, silent, spoil, self.catch_up)
        else:
            volumes = [self._volume(number, device) for number, device in by_number.items()]
            talk = NumberedTalk(volumes, cjt188.split, silent, spoil, self.catch_up)
        await self._open_line(link, lambda: talk, 2400)

    def _volume(self, number: str, device: Device) -> Cjt188Meter:
        litres = device.litres_per_pulse or 1.0

        def volume() -> float:
            return float(self.building.pulses(device)[0]) * litres / 1000

        def settled() -> float:
            return self.building.pulses_before[device.id] * litres / 1000

        kind = GAS if device.kind == "gas" else COLD
        return Cjt188Meter(number, volume, settled, lambda: local(self.building.now, self.site.site.tz), kind)

    def _spoilt(self, device: Device, frame: bytes) -> Reply:
        fault = self.building.fault_of
        late = fault(device.id, Kind.LATE)
        if fault(device.id, Kind.WRONG_CRC):
            frame = frame[:-2] + bytes((frame[-2] ^ 0xFF,)) + frame[-1:]
        if fault(device.id, Kind.CUT_FRAME):
            frame = frame[: len(frame) // 2]
        self._answers[device.id] += 1
        return Reply(frame, late.size if late is not None else 0.0)

    async def _open_line(self, link: Link, talk: Callable[[], Talk], usual_baud: int) -> None:
        endpoint = link.endpoint
        if endpoint.scheme in ("rtu", "ascii", "serial"):
            baud = int(endpoint.options.get("baudrate", usual_baud))
            line = await self._stack.enter_async_context(SerialLine(talk(), baud, self._clock.speed))
            self.endpoints[link.id] = f"{endpoint.scheme}://{line.path}?baudrate={baud}"
            return
        port = await self._stack.enter_async_context(Port(talk, self._next_port))
        self._next_port = port.port + 1 if self._next_port else 0
        self._power.append((link.id, port))
        self.endpoints[link.id] = f"{endpoint.scheme}://127.0.0.1:{port.port}"

    # -- broker -------------------------------------------------------------------------------------------------------

    async def _open_broker(self) -> str:
        """Connect the devices to the broker; returns its address for the collector."""
        if self._given_broker is None:
            own = Login("devices", secrets.token_urlsafe(16))
            names = {link.username for link in self.site.links if link.protocol == "mqtt" and link.username}
            users = dict.fromkeys(names | {self._login.username}, self._login.password)
            self._local_broker = LocalBroker(users | {own.username: own.password}, self._next_port)
            await asyncio.to_thread(self._local_broker.__enter__)
            self._stack.push_async_callback(self._close_broker)
            host, port = "127.0.0.1", self._local_broker.port
        else:
            own = self._login
            parts = urlsplit(self._given_broker)
            host, port = parts.hostname or "127.0.0.1", parts.port or 1883
        self._publisher = await asyncio.to_thread(Publisher, host, port, own, self._clock)
        self._stack.push_async_callback(asyncio.to_thread, self._publisher.close)
        return f"mqtt://{host}:{port}"

    async def _close_broker(self) -> None:
        if self._local_broker is not None:
            await asyncio.to_thread(self._local_broker.__exit__, None, None, None)

    # -- time ---------------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            ahead = self._agenda[0][0] if self._agenda else self.building.now + _LONGEST_REST
            edge = next((edge for edge in self._switching if edge > self.building.now), ahead)
            await self._clock.sleep_until(min(ahead, edge, self._clock.now() + _LONGEST_REST))
            self.catch_up()
            await self._switch()

    def catch_up(self) -> None:
        """Bring the building to the clock's present; what its devices publish on the way goes out."""
        now = self._clock.now()
        while self._agenda and self._agenda[0][0] <= now:
            self._advance(max(self._agenda[0][0], self.building.now))
            self._publish_due()
            if self._publisher is not None:
                self._publisher.follow()
        self._advance(now)

    def _advance(self, moment: int) -> None:
        self.building.advance(moment)
        if self.building.day is not self._day:
            if self._told is not None:
                self._told(self._day)
            self._day = self.building.day

    def _publish_due(self) -> None:
        """Let every player speak whose moment has come."""
        now = self.building.now
        while self._agenda and self._agenda[0][0] <= now:
            _, number = self._agenda[0]
            player = self._players[number]
            for message in player.speak(now):
                if self._publisher is not None:
                    self._publisher.publish(message.topic, message.payload, retain=message.retain)
            heapq.heapreplace(self._agenda, (max(player.next_after(now), now + 1), number))

    @property
    def _switching(self) -> list[int]:
        kinds = (Kind.GATEWAY_POWER_CUT, Kind.BROKER_RESTART)
        return sorted(edge for f in self.building.faults if f.kind in kinds for edge in (f.start, f.end))

    async def _switch(self) -> None:
        """Gateways and the broker lose and get back their power."""
        now = self.building.now
        for link, port in self._power:
            cut = self.building.book.now(link, Kind.GATEWAY_POWER_CUT, now)
            if cut is not None and port.listens:
                await port.cut()
            elif cut is None and not port.listens:
                await port.restore()
        broker = self._local_broker
        if broker is not None:
            down = any(self.building.book.now(link.id, Kind.BROKER_RESTART, now) for link in self.site.links)
            if down is broker.serves:
                release = self._clock.hold()  # a broker takes real time to come up, the building's is not for that
                try:
                    await asyncio.to_thread(broker.stop if down else broker.start)
                finally:
                    release()


def _login(site: Site, broker: str | None) -> Login:
    if broker is not None:
        parts = urlsplit(broker)
        return Login(parts.username or "", parts.password or "")
    names = [link.username for link in site.links if link.protocol == "mqtt" and link.username]
    return Login(names[0] if names else "collector", secrets.token_urlsafe(16))


def _tell(task: asyncio.Task[None]) -> None:
    """A building that stops is told at once, not only when the simulation is left."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("the simulated building stopped", exc_info=error)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error
