"""Storing: with the store there, away, refusing or killed, every reading is in it once or put aside with the reason."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from building.clock import ManualClock
from building.errors import StoreAway, StoreRefused
from building.fields import Secret
from building.readings import Reading
from building.site import InfluxSettings, Site
from collector.storing import DATABASE, EmbeddedStore, InfluxStore, StoredReadings, Storing
from collector.storing.packing import StoredPoint
from collector.storing.refused import Refused, WhollyRefused
from tests.parts import PATIENCE, Answer, HttpSink, Influxd, Request, VictoriaMetrics, eventually
from tests.storing_parts import START, Batches, Influxd2, MemoryStore, alert, every_kind_of_reading, small_site

Points = Callable[[], list[tuple[int, float]]]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.storing.service._FIRST_DELAY", 0.01)
    monkeypatch.setattr("collector.storing.service._LONGEST_DELAY", 0.05)


@pytest.fixture
def influxd2(tmp_path: Path) -> Iterator[Influxd2]:
    """A real InfluxDB 2.x, where the environment names one."""
    with Influxd2(tmp_path) as server:
        yield server


@pytest.fixture(params=["embedded", "influxdb 1.6.7", "influxdb-client", "influxdb 2"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Site, Points]:
    """A site that stores in one of the stores, and a way to read back what ``main``'s active power was."""
    if request.param == "embedded":
        return small_site(), lambda: _embedded_points(tmp_path / "data" / DATABASE)
    if request.param == "influxdb 1.6.7":
        server: Influxd = request.getfixturevalue("influxd")
        settings = InfluxSettings(url=server.url, database=server.database)
        return small_site(influxdb=settings), lambda: _influx_points(server)
    if request.param == "influxdb 2":
        second: Influxd2 = request.getfixturevalue("influxd2")
        monkeypatch.setenv("TEST_INFLUX_TOKEN", second.token)
        settings = InfluxSettings(url=second.url, token=Secret("${TEST_INFLUX_TOKEN}"), bucket="energy", gzip=True)
        return small_site(influxdb=settings), lambda: _second_points(second)
    metrics: VictoriaMetrics = request.getfixturevalue("victoria_metrics")
    monkeypatch.setenv("TEST_INFLUX_TOKEN", "t")
    settings = InfluxSettings(url=metrics.url, token=Secret("${TEST_INFLUX_TOKEN}"), bucket="energy", org="o")
    return small_site(influxdb=settings), lambda: _metrics_points(metrics)


def _embedded_points(path: Path) -> list[tuple[int, float]]:
    with StoredReadings(path) as reader:
        times, values = reader.read("main", "active_power", 0, 1 << 60)
    return list(zip(times.tolist(), values.tolist(), strict=True))


def _influx_points(server: Influxd) -> list[tuple[int, float]]:
    rows = server.query("SELECT active_power FROM electricity WHERE device = 'main'")
    return [(row["time"], row["active_power"]) for row in rows]


def _second_points(server: Influxd2) -> list[tuple[int, float]]:
    rows = server.query("SELECT active_power FROM electricity WHERE device = 'main'", "energy")
    return [(row["time"], row["active_power"]) for row in rows]


def _metrics_points(server: VictoriaMetrics) -> list[tuple[int, float]]:
    (series,) = server.export('electricity_active_power{device="main"}')
    return sorted(set(zip(series["timestamps"], series["values"], strict=True)))  # it keeps doubles, unlike InfluxDB


def watts(numbers: range) -> list[Reading]:
    return [Reading("main", START + number, {"active_power": number / 2}) for number in numbers]


