"""The simulated building on real sockets: other people's clients read it, and its faults show on the wire."""

from __future__ import annotations

import asyncio
import json
import struct
import subprocess
import threading
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from building.clock import FastClock, ManualClock
from building.errors import LinkDown
from building.waiting import hang_up
from simulators.broker import LocalBroker
from simulators.faults import Fault, Kind
from simulators.service import Login, Simulation
from tests.parts import Mosquitto, eventually, need, until
from tests.simulators_parts import HOUR, MINUTE, at, sample_site

MORNING = at("2026-07-01 09:00")


def fault(kind: Kind, place: str, **more: float | int | None) -> Fault:
    """A fault that lasts all day."""
    amount, register = more.get("amount"), more.get("register")
    return Fault(kind, place, MORNING, MORNING + 12 * HOUR, amount, None if register is None else int(register))


def port_of(url: str) -> int:
    return urlsplit(url).port or 0


class Asker:
    """Raw Modbus TCP: one connection, frames written by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, unit: int, function: int, address: int, count: int) -> bytes:
        """The PDU of the answer."""
        self.writer.write(struct.pack(">HHHBBHH", 77, 0, 6, unit, function, address, count))
        head = await asyncio.wait_for(self.reader.readexactly(7), 30)
        transaction, protocol, length, answered = struct.unpack(">HHHB", head)
        assert (transaction, protocol, answered) == (77, 0, unit)
        return await self.reader.readexactly(length - 1)


@asynccontextmanager
async def asking(served: Simulation, link: str) -> AsyncIterator[Asker]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(served.endpoints[link]))
    try:
        yield Asker(reader, writer)
    finally:
        writer.close()


@contextmanager
def listening(port: int, login: Sequence[str], topic: str = "#"):
    """(topic, payload, retained) of everything that comes."""
    heard: list[tuple[str, bytes, bool]] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"listener-{uuid.uuid4()}")
    client.username_pw_set(*login)
    client.on_message = lambda _client, _data, message: heard.append((message.topic, message.payload, message.retain))
    answered = threading.Event()
    client.on_connect = lambda client, _data, _flags, reason, _properties: (
        answered.set() if reason.is_failure else client.subscribe(topic, 1)
    )
    client.on_subscribe = lambda *_rest: answered.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    assert answered.wait(30)
    try:
        yield heard
    finally:
        hang_up(client)


def mbpoll(port: int, *arguments: str) -> dict[int, str]:
    """What mbpoll prints: register -> value."""
    command = [need("mbpoll"), "-m", "tcp", "-p", str(port), "-1", "-q", "-0", *arguments, "127.0.0.1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    lines = (line for line in done.stdout.splitlines() if line.startswith("["))
    return {int(line[1 : line.index("]")]): line.split(":", 1)[1].strip() for line in lines}


async def test_mbpoll_reads_the_meters_as_the_makers_map_says():
    need("mbpoll")
    clock = ManualClock(MORNING)
    async with Simulation(sample_site(), clock, seed=1) as served:
        port, building = port_of(served.endpoints["gateway-2"]), served.building
        floats = ("-t", "3:float", "-B", "-c", "1")
        main = building.meters["main"]
        told = await asyncio.to_thread(mbpoll, port, "-a", "1", "-r", str(0x34), *floats)
        assert float(told[0x34]) == pytest.approx(main.power, rel=1e-4)
        told = await asyncio.to_thread(mbpoll, port, "-a", "1", "-r", str(0x48), *floats)
        assert float(told[0x48]) == pytest.approx(main.energy, rel=1e-4)
        told = await asyncio.to_thread(mbpoll, port, "-a", "11", "-r", "0", *floats)
        assert 220 < float(told[0]) < 240
        told = await asyncio.to_thread(mbpoll, port, "-a", "31", "-r", "0", "-t", "4", "-c", "6")
        assert [told[0], told[1], told[4]] == ["1", "4", "260"]
        assert int(told[5].split()[0]) == round(building.temperature(building.site.device["ac-201"]) * 10)
        told = await asyncio.to_thread(mbpoll, port, "-a", "21", "-r", "60", "-t", "3:int", "-B", "-c", "1")
        assert int(told[60].split()[0]) == building.pulses(building.site.device["water-wc-2"])[0]
        assert served.said["main"] == 2


async def test_a_gateway_refuses_as_real_ones_do():
    async with Simulation(sample_site(), ManualClock(MORNING), seed=1) as served, asking(served, "gateway-2") as asker:
        assert await asker.ask(99, 4, 0, 2) == bytes((0x84, 0x0A))  # no such unit behind the gateway
        assert await asker.ask(1, 4, 0, 81) == bytes((0x84, 3))  # Eastron answers 80 registers at most
        assert await asker.ask(1, 4, 0x0190, 2) == bytes((0x84, 2))
        assert await asker.ask(1, 6, 0, 2) == bytes((0x86, 1))
        assert await asker.ask(31, 1, 0, 2) == bytes((0x81, 1))  # Intesis knows no bits
        assert await asker.ask(31, 3, 10, 4) == bytes((0x83, 2))  # register 12 does not exist
        assert await asker.ask(21, 2, 0, 8) == bytes((2, 1, 0))
        assert len(await asker.ask(1, 4, 0, 80)) == 2 + 160


async def test_requests_in_pieces_and_in_heaps_are_all_answered():
    async with Simulation(sample_site(), ManualClock(MORNING), seed=1) as served, asking(served, "gateway-2") as asker:
        asker.writer.write(struct.pack(">HHHBB", 1, 0, 6, 1, 4))
        await asyncio.sleep(0)
        asker.writer.write(struct.pack(">HH", 0, 2) + struct.pack(">HHHBBHH", 2, 0, 6, 11, 4, 0, 2) * 3)
        answers = await asyncio.wait_for(asker.reader.readexactly(4 * 13), 30)
        assert [answers[place : place + 2] for place in range(0, 52, 13)] == [b"\0\1", b"\0\2", b"\0\2", b"\0\2"]
        asker.writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await asyncio.wait_for(asker.reader.read(), 30) == b""  # not Modbus: it hangs up


async def test_faults_of_devices_show_on_the_wire_and_cost_the_others_nothing():
    faults = [
        fault(Kind.SILENCE, "light-201"),
        fault(Kind.EXCEPTION, "light-202", amount=4, register=0x48),
        fault(Kind.CUT_FRAME, "light-203"),
        fault(Kind.FROZEN, "main"),
    ]
    clock = ManualClock(MORNING)
    async with Simulation(sample_site(), clock, seed=1, faults=faults) as served, asking(served, "gateway-2") as asker:
        assert await asker.ask(12, 4, 0x48, 2) == bytes((0x84, 4))
        assert len(await asker.ask(12, 4, 0x0C, 2)) == 6
        frozen = await asker.ask(1, 4, 0x34, 2)
        moving = await asker.ask(41, 4, 0, 2)
        await clock.advance(30 * MINUTE)
        assert await asker.ask(1, 4, 0x34, 2) == frozen
        assert await asker.ask(41, 4, 0, 2) != moving
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asker.ask(11, 4, 0, 2), 0.2)
        assert await asker.ask(14, 4, 0, 2)
        with pytest.raises(TimeoutError):  # half of the answer comes, the rest never
            await asyncio.wait_for(asker.ask(13, 4, 0, 2), 0.2)
        assert "light-201" not in served.said
        assert "light-203" not in served.said


async def test_the_registers_show_the_moment_of_the_request():
    lamp = Fault(Kind.LAMP_LEFT_ON, "301", at("2026-07-01 18:10"), at("2026-07-01 20:00"))
    clock = ManualClock(at("2026-07-01 18:05"))
    async with Simulation(sample_site(), clock, faults=[lamp]) as served, asking(served, "gateway-3") as asker:

        async def watts() -> float:
            return float(struct.unpack(">f", (await asker.ask(11, 4, 0x0C, 2))[2:])[0])

        await clock.advance(5 * MINUTE - 1)
        assert await watts() == 0
        await clock.advance(1)
        assert await watts() == pytest.approx(320, rel=0.02)
        await clock.advance(110 * MINUTE)
        assert await watts() == 0
        assert [told.raised for told in served.truth.due(clock.now())] == [at("2026-07-01 18:25")]


async def test_mosquitto_carries_the_messages_as_the_makers_write_them(mosquitto: Mosquitto):
    clock = ManualClock(MORNING)
    login = (mosquitto.username, mosquitto.password)
    address = f"mqtt://{login[0]}:{login[1]}@127.0.0.1:{mosquitto.port}"
    with listening(mosquitto.port, login) as heard:
        async with Simulation(sample_site(), clock, seed=1, broker=address) as served:
            assert served.credentials == {"broker": Login(*login)}
            assert served.endpoints["broker"] == mosquitto.url
            await clock.advance(10 * MINUTE)
            wanted = sum(served.said[ident] for ident in ("pc-301", "copier-202", "presence-301"))

            def reports() -> list[bytes]:
                places = ("tele/pc-301/SENSOR", "tele/copier-202/SENSOR", "zigbee2mqtt/presence-301")
                return [payload for topic, payload, _ in heard if topic in places]

            await eventually(lambda: len(reports()) >= wanted, "all reports")
            assert len(reports()) == wanted
            pc = served.building.meters["pc-301"]
            last = json.loads([payload for topic, payload, _ in heard if topic == "tele/pc-301/SENSOR"][-1])
            energy = last["ENERGY"]
            assert last["Time"].startswith("2026-07-01T09:")
            assert abs(energy["Total"] - pc.energy) < 0.004
            assert 60 <= energy["Power"] <= 115
            assert set(energy) == {
                "TotalStartTime", "Total", "Yesterday", "Today", "Period", "Power", "ApparentPower", "ReactivePower",
                "Factor", "Voltage", "Current",
            }  # fmt: skip
            state = json.loads(next(payload for topic, payload, _ in heard if topic == "tele/pc-301/STATE"))
            assert state["POWER"] == "ON"
            presence = json.loads(next(payload for topic, payload, _ in heard if topic == "zigbee2mqtt/presence-301"))
            assert presence["occupancy"] is True
            assert {"battery", "illuminance", "linkquality", "occupancy", "temperature", "voltage"} == set(presence)
    with listening(mosquitto.port, login) as later:
        until(lambda: len(later) >= 9, "the retained states")
        assert {topic for topic, _, retained in later if retained} >= {
            "tele/pc-301/LWT", "zigbee2mqtt/presence-301/availability",
        }  # fmt: skip


async def test_silent_and_raving_devices_do_so_on_the_broker(mosquitto: Mosquitto):
    clock = ManualClock(MORNING)
    login = (mosquitto.username, mosquitto.password)
    address = f"mqtt://{login[0]}:{login[1]}@127.0.0.1:{mosquitto.port}"
    faults = [
        Fault(Kind.SILENCE, "pc-301", MORNING + 2 * MINUTE, MORNING + 10 * MINUTE),
        Fault(Kind.GARBAGE, "pc-302", MORNING + 2 * MINUTE, MORNING + 10 * MINUTE),
    ]
    with listening(mosquitto.port, login) as heard:
        async with Simulation(sample_site(), clock, seed=1, broker=address, faults=faults) as served:
            await clock.advance(20 * MINUTE)
            wanted = served.said["pc-301"]

            def of(topic: str) -> list[bytes]:
                return [payload for name, payload, _ in heard if name == topic]

            await eventually(lambda: len(of("tele/pc-301/LWT")) >= 3, "the plug's return")
            assert of("tele/pc-301/LWT") == [b"Online", b"Offline", b"Online"]
            await eventually(lambda: len(of("tele/pc-301/SENSOR")) == wanted, "the plug's reports")
            assert wanted <= 14
            broken = [payload for payload in of("tele/pc-302/SENSOR") if b"TotalStartTime" not in payload]
            assert len(broken) >= 7


async def test_the_built_in_broker_wants_the_login_and_keeps_what_is_retained():
    clock = FastClock(MORNING, 480)
    async with Simulation(sample_site(), clock, seed=1) as served:
        port = port_of(served.endpoints["broker"])
        with listening(port, served.credentials["broker"]) as heard, listening(port, ("collector", "wrong")) as nothing:
            await eventually(lambda: served.said["pc-301"] >= 10, "ten reports")
            await eventually(lambda: any(topic == "tele/pc-301/SENSOR" for topic, _, _ in heard), "a report")
            await eventually(lambda: any(topic == "tele/pc-301/LWT" for topic, _, _ in heard), "the retained state")
            assert nothing == []


async def test_a_broker_that_is_not_there_is_told_in_one_sentence():
    with LocalBroker({"a": "b"}) as gone:
        port = gone.port
        with pytest.raises(LinkDown, match="refused the simulator"):
            await Simulation(sample_site(), ManualClock(MORNING), broker=f"mqtt://x:y@127.0.0.1:{port}").__aenter__()
    with pytest.raises(LinkDown, match="cannot be reached"):
        await Simulation(sample_site(), ManualClock(MORNING), broker=f"mqtt://a:b@127.0.0.1:{port}").__aenter__()
