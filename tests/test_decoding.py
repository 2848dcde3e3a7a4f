"""Decoding registers and payloads: published vectors, every format, every order, and what is no value."""

from __future__ import annotations

import json
import math
import struct
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from building.errors import BadFrame, ConfigError
from building.quantities import QUANTITIES
from building.readings import Grade
from building.site import Device
from collector.decoding import decode_block, decode_registers, decode_value
from collector.payloads import topics_of
from collector.planning import identity_points
from collector.profiles import STANDARD_MARKS, Profile, load_profile
from tests.parts import ROOT, need_shared

TZ = ZoneInfo("Asia/Shanghai")


def vectors(name: str) -> list[dict[str, Any]]:
    path = ROOT.parent / "shared" / "facts" / "vectors" / name
    return list(json.loads(path.read_text("utf-8"))["vectors"]) if path.exists() else []


def page(*rows: dict[str, object], **keys: object) -> Profile:
    return Profile.model_validate({"title": "t", "source": "s", "protocol": "modbus", "registers": rows, **keys})


def device(**keys: object) -> Device:
    return Device.model_validate({"id": "d", "kind": "electricity", **keys})


def words(text: str) -> bytes:
    return bytes.fromhex(text)


def test_the_vectors_are_there() -> None:
    need_shared("facts", "vectors", "modbus_decode.json")
    assert len(vectors("modbus_decode.json")) == 36


@pytest.mark.parametrize("vector", vectors("modbus_decode.json"), ids=lambda one: str(one["id"]))
def test_number_formats_decode_as_published(vector: dict[str, Any]) -> None:
    kind, expected = vector["datatype"], vector["expected"]
    marks = STANDARD_MARKS.get(kind, ()) if expected is None else ()
    found = decode_value(kind, vector["order"], words("".join(vector["registers"])), marks)
    assert found == (None if expected is None else pytest.approx(expected, rel=1e-7))


PAGES = {
    "Eastron SDM120": "eastron_sdm120",
    "Eastron SDM630": "eastron_sdm630",
    "Pulse counter WB-MCM8": "pulse_counter",
    "Intesis INMBS": "intesis_inmbs",
}
OURS = {"room_temperature": "temperature"}


@pytest.mark.parametrize(
    "vector",
    [one for one in vectors("modbus_device_registers.json") if one["device"] in PAGES],
    ids=lambda one: str(one["id"]),
)
def test_register_blocks_of_meters_decode_as_published(vector: dict[str, Any]) -> None:
    request, data = vector["request"], words("".join(vector["registers"]))
    profile = load_profile(PAGES[vector["device"]])
    for point in vector["expected"]:
        name, wanted, one = OURS.get(point["quantity"], point["quantity"]), point["value"], device()
        if name.startswith("pulses_"):
            one = device(kind="water", channel=int(name[-1]) - 1, litres_per_pulse=10)
            name, wanted = "volume", wanted / 100
        elif name == "window_open":
            name, wanted = "contact", 1 - wanted
        elif name not in QUANTITIES:
            continue
        values, flaws = decode_registers(profile, one, request["function"], request["address"], data)
        assert values[name] == (
            wanted if isinstance(wanted, str) else pytest.approx(wanted, abs=point["tolerance"] + 1e-6)
        )
        assert name not in flaws


# -- formats ----------------------------------------------------------------------------------------------------------

FORMATS = {"u16": ">H", "s16": ">h", "u32": ">I", "s32": ">i", "u64": ">Q", "s64": ">q", "f32": ">f", "f64": ">d"}


def arrive(natural: bytes, order: str) -> bytes:
    """Natural (big-endian) bytes as a meter of that order sends them, from the table in words and bytes."""
    pairs = [natural[at : at + 2] for at in range(0, len(natural), 2)]
    if order in ("CDAB", "DCBA"):
        pairs.reverse()
    if order in ("BADC", "DCBA"):
        pairs = [pair[::-1] for pair in pairs]
    return b"".join(pairs)


