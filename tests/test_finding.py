"""Devices that announce themselves while the collector runs: taken up, followed, let go, and never obeyed blindly."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from building.site import DAY, Site
from collector.finding import Finder
from collector.storing.lines import LineEncoder
from tests.parts import Mosquitto, eventually
from tests.test_links_mqtt import Office, office, readings
from tests.wire_parts import site as site_of

METER = {
    "~": "building/meter7", "stat_t": "~/state", "val_tpl": "{{ value_json.power }}", "unit_of_meas": "kW",
    "dev_cla": "power", "dev": {"ids": ["meter7"], "name": "Kitchen [red]"},
}  # fmt: skip
ENERGY = {**METER, "val_tpl": "{{ value_json.energy }}", "unit_of_meas": "kWh", "dev_cla": "energy"}


def topic(name: str) -> str:
    return f"homeassistant/sensor/{name}/config"


def payload(**changes: Any) -> bytes:
    return json.dumps({**METER, **changes}).encode()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as one:
        yield one


def site(*devices: dict[str, object]) -> Site:
    return site_of(links=({"id": "broker", "mqtt": "mqtt://127.0.0.1:1883", "discovery": True},), devices=devices)


async def test_a_device_that_announces_itself_is_read_without_an_entry(broker: Mosquitto) -> None:
    async with office(broker, site()) as one:
        one.publish(topic("p"), payload(), retain=True)
        one.publish(topic("e"), json.dumps(ENERGY).encode(), retain=True)
        await known(one, "meter7", points=2)
        one.publish("building/meter7/state", b'{"power": 1.5, "energy": 12.25}', retain=True)
        reading = next(one for one in await readings(one.kept, 1) if one.values)
        assert reading.device == "meter7"
        assert reading.values == {"active_power": 1500, "energy_import": 12.25}
        device = one.site.device["meter7"]
        assert (device.kind, device.name, device.link) == ("electricity", "Kitchen [red]", "broker")
        line = LineEncoder(one.site).readings([reading]).decode()
        assert line.startswith("electricity,device=meter7")
        assert one.collector.health().devices["meter7"].answered == 1
        assert one.site.devices == ()


async def known(one: Office, device: str, *, points: int) -> None:
    """Wait until ``device`` and its announcements are known; a retained state comes when its topics are subscribed."""
    await eventually(lambda: device in one.site.device, f"{device} to be known")
    health = one.collector.health().links["broker"]
    await eventually(lambda: health.messages >= points, "the announcements")


async def test_a_device_that_announces_itself_in_one_message_is_read_and_let_go(broker: Mosquitto) -> None:
    components = {
        name: {"p": "sensor", "dev_cla": name, "unit_of_meas": unit, "val_tpl": f"{{{{ value_json.{name} }}}}"}
        for name, unit in (("power", "W"), ("energy", "kWh"))
    }
    whole = {"dev": {"ids": ["m8"], "name": "Pump"}, "o": {"name": "fw"}, "cmps": components, "stat_t": "cellar/pump"}
    async with office(broker, site()) as one:
        one.publish("homeassistant/device/m8/config", json.dumps(whole).encode(), retain=True)
        await known(one, "m8", points=1)
        one.publish("cellar/pump", b'{"power": 750, "energy": 12.25}', retain=True)
        assert [reading.values for reading in await readings(one.kept, 1)] == [
            {"active_power": 750, "energy_import": 12.25}
        ]
        one.publish("homeassistant/device/m8/config", b"", retain=True)
        one.publish(topic("p"), payload(), retain=True)
        await known(one, "meter7", points=4)
        one.publish("cellar/pump", b'{"power": 751}')
        one.publish("building/meter7/state", b'{"power": 1}', retain=True)
        last = (await readings(one.kept, 1))[-1]
        assert (last.device, last.values) == ("meter7", {"active_power": 1000})


async def test_announcements_kept_by_the_broker_serve_after_a_restart_too(broker: Mosquitto) -> None:
    async with office(broker, site()) as one:
        one.publish(topic("p"), payload(), retain=True)
        await known(one, "meter7", points=1)
    async with office(broker, site()) as one:
        await known(one, "meter7", points=1)
        one.publish("building/meter7/state", b'{"power": 2}', retain=True)
        assert [reading.values for reading in await readings(one.kept, 1)] == [{"active_power": 2000}]


async def test_a_device_of_the_file_is_not_collected_twice(broker: Mosquitto) -> None:
    mine = {"id": "mine", "kind": "plug", "profile": "tasmota_plug", "link": "broker", "topic": "p1"}
    async with office(broker, site(mine)) as one:
        same = payload(**{"~": "tele/p1", "stat_t": "~/SENSOR", "val_tpl": "{{ value_json.ENERGY.Power }}"})
        one.publish(topic("p"), same, retain=True)
        one.publish("tele/p1/SENSOR", b'{"ENERGY": {"Power": 5}}')
        assert [reading.device for reading in await readings(one.kept, 1)] == ["mine"]
        assert set(one.site.device) == {"mine"}


async def test_a_device_that_takes_its_words_back_is_read_no_more(broker: Mosquitto) -> None:
    async with office(broker, site()) as one:
        one.publish(topic("p"), payload(), retain=True)
        one.publish(topic("q"), payload(**{"~": "b", "dev": {"ids": ["other"]}}), retain=True)
        await known(one, "other", points=2)
        one.publish(topic("p"), b"", retain=True)
        await known(one, "other", points=3)
        one.publish("building/meter7/state", b'{"power": 1}', retain=True)
        one.publish("b/state", b'{"power": 1}', retain=True)
        assert [reading.device for reading in await readings(one.kept, 1)] == ["other"]


def heard(*messages: tuple[str, bytes]) -> Finder:
    finder = Finder("broker", {"meter7"})
    for name, body in messages:
        finder.hear(topic(name), body)
    return finder


def test_an_id_that_the_file_has_gets_the_link_in_front() -> None:
    (found,) = heard(("p", payload())).changes()
    assert found.device.id == "broker/meter7"


def test_changes_are_told_once_and_only_when_there_are_some() -> None:
    finder = heard(("p", payload()), ("p", payload()))
    assert len(finder.changes()) == 1
    finder.hear(topic("p"), payload())
    assert finder.changes() == []
    finder.hear(topic("p"), b"")
    assert [found.profile for found in finder.changes()] == [None]


@pytest.mark.parametrize("state", ["#", "building/+/state", "$SYS/broker/load", "a{topic}b", "x" * 600, ""])
def test_a_topic_that_could_be_many_is_refused(state: str) -> None:
    finder = heard(("p", payload(stat_t=state)))
    assert all(found.profile is None for found in finder.changes())


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"dev_cla": "water", "unit_of_meas": "m³"}, "water"),
        ({"dev_cla": "gas", "unit_of_meas": "m³"}, "gas"),
        ({"dev_cla": "temperature", "unit_of_meas": "°C"}, "sensor"),
        ({"dev_cla": "voltage", "unit_of_meas": "V"}, "electricity"),
    ],
)
def test_the_kind_is_told_by_what_it_measures(config: dict[str, str], kind: str) -> None:
    (found,) = heard(("p", payload(**config))).changes()
    assert found.device.kind == kind


def test_a_value_holds_as_long_as_the_announcement_says() -> None:
    assert heard(("p", payload(exp_aft=900))).changes()[0].device.max_age == 900_000
    assert heard(("p", payload())).changes()[0].device.max_age == DAY


def test_no_broker_makes_us_remember_without_end() -> None:
    finder = Finder("broker", ())
    for number in range(1200):
        finder.hear(topic(f"p{number}"), payload(dev={"ids": [f"d{number}"]}))
    for number in range(300):
        finder.hear(topic(f"q{number}"), payload(dev={"ids": ["d1"]}, val_tpl=f"{{{{ value_json.p{number} }}}}"))
    assert len(finder.changes()) == 1000
    assert len(finder._devices["d1"]) == 100


def test_a_whole_device_counts_by_its_components_and_is_replaced_whole() -> None:
    def message(names: Iterable[str]) -> bytes:
        components = {
            name: {"p": "sensor", "dev_cla": "power", "val_tpl": f"{{{{ value_json.{name} }}}}"} for name in names
        }
        return json.dumps({"dev": {"ids": "d1"}, "stat_t": "a/b", "cmps": components}).encode()

    finder, place = Finder("broker", ()), "homeassistant/device/d1/config"
    assert finder.hear(place, message(f"p{number}" for number in range(100)))
    assert finder.hear("homeassistant/device/d1/other/config", message(["one_too_many"]))
    assert len(finder.changes()) == 1
    assert list(finder._devices["d1"]) == [place]
    assert finder.hear(place, message(["power"]))
    (found,) = finder.changes()
    assert found.profile is not None
    assert [point.path for point in found.profile.topics[0].values] == [("power",)]
    assert finder.hear(place, message([]))
    assert [found.profile for found in finder.changes()] == [None]


def test_a_second_value_of_one_quantity_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    finder = heard(("p", payload()), ("q", payload(val_tpl="{{ value_json.power_b }}")))
    finder.changes()
    finder.hear(topic("r"), payload(val_tpl="{{ value_json.power_c }}"))
    finder.changes()
    assert [record.message for record in caplog.records] == [
        "device 'broker/meter7' announces more than one active_power; one is read. Give it a page of its own for the "
        "others: docs/new-meter.md"
    ]


@given(st.lists(st.tuples(st.text(max_size=12), st.binary(max_size=200) | st.builds(
    lambda name, ids, stat: json.dumps({**METER, "dev": {"ids": ids, "name": name}, "stat_t": stat}).encode(),
    st.text(max_size=20), st.lists(st.text(max_size=12), max_size=2), st.text(max_size=20),
)), max_size=8))  # fmt: skip
def test_any_announcements_make_devices_or_nothing(messages: list[tuple[str, bytes]]) -> None:
    finder = Finder("broker", {"meter7"})
    for name, body in messages:
        finder.hear(f"homeassistant/sensor/{name}/config", body)
    for found in finder.changes():
        assert found.device.id
        assert found.device.name.isprintable()
        assert not set("+#") & set(found.device.topic or "")


def test_other_messages_are_no_announcements() -> None:
    assert not Finder("broker", ()).hear("building/meter7/state", b"1")
