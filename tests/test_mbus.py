"""M-Bus, wired and by radio: frames, records, and what is said of bytes that are none."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from building.errors import BadFrame
from collector.mbus import Frame, Record, Telegram, frames, read_answer, read_frame, read_records, short_frame
from collector.sparkplug import read_topic
from collector.wmbus import checksum, read_telegram

HEADER = bytes.fromhex("78563412 2423 01 07 55 00 0000")
"""Ident 12345678, maker HYD (0x2324), version 1, water, access 0x55, no error, plain."""


def long_frame(data: bytes, information: int = 0x72) -> bytes:
    body = bytes([0x08, 0x01, information]) + data
    return bytes([0x68, len(body), len(body), 0x68]) + body + bytes([sum(body) & 0xFF, 0x16])


def one(data: str) -> Record:
    records, trouble = read_records(bytes.fromhex(data))
    assert not trouble
    assert len(records) == 1
    return records[0]


@pytest.mark.parametrize(
    ("data", "quantity", "unit", "value"),
    [
        # EN 13757-3, annex C and the record examples of its chapter 6
        ("0C 14 27 04 85 02", "Volume", "m^3", 28504.27),
        ("0B 3B 27 01 00", "Volume flow", "m^3/h", 0.127),
        ("02 5A 67 01", "Flow temperature", "°C", 35.9),
        ("04 06 A4 04 00 00", "Energy", "Wh", 1_188_000.0),
        ("04 0E 01 00 00 00", "Energy", "J", 1_000_000.0),
        ("02 FD 49 E6 00", "Voltage", "V", 230.0),
        ("02 FD 59 10 27", "Current", "A", 10.0),
        ("04 FB 2C 50 C3 00 00", "Frequency", "Hz", 50.0),
        ("04 FB 00 02 00 00 00", "Energy", "Wh", 200_000.0),
        ("05 2B 00 00 80 3F", "Power", "W", 1.0),
        ("05 2B 00 00 C0 7F", "Power", "W", None),
        ("0A 5A 10 F0", "Flow temperature", "°C", -1.0),
        ("0A 5A AA AA", "Flow temperature", "°C", None),
        ("02 2B FE FF", "Power", "W", -2.0),
        ("01 FD 17 80", "Error flags", "", 128.0),
        ("02 6C 3F 0C", "Time point (date)", "-", "2001-12-31"),
        ("04 6D 38 08 6E 19", "Time point (date & time)", "-", "2011-09-14T08:56:00"),
        ("06 6D 3B 38 08 6E 19 00", "Time point (date & time)", "-", "2011-09-14T08:56:59"),
        ("04 6D 80 08 6E 19", "Time point (date & time)", "-", ""),
        ("0D FD 0B 05 31 32 48 46 57", "Parameter set identification", "", "WFH21"),
        ("0D 78 C2 34 12", "Fabrication No", "", 1234.0),
        ("0D 78 D1 05", "Fabrication No", "", -5.0),
        ("02 7C 03 48 52 25 2A 00", "%RH", "-", 42.0),
        ("02 FC 03 48 52 25 74 D4 11", "%RH", "-", 45.64),
        ("04 93 74 10 27 00 00", "Volume", "m^3", 0.1),
        ("04 93 7D 01 00 00 00", "Volume", "m^3", 1.0),
        ("02 DB 7A 01 00", "Flow temperature", "°C", 1.1),
        ("00 13", "Volume", "m^3", None),
    ],
)
def test_a_record_becomes_a_value_in_the_plain_unit(
    data: str, quantity: str, unit: str, value: float | str | None
) -> None:
    record = one(data)
    assert (record.quantity, record.unit) == (quantity, unit)
    assert record.value == (pytest.approx(value) if isinstance(value, float) else value)


def test_storage_tariff_and_subunit_stand_in_the_extensions_of_the_dif() -> None:
    record = one("8C 91 40 04 52 12 00 00")  # EN 13757-3: DIFE 91 40: storage 2, tariff 1, sub-unit 2
    assert (record.function, record.storage, record.tariff, record.subunit) == ("Instantaneous value", 2, 1, 2)
    assert one("5C 04 52 12 00 00")[:2] == ("Maximum value", 1)


def test_a_phase_is_told_by_the_standards_qualifier_and_by_the_makers_habit() -> None:
    assert one("02 FD C9 FC 02 E6 00").phase == 2
    assert one("02 FD C9 FF 03 E6 00").phase == 3
    assert one("02 FD 49 E6 00").phase is None


def test_what_stands_before_a_cut_record_is_kept() -> None:
    records, trouble = read_records(bytes.fromhex("0C 13 69 02 00 00 0C 13 01"))
    assert [record.value for record in records] == [0.269]
    assert "cut short" in trouble


def test_the_makers_own_rest_ends_the_records() -> None:
    records, trouble = read_records(bytes.fromhex("2F 2F 0C 13 69 02 00 00 0F 01 02 03"))
    assert [(record.function, record.value) for record in records] == [
        ("Instantaneous value", 0.269),
        ("Manufacturer specific", "01 02 03"),
    ]
    assert not trouble


def test_a_frame_is_found_between_other_bytes_and_names_its_meter() -> None:
    heard = b"\xff\x68\x05" + long_frame(HEADER + bytes.fromhex("0C 13 69 02 00 00")) + b"\x00"
    telegram = read_frame(heard)
    assert telegram[:6] == ("12345678", "HYD", 1, 7, 0x55, 0)
    assert telegram.medium_name == "Water"


def test_a_frame_with_a_wrong_sum_is_none() -> None:
    spoiled = bytearray(long_frame(HEADER))
    spoiled[8] ^= 1
    with pytest.raises(BadFrame, match="no sound M-Bus frame"):
        read_frame(bytes(spoiled))


def test_the_fixed_structure_holds_two_counters() -> None:
    """EN 13757-3 (1.0 of the M-Bus documentation, 6.2): 78 56 34 12 0A 00 E9 7E 01 00 00 00 35 01 00 00."""
    telegram = read_frame(long_frame(bytes.fromhex("78563412 0A 00 E9 7E 01000000 35010000"), 0x73))
    assert (telegram.ident, telegram.access) == ("12345678", 10)
    assert [(record.quantity, record.value) for record in telegram.records] == [("Volume", 0.001), ("Volume", 0.135)]


def test_enciphered_values_are_told_and_not_guessed() -> None:
    with pytest.raises(BadFrame, match="enciphered"):
        read_frame(long_frame(HEADER[:-2] + b"\x10\x05" + bytes(16)))
    with pytest.raises(BadFrame, match="enciphered"):
        read_telegram(bytes.fromhex("1E44AE4C9956341268077A36001005") + bytes(16))


def test_a_general_error_and_an_unknown_kind_are_sentences() -> None:
    with pytest.raises(BadFrame, match="application error 8"):
        read_answer(Frame(8, 1, 0x70, b"\x08"))
    with pytest.raises(BadFrame, match="CI 51"):
        read_answer(Frame(8, 1, 0x51, b""))


def test_a_short_frame_is_as_the_standard_prints_it() -> None:
    assert short_frame(0x40, 0x01).hex() == "1040014116"  # SND_NKE to address 1
    assert short_frame(0x5B, 0xFE).hex() == "105bfe5916"  # REQ_UD2 to any


def test_the_checksums_of_radio_blocks_are_taken_out() -> None:
    """Format A: the CRC of EN 13757-4 behind the first ten bytes, then behind every sixteen."""
    plain = bytes.fromhex("1E44AE4C9956341268077A360010002F2F0413181E0000023B00002F2F2F2F")
    blocks = [plain[:10], plain[10:26], plain[26:]]
    with_checks = b"".join(block + checksum(block).to_bytes(2, "big") for block in blocks)
    assert read_telegram(with_checks) == read_telegram(plain)
    assert read_telegram(plain).records[0].value == 7.704
    with pytest.raises(BadFrame, match="wrong checksum"):
        read_telegram(with_checks[:-1] + b"\x00")


def test_the_checksum_is_the_one_of_the_standard() -> None:
    assert checksum(b"123456789") == 0xC2B7  # CRC-16/EN-13757 of the usual test text


@given(st.binary(max_size=300))
@settings(max_examples=400)
def test_any_bytes_give_values_or_a_sentence(raw: bytes) -> None:
    assert all(frame.data in raw for frame in frames(raw))
    for read in (read_frame, read_telegram):
        found = telegram_or_sentence(read, raw)
        assert found
        assert isinstance(found, str) or all(is_sane(record) for record in found.records)


@given(st.binary(max_size=240), st.sampled_from([0x72, 0x73, 0x78]))
@settings(max_examples=600)
def test_any_records_in_a_sound_frame_give_finite_values(data: bytes, information: int) -> None:
    wired = (read_frame, long_frame(HEADER + data, information))
    radio = (read_telegram, bytes([len(data) + 10]) + b"\x44\x24\x23\x78\x56\x34\x12\x01\x07\x78" + data)
    for read, raw in (wired, radio):
        found = telegram_or_sentence(read, raw)
        assert found
        if not isinstance(found, str):
            assert found.ident == "12345678"
            assert all(is_sane(record) for record in found.records)


def telegram_or_sentence(read: Callable[[bytes], Telegram], raw: bytes) -> Telegram | str:
    try:
        return read(raw)
    except BadFrame as error:
        return str(error)


def is_sane(record: Record) -> bool:
    return (isinstance(record.value, str | None) or math.isfinite(record.value)) and record.storage >= 0


@pytest.mark.parametrize(
    ("topic", "kind", "silenced"),
    [
        ("spBv1.0/HQ/NBIRTH/gw1", "NBIRTH", None),
        ("spBv1.0/HQ/NDEATH/gw1", "NDEATH", "gw1"),
        ("spBv1.0/HQ/DDEATH/gw1/meter 3", "DDEATH", "meter 3"),
        ("spBv1.0/STATE/host-1", "STATE", None),
    ],
)
def test_a_sparkplug_topic_says_who_speaks_and_who_is_silent(topic: str, kind: str, silenced: str | None) -> None:
    speaker = read_topic(topic)
    assert speaker is not None
    assert (speaker.kind, speaker.silences) == (kind, silenced)


@pytest.mark.parametrize("topic", ["", "spBv1.0", "spBv1.0/HQ/NBIRTH", "spBv1.0/HQ/DBIRTH/gw1", "x/HQ/NBIRTH/gw1"])
def test_other_topics_are_not_sparkplug(topic: str) -> None:
    assert read_topic(topic) is None
