"""What the tests of storing share: a small site, readings, a source of batches, and a child process that is killed."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from building.readings import Flaw, Grade, Reading, no_answer, with_flaws
from building.site import Device, InfluxSettings, Site, SiteInfo, StoreSettings, Zone
from collector.storing.embedded import EmbeddedStore
from collector.storing.packing import StoredPoint, pack_readings, unpack
from collector.storing.queue import DurableQueue
from tests.parts import Server

START = 1_782_835_200_000  # 2026-07-01 00:00 in Shanghai


def small_site(name: str = "市民服务中心", influxdb: InfluxSettings | None = None) -> Site:
    return Site(
        site=SiteInfo(name=name),
        zones=(Zone(id="301", name="301办公室", floor=3),),
        devices=(
            Device(id="main", kind="electricity", circuit="main"),
            Device(id="表 1,a=b", kind="electricity", zone="301"),
            Device(id='quote"d\\', kind="plug", zone="301"),
            Device(id="ac-301", kind="aircon", zone="301"),
            Device(id="room", kind="sensor", zone="301"),
        ),
        store=StoreSettings(influxdb=influxdb),
    )


def every_kind_of_reading() -> list[Reading]:
    """Numbers, words, flaws, bad values, words that are wrong, and no answer at all."""
    bad = Flaw(Grade.BAD, "temperature 85 °C is outside -40 to 60")
    return [
        Reading("main", START, {"active_power": 1234.5, "energy_import": 0.1 + 0.2}),
        Reading("表 1,a=b", START + 1, {"active_power": -3.0}),
        Reading('quote"d\\', START + 2, {"on": 1.0, "active_power": 2.5e-7}),
        Reading("ac-301", START + 3, {"mode": "cool", "setpoint": 26.0, "running": 1.0}),
        with_flaws("room", START + 4, {"temperature": 85.0, "humidity": 40.0}, {"temperature": bad}),
        with_flaws("room", START + 5, {"humidity": 40.0}, {"humidity": Flaw(Grade.SUSPECT, "frozen")}),
        with_flaws("room", START + 6, {}, {"co2": Flaw(Grade.BAD, "no value")}),
        with_flaws("ac-301", START + 7, {"mode": "turbo"}, {"mode": Flaw(Grade.BAD, "'turbo' is none of …")}),
        no_answer("main", START + 8, "no answer within 1 s"),
    ]


class Batches:
    """A source of batches as the stream's lossless subscription is one."""

    def __init__(self, *batches: list[Reading]) -> None:
        self._queue: asyncio.Queue[list[Reading] | None] = asyncio.Queue()
        self.acknowledged = 0
        for batch in batches:
            self._queue.put_nowait(batch)

    def put(self, batch: list[Reading]) -> None:
        self._queue.put_nowait(batch)

    @property
    def waiting(self) -> int:
        return sum(len(batch or ()) for batch in self._queue._queue)  # type: ignore[attr-defined]

    async def __aiter__(self) -> AsyncIterator[list[Reading]]:
        while (batch := await self._queue.get()) is not None:
            yield batch

    def acknowledge(self) -> None:
        self.acknowledged += 1

    def close(self) -> None:
        self._queue.put_nowait(None)


class MemoryStore:
    """A store that can be told to fail: ``fault`` is raised by every write while it is set."""

    def __init__(self) -> None:
        self.stored: list[Reading] = []
        self.alerts: list[dict[str, Any]] = []
        self.points: list[StoredPoint] = []
        self.fault: Exception | None = None
        self.closed = False

    def write(self, readings: Sequence[Reading]) -> None:
        if self.fault:
            raise self.fault
        self.stored += readings

    def write_alerts(self, alerts: Sequence[Mapping[str, object]]) -> None:
        if self.fault:
            raise self.fault
        self.alerts += [dict(alert) for alert in alerts]

    def write_points(self, points: Sequence[StoredPoint]) -> None:
        if self.fault:
            raise self.fault
        self.points += points

    def close(self) -> None:
        self.closed = True


