"""The collector's own health: for Prometheus over HTTP, and as points for the store."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from building.clock import ManualClock, SystemClock
from building.errors import ConfigError
from building.site import Site
from collector.health import CollectorHealth, DeviceHealth, LinkHealth
from collector.metrics import HealthPoints, prometheus_text
from collector.service import Collector
from collector.storing.packing import StoredPoint
from collector.stream import Stream
from collector.telling import Telling
from tests.parts import eventually
from tests.wire_parts import SDM120, MeterServer, meters

QUEUE = SimpleNamespace(
    queued=12, bytes=4096, hours=0.5, written=99, refused=1, dropped=0, folded=7, retries=3, room_hours=240.5,
    catch_up_minutes=None,
)  # fmt: skip


def health() -> CollectorHealth:
    link = LinkHealth(requests=10, answers=9, busy_ms=600.0)
    link.errors["NoAnswer"] = 1
    device = DeviceHealth("bus", due=5, answered=4, missed=1, last_reading_at=58_000)
    device.errors["exception 2"] = 2
    mute = DeviceHealth("bus", due=5, silent_since=1_000)
    return CollectorHealth({"bus": link}, {'灯"1': device, "mute": mute})


def test_the_text_for_prometheus_names_every_link_and_device_with_its_counts() -> None:
    lines = prometheus_text("市民", health(), QUEUE, 60_000).splitlines()
    for line in (
        "# TYPE greenwarden_requests_total counter",
        'greenwarden_requests_total{site="市民",link="bus"} 10',
        'greenwarden_link_errors_total{site="市民",link="bus",kind="NoAnswer"} 1',
        'greenwarden_device_errors_total{site="市民",link="bus",device="灯\\"1",kind="exception 2"} 2',
        'greenwarden_reading_age_seconds{site="市民",link="bus",device="灯\\"1"} 2',
        'greenwarden_device_silent{site="市民",link="bus",device="mute"} 1',
        'greenwarden_queue_hours{site="市民"} 0.5',
        'greenwarden_queue_room_hours{site="市民"} 240.5',
        'greenwarden_folded_readings_total{site="市民"} 7',
        'greenwarden_link_busy_seconds_total{site="市民",link="bus"} 0.6',
    ):
        assert line in lines, line
    assert not any("reading_age" in line and "mute" in line for line in lines), "no reading has no age"


def test_points_for_the_store_carry_the_share_of_time_a_link_was_busy() -> None:
    maker, state = HealthPoints(), health()
    first = maker.points(state, QUEUE, 60_000, steady=0, in_flight={"bus": 2})
    assert all("busy_share" not in point.fields for point in first), "nothing is known of the time before"
    state.links["bus"].busy_ms += 30_000
    queue, link, device, mute = maker.points(state, QUEUE, 120_000, steady=60_000, in_flight={"bus": 2})
    assert queue == StoredPoint(
        "collector", {}, {"queue_hours": 0.5, "queue_readings": 12.0, "queue_bytes": 4096.0}, 120_000
    )
    assert link.tags == {"link": "bus"}
    assert link.fields["busy_share"] == 0.25
    assert device.tags == {"link": "bus", "device": '灯"1'}
    assert device.fields == {
        "requests": 5.0, "answers": 4.0, "errors": 2.0, "missed": 1.0, "silent": 0.0, "age_s": 62.0,
    }  # fmt: skip
    assert mute.fields["silent"] == 1.0
    assert "age_s" not in mute.fields


class Storage:
    def __init__(self) -> None:
        self.points: list[StoredPoint] = []

    def status(self) -> SimpleNamespace:
        return QUEUE

    async def write_points(self, points: Sequence[StoredPoint]) -> None:
        self.points += points


async def test_every_minute_the_store_gets_a_point_for_each_link_and_device() -> None:
    clock, storage = ManualClock(1_000_000), Storage()
    async with Telling(Site(), clock, health, storage):
        await clock.advance(180_000)
    assert len(storage.points) == 3 * 4
    assert [point.at for point in storage.points[::4]] == [1_060_000, 1_120_000, 1_180_000]


async def ask(address: str, question: bytes) -> str:
    host, _, port = address.removeprefix("http://").partition("/")[0].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(question)
    answer = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    return answer.decode()


async def test_a_running_collector_is_scraped_over_http() -> None:
    site = meters({"id": "a", "unit": 1}).model_copy(
        update={"metrics": Site.model_validate({"metrics": {"listen": "127.0.0.1:0"}}).metrics}
    )
    clock = SystemClock()
    async with MeterServer({1: SDM120}) as server:
        collector = Collector(site, clock, Stream(), endpoints={"line": server.url})
        async with collector, Telling(site, clock, collector.health, Storage()) as telling:
            await eventually(lambda: collector.health().devices["a"].answered, "a reading")
            answer = await ask(telling.address, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            assert answer.startswith("HTTP/1.1 200 OK\r\n")
            assert 'greenwarden_device_silent{site="site",link="line",device="a"} 0' in answer
            assert (await ask(telling.address, b"GET /etc/passwd HTTP/1.1\r\n\r\n")).startswith("HTTP/1.1 404")
            assert (await ask(telling.address, b"POST /metrics HTTP/1.1\r\n\r\n")).startswith("HTTP/1.1 400")
            assert (await ask(telling.address, b"\x00" * 70_000)).startswith("HTTP/1.1 400")


async def test_a_port_that_is_taken_does_not_stop_the_collector(caplog: pytest.LogCaptureFixture) -> None:
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    site = Site.model_validate({"metrics": {"listen": f"127.0.0.1:{port}"}})
    async with Telling(site, ManualClock(0), health, Storage()) as telling:
        assert telling.address == ""
    assert "choose another port" in caplog.text
    taken.close()


@pytest.mark.parametrize("text", ["9105", "localhost", ":9105", "127.0.0.1:http", "127.0.0.1:70000"])
def test_a_wrong_address_to_listen_on_is_told(text: str) -> None:
    with pytest.raises((ConfigError, ValueError), match="is no address to listen on"):
        Site.model_validate({"metrics": {"listen": text}})
