"""kill -9 of the program, the broker and the database at random moments: what was promised is kept, once.

``GREENWARDEN_KILLS`` says how often the program is killed; the counts are printed (``pytest -s``).
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from building.readings import Grade
from building.waiting import hang_up
from collector.storing.embedded import DATABASE
from collector.storing.stored import StoredReadings
from tests.faults.process import PATIENCE, Running
from tests.parts import Influxd, Mosquitto, eventually

TOPIC = "tele/plug/SENSOR"
KILLS = int(os.environ.get("GREENWARDEN_KILLS", "6"))

SITE = """
version: 1
site: {{name: Town hall, language: en}}
links:
  - {{id: broker, mqtt: "{url}", username: {username}, password: "${{GREENWARDEN_TEST_PASSWORD}}"}}
devices:
  - {{id: plug, kind: plug, profile: tasmota_plug, link: broker, topic: plug, every: 10s}}
"""


class Publisher:
    """A plug that tells a new total every 10 ms, at QoS 1; ``sent`` are those the broker has acknowledged."""

    def __init__(self, broker: Mosquitto, first: int = 1) -> None:
        self.sent: list[float] = []
        self._first = first
        self._stop = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="plug", clean_session=True)
        self._client.username_pw_set(broker.username, broker.password)
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        for number in itertools.count(self._first):
            if self._stop.wait(0.01):
                return
            total = number / 1000
            payload = f'{{"Time":"2026-07-01T08:00:00","ENERGY":{{"Total":{total:.3f}}}}}'
            told = self._client.publish(TOPIC, payload, qos=1)
            told.wait_for_publish(PATIENCE)
            self.sent.append(total)

    def stop(self) -> list[float]:
        self._stop.set()
        self._thread.join()
        hang_up(self._client)
        return self.sent


def totals(folder: Path) -> Counter[float]:
    """Every total in the store, and how often."""
    with StoredReadings(folder / "data" / DATABASE) as stored:
        return Counter(
            round(value, 3)
            for reading in stored.readings(0, 1 << 62)
            for name, value in reading.values.items()
            if name == "energy_import" and isinstance(value, float) and reading.quality.of(name) is Grade.GOOD
        )


async def settled(folder: Path, sent: set[float], read: Callable[[Path], Counter[float]]) -> Counter[float]:
    """What the store has once it has all that was sent, or when patience ends."""
    deadline = time.monotonic() + PATIENCE
    found: Counter[float] = Counter()
    while time.monotonic() < deadline and set(found) != sent:
        await asyncio.sleep(0.2)
        found = await asyncio.to_thread(read, folder)
    return found


class Tally(NamedTuple):
    lost: int
    twice: int
    made_up: int


NONE = Tally(lost=0, twice=0, made_up=0)


def tally(what: str, sent: set[float], found: Counter[float]) -> Tally:
    """What became of the messages, printed with ``pytest -s``."""
    twice = sum(times > 1 for times in found.values())
    told = Tally(len(sent - set(found)), twice, len(set(found) - sent))
    print(f"\n{what}, {len(sent)} messages: {told.lost} lost, {told.twice} twice, {told.made_up} made up")
    return told


async def subscribed(broker: Mosquitto, times: int = 1) -> None:
    """The program has subscribed for the ``times``-th time: from here on the broker keeps what it misses."""
    await eventually(lambda: broker.subscriptions(TOPIC) >= times, f"subscription number {times}")


async def test_a_program_killed_at_random_moments_loses_no_message_and_keeps_none_twice(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    site = tmp_path / "devices.yaml"
    site.write_text(SITE.format(url=mosquitto.url, username=mosquitto.username))
    draw = random.Random(1)
    ended: list[int] = []
    async with Running(site, {"GREENWARDEN_TEST_PASSWORD": mosquitto.password}) as program:
        await program.said("running; stop with")
        await subscribed(mosquitto)
        publisher = Publisher(mosquitto)
        try:
            for _ in range(KILLS):
                await asyncio.sleep(draw.uniform(0, 1.5))
                program.kill()
                ended.append(await program.ended())
                await program.start()
                if draw.random() < 0.7:
                    before = sum("running; stop with" in line for line in program.lines)
                    await program.said("running; stop with", times=1 + before)
        finally:
            sent = set(await asyncio.to_thread(publisher.stop))
        found = await settled(tmp_path, sent, totals)
    assert tally(f"program killed {KILLS} times", sent, found) == NONE, program.output
    assert len(sent) > 10 * KILLS, "hardly anything was under way"
    assert len(ended) == KILLS
    assert set(ended) == {-signal.SIGKILL}


async def test_a_broker_killed_again_and_again_costs_no_message_that_it_passed_on(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    site = tmp_path / "devices.yaml"
    site.write_text(SITE.format(url=mosquitto.url, username=mosquitto.username))
    sent: set[float] = set()
    async with Running(site, {"GREENWARDEN_TEST_PASSWORD": mosquitto.password}) as program:
        await program.said("running; stop with")
        await subscribed(mosquitto)
        brokers = [mosquitto.pid]
        for turn in range(3):
            publisher = Publisher(mosquitto, 1 + len(sent))
            await asyncio.sleep(0.7)
            sent |= set(await asyncio.to_thread(publisher.stop))
            assert set(await settled(tmp_path, sent, totals)) == sent, f"before kill {turn + 1}"
            mosquitto.kill()
            mosquitto.start()
            brokers.append(mosquitto.pid)
            await subscribed(mosquitto, turn + 2)
        found = await settled(tmp_path, sent, totals)
    assert tally("broker killed 3 times", sent, found) == NONE, program.output
    assert len(sent) > 10
    assert len(set(brokers)) == 4


async def test_a_database_killed_at_random_moments_has_every_message_once_in_the_end(
    mosquitto: Mosquitto, influxd: Influxd, tmp_path: Path
) -> None:
    site = tmp_path / "devices.yaml"
    store = f'store: {{influxdb: {{url: "{influxd.url}", database: {influxd.database}}}}}\n'
    site.write_text(SITE.format(url=mosquitto.url, username=mosquitto.username) + store)

    def in_influx(_: Path) -> Counter[float]:
        rows = influxd.query('SELECT "energy_import" FROM "plug"')
        return Counter(round(row["energy_import"], 3) for row in rows)

    draw = random.Random(2)
    servers: list[int] = []
    async with Running(site, {"GREENWARDEN_TEST_PASSWORD": mosquitto.password}) as program:
        await program.said("running; stop with")
        await subscribed(mosquitto)
        publisher = Publisher(mosquitto)
        try:
            for _ in range(5):
                await asyncio.sleep(draw.uniform(0, 0.8))
                servers.append(influxd.pid)
                await asyncio.to_thread(influxd.kill)
                await asyncio.sleep(draw.uniform(0, 0.8))
                await asyncio.to_thread(influxd.start)
        finally:
            sent = set(await asyncio.to_thread(publisher.stop))
        found = await settled(tmp_path, sent, in_influx)
    assert tally("database killed 5 times", sent, found) == NONE, program.output
    assert len(sent) > 50
    assert len(set(servers)) == 5