async def test_what_the_stream_gives_is_in_every_store_unaltered_and_once(
    any_store: tuple[Site, Points], tmp_path: Path, clock: ManualClock
) -> None:
    site, points = any_store
    source = Batches(watts(range(10)), watts(range(10, 7_000)), watts(range(100, 200)), every_kind_of_reading()[1:])
    async with Storing(site, clock, tmp_path / "data", source) as storing:
        await storing.write_alerts([alert()])
        await eventually(lambda: source.acknowledged == 4, "all batches to be on disk")
        await storing.settled()
        assert storing.status().written == 7_000 + 100 + len(every_kind_of_reading()) - 1
        assert storing.status().refused == 0
    assert points() == [(reading.taken_at, reading.values["active_power"]) for reading in watts(range(7_000))]


async def test_one_series_can_be_read_back_from_every_store(
    any_store: tuple[Site, Points], tmp_path: Path, clock: ManualClock
) -> None:
    site, _ = any_store
    if site.store.influxdb is not None and site.store.influxdb.org == "o":
        pytest.skip("victoria-metrics has no InfluxQL")
    odd = Reading("表 1,a=b", START + 5, {"active_power": 7.5})
    source = Batches([*watts(range(10)), odd])
    point = StoredPoint("interval", {"scope": "zone", "zone": "3 '0\\1"}, {"energy": 1, "state": "measured"}, START)
    async with Storing(site, clock, tmp_path / "data", source) as storing:
        await storing.write_points([point])
        await eventually(lambda: source.acknowledged == 1, "the batch to be on disk")
        await storing.settled()
        store = storing.store
        assert isinstance(store, EmbeddedStore | InfluxStore)
        times, values = await asyncio.to_thread(store.read, "main", "active_power", START + 2, START + 5)
        assert (times.tolist(), values.tolist()) == ([START + 2, START + 3, START + 4], [1.0, 1.5, 2.0])
        times, values = await asyncio.to_thread(store.read, "表 1,a=b", "active_power", 0, START + 10)
        assert (times.tolist(), values.tolist()) == ([START + 5], [7.5])
        assert len((await asyncio.to_thread(store.read, "room", "co2", START, START + 5))[0]) == 0
        assert storing.status().refused == 0


