"""The simulated registers against the published examples: what stands where, and in which form, is the makers'."""

from __future__ import annotations

import json
import math
import re
import struct
from typing import Any

import pytest
import yaml

from building.document import parse_document
from building.site import Site, build_site
from simulators.building import OfficeBuilding
from simulators.cjt188 import frame as cjt188_frame
from simulators.cjt188 import present
from simulators.cjt188 import split as split_cjt188
from simulators.dlt645 import bcd, frame, split
from simulators.families import players_of
from simulators.framing import crc
from simulators.registers import Refused
from simulators.registers.meters import MODELS
from simulators.registers.tables import Table, encode, length
from simulators.registers.units import images_of
from tests.parts import ROOT, need_shared
from tests.simulators_parts import at

NAMES = {
    "voltage": "v", "current": "i1p", "active_power": "p", "apparent_power": "s", "reactive_power": "q",
    "power_factor": "pf", "frequency": "hz", "energy_import": "imp", "energy_export": "exp",
}  # fmt: skip
SI = {"kWh": 1.0, "W": 1.0, "V": 1.0, "A": 1.0, "Hz": 1.0, "VA": 1.0, "var": 1.0, "": 1.0}


def vectors(name: str) -> list[dict[str, Any]]:
    return list(json.loads(need_shared("facts", "vectors", name).read_text(encoding="utf-8"))["vectors"])


def table_of(device: str) -> Table | None:
    """The table for a device as the vectors call it."""
    word = re.sub(r"[^a-z0-9]+", "_", device.lower())
    return next((table for pattern, table in MODELS if re.search(pattern, word)), None)


def decoded(raw: bytes, form: str, *, low_word_first: bool) -> float:
    """A value out of its words, by the struct module."""
    words = [raw[at : at + 2] for at in range(0, len(raw), 2)]
    raw = b"".join(reversed(words) if low_word_first else words)
    letter = {"u16": "H", "s16": "h", "u32": "I", "s32": "i", "u64": "Q", "s64": "q", "f32": "f", "f64": "d"}[form]
    return float(struct.unpack(">" + letter, raw)[0])


def test_every_published_example_of_a_meter_reads_the_same_through_our_table() -> None:
    seen = 0
    for vector in vectors("modbus_device_registers.json"):
        table = table_of(vector["device"])
        if table is None or "SunSpec" in vector["device"]:
            continue
        assert vector["request"]["function"] in table.functions, vector["id"]
        raw = bytes.fromhex("".join(vector["registers"]))
        for wanted in vector["expected"]:
            seen += _compare(table, vector, raw, wanted)
    assert seen > 60


def _compare(table: Table, vector: dict[str, Any], raw: bytes, wanted: dict[str, Any]) -> int:
    stem = re.sub(r"_l([123])$", r"\1", wanted["quantity"])
    name = NAMES.get(stem.rstrip("123"))
    if name is None or wanted["value"] is None:
        return 0
    row = next((row for row in table.rows if row[0] == wanted["address"]), None)
    assert row is not None, f"{vector['id']}: nothing at {wanted['address']}"
    phase = stem[len(stem.rstrip("123")) :]
    allowed = {name, name + phase} | ({"i", f"i{phase}"} if name == "i1p" else set())
    assert row[1] in allowed, f"{vector['id']} {wanted['quantity']}: {row[1]}"
    at_byte = 2 * (wanted["address"] - vector["request"]["address"])
    words = raw[at_byte : at_byte + 2 * length(row[2])]
    ratio = 20 if "CT ratio 20" in vector.get("note", "") and name in ("i1p", "p") else 1
    value = decoded(words, row[2], low_word_first=table.low_word_first) / row[3] * ratio
    tolerance = max(wanted.get("tolerance") or 0.0, abs(wanted["value"]) * 1e-6, 1e-9)
    assert value == pytest.approx(wanted["value"], abs=tolerance), f"{vector['id']} {wanted['quantity']}"
    assert encode(value / ratio * row[3], row[2], low_word_first=table.low_word_first) == words
    return 1


def test_no_value_is_marked_as_the_makers_mark_it() -> None:
    assert encode(math.nan, "u32") == b"\xff\xff\xff\xff"
    assert encode(math.nan, "s16") == b"\x7f\xff"
    assert math.isnan(struct.unpack(">f", encode(math.nan, "f32"))[0])


def test_published_modbus_frames_have_our_check_sum() -> None:
    assert crc(bytes.fromhex("010300000001")) == bytes.fromhex("840A")  # the protocol text's own example
    checked = 0
    for vector in vectors("modbus_frames.json"):
        raw = bytes.fromhex(str(vector.get("bytes_hex", "")).replace(" ", ""))
        if vector.get("framing") == "rtu" and vector.get("crc_ok") and len(raw) > 3:
            assert crc(raw[:-2]) == raw[-2:], vector["id"]
            checked += 1
    print(f"{checked} published RTU frames")


def test_published_dlt645_frames_are_made_and_taken_apart_the_same() -> None:
    for vector in vectors("dlt645_2007_frames.json"):
        raw = bytes.fromhex(vector["bytes_hex"])
        parts = list(split(bytearray(raw)))
        if not vector["checksum_ok"]:
            assert parts == []
            continue
        ((address, control, data),) = parts
        told = vector["decoded"]
        assert address[::-1].hex() == told["address"]
        assert f"{control:02X}" == told["control"]
        assert data[:4][::-1].hex().upper() == told["di"]
        assert frame(told["address"], control, data) == raw.lstrip(b"\xfe")
    assert bcd(1206.42, 8, 2) == bytes.fromhex("42061200")
    assert bcd(-0.1502, 6, 4, signed=True) == bytes.fromhex("021580")


