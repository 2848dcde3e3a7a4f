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
from collector.announcements import Entity, read_announcements
from collector.discovery import page_of
from collector.payloads import topics_of
from collector.profiles import Profile, parse_profile

TZ = ZoneInfo("Asia/Shanghai")
SENSOR = "homeassistant/sensor/x/config"


def announced(component: str, ident: str, **config: Any) -> Entity:
    entities = read_announcements(f"homeassistant/{component}/{ident}/config", json.dumps(config).encode())
    assert entities is not None
    (entity,) = entities
    return entity


def page(*entities: Entity) -> tuple[str, Profile]:
    made = page_of(entities)
    assert made is not None
    topic, content, _ = made
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
    entities = read_announcements("homeassistant/sensor/meter7/energy/config", b"")
    assert entities == (Entity("sensor", "meter7", "energy", True, {}),)
    assert page_of(entities) is None


# As Home Assistant's documents show it: one message, a sensor's two values, what they share above them.
WHOLE = {
    "dev": {"ids": "ea334450945afc", "name": "Kitchen", "mf": "Bla electronics", "mdl": "xya"},
    "o": {"name": "bla2mqtt", "sw": "2.1", "url": "https://bla2mqtt.example.com/support"},
    "cmps": {
        "t1": {
            "p": "sensor", "device_class": "temperature", "unit_of_measurement": "°C",
            "value_template": "{{ value_json.temperature}}", "unique_id": "temp01ae_t",
        },
        "h1": {
            "p": "sensor", "device_class": "humidity", "unit_of_measurement": "%",
            "value_template": "{{ value_json.humidity}}", "unique_id": "temp01ae_h",
        },
    },
    "state_topic": "sensorBedroom/state",
    "qos": 2,
}  # fmt: skip


def whole(**changes: Any) -> tuple[Entity, ...]:
    entities = read_announcements("homeassistant/device/0AFFD2/config", json.dumps({**WHOLE, **changes}).encode())
    assert entities is not None
    return entities


def test_one_message_describes_a_whole_device() -> None:
    assert [(entity.component, entity.object_id, entity.device) for entity in whole()] == [
        ("sensor", "t1", "ea334450945afc"), ("sensor", "h1", "ea334450945afc"),
    ]  # fmt: skip
    topic, profile = page(*whole())
    assert topic == "sensorBedroom/state"
    assert said(profile, topic, topic, '{"temperature": 21.5, "humidity": 40}') == {"temperature": 21.5, "humidity": 40}
    assert profile.title == "Bla electronics xya Kitchen"


def test_short_and_long_keys_and_a_node_of_a_whole_device_mean_the_same() -> None:
    content = {("components" if key == "cmps" else key): value for key, value in WHOLE.items()}
    content["components"] = {
        name: {("platform" if key == "p" else key): value for key, value in config.items()}
        for name, config in WHOLE["cmps"].items()  # type: ignore[attr-defined]
    }
    entities = read_announcements("homeassistant/device/node/0AFFD2/config", json.dumps(content).encode())
    assert entities is not None
    assert page_of(entities) == page_of(whole())


def test_what_a_component_says_itself_goes_before_what_all_share() -> None:
    components = {
        "t": {**WHOLE["cmps"]["t1"], "state_topic": "~/own", "avty_t": "~/here"},  # type: ignore[index]
        "h": WHOLE["cmps"]["h1"],  # type: ignore[index]
    }
    shared = {"~": "room/a", "avty": [{"t": "bridge/state"}], "pl_avail": "up", "pl_not_avail": "down"}
    first, second = whole(cmps=components, **shared)
    assert (first.state_topic, second.state_topic) == ("room/a/own", "sensorBedroom/state")
    assert first.availability is not None
    assert first.availability[0::2] == ("room/a/here", "up")
    assert second.availability is not None
    assert second.availability.topic == "bridge/state"


@pytest.mark.parametrize(
    "components",
    [{"t1": {"p": "sensor"}}, {"t1": ""}, {}, [], None, {"t1": {"device_class": "power"}}, {"t1": {"p": 7, "x": 1}}],
)
def test_components_that_are_gone_or_no_components_are_no_entities(components: Any) -> None:
    assert whole(cmps=components) == ()


def test_a_device_may_be_known_by_its_connections() -> None:
    entity = announced("sensor", "x", state_topic="a/b", dev={"cns": [["mac", "02:5b:26:a8:dc:12"]]})
    assert entity.device == "02:5b:26:a8:dc:12"


