"""MQTT from a real mosquitto with a login to readings; payloads published by paho from the makers' own examples."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from building.clock import SystemClock
from building.errors import NoAnswer
from building.readings import Grade, Reading
from building.site import Site
from building.waiting import hang_up
from collector.asking import read_once
from collector.health import LinkHealth
from collector.service import Collector, client_id_of
from collector.stream import Stream, Subscription
from tests.parts import Mosquitto, eventually, need, need_shared
from tests.wire_parts import site as site_of

SENSOR = b'{"Time":"2026-07-01T09:00:00","ENERGY":{"Total":6.294,"Power":2635,"Voltage":227,"Current":11.661}}'


def plugs(*devices: dict[str, object], **link: object) -> Site:
    """A site with one broker; tasmota plugs unless they say otherwise."""
    common: dict[str, object] = {"kind": "plug", "profile": "tasmota_plug", "link": "broker"}
    return site_of(
        links=({"id": "broker", "mqtt": "mqtt://127.0.0.1:1883", **link},),
        devices=tuple({**common, "id": f"d{n}", **device} for n, device in enumerate(devices)),
    )


class Office:
    """A collector on a broker, a publisher beside it, and what came of it."""

    def __init__(self, broker: Mosquitto, site: Site) -> None:
        self.broker = broker
        self.site = site
        self.stream = Stream()
        self.kept = self.stream.subscribe("store", lossless=True)
        self.collector = Collector(
            site,
            SystemClock(),
            self.stream,
            endpoints={"broker": broker.url},
            credentials={"broker": (broker.username, broker.password)},
        )
        self.publisher = mqtt.Client(CallbackAPIVersion.VERSION2)
        self.publisher.username_pw_set(broker.username, broker.password)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self.publisher.publish(topic, payload, qos=1, retain=retain).wait_for_publish(30)

    async def connected(self) -> None:
        await eventually(lambda: self.collector.health().links["broker"].connections, "the broker to let us in")


@asynccontextmanager
async def office(broker: Mosquitto, site: Site) -> AsyncIterator[Office]:
    one = Office(broker, site)
    one.publisher.connect("127.0.0.1", broker.port)
    one.publisher.loop_start()
    async with one.collector:
        await one.connected()
        yield one
    hang_up(one.publisher)


async def readings(subscription: Subscription, count: int) -> list[Reading]:
    found: list[Reading] = []

    async def gather() -> None:
        async for batch in subscription:
            found.extend(batch)
            subscription.acknowledge()
            if len(found) >= count:
                return

    await asyncio.wait_for(gather(), 60)
    return found


def _vectors(name: str) -> Iterator[dict[str, object]]:
    yield from json.loads(need_shared("facts", "vectors", name).read_text("utf-8"))["vectors"]


NAMES = {
    "energy_total_kwh": "energy_import", "active_power_w": "active_power", "apparent_power_va": "apparent_power",
    "reactive_power_var": "reactive_power", "power_factor": "power_factor", "voltage_v": "voltage",
    "current_a": "current", "frequency_hz": "frequency", "illuminance_lx": "illuminance",
    "temperature_c": "temperature", "relay_on": "on", "online": "online", "energy_import_kwh": "energy_import",
    "energy_export_kwh": "energy_export", "humidity_pct": "humidity", "occupied": "occupancy",
    "battery_pct": "battery", "room_temperature_c": "temperature", "heating_setpoint_c": "setpoint", "mode": "mode",
    "voltage_v_l2": "voltage_l2", "current_a_l2": "current_l2", "active_power_w_l2": "active_power_l2",
}  # fmt: skip
"""Names of the vectors -> our quantities."""


@pytest.mark.parametrize(
    ("file", "profile"), [("tasmota_mqtt.json", "tasmota_plug"), ("zigbee2mqtt.json", "zigbee2mqtt_sensor")]
)
async def test_the_makers_payloads_arrive_through_a_real_broker_as_they_say(
    mosquitto: Mosquitto, file: str, profile: str
) -> None:
    vectors = [one for one in _vectors(file) if "valid_json" not in dict(one["expected"])]  # type: ignore[call-overload]
    names = sorted({dict(one["expected"])["device"] for one in vectors})  # type: ignore[call-overload]
    site = plugs(*({"id": name, "topic": name, "profile": profile} for name in names))
    async with office(mosquitto, site) as one:
        for vector in vectors:
            one.publish(str(vector["topic"]), str(vector["payload"]).encode())
            (reading,) = await readings(one.kept, 1)
            expected = dict(vector["expected"])  # type: ignore[call-overload]
            assert reading.device == expected["device"], vector["id"]
            for name, wanted in expected.items():
                if name not in NAMES:
                    continue
                said = reading.values.get(NAMES[name])
                assert said == (pytest.approx(wanted) if isinstance(wanted, float) else wanted), (vector["id"], name)
                if wanted is None:
                    assert reading.quality.of(NAMES[name]) is Grade.BAD


async def test_a_password_that_is_wrong_is_told_once_in_a_sentence(
    mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.links.mqtt._SHORTEST_DELAY", 0.01)
    stream = Stream()
    subscription = stream.subscribe("test")
    async with Collector(
        plugs({"topic": "t"}),
        SystemClock(),
        stream,
        endpoints={"broker": mosquitto.url},
        credentials={"broker": (mosquitto.username, "wrong")},
    ):
        (told,) = await readings(subscription, 1)
        assert told.values == {}
        assert "check username and password" in told.quality.reason
        await eventually(lambda: mosquitto.log.count("not authorised") >= 3, "the third attempt")
    assert sum("is down" in record.message for record in caplog.records) == 1


async def test_a_broker_that_is_not_there_is_found_when_it_comes(mosquitto: Mosquitto) -> None:
    mosquitto.stop()
    stream = Stream()
    subscription = stream.subscribe("test")
    collector = Collector(
        plugs({"topic": "t"}),
        SystemClock(),
        stream,
        endpoints={"broker": mosquitto.url},
        credentials={"broker": (mosquitto.username, mosquitto.password)},
    )
    async with collector:
        (told,) = await readings(subscription, 1)
        assert told.quality.grade is Grade.BAD
        mosquitto.start()
        await eventually(lambda: collector.health().links["broker"].connections, "the connection")
        assert collector.health().links["broker"].down_since is None


async def test_a_broker_that_takes_the_connection_and_then_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.links.mqtt._GREETING", 0.2)
    with closing(socket.create_server(("127.0.0.1", 0))) as mute:
        stream = Stream()
        subscription = stream.subscribe("test")
        url = f"mqtt://127.0.0.1:{mute.getsockname()[1]}"
        async with Collector(plugs({"topic": "t"}), SystemClock(), stream, endpoints={"broker": url}):
            (told,) = await readings(subscription, 1)
    assert "does not answer within" in told.quality.reason


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (b"not json", "unreadable"),
        (b"\xff\xfe\x00", "unreadable"),
        (b'{"ENERGY":{"Power":' + b" " * 1_000_000 + b"1}}", "unreadable"),
        (b"[" * 100_000, "unreadable"),
        (b"[1,2,3]", "unreadable"),
        (b'{"ENERGY":{"Power":NaN}}', "unreadable"),
        (b'{"ENERGY":{"Power":"12"}}', "flawed"),
        (b'{"ENERGY":{"Power":true}}', "flawed"),
        (b'{"ENERGY":{"Power":{"a":1}}}', "flawed"),
        (b'{"ENERGY":{"Power":[1,"x"]}}', "flawed"),
        (b'{"ENERGY":{"Power":1e400}}', "flawed"),
        (b'{"ENERGY":{"Power":99999999999}}', "flawed"),
    ],
    ids=range(12),
)
async def test_what_is_no_number_is_counted_told_once_and_never_a_value(
    mosquitto: Mosquitto, payload: bytes, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with office(mosquitto, plugs({"topic": "t"})) as one:
        for _ in range(3):
            one.publish("tele/t/SENSOR", payload)
        one.publish("tele/t/SENSOR", SENSOR)
        found: list[Reading] = []
        while not found or found[-1].values.get("active_power") != 2635:
            found += await readings(one.kept, 1)
        errors = one.collector.health().devices["d0"].errors
        # 1e400 is refused by the parser or read as infinite; either way it is no number.
        assert errors[kind] == 3 or (b"1e400" in payload and errors.total() == 3)
    assert all(reading.quality.of("active_power") is Grade.BAD for reading in found[:-1])
    assert sum("device d0" in record.message for record in caplog.records) == 1


@pytest.mark.parametrize("version", ["3.1.1", "5"])
async def test_a_message_far_too_long_is_told_and_ends_no_connection(
    mosquitto: Mosquitto, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    site = plugs({"topic": "t"}, version=version)
    async with office(mosquitto, site) as one:
        for size in (300_000, 5 << 20):
            one.publish("tele/t/SENSOR", b" " * size)
            one.publish("tele/t/SENSOR", SENSOR)
        found = await readings(one.kept, 2)
        assert [reading.values["active_power"] for reading in found] == [2635, 2635]
        assert one.collector.health().devices["d0"].errors["unreadable"] == 2
        assert one.collector.health().links["broker"].connections == 1
    assert sum("more than 262144 are not read" in record.message for record in caplog.records) == 2


async def test_a_message_is_acknowledged_only_when_the_store_has_it_safe(mosquitto: Mosquitto) -> None:
    site = plugs({"topic": "t"})
    async with office(mosquitto, site) as one:
        one.publish("tele/t/SENSOR", SENSOR)
        async for batch in one.kept:
            assert batch[0].values["active_power"] == 2635
            break  # taken out, but never said to be safe: then the program ends
    async with office(mosquitto, site) as one:
        (again,) = await readings(one.kept, 1)
        assert again.values["active_power"] == 2635
    async with office(mosquitto, site) as one:
        one.publish("tele/t/SENSOR", SENSOR.replace(b"2635", b"1"))
        (fresh,) = await readings(one.kept, 1)
        assert fresh.values["active_power"] == 1


async def test_what_was_published_while_the_collector_was_away_is_delivered(mosquitto: Mosquitto) -> None:
    site = plugs({"topic": "t"})
    async with office(mosquitto, site) as one:
        publisher = one.publisher
    publisher.connect("127.0.0.1", mosquitto.port)
    publisher.loop_start()
    for power in range(100):
        publisher.publish("tele/t/SENSOR", SENSOR.replace(b"2635", b"%d" % power), qos=1).wait_for_publish(30)
    hang_up(publisher)
    async with office(mosquitto, site) as one:
        found = await readings(one.kept, 100)
    assert [reading.values["active_power"] for reading in found] == list(range(100))


async def test_a_retained_state_is_suspect_unless_it_says_how_old_it_is(mosquitto: Mosquitto) -> None:
    site = plugs(
        {"topic": "pir", "kind": "sensor", "profile": "zigbee2mqtt_sensor"},
        {"topic": "dated"},
        {"topic": "gone"},
    )
    async with office(mosquitto, site) as one:
        pass
    publisher = mqtt.Client(CallbackAPIVersion.VERSION2)
    publisher.username_pw_set(mosquitto.username, mosquitto.password)
    publisher.connect("127.0.0.1", mosquitto.port)
    publisher.loop_start()
    for topic, payload in (
        ("zigbee2mqtt/pir", b'{"occupancy":true}'),
        ("tele/dated/SENSOR", SENSOR.replace(b"2026-07-01T09:00:00", b"2025-07-01T09:00:00")),
        ("tele/gone/LWT", b"Offline"),
    ):
        publisher.publish(topic, payload, qos=1, retain=True).wait_for_publish(30)
    hang_up(publisher)
    # A clean start: the broker has forgotten our session and sends what it kept.
    fresh = site_of(
        links=({"id": "broker", "mqtt": "mqtt://127.0.0.1:1883", "client_id": "another"},),
        devices=tuple(device.model_dump(exclude_defaults=True) for device in site.devices),
    )
    async with office(mosquitto, fresh) as one:
        found = {reading.device: reading for reading in await readings(one.kept, 3)}
    assert found["d0"].values == {"occupancy": 1}
    assert found["d0"].quality.of("occupancy") is Grade.SUSPECT
    assert found["d1"].quality.grade is Grade.GOOD
    assert found["d1"].taken_at == 1_751_331_600_000  # 2025-07-01T09:00:00+08:00
    assert found["d2"].values == {"online": 0}
    assert found["d2"].quality.grade is Grade.GOOD


async def test_a_device_can_be_waited_for_once_while_the_collector_goes_on(mosquitto: Mosquitto) -> None:
    site = plugs({"topic": "t"})
    async with office(mosquitto, site) as one:
        login = {"broker": (mosquitto.username, mosquitto.password)}
        asking = read_once(site, "d0", SystemClock(), endpoints={"broker": mosquitto.url}, credentials=login)
        task = asyncio.create_task(asking)
        while not task.done():
            one.publish("tele/t/SENSOR", SENSOR)
            await asyncio.wait([task], timeout=0.05)
        assert task.result().reading.values["voltage"] == 227
        assert one.collector.health().links["broker"].connections == 1
        with pytest.raises(NoAnswer, match="published nothing"):
            await read_once(
                plugs({"topic": "mute"}), "d0", SystemClock(), endpoints={"broker": mosquitto.url}, credentials=login,
                patience=0.2,
            )  # fmt: skip


class TlsMosquitto(Mosquitto):
    """The broker with a certificate of its own authority, made for this test."""

    def command(self) -> Sequence[str]:
        openssl = need("openssl")

        def run(arguments: str) -> None:
            subprocess.run([openssl, *arguments.split()], cwd=self.folder, check=True, capture_output=True)

        (self.folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost", encoding="utf-8")
        run("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.crt")
        signed = "-CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names"
        for name in ("s", "client"):
            run(f"req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout {name}.key -out {name}.csr")
            run(f"x509 -req -in {name}.csr {signed} -out {name}.crt")
        command = super().command()
        with (self.folder / "mosquitto.conf").open("a", encoding="utf-8") as settings:
            settings.write(f"cafile {self.folder}/ca.crt\ncertfile {self.folder}/s.crt\nkeyfile {self.folder}/s.key\n")
        return command

    def prepare(self) -> None:
        self.ca = str(self.folder / "ca.crt")


async def test_a_broker_is_trusted_by_its_own_authority_and_by_no_other(tmp_path: Path) -> None:
    with TlsMosquitto(tmp_path) as broker:

        async def meet(ca: str | None, condition: Callable[[LinkHealth], object], stream: Stream) -> None:
            site = plugs({"topic": "t"})
            collector = Collector(
                site.model_copy(update={"links": (site.links[0].model_copy(update={"ca": ca}),)}),
                SystemClock(),
                stream,
                endpoints={"broker": broker.url.replace("mqtt:", "mqtts:")},
                credentials={"broker": (broker.username, broker.password)},
            )
            async with collector:
                await eventually(lambda: condition(collector.health().links["broker"]), "the broker's answer")

        await meet(broker.ca, lambda health: health.connections, Stream())
        stream = Stream()
        subscription = stream.subscribe("test")
        await meet(None, lambda health: health.down_since, stream)
        (told,) = await readings(subscription, 1)
        assert "its certificate is not trusted" in told.quality.reason
        assert "check ca:" in told.quality.reason


async def test_a_broker_that_falls_silent_is_found_out_by_the_keep_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.links.mqtt._KEEPALIVE", 1)
    monkeypatch.setattr("collector.links.mqtt._LOOK", 0.1)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(b"\x20\x02\x00\x00")  # let in
        asked = await reader.read(1000)
        writer.write(b"\x90\x03" + asked[2:4] + b"\x01")  # subscribed; and then nothing, not even to a ping
        while await reader.read(1000):
            pass
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    site = site_of(
        links=({"id": "broker", "mqtt": address},),
        devices=({"id": "d", "kind": "sensor", "profile": "zigbee2mqtt_sensor", "link": "broker", "topic": "t"},),
    )
    stream = Stream()
    told = stream.subscribe("test")
    async with Collector(site, SystemClock(), stream) as collector:
        health = collector.health().links["broker"]
        await eventually(lambda: health.connections, "the connection")
        assert health.down_since is None
        (reading,) = await readings(told, 1)
        assert health.down_since is not None
    server.close()
    assert (reading.device, reading.values, reading.quality.grade) == ("d", {}, Grade.BAD)
    assert "the connection broke (Keep alive timeout)" in reading.quality.reason


class StrictMosquitto(TlsMosquitto):
    """The same, and it lets in only who shows a certificate of its authority."""

    def command(self) -> Sequence[str]:
        command = super().command()
        with (self.folder / "mosquitto.conf").open("a", encoding="utf-8") as settings:
            settings.write("require_certificate true\n")
        return command


async def test_a_broker_that_wants_a_certificate_gets_ours_and_refuses_us_without(tmp_path: Path) -> None:
    with StrictMosquitto(tmp_path) as broker:

        async def meet(certificate: str | None, key: str | None, stream: Stream) -> Collector:
            site = plugs({"topic": "t"})
            link = site.links[0].model_copy(update={"ca": broker.ca, "certificate": certificate, "key": key})
            collector = Collector(
                site.model_copy(update={"links": (link,)}),
                SystemClock(),
                stream,
                endpoints={"broker": broker.url.replace("mqtt:", "mqtts:")},
                credentials={"broker": (broker.username, broker.password)},
            )
            health = collector.health().links["broker"]
            async with collector:
                await eventually(lambda: health.connections or health.down_since, "the broker's answer")
            return collector

        own = [str(broker.folder / f"client.{kind}") for kind in ("crt", "key")]
        assert (await meet(*own, Stream())).health().links["broker"].connections == 1
        stream = Stream()
        subscription = stream.subscribe("test")
        assert (await meet(None, None, stream)).health().links["broker"].connections == 0
        (told,) = await readings(subscription, 1)
        assert "the broker 127.0.0.1:" in told.quality.reason
        missing = str(tmp_path / "nowhere.pem")
        await meet(missing, missing, stream)
        (told,) = await readings(subscription, 1)
        assert "check ca, certificate, key" in told.quality.reason


def spoken(version: str, **link: object) -> Site:
    site = plugs({"topic": "t"})
    return site.model_copy(update={"links": (site.links[0].model_copy(update={"version": version, **link}),)})


async def test_over_mqtt_5_messages_come_are_acknowledged_and_wait_for_us(mosquitto: Mosquitto) -> None:
    site = spoken("5")
    async with office(mosquitto, site) as one:
        one.publish("tele/t/SENSOR", SENSOR)
        (reading,) = await readings(one.kept, 1)
        assert reading.values["active_power"] == 2635
        publisher = one.publisher
    publisher.connect("127.0.0.1", mosquitto.port)
    publisher.loop_start()
    for power in range(50):
        publisher.publish("tele/t/SENSOR", SENSOR.replace(b"2635", b"%d" % power), qos=1).wait_for_publish(30)
    hang_up(publisher)
    async with office(mosquitto, site) as one:
        found = await readings(one.kept, 50)
    assert [reading.values["active_power"] for reading in found] == list(range(50))


async def test_a_message_of_mqtt_5_with_properties_is_read_without_them(mosquitto: Mosquitto) -> None:
    async with office(mosquitto, spoken("5")) as one:
        publisher = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        publisher.username_pw_set(mosquitto.username, mosquitto.password)
        publisher.connect("127.0.0.1", mosquitto.port)
        publisher.loop_start()
        properties = Properties(PacketTypes.PUBLISH)
        properties.UserProperty = [("who", "x" * 200)]
        properties.ContentType = "application/json"
        publisher.publish("tele/t/SENSOR", SENSOR, qos=1, properties=properties).wait_for_publish(30)
        (reading,) = await readings(one.kept, 1)
        hang_up(publisher)
    assert reading.values["voltage"] == 227
    assert reading.quality.grade is Grade.GOOD


@pytest.mark.parametrize("version", ["3.1.1", "5"])
async def test_the_broker_says_whether_the_collector_is_there(mosquitto: Mosquitto, version: str) -> None:
    said: list[str] = []
    watcher = mqtt.Client(CallbackAPIVersion.VERSION2)
    watcher.username_pw_set(mosquitto.username, mosquitto.password)
    watcher.on_message = lambda _client, _data, message: said.append(message.payload.decode())
    watcher.connect("127.0.0.1", mosquitto.port)
    watcher.subscribe("greenwarden/online", 1)
    watcher.loop_start()
    site = spoken(version, will="greenwarden/online")
    async with office(mosquitto, site):
        await eventually(lambda: said == ["online"], "the first word")
    await eventually(lambda: said == ["online", "offline"], "the goodbye")
    async with office(mosquitto, site) as one:
        await eventually(lambda: said[2:] == ["online"], "the return")
        line = next(task for task in asyncio.all_tasks() if task.get_name().startswith("mqtt "))
        sock = line.get_coro().cr_frame.f_locals["self"]._socket  # type: ignore[union-attr]
        sock._sock.shutdown(socket.SHUT_RDWR)  # a power cut: no goodbye
        await eventually(lambda: "offline" in said[3:], "the will")
        await eventually(lambda: one.collector.health().links["broker"].connections == 2, "the return")
        await eventually(lambda: len(said) >= 5, "the word after the return")
    await eventually(lambda: len(said) >= 6, "the last goodbye")
    assert said == ["online", "offline"] * 3
    hang_up(watcher)


async def test_the_client_id_is_stable_and_short_enough_for_every_broker() -> None:
    site = plugs({"topic": "t"})
    assert client_id_of(site, site.links[0]) == client_id_of(site, site.links[0])
    assert len(client_id_of(site, site.links[0])) <= 23


async def test_a_broker_restart_loses_nothing(mosquitto: Mosquitto) -> None:
    site = plugs({"topic": "t"})
    async with office(mosquitto, site) as one:
        one.publish("tele/t/SENSOR", SENSOR)
        await readings(one.kept, 1)
        mosquitto.stop()
        await eventually(lambda: one.collector.health().links["broker"].down_since, "the loss to be seen")
        mosquitto.start()
        await eventually(lambda: one.collector.health().links["broker"].connections >= 2, "the broker again")
        await eventually(one.publisher.is_connected, "the publisher again")
        one.publish("tele/t/SENSOR", SENSOR.replace(b"2635", b"7"))
        found = await readings(one.kept, 2)
    assert [bool(reading.values) for reading in found] == [False, True]
    assert found[-1].values["active_power"] == 7
