"""Tasmota payloads from a real mosquitto to readings: messages per CPU second, beside paho with json and nothing else.

    python benchmarks/mqtt_ingest.py [--messages 50000] [--rounds 3] [--qos 0]

Broker, publisher and consumer are processes of their own. The consumer's CPU time is counted from its first message to
its last; the contestants take turns, and the ratio of their medians stands first. ``paho`` reads each payload with
json.loads in on_message. ``ours`` is the collector's link, listener and stream: subscribed with QoS 1, stamped,
decoded, checked for plausibility, published as Readings and acknowledged.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import socket
import statistics
import struct
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from building.clock import SystemClock
from building.site import Device, Link, Site
from collector.service import Collector
from collector.stream import Stream
from tests.parts import Mosquitto

TOPICS = 200
LOGIN = (Mosquitto.username, Mosquitto.password)


def payload(number: int) -> bytes:
    """About 230 bytes, as a plug sends them."""
    energy = {
        "TotalStartTime": "2026-01-01T00:00:00", "Total": 6.294 + number, "Yesterday": 1.5, "Today": 0.25, "Period": 2,
        "Power": 35 + number % 60, "ApparentPower": 61, "ReactivePower": 21, "Factor": 0.94, "Voltage": 228,
        "Current": 0.27,
    }  # fmt: skip
    return json.dumps({"Time": "2026-07-01T09:00:00", "ENERGY": energy}, separators=(",", ":")).encode()


def packet(number: int, qos: int) -> bytes:
    """A PUBLISH; numbers of QoS 1 go round."""
    topic = f"tele/plug-{number % TOPICS}/SENSOR".encode()
    body = (
        struct.pack(">H", len(topic))
        + topic
        + (struct.pack(">H", number % 60_000 + 1) if qos else b"")
        + payload(number)
    )
    size = len(body)
    return bytes([0x30 | qos << 1, size & 0x7F | 0x80, size >> 7]) + body


def publish(port: int, messages: int, qos: int) -> None:
    """Write all messages as fast as the broker takes them."""
    name, word = (part.encode() for part in LOGIN)
    head = b"\0\4MQTT\4\xc2\0\0" + b"".join(struct.pack(">H", len(part)) + part for part in (b"feeder", name, word))
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(bytes([0x10, len(head)]) + head)
        assert sock.recv(4)[3] == 0
        acknowledged = 0
        for start in range(0, messages, 500):
            count = min(500, messages - start)
            sock.sendall(b"".join(packet(number, qos) for number in range(start, start + count)))
            acknowledged += 4 * count * bool(qos)
            while acknowledged:
                acknowledged -= len(sock.recv(65536))
        sock.sendall(b"\xe0\0")
        sock.settimeout(10)
        while sock.recv(65536):
            pass


def consume_paho(pipe: Connection, port: int, messages: int) -> None:
    """paho's own loop, json, nothing else."""
    seen = 0
    began = 0.0

    def on_message(_client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        nonlocal seen, began
        if not seen:
            began = time.process_time()
        seen += 1
        json.loads(message.payload)
        if seen == messages:
            pipe.send(time.process_time() - began)
            client.disconnect()

    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set(*LOGIN)
    client.on_message = on_message
    client.on_connect = lambda *_: client.subscribe([(f"tele/plug-{n}/SENSOR", 1) for n in range(TOPICS)])
    client.on_subscribe = lambda *_: pipe.send("ready")
    client.connect("127.0.0.1", port)
    client.loop_forever()


def consume_ours(pipe: Connection, port: int, messages: int) -> None:
    """The collector as it runs."""

    async def main() -> None:
        links = (Link(id="broker", mqtt=f"mqtt://127.0.0.1:{port}"),)
        common = {"kind": "plug", "profile": "tasmota_plug", "link": "broker"}
        names = (f"plug-{n}" for n in range(TOPICS))
        devices = tuple(Device.model_validate({**common, "id": name, "topic": name}) for name in names)
        stream = Stream()
        subscription = stream.subscribe("bench", lossless=True)
        collector = Collector(Site(links=links, devices=devices), SystemClock(), stream, credentials={"broker": LOGIN})
        async with collector:
            while not collector.health().links["broker"].connections:  # noqa: ASYNC110 - health is a counter, no event
                await asyncio.sleep(0.01)
            pipe.send("ready")
            seen = 0
            began = 0.0
            while seen < messages:
                batch = await subscription.__anext__()
                if not seen:
                    began = time.process_time()
                seen += len(batch)
                subscription.acknowledge()
            pipe.send(time.process_time() - began)
        assert seen == messages
        assert collector.health().links["broker"].messages == messages

    asyncio.run(main())


def one_round(port: int, messages: int, qos: int, consumer: object) -> float:
    """CPU microseconds per message of one consumer."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=consumer, args=(there, port, messages), daemon=True)  # type: ignore[arg-type]
    process.start()
    assert here.recv() == "ready"
    feeder = context.Process(target=publish, args=(port, messages, qos), daemon=True)
    feeder.start()
    if not here.poll(120):
        raise SystemExit("a consumer did not get all messages within two minutes")
    cpu = float(here.recv())
    feeder.join()
    process.join(10)
    return 1e6 * cpu / messages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--qos", type=int, choices=(0, 1), default=0)
    options = parser.parse_args()
    theirs, ours = [], []
    for _ in range(options.rounds):
        for column, consumer in ((theirs, consume_paho), (ours, consume_ours)):
            # A broker of its own: an older one would have kept the other's messages for our session.
            with tempfile.TemporaryDirectory() as folder, Mosquitto(Path(folder)) as broker:
                column.append(one_round(broker.port, options.messages, options.qos, consumer))
    a, b = statistics.median(theirs), statistics.median(ours)
    print(f"messages per CPU second, ours / paho with json alone, QoS {options.qos}     {a / b:6.2f}")
    for name, one, rounds in (("paho, json.loads, nothing else", a, theirs), ("ours, to Readings", b, ours)):
        told = ", ".join(f"{figure:.1f}" for figure in rounds)
        print(f"  {name:<32}{one:8.2f} us/message {1e6 / one:10,.0f} /CPU s   (rounds {told})")


if __name__ == "__main__":
    main()