def test_of_several_values_of_one_quantity_one_is_read_whatever_came_first() -> None:
    """Two counters under one name would be neither; the total goes before what starts anew each day."""
    energy = {"device_class": "energy", "unit_of_measurement": "kWh", "device": {"identifiers": "m"}}
    total = announced("sensor", "t", state_topic="m/energy_total", state_class="total_increasing", **energy)
    today = announced("sensor", "d", state_topic="m/today", **energy)
    power = {"device_class": "power", "unit_of_measurement": "W", "state_topic": "m/state"}
    phases = [
        announced("sensor", name, value_template=f"{{{{ value_json.{name} }}}}", **power)
        for name in ("power_phase_b", "power", "power_phase_c")
    ]
    for order in ([total, today, *phases], [*reversed(phases), today, total]):
        made = page_of(order)
        assert made is not None
        assert set(made.several) == {"energy_import", "active_power"}
        topic, profile = page(*order)
        assert said(profile, topic, "m/energy_total", "1234.5") == {"energy_import": 1234.5}
        assert said(profile, topic, "m/today", "3.5") == {}
        assert said(profile, topic, "m/state", '{"power": 100, "power_phase_b": 7}') == {"active_power": 100}


def test_presence_is_asked_of_the_radar_and_not_of_its_motion() -> None:
    topic, profile = page(
        *(announced("binary_sensor", kind, state_topic=f"r/{kind}", device_class=kind) for kind in
          ("motion", "presence"))
    )  # fmt: skip
    assert said(profile, topic, "r/presence", "ON") == {"occupancy": 1}
    assert said(profile, topic, "r/motion", "OFF") == {}


def test_a_device_behind_a_bridge_is_there_when_it_says_so_itself() -> None:
    """Zigbee2MQTT names its own state first, then the device's; that of the bridge says nothing of the device."""
    template = "{{ value_json.state }}"
    places = [
        {"topic": "zigbee2mqtt/bridge/state", "value_template": template},
        {"topic": "zigbee2mqtt/plug/availability", "value_template": template},
    ]
    topic, profile = page(
        announced("switch", "s", state_topic="zigbee2mqtt/plug", value_template=template, availability=places)
    )
    assert said(profile, topic, "zigbee2mqtt/plug/availability", '{"state":"offline"}') == {"online": 0}
    assert said(profile, topic, "zigbee2mqtt/bridge/state", '{"state":"online"}') == {}


def test_a_light_that_speaks_json_is_read() -> None:
    topic, profile = page(announced("light", "l", schema="json", state_topic="z/lamp"))
    assert said(profile, topic, "z/lamp", '{"state":"ON","brightness":254}') == {"on": 1}


@pytest.mark.parametrize("change", ["multiply(0.001)", "add(3)", "abs", "log", "bitwise_and(1)"])
def test_a_template_that_changes_the_number_is_left_out(change: str) -> None:
    template = f"{{{{ value_json.power | float | {change} }}}}"
    config = {"state_topic": "a/b", "device_class": "power", "unit_of_measurement": "W", "value_template": template}
    assert page_of([announced("sensor", "x", **config)]) is None


@pytest.mark.parametrize("form", ["float(0) | round(2)", "int", "default(none) | float"])
def test_a_template_that_changes_only_the_form_is_read(form: str) -> None:
    template = f"{{{{ value_json.power | {form} }}}}"
    topic, profile = page(announced("sensor", "x", state_topic="a/b", device_class="power", val_tpl=template))
    assert said(profile, topic, "a/b", '{"power": 12}') == {"active_power": 12}


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
        entities = read_announcements(where, payload)
        if entities is None:
            continue
        assert known, "no topic of an announcement"
        assert all(entity.deleted == (not payload.strip()) for entity in entities)
        if payload.strip():
            assert isinstance(json.loads(payload), dict)


def test_a_message_that_is_no_json_object_is_no_announcement() -> None:
    for payload in (b"[1]", b"7", b"{", b"\xff", b'"x"', b"null"):
        assert read_announcements(SENSOR, payload) is None
    assert [entity.state_topic for entity in read_announcements(SENSOR, b'{"stat_t":"a"}') or ()] == ["a"]


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([
        "~", "stat_t", "state_topic", "val_tpl", "dev_cla", "device_class", "unit_of_meas", "avty_t", "avty", "dev",
        "ids", "pl_on", "mode_stat_t", "temp_stat_t", "topic", "t", "x", "cmps", "components", "p", "schema", "cns",
    ]), inner, max_size=6),
    max_leaves=15,
)  # fmt: skip


@given(_json, st.sampled_from(["sensor", "binary_sensor", "switch", "climate", "light", "button", "device"]))
def test_any_announcement_makes_a_right_page_or_none(content: Any, component: str) -> None:
    entities = read_announcements(f"homeassistant/{component}/x/config", json.dumps(content).encode())
    if entities and (made := page_of(entities)) is not None:
        topic, content, _ = made
        profile = parse_profile(parse_document(json.dumps(content).encode(), "found.yaml"))
        told = [value.quantity for part in profile.topics for value in part.values]
        assert told
        assert set(told) <= set(QUANTITIES)
        assert len(topics_of(profile, Device(id="d", kind="sensor", topic=topic), TZ)) == len(profile.topics)