class Influxd2(Server):
    """A real InfluxDB 2.x, set up with an organisation and a token that may do everything, and no bucket of ours.

    Its binary is named by the environment variable GREENWARDEN_TEST_INFLUXD2; no Debian package brings it.
    """

    token = "loopback-only-token"
    org = "office"

    def __init__(self, folder: Path, name: str = "influxd2") -> None:
        self._program = os.environ.get("GREENWARDEN_TEST_INFLUXD2", "")
        if not self._program:
            pytest.skip("GREENWARDEN_TEST_INFLUXD2 names no influxd of version 2")
        super().__init__(folder, name)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> Sequence[str]:
        os.environ["INFLUXD_CONFIG_PATH"] = str(self.folder)
        return [
            self._program, "run", f"--http-bind-address=127.0.0.1:{self.port}",
            f"--bolt-path={self.folder}/influxd.bolt", f"--sqlite-path={self.folder}/influxd.sqlite",
            f"--engine-path={self.folder}/engine", "--reporting-disabled", "--log-level=error",
        ]  # fmt: skip

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=1) as answer:
                return bool(json.load(answer)["status"] == "pass")
        except (OSError, ValueError):
            return False

    def prepare(self) -> None:
        content = {"username": "admin", "password": "loopback-only", "org": self.org, "bucket": "first"}
        body = json.dumps({**content, "token": self.token}).encode()
        request = urllib.request.Request(f"{self.url}/api/v2/setup", body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=30).close()

    def query(self, text: str, bucket: str) -> list[dict[str, Any]]:
        asked = urllib.parse.urlencode({"q": text, "db": bucket, "epoch": "ms"})
        request = urllib.request.Request(f"{self.url}/query?{asked}", headers={"Authorization": f"Token {self.token}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            results = json.load(answer)["results"]
        return [
            dict(zip(series["columns"], row, strict=True))
            for result in results
            for series in result.get("series", ())
            for row in series["values"]
        ]


def alert(state: str = "firing", **other: object) -> dict[str, object]:
    """An alert object of design.md section 5, with what a store looks at."""
    moments = {"since": "2026-07-01T18:10:00+08:00", "raised": "2026-07-01T18:25:00+08:00", "ended": None}
    waste = {"kwh": 1.5, "litres": None, "cost": 1.17, "currency": "CNY", "kgco2": 0.8}
    return {
        "id": "a1", "rule": "lights_left_on", "site": "市民服务中心", "zone": "301", "department": None,
        "device": "light-301", "severity": "warning", "state": state, "waste": waste, "evidence": {},
        "title": '长明灯 "301"', "text": "…", "policy": "人走灯灭", **moments, **other,
    }  # fmt: skip


def numbered(number: int) -> Reading:
    """The reading that a killed child wrote as its ``number``-th."""
    return Reading(f"meter-{number % 7}", START + number, {"active_power": float(number), "voltage": 230.1})


def _child(what: str, folder: Path, first: int) -> None:
    """Append to a queue or write to a store without end, telling after each batch how far everything is safe."""
    number = first
    queue = DurableQueue(folder, segment_bytes=20_000) if what == "queue" else None
    store = EmbeddedStore(folder / "store.db") if what == "store" else None
    while True:
        batch = [numbered(index) for index in range(number, number + 40)]
        if queue is not None:
            queue.append(pack_readings(batch), len(batch), batch[0].taken_at)
        if store is not None:
            store.write(batch)
        number += len(batch)
        print(number, flush=True)


def numbers_in(queue: DurableQueue) -> list[int]:
    """The numbers of all readings that wait in ``queue``, which it then forgets."""
    found: list[int] = []
    while (taken := queue.take()) is not None:
        found += [reading.taken_at - START for body in taken.bodies for reading in unpack(body).readings]
        queue.acknowledge(taken)
    return found


if __name__ == "__main__":
    _child(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
