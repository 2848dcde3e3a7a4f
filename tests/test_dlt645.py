"""DL/T 645-2007: frames as printed in the standard's examples, and meters on loopback sockets and ptys."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from building.clock import SystemClock
from building.endpoints import parse_endpoint
from building.errors import BadFrame, ConfigError, MeterRefused, NoAnswer
from building.readings import Reading
from building.site import Device
from collector.asking import read_once
from collector.links.dlt645 import Dlt645Link, encode, frames
from collector.links.modbus import ModbusLink
from collector.links.wires import TcpWire
from collector.profiles import load_profile
from collector.service import Collector
from collector.stations import line_for, station_of
from collector.stream import Stream
from tests.item_parts import ItemPty, ItemServer, dlt645_frame, dlt645_meters
from tests.wire_parts import site

NUMBER = "202301154477"
SINGLE = {
    "02010100": "0123", "02020100": "214300", "02030000": "205081", "02060000": "7509", "02800002": "9849",
    "00010000": "42061200", "00020000": "00000000",
}  # fmt: skip
"""230.1 V, 4.321 A, -1.502 kW, 0.975, 49.98 Hz, 1206.42 kWh, 0 kWh: digits two to a byte, lowest first."""


def link(server: ItemServer) -> Dlt645Link:
    return Dlt645Link(TcpWire("127.0.0.1", server.port, timeout=10.0), timeout=1.0)


def meters(address: str, **keys: object) -> object:
    return site(
        links=({"id": "line", "dlt645": address},),
        devices=(
            {"id": "m", "kind": "electricity", "profile": "dlt645_single", "link": "line", "address": NUMBER, **keys},
        ),
    )


def test_the_standards_question_for_energy_is_built_as_printed() -> None:
    asked = bytes.fromhex("68 61 01 00 00 00 00 68 11 04 33 33 34 33 14 16")
    assert encode("000000000161", 0x11, (0x00010000).to_bytes(4, "little")) == asked
    (frame,) = frames(asked)
    assert (frame.address, frame.control, frame.item) == ("000000000161", 0x11, 0x00010000)


def test_the_standards_answer_of_100_volts_is_read() -> None:
    (frame,) = frames(bytes.fromhex("68 61 01 00 00 00 00 68 91 06 33 34 34 35 34 43 10 16"))
    assert (frame.item, frame.data[4:]) == (0x02010100, bytes.fromhex("0110"))


def test_a_frame_is_found_behind_wake_up_bytes_noise_and_another_frame() -> None:
    noise = b"\xfe\xfe\x68\x00\x68"
    heard = noise + dlt645_frame(NUMBER, 0x91, b"\x01\x02\x03\x04") + b"\xfe" + dlt645_frame(NUMBER, 0xD1, b"\x02")
    assert [frame.control for frame in frames(heard)] == [0x91, 0xD1]


def test_a_damaged_byte_anywhere_makes_it_no_frame() -> None:
    sound = dlt645_frame(NUMBER, 0x91, bytes(range(8)))
    for at in range(len(sound)):
        damaged = sound[:at] + bytes([sound[at] ^ 0x01]) + sound[at + 1 :]
        assert not list(frames(damaged)), at


@given(st.binary(max_size=300))
def test_any_bytes_are_searched_without_a_fall(heard: bytes) -> None:
    assert all(len(number) == 12 for number, *_ in frames(heard))


@given(st.from_regex("[0-9]{12}", fullmatch=True), st.binary(max_size=200), st.binary(max_size=30))
def test_what_was_framed_is_found_behind_anything_without_a_start(number: str, data: bytes, noise: bytes) -> None:
    sent = encode(number, 0x91, data)
    assert any(frame == (number, 0x91, data) for frame in frames(noise.replace(b"\x68", b"") + sent))


async def test_items_are_read_in_parts_and_what_is_not_there_is_refused() -> None:
    async with ItemServer(dlt645_meters((NUMBER, SINGLE))) as server:
        line = link(server)
        try:
            assert await line.read(int(NUMBER), 17, 0x02010100 << 8, 2) == bytes.fromhex("0123")
            assert await line.read(int(NUMBER), 17, (0x00010000 << 8) + 1, 3) == bytes.fromhex("061200")
            with pytest.raises(MeterRefused) as refused:
                await line.read(int(NUMBER), 17, 0x0201FF00 << 8, 6)
            assert refused.value.code == 2
            with pytest.raises(MeterRefused, match="only 2 bytes"):
                await line.read(int(NUMBER), 17, 0x02010100 << 8, 6)
            with pytest.raises(NoAnswer):
                await line.read(7, 17, 0x02010100 << 8, 2)
        finally:
            await line.close()


async def test_bytes_that_are_no_answer_are_a_bad_frame_and_the_next_question_is_clean() -> None:
    answers = [b"\x00\x11\x22", dlt645_frame("000000000001", 0x91, bytes.fromhex("000101020123")), b""]
    good = dlt645_meters((NUMBER, SINGLE))
    async with ItemServer(lambda question: answers.pop(0) if answers else good(question)) as server:
        line = link(server)
        try:
            for kind in (BadFrame, BadFrame, NoAnswer):
                with pytest.raises(kind):
                    await line.read(int(NUMBER), 17, 0x02010100 << 8, 2)
            assert await line.read(int(NUMBER), 17, 0x02010100 << 8, 2) == bytes.fromhex("0123")
        finally:
            await line.close()


async def test_the_only_meter_tells_its_number() -> None:
    async with ItemServer(dlt645_meters((NUMBER, SINGLE))) as server:
        line = link(server)
        assert [number async for _, number in line.discover()] == [NUMBER]
        await line.close()


async def test_several_meters_are_told_apart_digit_by_digit() -> None:
    several = ("202301154477", "202301154478", "202301159977")
    async with ItemServer(dlt645_meters(*((number, SINGLE) for number in several))) as server:
        line = Dlt645Link(TcpWire("127.0.0.1", server.port, timeout=10.0), timeout=0.03)
        found = {number async for _, number in line.discover() if number}
        await line.close()
    assert found == set(several)


async def test_the_collector_polls_a_meter_by_its_number() -> None:
    async with ItemServer(dlt645_meters((NUMBER, SINGLE))) as server:
        stream, clock = Stream(), SystemClock()
        subscription = stream.subscribe("test")
        async with Collector(meters(server.url), clock, stream):  # type: ignore[arg-type]
            async with asyncio.timeout(30):
                batch: list[Reading] = await anext(aiter(subscription))
    assert batch[0].values == pytest.approx(
        {
            "voltage": 230.1,
            "current": 4.321,
            "active_power": -1502.0,
            "power_factor": 0.975,
            "frequency": 49.98,
            "energy_import": 1206.42,
            "energy_export": 0.0,
        }
    )
    assert not batch[0].quality.flaws


async def test_a_meter_on_a_serial_port_is_read_once() -> None:
    with ItemPty(dlt645_meters((NUMBER, {**SINGLE, "00020000": "FFFFFFFF"}))) as port:
        answer = await read_once(meters(f"serial://{port.path}?baudrate=9600&parity=N"), "m", SystemClock())  # type: ignore[arg-type]
    assert answer.reading.values["voltage"] == 230.1
    assert "energy_export" not in answer.reading.values
    assert "digits" in answer.reading.quality.flaws["energy_export"].reason


async def test_what_a_meter_does_not_have_is_left_out_and_the_rest_is_good() -> None:
    items = {item: data for item, data in SINGLE.items() if item != "02800002"}
    async with ItemServer(dlt645_meters((NUMBER, items))) as server:
        answer = await read_once(meters(server.url), "m", SystemClock())  # type: ignore[arg-type]
    assert answer.reading.values["energy_import"] == 1206.42
    assert "02800002" in answer.reading.quality.flaws["frequency"].reason


def test_a_device_without_a_number_is_a_mistake() -> None:
    profile = load_profile("dlt645_single")
    with pytest.raises(ConfigError, match="up to 12 digits"):
        station_of(Device(id="m", kind="electricity", address="12-34"), profile)
    assert station_of(Device(id="m", kind="electricity", address="161"), profile) == 161


def test_the_line_for_a_dlt645_link_is_one() -> None:
    endpoint = parse_endpoint("dlt645", "tcp://127.0.0.1:8001")
    line: ModbusLink = line_for("dlt645", endpoint, [], timeout=1.0)
    assert isinstance(line, Dlt645Link)