@given(
    st.sampled_from(sorted(FORMATS)),
    st.sampled_from(["ABCD", "CDAB", "BADC", "DCBA"]),
    st.binary(min_size=8, max_size=8),
)
def test_every_format_in_every_order_is_the_number_that_was_sent(kind: str, order: str, raw: bytes) -> None:
    natural = raw[: struct.calcsize(FORMATS[kind])]
    (sent,) = struct.unpack(FORMATS[kind], natural)
    found = decode_value(kind, order, arrive(natural, order))
    assert found == (sent if math.isfinite(sent) else None)


def test_points_of_all_orders_and_widths_stand_in_one_block() -> None:
    profile = page(
        {"quantity": "voltage_l1", "address": 0, "type": "f32"},
        {"quantity": "voltage_l2", "address": 2, "type": "f32", "order": "CDAB"},
        {"quantity": "voltage_l3", "address": 4, "type": "f32", "order": "BADC"},
        {"quantity": "current", "address": 7, "type": "u16", "scale": 0.01},
        {"quantity": "energy_import", "address": 8, "type": "u64", "scale": 0.01, "order": "DCBA"},
    )
    natural = struct.pack(">f", 230.5)
    data = natural + arrive(natural, "CDAB") + arrive(natural, "BADC") + b"\xff\xff" + struct.pack(">H", 1234)
    data += arrive(struct.pack(">Q", 123456789), "DCBA")
    values, flaws = decode_registers(profile, device(), 3, 0, data)
    assert values == {
        "voltage_l1": 230.5, "voltage_l2": 230.5, "voltage_l3": 230.5, "current": 12.34, "energy_import": 1234567.89,
    }  # fmt: skip
    assert not flaws


def test_two_quantities_may_come_from_one_register() -> None:
    profile = page({"quantity": "on", "address": 0}, {"quantity": "running", "address": 0})
    assert decode_registers(profile, device(), 3, 0, words("0001"))[0] == {"on": 1, "running": 1}


def test_bits_of_coils_are_read_lowest_first() -> None:
    profile = page(
        {"quantity": "on", "address": 3, "type": "bit", "table": "coil"},
        {"quantity": "contact", "address": 9, "type": "bit", "table": "coil"},
    )
    assert decode_registers(profile, device(), 1, 0, bytes([0b0000_1000, 0]))[0] == {"on": 1, "contact": 0}


def test_bits_within_a_register_are_cut_out_before_their_words() -> None:
    """Daikin DTA116A51 status: bit 0 of word 0 on, bits 8 to 11 of word 1 the mode now."""
    profile = page(
        {"quantity": "on", "address": 2000, "bits": (0, 1)},
        {"quantity": "mode", "address": 2001, "bits": (8, 4), "words": {"2": "cool", "1": "heat"}},
        table="input",
    )
    assert decode_registers(profile, device(), 4, 2000, words("30290202"))[0] == {"on": 1, "mode": "cool"}


def test_scale_registers_are_powers_of_ten_and_their_absence_is_no_scale() -> None:
    """SunSpec model 203: 1234 with scale -2 is 12.34 A; scale 0x8000 is not implemented."""
    profile = page(
        {"quantity": "current", "address": 0, "type": "s16", "tens": "sf"},
        {"name": "sf", "address": 1, "type": "s16", "none": 0x8000},
    )
    assert decode_registers(profile, device(), 3, 0, words("04D2FFFE"))[0] == {"current": 12.34}
    values, flaws = decode_registers(profile, device(), 3, 0, words("04D28000"))
    assert values == {}
    assert flaws["current"].grade is Grade.BAD


def test_a_ratio_register_multiplies() -> None:
    profile = page(
        {"quantity": "active_power", "address": 0, "type": "s16", "times": "ct"}, {"name": "ct", "address": 1}
    )
    assert decode_registers(profile, device(), 3, 0, words("FFF60028"))[0] == {"active_power": -400}