def test_published_cjt188_frames_are_made_and_taken_apart_the_same() -> None:
    for vector in vectors("cjt188_frames.json"):
        raw = bytes.fromhex(vector["bytes_hex"])
        parts = list(split_cjt188(bytearray(raw)))
        if not vector["checksum_ok"]:
            assert parts == []
            continue
        ((kind, address, control, data),) = parts
        assert address[::-1].hex() == vector["decoded"]["address"]
        assert cjt188_frame(kind, vector["decoded"]["address"], control, data) == raw.lstrip(b"\xfe")
    from datetime import datetime

    whole = present(88.0, 80.25, datetime(2025, 12, 31, 23, 59, 59))
    assert whole[:-2] == bytes.fromhex("008800002C258000002C59592331122520")


MODBUS = """
zones: [{id: "1", headcount: 3, area: 40}]
links: [{id: bus, modbus: "tcp://127.0.0.1:502"}]
devices:
  - {id: m, kind: KIND, profile: PROFILE, link: bus, unit: 7, zone: "1", rated_power: 1500, circuit: CIRCUIT}
"""


@pytest.mark.parametrize(
    ("profile", "function", "address", "form", "factor", "swap"),
    [
        ("schneider_iem3000", 3, 0x0BF3, "f32", 0.001, False),
        ("abb_b23", 3, 0x5B14, "s32", 100, False),
        ("carlo_gavazzi_em340", 4, 0x28, "s32", 10, True),
        ("janitza_umg", 3, 19026, "f32", 1, False),
        ("chint_dtsu666", 3, 0x2012, "f32", 10, False),
        ("finder_7m", 4, 2536, "f32", 1, False),
        ("siemens_pac2200", 3, 65, "f32", 1, False),
        ("orno_we516", 3, 0x1C, "f32", 0.001, False),
        ("pzem_016", 4, 3, "u32", 10, True),
    ],
)
def test_the_power_on_the_wire_is_the_power_in_the_building(
    profile: str, function: int, address: int, form: str, factor: float, *, swap: bool
) -> None:
    text = MODBUS.replace("KIND", "electricity").replace("PROFILE", profile).replace("CIRCUIT", "sockets")
    site = build_site(parse_document(text.encode(), "devices.yaml"))
    building = OfficeBuilding(site, 1, start=at("2026-07-01 10:00"))
    raw = images_of(building, site.link["bus"])[7].read(function, address, length(form))
    assert decoded(raw, form, low_word_first=swap) / factor == pytest.approx(1500, rel=1e-4)
    with pytest.raises(Refused):
        images_of(building, site.link["bus"])[7].read(function, 0xFFF0, 2)


GATEWAYS = ("intesis_inmbs", "mitsubishi_a1m", "coolmasternet", "daikin_dta116a51", "onokom_vrf")


@pytest.mark.parametrize("profile", GATEWAYS)
def test_modes_and_setpoints_are_numbered_as_each_gateway_numbers_them(profile: str) -> None:
    places = {
        "intesis_inmbs": (3, 1, 4, 4, 260), "mitsubishi_a1m": (3, 0, 3, 1, 260), "coolmasternet": (3, 1, 0, 3, 260),
        "daikin_dta116a51": (4, 2001, 0x0202, 2002, 260), "onokom_vrf": (3, 10001, 2, 10005, 2600),
    }  # fmt: skip
    function, mode_at, cool, setpoint_at, setpoint = places[profile]
    text = MODBUS.replace("KIND", "aircon").replace("PROFILE", profile).replace(", circuit: CIRCUIT", "")
    site = build_site(parse_document(text.encode(), "devices.yaml"))
    image = images_of(OfficeBuilding(site, 1, start=at("2026-07-01 10:00")), site.link["bus"])[7]
    assert int.from_bytes(image.read(function, mode_at, 1), "big") == cool
    assert int.from_bytes(image.read(function, setpoint_at, 1), "big") == setpoint


def test_every_profile_that_ships_can_be_rehearsed() -> None:
    pages = sorted((ROOT / "collector" / "profiles").glob("*.yaml"))
    assert len(pages) > 40
    for page in pages:
        content = yaml.safe_load(page.read_text(encoding="utf-8"))
        protocol, kinds = content["protocol"], content.get("kinds") or ["plug"]
        kind = next(kind for kind in ("electricity", "water", "aircon", "sensor", "plug", *kinds) if kind in kinds)
        if page.stem == "wmbusmeters":
            kind = "water"
        text = f"""
zones: [{{id: "1", headcount: 3, area: 40}}]
links: [{{id: bus, {protocol}: "{"mqtt" if protocol == "mqtt" else "tcp"}://127.0.0.1:8001"}}]
devices:
  - {{id: d, kind: {kind}, profile: {page.stem}, link: bus, unit: 7, topic: d, zone: "1"}}
"""
        site = Site.model_validate(parse_document(text.encode(), "devices.yaml").content)
        building = OfficeBuilding(site, 1, start=at("2026-07-01 10:00"))
        if protocol == "modbus":
            assert 7 in images_of(building, site.link["bus"]), page.stem
        elif protocol == "mqtt":
            assert players_of(building, site.link["bus"])[0].speak(building.now), page.stem
        else:
            assert protocol in ("dlt645", "cjt188"), page.stem