async def test_with_the_store_away_nothing_stops_and_nothing_is_lost(
    tmp_path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    store, source = MemoryStore(), Batches()
    store.fault = StoreAway("the store is out for lunch")
    caplog.set_level(logging.INFO)
    async with Storing(small_site(), clock, tmp_path, source, store=store) as storing:
        source.put(watts(range(20)))
        await eventually(lambda: storing.status().retries > 3, "some attempts")
        source.put(watts(range(20, 40)))
        await eventually(lambda: source.acknowledged == 2, "both batches to be on disk")
        status = storing.status()
        assert (status.queued, status.oldest, status.written) == (40, START, 0)
        assert status.away == "the store is out for lunch"
        store.fault = None
        await storing.settled()
        assert storing.status()[:3] == (0, 0, None)
        assert storing.status().away == ""
    assert sorted(store.stored) == watts(range(40))
    assert caplog.text.count("out for lunch") == 1
    assert caplog.text.count("takes readings again") == 1
    assert store.closed


async def test_after_a_restart_the_queue_goes_on_where_it_was(tmp_path: Path, clock: ManualClock) -> None:
    away, back = MemoryStore(), MemoryStore()
    away.fault = StoreAway("away")
    source = Batches(watts(range(20)))
    async with Storing(small_site(), clock, tmp_path, source, store=away):
        await eventually(lambda: source.acknowledged, "the batch to be on disk")
    async with Storing(small_site(), clock, tmp_path, Batches(watts(range(20, 30))), store=back) as storing:
        await eventually(lambda: len(back.stored) == 30, "all readings")
        await storing.settled()
    assert sorted(back.stored) == watts(range(30))


async def test_the_database_killed_and_started_again_costs_nothing(
    influxd: Influxd, tmp_path: Path, clock: ManualClock
) -> None:
    site = small_site(influxdb=InfluxSettings(url=influxd.url, database=influxd.database))
    source = Batches()
    async with Storing(site, clock, tmp_path, source) as storing:
        for number in range(60):
            source.put(watts(range(number * 50, number * 50 + 50)))
            if number == 20:
                await asyncio.to_thread(influxd.kill)
            if number == 40:
                await eventually(lambda: storing.status().retries, "the store to be missed")
                await asyncio.to_thread(influxd.start)
            await asyncio.sleep(0)
        await eventually(lambda: source.acknowledged == 60, "all batches to be on disk")
        await storing.settled()
    assert _influx_points(influxd) == [(one.taken_at, one.values["active_power"]) for one in watts(range(3_000))]


async def test_one_bad_reading_is_put_aside_with_the_reason_and_the_others_are_stored(
    influxd: Influxd, tmp_path: Path, clock: ManualClock
) -> None:
    site = small_site(influxdb=InfluxSettings(url=influxd.url, database=influxd.database))
    bad = Reading("main", START + 500, {"active_power": "much"})
    ghost = Reading("ghost", START, {"active_power": 1.0})
    source = Batches([*watts(range(500)), ghost, bad, *watts(range(501, 1_000))])
    async with Storing(site, clock, tmp_path, source) as storing:
        await eventually(lambda: source.acknowledged, "the batch to be on disk")
        await storing.settled()
        assert (storing.status().written, storing.status().refused) == (999, 2)
    assert len(_influx_points(influxd)) == 999
    (path,) = (tmp_path / "refused").iterdir()
    refused = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [one["reading"]["device"] for one in refused] == ["ghost", "main"]
    assert "not in devices.yaml" in refused[0]["reason"]
    assert "field type conflict" in refused[1]["reason"]
    assert refused[1]["reading"]["values"] == {"active_power": "much"}


async def test_a_batch_refused_whole_is_put_aside_without_asking_for_every_part(
    tmp_path: Path, clock: ManualClock
) -> None:
    store = MemoryStore()
    store.fault = WhollyRefused("points beyond retention policy")
    source = Batches(watts(range(1_000)))
    async with Storing(small_site(), clock, tmp_path, source, store=store) as storing:
        await eventually(lambda: source.acknowledged, "the batch to be on disk")
        await storing.settled()
        assert storing.status().refused == 1_000


async def test_an_alert_that_is_refused_is_put_aside(tmp_path: Path, clock: ManualClock) -> None:
    store, source = MemoryStore(), Batches()
    store.fault = StoreRefused("no")
    async with Storing(small_site(), clock, tmp_path, source, store=store) as storing:
        await storing.write_alerts([alert()])
        await storing.settled()
    (path,) = (tmp_path / "refused").iterdir()
    assert json.loads(path.read_text(encoding="utf-8")) == {"reason": "no", "alert": alert()}


async def test_while_the_disk_takes_nothing_the_stream_waits_and_nothing_is_acknowledged(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, source = MemoryStore(), Batches(watts(range(10)))
    asked = 0

    def full(*_: Any) -> None:
        nonlocal asked
        asked += 1
        raise OSError(28, "No space left on device")

    async with Storing(small_site(), clock, tmp_path, source, store=store) as storing:
        with monkeypatch.context() as broken:
            broken.setattr(storing._queue, "append", full)
            await eventually(lambda: asked > 2, "some attempts")
            assert source.acknowledged == 0
        await eventually(lambda: source.acknowledged == 1, "the batch to be on disk")
        await storing.settled()
    assert store.stored == watts(range(10))


async def test_hours_tell_how_far_back_the_queue_reaches(tmp_path: Path, clock: ManualClock) -> None:
    store, source = MemoryStore(), Batches()
    store.fault = StoreAway("away")
    async with Storing(small_site(), clock, tmp_path, source, store=store) as storing:
        source.put([Reading("main", clock.now() - 7_200_000, {"active_power": 1.0})])
        await eventually(lambda: source.acknowledged, "the batch to be on disk")
        assert storing.status().hours == pytest.approx(2)


async def test_what_was_refused_can_be_sent_again(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.storing.service._LOOK_AFTER", 0.05)
    store, source = MemoryStore(), Batches(every_kind_of_reading())
    store.fault = StoreRefused("not today")
    point = StoredPoint("collector", {"link": "bus"}, {"requests": 1.0}, START)
    async with Storing(small_site(), clock, tmp_path, source, store=store) as storing:
        await storing.write_alerts([alert()])
        await storing.write_points([point])
        await eventually(lambda: source.acknowledged, "the batch to be on disk")
        await storing.settled()
        elsewhere = Refused(tmp_path / "refused")
        assert elsewhere.reasons() == {"not today": len(every_kind_of_reading()) + 2}
        store.fault = None
        assert elsewhere.send_again() > 0
        await eventually(
            lambda: len(store.stored) == len(every_kind_of_reading()) and store.points and store.alerts, "all of it"
        )
        await storing.settled()
    assert sorted(store.stored) == sorted(every_kind_of_reading())
    assert (store.alerts, store.points) == ([alert()], [point])
    assert elsewhere.reasons() == {}


async def test_what_is_damaged_among_the_refused_is_left_out_and_told_and_the_rest_is_sent(
    tmp_path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    refused = Refused(tmp_path / "refused")
    for reading in watts(range(2)):
        refused.put_reading(reading, "not today")
    (path,) = (tmp_path / "refused").iterdir()
    quality = '"quality":["GOOD","",{}]'
    damaged = [
        b"\xff\x00half a line",
        b'{"reason":"r","alert":{"id":"1"}}',
        b'{"reason":"r","point":{"measurement":"m","tags":{},"fields":{"a":[1]},"at":1}}',
        f'{{"reason":"r","reading":{{"device":"main","taken_at":"now","values":{{}},{quality}}}}}'.encode(),
        f'{{"reason":"r","reading":{{"device":"main","taken_at":1,"values":{{"a":1{"0" * 400}}},{quality}}}}}'.encode(),
    ]
    path.write_bytes(b"\n".join([damaged[0], path.read_bytes().strip(), *damaged[1:]]))
    assert refused.reasons() == {"a damaged line": 1, "not today": 2, "r": 4}
    assert refused.send_again() == 1
    store = MemoryStore()
    async with Storing(small_site(), clock, tmp_path, Batches(), store=store) as storing:
        await eventually(lambda: len(store.stored) == 2, "the sound ones")
        await storing.settled()
        await eventually(lambda: not refused.handed_in(), "the file to be done with")
    assert sorted(store.stored) == watts(range(2))
    assert caplog.text.count("is left out") == len(damaged)


@pytest.mark.parametrize("method", ["take", "sync"])
async def test_a_disk_that_fails_for_a_while_ends_nothing(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    store, source = MemoryStore(), Batches()
    async with Storing(small_site(), clock, tmp_path, source, store=store) as storing:
        with monkeypatch.context() as broken:
            broken.setattr(storing._queue, method, _broken)
            source.put(watts(range(1)))
            await eventually(lambda: "see that the disk is there" in storing.status().away, "the trouble to be met")
        source.put(watts(range(1, 2)))
        await eventually(lambda: len(store.stored) >= 2 and not storing.status().away, "all to be well again")
    assert sorted({reading.taken_at: reading for reading in store.stored}.values()) == watts(range(2))


async def test_a_disk_without_room_for_a_new_file_does_not_keep_readings_from_a_store_that_is_back(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, source = MemoryStore(), Batches(watts(range(1)))
    store.fault = StoreAway("away")
    async with Storing(small_site(), clock, tmp_path, source, store=store) as storing:
        await eventually(lambda: storing.status().away, "the store to be missed")
        monkeypatch.setattr(storing._queue, "roll", _broken)
        store.fault = None
        await eventually(lambda: not storing.status().away, "the store to be back")
        source.put(watts(range(1, 2)))
        await eventually(lambda: len(store.stored) == 2, "the second reading")
    assert store.stored == watts(range(2))


def _broken(*_: Any, **__: Any) -> None:
    raise OSError(5, "Input/output error")


async def test_a_database_that_hangs_does_not_hold_the_end(tmp_path: Path, clock: ManualClock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:  # takes connections, and never answers
        settings = InfluxSettings(url=f"http://127.0.0.1:{listener.getsockname()[1]}")
        source = Batches(watts(range(10)))
        async with Storing(small_site(influxdb=settings), clock, tmp_path, source) as storing:
            await eventually(lambda: source.acknowledged, "the batch to be on disk")
            connection, _ = await asyncio.to_thread(listener.accept)
            began = time.monotonic()
        assert time.monotonic() - began < 10  # a request is given twenty
        connection.close()
        assert storing.status().queued == 10
    store = MemoryStore()
    async with Storing(small_site(), clock, tmp_path, Batches(), store=store) as storing:
        await storing.settled()
    assert store.stored == watts(range(10))


async def test_readings_that_no_disk_takes_before_the_end_are_counted_and_told(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    source = Batches(watts(range(10)), watts(range(10, 17)))
    with monkeypatch.context() as broken:
        async with Storing(small_site(), clock, tmp_path, source, store=MemoryStore()) as storing:
            broken.setattr(storing._queue, "append", full)
            await asyncio.sleep(0)
    assert storing.status().lost == 17
    assert "17 readings could not be put on disk before the end" in caplog.text
    assert source.acknowledged == 0


async def test_history_has_what_the_store_has_and_what_it_has_not(tmp_path: Path, clock: ManualClock) -> None:
    store, source = MemoryStore(), Batches(watts(range(10)))
    async with Storing(small_site(), clock, tmp_path, source, store=store) as storing:
        await eventually(lambda: source.acknowledged, "the batch to be on disk")
        await storing.settled()
        store.fault = StoreAway("away")
        source.put(watts(range(10, 20)))
        await eventually(lambda: source.acknowledged == 2, "the batch to be on disk")
        assert list(storing.history(START + 5)) == watts(range(5, 20))
    async with Storing(small_site(), clock, tmp_path, Batches(), store=MemoryStore()) as storing:
        assert list(storing.history(START + 5)) == watts(range(5, 20))


async def test_a_change_of_an_alert_that_says_no_time_gets_the_moment_it_was_told(
    tmp_path: Path, clock: ManualClock
) -> None:
    store = MemoryStore()
    async with Storing(small_site(), clock, tmp_path, Batches(), store=store) as storing:
        await storing.write_alerts([alert(), alert("acknowledged")])
        await storing.settled()
    assert [one.get("changed") for one in store.alerts] == [None, "2026-07-01T00:00:00+08:00"]


async def test_after_an_outage_the_newest_goes_first_and_live_readings_do_not_wait_for_the_backlog(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.storing.service._AT_ONCE", 10)
    store, source = MemoryStore(), Batches()
    store.fault = StoreAway("away")
    async with Storing(small_site(), clock, tmp_path, source, store=store) as storing:
        for first in range(0, 300, 10):
            source.put(watts(range(first, first + 10)))
        await eventually(lambda: source.acknowledged == 30, "the backlog to be on disk")
        store.fault = None
        await eventually(lambda: store.stored, "the store to be back")
        source.put(watts(range(1_000, 1_010)))
        await storing.settled()
    assert sorted(store.stored) == watts(range(300)) + watts(range(1_000, 1_010))
    assert store.stored.index(watts(range(1_000, 1_001))[0]) < 300


async def test_the_status_file_tells_another_process_how_storing_fares(tmp_path: Path, clock: ManualClock) -> None:
    store, source = MemoryStore(), Batches()
    store.fault = StoreAway("the database is away")
    async with Storing(small_site(), clock, tmp_path, source, store=store) as storing:
        source.put(watts(range(50)))
        await eventually(lambda: storing.status().queued == 50, "the batch")
        await clock.advance(60_000)
        status = storing.status()
        assert status.rate == pytest.approx(50 / 60)
        assert status.room_hours is not None
        assert status.room_hours > 100
        assert status.catch_up_minutes is None
        assert json.loads((tmp_path / "status.json").read_bytes())["running"] is True
    told = json.loads((tmp_path / "status.json").read_bytes())
    assert (told["running"], told["queued"], told["away"]) == (False, 50, "the database is away")


async def test_once_the_store_is_back_status_says_in_how_many_minutes_the_queue_is_empty(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.storing.service._AT_ONCE", 100)
    store, source = PatientStore(), Batches()
    async with Storing(small_site(), clock, tmp_path, source, store=store) as storing:
        for first in range(0, 1_000, 100):
            source.put(watts(range(first, first + 100)))
        await eventually(lambda: source.acknowledged == 10, "everything to be on disk")
        await clock.advance(60_000)
        store.go.release()
        await eventually(lambda: len(store.stored) >= 100 and storing.status().queued < 1_000, "the first portion")
        status = storing.status()
        assert status.oldest == watts(range(100, 101))[0].taken_at  # the first hundred are stored
        assert status.rate == pytest.approx(1_000 / 60)
        assert status.catch_up_minutes is not None
        assert status.catch_up_minutes > 0
        store.go.release(100)
        await storing.settled()
        assert storing.status().catch_up_minutes == 0
    assert sorted(store.stored) == watts(range(1_000))


class PatientStore(MemoryStore):
    """Takes as many batches as it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Semaphore(0)

    def write(self, readings: Sequence[Reading]) -> None:
        self.go.acquire(timeout=PATIENCE)
        super().write(readings)


async def test_a_database_without_organisations_gets_all_but_the_reading_it_will_never_take(
    tmp_path: Path, clock: ManualClock, http_sink: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As InfluxDB 3 answers: any bucket is there, ``org`` means nothing, and there is nothing under /api/v2/orgs."""
    taken: list[int] = []

    def answer(request: Request) -> Answer:
        if request.path == "/ping":
            return Answer(200, b'{"version":"3.1.0"}', headers={"X-Influxdb-Version": "3.1.0"})
        if "write" not in request.path:
            return Answer(404, b"not found")
        if b"active_power=3.5" in request.body:
            return Answer(400, b'{"error":"partial write of line protocol occurred"}')
        taken.extend(int(line.rsplit(b" ", 1)[1]) for line in request.body.splitlines())
        return Answer(204, b"")

    http_sink.answer = answer
    monkeypatch.setenv("TEST_INFLUX_TOKEN", "t")
    settings = InfluxSettings(url=http_sink.url, database="energy", token=Secret("${TEST_INFLUX_TOKEN}"))
    source = Batches(watts(range(20)), watts(range(20, 40)))
    async with Storing(small_site(influxdb=settings), clock, tmp_path, source) as storing:
        await eventually(lambda: source.acknowledged == 2, "the batches to be on disk")
        await storing.settled()
        assert storing.status().refused == 1
        assert storing.status().queued == 0
    assert sorted(set(taken)) == [START + number for number in range(40) if number != 7]
    assert len(list((tmp_path / "refused").glob("*.jsonl"))) == 1


async def test_behind_a_proxys_page_readings_wait_in_the_queue(
    tmp_path: Path, clock: ManualClock, http_sink: HttpSink
) -> None:
    http_sink.answer = Answer(200, b"<html>please log in</html>", content_type="text/html")
    source = Batches(watts(range(20)))
    site = small_site(influxdb=InfluxSettings(url=http_sink.url, database="energy"))
    async with Storing(site, clock, tmp_path, source) as storing:
        await eventually(lambda: source.acknowledged == 1, "the batch to be on disk")
        await eventually(lambda: bool(storing.status().away), "the page to be seen")
        assert "is not InfluxDB" in storing.status().away
        assert storing.status().queued == 20
        http_sink.answer = Answer(204, b"")
        await storing.settled()
        assert storing.status().queued == 0
