"""CJ/T 188-2004: the frames of the standard's example, and a water meter on a loopback socket."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from building.clock import SystemClock
from building.errors import BadFrame, MeterRefused, NoAnswer
from building.readings import Reading
from building.site import Device, Site
from collector.links.cjt188 import Cjt188Link, encode, frames, station
from collector.links.wires import TcpWire
from collector.profiles import load_profile
from collector.service import Collector
from collector.stations import station_of
from collector.stream import Stream
from tests.item_parts import ItemServer, cjt188_frame, cjt188_meter
from tests.wire_parts import site

NUMBER = "78330011223344"
TOTAL = "00880000 2C 25800000 2C 59595923311225 20 0400".replace(" ", "")
"""88.00 m3, at the settlement 80.25 m3, time, status."""


def link(server: ItemServer) -> Cjt188Link:
    return Cjt188Link(TcpWire("127.0.0.1", server.port, timeout=10.0), timeout=1.0)


def meters(address: str) -> Site:
    return site(
        links=({"id": "line", "cjt188": address},),
        devices=({"id": "w", "kind": "water", "profile": "cjt188_water", "link": "line", "address": NUMBER},),
    )


def test_the_standards_question_is_built_as_printed() -> None:
    asked = bytes.fromhex("68 10 44 33 22 11 00 33 78 01 03 1F 90 00 80 16")
    assert encode(0x10, NUMBER, 0x01, b"\x1f\x90\x00") == asked
    (frame,) = frames(asked)
    assert (frame.meter_type, frame.address, frame.control, frame.item, frame.serial) == (0x10, NUMBER, 1, 0x901F, 0)


def test_the_printed_answer_has_a_wrong_check_sum_and_is_refused() -> None:
    printed = "68 10 44 33 22 11 00 33 78 81 16 1F 90 00 00 77 66 55 2C 00 77 66 55 2C 31 01 22 11 05 15 20 21 84 08 16"
    assert not list(frames(bytes.fromhex(printed)))


@given(st.binary(max_size=300))
def test_any_bytes_are_searched_without_a_fall(heard: bytes) -> None:
    assert all(len(number) == 14 for _, number, *_ in frames(heard))


@given(st.from_regex("[0-9]{14}", fullmatch=True), st.integers(0, 255), st.binary(max_size=100))
def test_what_was_framed_is_found(number: str, kind: int, data: bytes) -> None:
    sent = encode(kind, number, 0x81, data)
    assert (kind, number, 0x81, data) in list(frames(b"\xfe\xfe" + sent))


@pytest.mark.parametrize("turned", [False, True], ids=["1F 90", "90 1F"])
async def test_a_total_is_read_whichever_byte_of_the_item_goes_first(turned: bool) -> None:
    async with ItemServer(cjt188_meter(0x10, NUMBER, TOTAL, turned=turned)) as server:
        line = link(server)
        try:
            assert await line.read(station(0x10, NUMBER), 17, 0x901F << 8, 5) == bytes.fromhex("008800002C")
            assert await line.read_address() == (0x10, NUMBER)
            assert [number async for _, number in line.discover()] == [NUMBER]
        finally:
            await line.close()


async def test_an_error_answer_is_a_refusal_and_a_stranger_is_silence() -> None:
    async with ItemServer(cjt188_meter(0x10, NUMBER, TOTAL)) as server:
        line = link(server)
        try:
            with pytest.raises(MeterRefused, match="refuses item D120"):
                await line.read(station(0x10, NUMBER), 17, 0xD120 << 8, 4)
            with pytest.raises(NoAnswer):
                await line.read(station(0x10, "1"), 17, 0x901F << 8, 4)
        finally:
            await line.close()


async def test_the_collector_polls_a_water_meter_by_its_number() -> None:
    async with ItemServer(cjt188_meter(0x10, NUMBER, TOTAL)) as server:
        stream = Stream()
        subscription = stream.subscribe("test")
        async with Collector(meters(server.url), SystemClock(), stream), asyncio.timeout(30):
            batch: list[Reading] = await anext(aiter(subscription))
    assert batch[0].values == {"volume": 88.0}
    assert not batch[0].quality.flaws


async def test_a_unit_that_is_not_known_is_no_value() -> None:
    async with ItemServer(cjt188_meter(0x10, NUMBER, TOTAL.replace("2C", "99"))) as server:
        stream = Stream()
        subscription = stream.subscribe("test")
        async with Collector(meters(server.url), SystemClock(), stream), asyncio.timeout(30):
            batch: list[Reading] = await anext(aiter(subscription))
    assert batch[0].values == {}
    assert "volume" in batch[0].quality.flaws


def test_kind_and_number_make_the_station() -> None:
    one = Device(id="w", kind="water", address=NUMBER)
    assert station_of(one, load_profile("cjt188_water")) == 0x10 << 56 | int(NUMBER)


def test_frames_of_other_kinds_of_meter_are_told_by_their_type() -> None:
    (frame,) = frames(cjt188_frame(0x30, NUMBER, 0xC1, b"\x1f\x90\x02\x00\x00"))
    assert frame.meter_type == 0x30
    assert frame.refused


async def test_several_meters_on_one_line_are_told_with_the_way_out() -> None:
    """Two answer the only wildcard there is at once: what is heard is neither."""
    one, two = (cjt188_meter(0x10, number, TOTAL) for number in (NUMBER, "78330011223399"))

    def both(question: bytes) -> bytes:
        return bytes(a & b for a, b in zip(one(question), two(question), strict=True))

    async with ItemServer(both) as server:
        line = link(server)
        with pytest.raises(BadFrame, match="connect one at a time, or take the numbers from their plates"):
            assert [found async for found in line.discover()]
        await line.close()