def test_a_ratio_and_a_power_of_ten_act_together() -> None:
    """A ratio below one multiplies, whatever stands beside it: 1000 x 0.4 x 10^-1 is 40 A."""
    profile = page(
        {"quantity": "current", "address": 0, "type": "s16", "times": "ct", "tens": "sf"},
        {"name": "ct", "address": 1, "scale": 0.1},
        {"name": "sf", "address": 2, "type": "s16"},
    )
    assert decode_registers(profile, device(), 3, 0, words("03E80004FFFF"))[0]["current"] == pytest.approx(40)
    assert decode_registers(profile, device(), 3, 0, words("000300040002"))[0]["current"] == pytest.approx(120)


def test_digits_that_are_none_are_no_number() -> None:
    for kind, data in (("bcd16", "12A4"), ("mod10k_32", "0001FFFF")):
        profile = page({"quantity": "energy_import", "address": 0, "type": kind})
        values, flaws = decode_registers(profile, device(), 3, 0, words(data))
        assert values == {}
        assert flaws["energy_import"].grade is Grade.BAD


def test_sign_and_magnitude_is_read() -> None:
    profile = page({"quantity": "temperature", "address": 0, "type": "sm16", "scale": 0.1})
    assert decode_registers(profile, device(), 3, 0, words("8032"))[0] == {"temperature": -5.0}


# -- the device's own settings ----------------------------------------------------------------------------------------


def test_transformer_ratios_raise_what_they_concern() -> None:
    """Acrel DTSD1352: voltage x PT, current x CT, power and energy x PT x CT."""
    profile = page(
        {"quantity": "voltage_l1", "address": 0, "scale": 0.1},
        {"quantity": "current_l1", "address": 1, "scale": 0.01},
        {"quantity": "active_power", "address": 2, "type": "s32", "scale": 0.001, "unit": "kW"},
        {"quantity": "frequency", "address": 4, "scale": 0.01},
    )
    data = words("089B") + words("01F4") + words("0000 0297".replace(" ", "")) + words("1388")
    values, _ = decode_registers(profile, device(ct_ratio=20.0, vt_ratio=2.0), 3, 0, data)
    assert values == {"voltage_l1": 440.6, "current_l1": 100.0, "active_power": 26520.0, "frequency": 50.0}


def test_an_inverted_meter_turns_power_and_swaps_the_energies() -> None:
    data = b"".join(struct.pack(">f", value) for value in (230.5, 100.0, 7.0, 3.0))
    profile = page(
        {"quantity": "voltage", "address": 0, "type": "f32"},
        {"quantity": "active_power", "address": 2, "type": "f32"},
        {"quantity": "energy_import", "address": 4, "type": "f32"},
        {"quantity": "energy_export", "address": 6, "type": "f32"},
    )
    values, _ = decode_registers(profile, device(invert=True), 3, 0, data)
    assert values == {"voltage": 230.5, "active_power": -100.0, "energy_import": 3.0, "energy_export": 7.0}


def test_pulses_become_cubic_metres_exactly() -> None:
    one = device(kind="water", litres_per_pulse=10)
    values, _ = decode_registers(load_profile("pulse_counter"), one, 4, 60, words("00010001"))
    assert values == {"volume": 655.37}


def test_a_counter_of_pulses_without_their_weight_is_a_mistake_in_the_file() -> None:
    with pytest.raises(ConfigError, match="litres_per_pulse"):
        decode_registers(load_profile("pulse_counter"), device(kind="water"), 4, 60, words("00010001"))


def test_an_inverted_or_transformed_meter_on_mqtt_is_turned_and_raised_too() -> None:
    payload = b'{"apower":-100.0,"aenergy":{"total":1000},"voltage":230.0}'
    device_keys = {"invert": True, "ct_ratio": 2.0}
    found = decoded("shelly_gen2", "t/status/switch:0", payload, **device_keys)
    assert found.values == {"active_power": 200.0, "energy_export": 2.0, "voltage": 230.0}


# -- no value, implausible --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", ["7FC00000", "FFC00000", "FFFFFFFF", "7F800000", "FF800000"])
def test_nan_and_infinities_are_no_value_and_never_zero(mark: str) -> None:
    profile = load_profile("eastron_sdm120")
    values, flaws = decode_registers(profile, device(), 4, 0, words(mark))
    assert values == {}
    assert flaws["voltage"].grade is Grade.BAD


