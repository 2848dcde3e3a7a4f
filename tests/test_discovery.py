"""Home Assistant's discovery messages: what they say is collected as if a page had been written for it."""

from __future__ import annotations

import json
import re
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from building.document import parse_document
from building.quantities import QUANTITIES
from building.site import Device
from collector.discovery import Entity, page_of, read_announcement
from collector.payloads import topics_of
from collector.profiles import Profile, parse_profile

TZ = ZoneInfo("Asia/Shanghai")
SENSOR = "homeassistant/sensor/x/config"


def announced(component: str, ident: str, **config: Any) -> Entity:
    entity = read_announcement(f"homeassistant/{component}/{ident}/config", json.dumps(config).encode())
    assert entity is not None
    return entity


def page(*entities: Entity) -> tuple[str, Profile]:
    made = page_of(entities)
    assert made is not None
    topic, content = made
    return topic, parse_profile(parse_document(json.dumps(content).encode(), "found.yaml"))


def said(profile: Profile, topic: str, at: str, payload: str) -> dict[str, Any]:
    device = Device(id="d", kind="sensor", topic=topic)
    values: dict[str, Any] = {}
    for name, reader in topics_of(profile, device, TZ):
        if name == at:
            values |= reader.decode(payload.encode()).values
    return values


METER = {
    "~": "building/meter7", "name": "Energy", "uniq_id": "m7e", "stat_t": "~/state",
    "dev": {"ids": ["m7"], "mf": "Acme"},
    "val_tpl": "{{ value_json.energy }}", "unit_of_meas": "Wh", "dev_cla": "energy", "stat_cla": "total_increasing",
    "avty_t": "~/online", "pl_avail": "1", "pl_not_avail": "0",
}  # fmt: skip


def test_a_meter_that_describes_itself_is_read_by_the_page_made_of_it() -> None:
    power = announced(
        "sensor",
        "p",
        **{**METER, "val_tpl": "{{ value_json['power'] | round(1) }}", "dev_cla": "power", "unit_of_meas": "kW"},
    )
    topic, profile = page(announced("sensor", "e", **METER), power)
    assert topic == "building/meter7"
    state = '{"energy": 1234500, "power": "1.5"}'
    assert said(profile, topic, "building/meter7/state", state) == {"energy_import": 1234.5, "active_power": 1500}
    assert said(profile, topic, "building/meter7/online", "0") == {"online": 0}
    assert said(profile, topic, "building/meter7/online", "1") == {"online": 1}
    assert profile.title.startswith("Acme")


def test_presence_and_windows_keep_their_meaning() -> None:
    """On of a window sensor means open there; here a contact of 1 is closed."""
    topic, profile = page(
        announced("binary_sensor", "w", state_topic="room/window", device_class="window", device={"identifiers": "r"}),
        announced(
            "binary_sensor", "o", state_topic="room/people", device_class="occupancy", device={"identifiers": "r"}
        ),
    )
    assert said(profile, topic, "room/window", "ON") == {"contact": 0}
    assert said(profile, topic, "room/people", "ON") == {"occupancy": 1}


def test_a_climate_is_mode_setpoint_and_room() -> None:
    topic, profile = page(
        announced(
            "climate", "ac", mode_stat_t="ac/mode", temp_stat_t="ac/target", curr_temp_t="ac/room",
            mode_stat_tpl="{{ value_json.mode }}",
        )
    )  # fmt: skip
    assert said(profile, topic, "ac/mode", '{"mode":"fan_only"}') == {"mode": "fan", "running": 1}
    assert said(profile, topic, "ac/target", "26") == {"setpoint": 26}
    assert said(profile, topic, "ac/room", "27.5") == {"temperature": 27.5}


def test_what_is_taken_back_is_deleted_and_makes_no_page() -> None:
    entity = read_announcement("homeassistant/sensor/meter7/energy/config", b"")
    assert entity == Entity("sensor", "meter7", "energy", True, {})
    assert page_of([entity]) is None


@pytest.mark.parametrize(
    "config",
    [
        {"state_topic": "a/b", "device_class": "energy", "unit_of_measurement": "MJ"},
        {"state_topic": "a/b", "device_class": "power", "value_template": "{{ value_json.a + 1 }}"},
        {"state_topic": "a/b", "device_class": "signal_strength"},
        {"device_class": "power"},
        {"state_topic": 7, "device_class": "power"},
    ],
)
def test_what_cannot_be_read_for_sure_is_left_out(config: dict[str, Any]) -> None:
    assert page_of([announced("sensor", "x", **config)]) is None


@given(st.text(max_size=60), st.binary(max_size=200))
def test_any_message_is_an_announcement_or_none(topic: str, payload: bytes) -> None:
    for where, known in ((topic, re.fullmatch(r"[^/]+(/[^/]+){2,3}/config", topic)), (SENSOR, True)):
        entity = read_announcement(where, payload)
        if entity is None:
            continue
        assert known, "no topic of an announcement"
        assert entity.deleted == (not payload.strip())
        if not entity.deleted:
            assert isinstance(json.loads(payload), dict)


def test_a_message_that_is_no_json_object_is_no_announcement() -> None:
    for payload in (b"[1]", b"7", b"{", b"\xff", b'"x"', b"null"):
        assert read_announcement(SENSOR, payload) is None
    entity = read_announcement(SENSOR, b'{"stat_t":"a"}')
    assert entity is not None
    assert entity.state_topic == "a"


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([
        "~", "stat_t", "state_topic", "val_tpl", "dev_cla", "device_class", "unit_of_meas", "avty_t", "avty", "dev",
        "ids", "pl_on", "mode_stat_t", "temp_stat_t", "topic", "t", "x",
    ]), inner, max_size=6),
    max_leaves=15,
)  # fmt: skip


@given(_json, st.sampled_from(["sensor", "binary_sensor", "switch", "climate", "light", "button"]))
def test_any_announcement_makes_a_right_page_or_none(content: Any, component: str) -> None:
    entity = read_announcement(f"homeassistant/{component}/x/config", json.dumps(content).encode())
    if entity is not None and (made := page_of([entity])) is not None:
        topic, content = made
        profile = parse_profile(parse_document(json.dumps(content).encode(), "found.yaml"))
        told = [value.quantity for part in profile.topics for value in part.values]
        assert told
        assert set(told) <= set(QUANTITIES)
        assert len(topics_of(profile, Device(id="d", kind="sensor", topic=topic), TZ)) == len(profile.topics)
