"""Modbus frames as bytes: published ones, captured traffic as a stream, and noise."""

from __future__ import annotations

import contextlib
import csv
import gzip
import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from building.errors import BadFrame, MeterRefused
from collector.links.frames import AsciiFraming, RtuFraming, answer_size, content, cut_tcp, question, tcp_question
from collector.links.wires import frame_gap
from tests.bus_parts import crc
from tests.parts import need_shared

RTU, ASCII = RtuFraming(), AsciiFraming()


def vectors(name: str) -> list[dict[str, Any]]:
    found = json.loads(need_shared("facts", "vectors", name).read_text("utf-8"))["vectors"]
    assert isinstance(found, list)
    return found


def body_of(decoded: Mapping[str, Any]) -> bytes:
    """The bytes from the function code on that a vector's meaning says."""
    function = decoded["function"]
    if "exception" in decoded:
        return bytes([function | 0x80, decoded["exception"]])
    if "registers" in decoded:
        words = decoded["registers"]
        return bytes([function, 2 * len(words)]) + struct.pack(f">{len(words)}H", *words)
    bits = decoded["bits_lsb_first"]
    packed = sum(bit << at for at, bit in enumerate(bits)).to_bytes((len(bits) + 7) // 8, "little")
    return bytes([function, len(packed)]) + packed


def test_published_rtu_requests_are_what_we_send() -> None:
    asked = [one for one in vectors("modbus_frames.json") if one["transport"] == "rtu" and one["role"] == "request"]
    reads = [one for one in asked if one["decoded"] and one["decoded"]["function"] <= 4]
    assert len(reads) >= 4
    for one in reads:
        decoded = one["decoded"]
        body = question(decoded["function"], decoded["address"], decoded["count"])
        assert RTU.question(decoded["unit"], body) == bytes.fromhex(one["bytes_hex"]), one["id"]


def test_published_rtu_answers_are_found_and_broken_ones_are_not() -> None:
    seen = 0
    for one in vectors("modbus_frames.json"):
        if one["transport"] != "rtu" or one["role"] not in ("response", "exception"):
            continue
        raw, decoded = bytes.fromhex(one["bytes_hex"]), one["decoded"]
        if decoded is None:
            assert RTU.find(raw, raw[0], raw[1], raw[2]) is None, one["id"]
            assert "check sum" in RTU.puzzle(raw, raw[0])
        elif decoded["function"] <= 4:
            size = raw[2] if "exception" not in decoded else 4
            for heard in (raw, b"\x00\xff" + raw, raw + raw):
                assert RTU.find(heard, decoded["unit"], decoded["function"], size) == body_of(decoded), one["id"]
            assert RTU.find(raw[:-1], decoded["unit"], decoded["function"], size) is None
        seen += 1
    assert seen >= 8


def test_published_tcp_frames_are_cut_and_mean_what_they_say() -> None:
    for one in vectors("modbus_frames.json"):
        if one["transport"] != "tcp" or one["role"] not in ("response", "exception", "invalid", "stream"):
            continue
        chunks = [bytes.fromhex(chunk) for chunk in one.get("chunks_hex", [one.get("bytes_hex", "")])]
        expected = one["decoded"] if isinstance(one["decoded"], list) else [one["decoded"]]
        if expected == [None]:
            with pytest.raises(BadFrame):
                cut_tcp(b"".join(chunks))
            continue
        found, kept = [], b""
        for chunk in chunks:
            frames, kept = cut_tcp(kept + chunk)
            found += frames
        assert found == [(d["transaction"], d["unit"], body_of(d)) for d in expected], one["id"]
        assert kept == b""


def test_the_silence_between_frames_is_that_of_the_published_table() -> None:
    for one in vectors("modbus_rtu_timing.json"):
        assert round(frame_gap(one["baud"]) * 1e6) == pytest.approx(one["t3_5_us"], abs=1)


def test_an_ascii_frame_is_as_the_specification_writes_it() -> None:
    """The example of the serial line guide's kind: unit 1 reads two input registers from 0; LRC by hand."""
    assert ASCII.question(1, question(4, 0, 2)) == b":010400000002F9\r\n"
    answer = b":0104044366800" + b"0CE\r\n"
    assert ASCII.find(b"noise\r\n" + answer, 1, 4, 4) == bytes.fromhex("04 04 43668000")
    assert ASCII.find(answer.replace(b"CE", b"CF"), 1, 4, 4) is None
    assert "unit 1 answered in place of unit 2" in ASCII.puzzle(answer, 2)
    assert ASCII.find(b":01840279\r\n", 1, 4, 4) == bytes.fromhex("84 02")


# -- captured traffic -------------------------------------------------------------------------------------------------


def segments(path: Path) -> Iterator[tuple[bytes, bytes, int, int, bytes]]:
    """TCP segments of a capture with Ethernet frames: addresses, ports, payload. Numbers beside are the frame's."""
    data = gzip.decompress(path.read_bytes())
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    at = 24
    while at + 16 <= len(data):
        size = struct.unpack_from(f"{order}I", data, at + 8)[0]
        frame = data[at + 16 : at + 16 + size]
        at += 16 + size
        if frame[12:14] != b"\x08\x00" or frame[23] != 6:
            yield b"", b"", 0, 0, b""
            continue
        ip = frame[14:]
        head = (ip[0] & 15) * 4
        tcp = ip[head : struct.unpack_from(">H", ip, 2)[0]]
        yield ip[12:16], ip[16:20], *struct.unpack_from(">HH", tcp), tcp[(tcp[12] >> 4) * 4 :]


@pytest.mark.parametrize("name", ["modbusSmall", "modbus_test", "modbus_test_data_part1"])
def test_captured_traffic_fed_as_a_stream_gives_the_registers_that_were_read(name: str) -> None:
    rows = list(
        csv.DictReader(
            gzip.decompress(need_shared("data", "protocol", f"{name}_expected.csv.gz").read_bytes())
            .decode()
            .splitlines()
        )
    )
    at_frame: dict[int, list[tuple[int, int, bytes]]] = {}
    kept: dict[tuple[bytes, bytes, int, int], bytes] = {}
    for number, (*ends, payload) in enumerate(segments(need_shared("data", "protocol", f"{name}.pcap.gz")), 1):
        if 502 not in ends[2:] or not payload:
            continue
        key = tuple(ends)
        for half in (payload[: len(payload) // 2], payload[len(payload) // 2 :]):  # cut where a network might
            try:
                frames, kept[key] = cut_tcp(kept.get(key, b"") + half)  # type: ignore[index, call-overload]
            except BadFrame:
                kept[key] = b""  # type: ignore[index]
                continue
            at_frame.setdefault(number, []).extend(frames)
    compared = 0
    for row in rows:
        if row["result"] != "ok" and not row["result"].startswith("exception"):
            continue
        transaction, unit, function = int(row["transaction"]), int(row["unit"]), int(row["function"])
        found = [f for f in at_frame.get(int(row["response_frame"]), ()) if f[:2] == (transaction, unit)]
        assert found, row
        if row["result"].startswith("exception"):
            with pytest.raises(MeterRefused) as refused:
                content(found[0][2], function, 1)
            assert refused.value.code == int(row["result"].split("_")[1])
        elif row["registers"]:
            words = [int(word) for word in row["registers"].split()]
            data = content(found[0][2], function, len(words))
            assert list(struct.unpack(f">{len(words)}H", data)) == words, row
        compared += 1
    print(f"{name}: {compared} of {len(rows)} rows compared")
    assert compared


# -- noise ------------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=600))
def test_no_bytes_break_the_cutters(data: bytes) -> None:
    try:
        frames, kept = cut_tcp(data)
        assert all(len(body) >= 1 for _, _, body in frames)
        assert len(kept) < 260
    except BadFrame:
        pass
    for framing in (RTU, ASCII):
        framing.find(data, 1, 3, 4)
        assert framing.puzzle(data, 1)


@given(st.lists(st.tuples(st.integers(0, 65535), st.integers(0, 247), st.integers(1, 125)), max_size=6), st.data())
def test_frames_come_out_the_same_however_the_stream_is_cut(
    asked: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    frames = [(number, unit, bytes([3, 2 * count]) + bytes(2 * count)) for number, unit, count in asked]
    stream = b"".join(struct.pack(">HHHB", number, 0, len(body) + 1, unit) + body for number, unit, body in frames)
    found: list[tuple[int, int, bytes]] = []
    kept = b""
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        more, kept = cut_tcp(kept + stream[:size])
        found += more
        stream = stream[size:]
    assert found == frames
    assert kept == b""


@given(st.integers(1, 247), st.integers(1, 125), st.binary(max_size=40), st.binary(max_size=40), st.randoms())
def test_an_rtu_answer_is_found_in_any_noise(unit: int, count: int, before: bytes, after: bytes, dice: Any) -> None:
    body = bytes([unit, 3, 2 * count]) + dice.randbytes(2 * count)
    assert RTU.find(before + body + crc(body) + after, unit, 3, 2 * count) is not None


@given(st.binary(min_size=1, max_size=300), st.integers(1, 4), st.integers(1, 125))
def test_an_answer_is_its_content_or_an_error_and_never_another_length(
    answer: bytes, function: int, count: int
) -> None:
    with contextlib.suppress(BadFrame, MeterRefused):
        assert len(content(answer, function, count)) == answer_size(function, count)


def test_bits_beyond_those_asked_for_are_not_passed_on() -> None:
    assert content(bytes([1, 1, 0xFF]), 1, 3) == b"\x07"


def test_a_question_is_the_bytes_of_the_specification() -> None:
    assert tcp_question(0x0C05, 0, 3, 124, 2).hex(" ") == "0c 05 00 00 00 06 00 03 00 7c 00 02"