def test_a_mark_belongs_to_the_point() -> None:
    rows = {"quantity": "energy_import", "address": 0, "type": "u32"}
    assert decode_registers(page(rows), device(), 3, 0, words("FFFFFFFF"))[0] == {"energy_import": 4294967295}
    marked = page({**rows, "none": "standard"})
    assert decode_registers(marked, device(), 3, 0, words("FFFFFFFF"))[0] == {}


def test_an_implausible_value_is_kept_and_flawed() -> None:
    values, flaws = decode_registers(load_profile("eastron_sdm120"), device(), 4, 0, struct.pack(">f", 2.3e23))
    assert values["voltage"] == pytest.approx(2.3e23)
    assert flaws["voltage"].grade is Grade.BAD
    assert "outside" in flaws["voltage"].reason


def test_an_unknown_mode_number_is_unknown_and_says_what_is_known() -> None:
    values, flaws = decode_registers(load_profile("intesis_inmbs"), device(kind="aircon"), 3, 0, words("00010009"))
    assert values == {"on": 1, "running": 1}
    assert "9 is none of" in flaws["mode"].reason


@given(st.binary(min_size=100, max_size=100), st.sampled_from(["ABCD", "CDAB", "BADC", "DCBA"]))
def test_any_registers_decode_to_finite_numbers_or_flaws(data: bytes, order: str) -> None:
    for name, function in (("eastron_sdm630", 4), ("intesis_inmbs", 3)):
        profile = load_profile(name)
        values, flaws = decode_registers(profile, device(kind="aircon", order=order), function, 0, data)
        for quantity, value in values.items():
            assert isinstance(value, str) or math.isfinite(value)
            if not isinstance(value, str) and not QUANTITIES[quantity].plausible(value):
                assert quantity in flaws


# -- payloads ---------------------------------------------------------------------------------------------------------


def decoded(profile: str, topic: str, payload: bytes, **keys: object) -> Any:
    one = device(kind="plug", topic="t", **keys)
    return next(reader for name, reader in topics_of(load_profile(profile), one, TZ) if name == topic).decode(payload)


@pytest.mark.parametrize(("channel", "power", "total"), [(None, 30.0, 3.75), (0, 10.0, 1.5), (1, 20.0, 2.25)])
def test_lists_are_the_sum_or_the_channel_of_the_device(channel: int | None, power: float, total: float) -> None:
    payload = b'{"ENERGY":{"Total":[1.5,2.25],"Power":[10,20],"Voltage":230,"Factor":[0.9,0.8]}}'
    keys = {} if channel is None else {"channel": channel}
    found = decoded("tasmota_plug", "tele/t/SENSOR", payload, **keys)
    assert (found.values["active_power"], found.values["energy_import"]) == (power, total)
    assert found.values.get("power_factor") == {None: None, 0: 0.9, 1: 0.8}[channel]
    assert not found.flaws


def test_a_channel_that_is_not_there_is_a_flaw() -> None:
    found = decoded("tasmota_plug", "tele/t/SENSOR", b'{"ENERGY":{"Power":[10,20]}}', channel=5)
    assert found.values == {}
    assert "no channel 5" in found.flaws["active_power"].reason


@pytest.mark.parametrize(
    ("payload", "values", "flawed"),
    [
        (b'{"power":100,"power_phase_b":20,"power_phase_c":3}', {"active_power": 123, "active_power_l1": 100}, []),
        (b'{"power":100,"power_phase_b":20}', {"active_power_l1": 100}, []),
        (b'{"power":100,"power_phase_b":20,"power_phase_c":null}', {"active_power_l1": 100}, ["active_power"]),
        (b'{"power":100,"power_phase_b":20,"power_phase_c":"x"}', {"active_power_l1": 100}, ["active_power"]),
        (b'{"power":100}', {"active_power": 100}, []),
    ],
)
def test_the_sum_of_phases_is_told_only_when_all_of_them_are_there(
    payload: bytes, values: dict[str, float], flawed: list[str]
) -> None:
    told = decoded("zigbee2mqtt_sensor", "zigbee2mqtt/t", payload)
    assert {name: told.values.get(name) for name in ("active_power", "active_power_l1")} == {
        "active_power": values.get("active_power"), "active_power_l1": values.get("active_power_l1"),
    }  # fmt: skip
    assert [name for name in told.flaws if name == "active_power"] == flawed


