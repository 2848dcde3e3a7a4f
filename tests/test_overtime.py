"""Overtime booked over MQTT: from a real broker to rules that count from its end, over a restart, once in the log."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from building.clock import ManualClock
from building.document import parse_document
from building.errors import InputError
from building.instants import from_iso, to_iso
from building.readings import Reading
from building.site import Site, build_site
from building.waiting import hang_up
from collector.storing.keeper import Keeper
from greenwarden.program import Program
from rules.engine import RuleEngine
from rules.overtime import FURTHEST, LARGEST, MOST, Booking, book, read_booking, topic_of, with_bookings
from tests.parts import Mosquitto, eventually

FILE = """
version: 1
site: {name: 市民服务中心, language: en}
departments: [{id: finance}]
zones: [{id: "301", department: finance}, {id: "302", department: finance}, {id: hall}]
links: [{id: broker, mqtt: "mqtt://127.0.0.1:1883"}]
devices:
  - {id: lamp-301, kind: light, zone: "301", every: 10m}
  - {id: lamp-302, kind: light, zone: "302", every: 10m}
  - {id: lamp-hall, kind: light, zone: hall, every: 10m}
"""
SITE = build_site(parse_document(FILE.encode(), "devices.yaml"))
NOON = from_iso("2026-07-01T12:00:00+08:00")  # a Wednesday
EIGHT = from_iso("2026-07-01T20:00:00+08:00")
MINUTE = 60_000


def message(**said: Any) -> bytes:
    usual = {"zone": "301", "from": "2026-07-01T17:30", "to": "2026-07-01T20:00", "by": "Li"}
    return json.dumps({key: value for key, value in (usual | said).items() if value is not None}).encode()


def raised(site: Site, booking: Booking | None) -> dict[str, str]:
    """By lamp, the moment at which one that burns from noon to midnight is told."""
    engine = RuleEngine(site)
    memory = engine.new_memory()
    found = {}
    for step in range(0, 12 * 60, 10):
        lamps = [Reading(device.id, NOON + step * MINUTE, {"on": 1.0}) for device in site.devices]
        for finding in engine.step(memory, lamps):
            if finding.state == "raised" and finding.at > from_iso("2026-07-01T15:00:00+08:00"):
                found[finding.device] = (
                    f"{(finding.at - NOON) // MINUTE // 60 + 12}:{(finding.at - NOON) // MINUTE % 60}"
                )
        if step == 60 and booking is not None:
            assert book(memory, site, booking)
            memory = engine.restore(engine.save(memory))
    return found


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (None, {"lamp-301": "17:45", "lamp-302": "17:45", "lamp-hall": "17:45"}),
        ({}, {"lamp-301": "20:15", "lamp-302": "17:45", "lamp-hall": "17:45"}),
        ({"zone": None, "department": "finance"}, {"lamp-301": "20:15", "lamp-302": "20:15", "lamp-hall": "17:45"}),
        ({"zone": None}, {"lamp-301": "20:15", "lamp-302": "20:15", "lamp-hall": "20:15"}),
    ],
)
def test_a_lamp_counts_from_the_end_of_the_overtime_booked_for_its_zone_department_or_site(
    said: dict[str, Any] | None, expected: dict[str, str]
) -> None:
    assert raised(SITE, None if said is None else read_booking(message(**said), SITE, NOON)) == expected


def test_times_may_have_an_offset_and_the_words_of_the_site_file_are_understood() -> None:
    plain = read_booking(message(), SITE, NOON)
    assert plain == Booking(EIGHT - 150 * MINUTE, EIGHT, "301", None, "Li")
    other = b'{"zone": "301", "start": "2026-07-01T09:30:00Z", "end": "2026-07-01T20:00:00+08:00", "by": " Li "}'
    assert read_booking(other, SITE, NOON) == plain


@pytest.mark.parametrize(
    ("payload", "sentence"),
    [
        (b"", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"[" * 4000, "cannot be read"),
        (b"[]", "cannot be read"),
        (b'"301"', "cannot be read"),
        (b" " * LARGEST + b"{}", "more than 4096 bytes"),
        (message(to=None), "cannot be read"),
        (message(to=17), "cannot be read"),
        (message(to="tomorrow"), "cannot be read"),
        (message(to="9999-12-31T23:59:59-23:59"), "7 days|cannot be read"),
        (message(zones="301"), "unknown field `zones`"),
        (message(zone="999"), "no zone '999'"),
        (message(zone=None, department="it"), "no department 'it'"),
        (message(department="finance"), "not both"),
        (message(by="x" * 101), "100 letters"),
        (message(to="2026-07-01T17:30"), "ends before it begins"),
        (message(to="2026-07-09T17:30"), "longer than 7 days"),
        (message(**{"from": "2026-06-30T17:30", "to": "2026-06-30T18:30"}), "over already"),
        (message(**{"from": "2026-11-30T17:30", "to": "2026-11-30T18:30"}), "92 days"),
    ],
)
def test_what_is_no_booking_is_refused_in_a_sentence(payload: bytes, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read_booking(payload, SITE, NOON)


def test_a_zone_takes_so_many_bookings_and_a_cancelled_one_makes_room() -> None:
    memory = RuleEngine(SITE).new_memory()
    spans = [Booking(NOON + n * MINUTE, NOON + (n + 1) * MINUTE, "301") for n in range(MOST + 1)]
    assert all(book(memory, SITE, one) for one in spans[:MOST])
    assert not book(memory, SITE, Booking(spans[3].start, spans[3].end, "302", cancel=True))
    with pytest.raises(InputError, match="100 bookings"):
        book(memory, SITE, spans[MOST])
    assert book(memory, SITE, Booking(spans[3].start, spans[3].end, "301", cancel=True))
    assert book(memory, SITE, spans[MOST])


def test_the_topic_has_the_sites_name_without_the_signs_that_no_topic_may_have() -> None:
    assert topic_of(SITE) == "greenwarden/市民服务中心/overtime"
    odd = SITE.model_copy(update={"site": SITE.site.model_copy(update={"name": "A+B #1"})})
    assert topic_of(odd) == "greenwarden/A_B _1/overtime"


def test_a_replay_knows_what_was_booked_and_forgets_what_was_cancelled() -> None:
    def record(zone: str, *, cancel: bool = False) -> dict[str, Any]:
        times = {"start": "2026-07-01T17:30:00+08:00", "end": "2026-07-01T20:00:00+08:00"}
        return {"at": NOON, **times, "zone": zone, "department": None, "by": "Li", "cancel": cancel}

    site = with_bookings(SITE, [record("301"), record("302"), record("302", cancel=True), record("gone")])
    assert raised(site, None) == {"lamp-301": "20:15", "lamp-302": "17:45", "lamp-hall": "17:45"}


def test_a_booking_ends_at_most_so_far_ahead() -> None:
    at = NOON + FURTHEST - MINUTE
    assert read_booking(_span(at), SITE, NOON).end == NOON + FURTHEST
    with pytest.raises(InputError):
        read_booking(_span(at + MINUTE), SITE, NOON)


def _span(start: int) -> bytes:

    tz = SITE.site.tz
    return message(**{"from": to_iso(start, tz), "to": to_iso(start + MINUTE, tz)})


@asynccontextmanager
async def running(broker: Mosquitto, data: Path) -> AsyncIterator[Program]:
    program = Program(
        SITE, ManualClock(NOON), data, {}, endpoints={"broker": broker.url},
        credentials={"broker": (broker.username, broker.password)},
    )  # fmt: skip
    async with program:
        await eventually(lambda: program.collector.health().links["broker"].connections, "the broker to let us in")
        yield program


def publish(broker: Mosquitto, *payloads: bytes, retain: bool = False) -> None:
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set(broker.username, broker.password)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    for payload in payloads:
        client.publish("greenwarden/市民服务中心/overtime", payload, qos=1, retain=retain).wait_for_publish(30)
    hang_up(client)


def spans(program: Program, zone: str) -> list[list[int]]:
    return program.rules.memory.rooms[zone].bookings.spans


async def test_a_booking_on_the_topic_reaches_the_rules_is_on_disk_and_said_once(
    mosquitto: Mosquitto, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    bad = [b"nonsense"] * 3
    async with running(mosquitto, tmp_path) as program:
        await asyncio.to_thread(publish, mosquitto, *bad, message(), message(), message(zone="302"))
        await eventually(lambda: spans(program, "302"), "the last booking")
        assert spans(program, "301") == [[EIGHT - 150 * MINUTE, EIGHT]]
        assert not spans(program, "hall")
    said = [record.getMessage() for record in caplog.records if "overtime" in record.getMessage()]
    assert len(said) == 3, said
    assert "an overtime booking is not taken" in said[0]
    assert said[1] == "overtime of 301 from 2026-07-01 17:30 to 2026-07-01 20:00 is booked by Li"
    with Keeper(tmp_path / "memory.db") as keeper:
        assert [record["zone"] for record in keeper.records("overtime")] == ["301", "302"]
        assert [step["who"] for step in keeper.records("audit") if step["action"] == "overtime"] == ["Li", "Li"]


async def test_a_booking_cut_short_by_the_end_of_the_program_is_on_disk_whole(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    async with running(mosquitto, tmp_path) as program:
        with ThreadPoolExecutor(1) as disk:
            asyncio.get_running_loop().set_default_executor(disk)
            busy = threading.Event()
            disk.submit(busy.wait)
            booking = asyncio.create_task(program.rules.book(message()))
            await eventually(lambda: spans(program, "301"), "the booking in memory")
            booking.cancel()
            busy.set()
            with pytest.raises(asyncio.CancelledError):
                await booking
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())
    with Keeper(tmp_path / "memory.db") as keeper:
        assert [record["zone"] for record in keeper.records("overtime")] == ["301"]
        assert [step["who"] for step in keeper.records("audit") if step["action"] == "overtime"] == ["Li"]


async def test_bookings_outlast_the_program_and_those_told_while_it_was_away_come_with_the_session(
    mosquitto: Mosquitto, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(mosquitto, tmp_path):
        await asyncio.to_thread(publish, mosquitto, message(), retain=True)
        await eventually(lambda: "booked by Li" in caplog.text, "the booking")
    await asyncio.to_thread(publish, mosquitto, message(zone="302"))
    caplog.clear()
    async with running(mosquitto, tmp_path) as program:
        await eventually(lambda: spans(program, "302"), "the booking told in between")
        assert spans(program, "301") == [[EIGHT - 150 * MINUTE, EIGHT]]
    assert "overtime of 301" not in caplog.text