def test_the_units_of_a_tuf_2000m_stand_where_its_manual_counts_1437_and_1438() -> None:
    told = decode_block(load_profile("tuf_2000m"), device(), 3, 1436, words("00020000"))
    assert (told.details["flow_unit"], told.details["total_unit"]) == (2, 0)


def test_the_relay_of_a_channel_has_its_own_name() -> None:
    payload = b'{"POWER1":"ON","POWER2":"OFF"}'
    assert decoded("tasmota_plug", "tele/t/STATE", payload, channel=1).values == {"on": 0}
    assert decoded("tasmota_plug", "tele/t/STATE", payload).values == {"on": 1}


@pytest.mark.parametrize("payload", [b"online", b'{"state":"online"}', b'"online"'])
def test_availability_is_read_in_both_forms(payload: bytes) -> None:
    assert decoded("zigbee2mqtt_sensor", "zigbee2mqtt/t/availability", payload).values == {"online": 1}


def test_the_cell_of_a_battery_sensor_is_no_mains_voltage() -> None:
    payload = b'{"battery":97,"voltage":3005,"occupancy":true}'
    assert decoded("zigbee2mqtt_sensor", "zigbee2mqtt/t", payload).values == {"battery": 97, "occupancy": 1}


@pytest.mark.parametrize(("mode", "setpoint"), [("cool", 26), ("heat", 20)])
def test_a_thermostat_with_two_setpoints_tells_the_one_that_counts(mode: str, setpoint: float) -> None:
    payload = {"occupied_heating_setpoint": 20, "occupied_cooling_setpoint": 26, "system_mode": mode}
    found = decoded("zigbee2mqtt_sensor", "zigbee2mqtt/t", json.dumps(payload).encode())
    assert found.values == {"setpoint": setpoint, "mode": mode}


def test_a_message_without_anything_of_ours_says_nothing() -> None:
    found = decoded("tasmota_plug", "stat/t/RESULT", b'{"PowerDelta":10}')
    assert (found.values, found.flaws) == ({}, {})


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([
        "ENERGY", "SML", "Power", "Voltage", "Total", "Factor", "POWER", "Time", "TempUnit", "DS18B20", "Temperature",
        "state", "power", "battery", "occupancy", "contact", "system_mode", "last_seen", "StatusSNS", "x",
    ]), inner, max_size=6),
    max_leaves=20,
)  # fmt: skip


@given(_json)
def test_any_json_becomes_true_values_flaws_or_a_bad_frame(content: object) -> None:
    payload = json.dumps(content).encode()
    for name in ("tasmota_plug", "zigbee2mqtt_sensor"):
        for _, reader in topics_of(load_profile(name), device(kind="plug", topic="t"), TZ):
            try:
                found = reader.decode(payload)
            except BadFrame:
                continue
            for quantity, value in found.values.items():
                assert isinstance(value, str) or math.isfinite(value)
                if isinstance(value, str):
                    assert value in QUANTITIES[quantity].words


@given(st.binary(max_size=300))
def test_any_bytes_become_values_or_a_bad_frame(payload: bytes) -> None:
    for _, reader in topics_of(load_profile("tasmota_plug"), device(kind="plug", topic="t"), TZ):
        try:
            found = reader.decode(payload)
        except BadFrame:
            continue
        assert set(found.values) <= {"on", "online"}


def test_letters_are_shown_and_are_no_quantity() -> None:
    """A Shelly Pro 3EM says its MAC address in six registers of two letters each, whatever the order of its words."""
    page, device = load_profile("shelly_pro3em_modbus"), Device(id="d", kind="electricity", unit=1)
    decoded = decode_block(page, device, 4, 0, b"2CBCBBA1B2\0\0")
    assert decoded.details == {"mac": "2CBCBBA1B2"}
    assert [point.row.name for point in identity_points(page, device)] == ["mac"]
