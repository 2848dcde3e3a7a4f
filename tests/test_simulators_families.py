"""MQTT families as their makers write them, and the building they speak of."""

from __future__ import annotations

import json

import pytest

from building.document import parse_document
from building.errors import ConfigError
from building.site import build_site
from simulators.building import OfficeBuilding
from simulators.families import players_of
from simulators.faults import Fault, Kind
from simulators.payloads import Message
from tests.simulators_parts import HOUR, MINUTE, at

MORNING = at("2026-07-01 10:00")


def spoken(device: str, minutes: int = 3, faults: tuple[Fault, ...] = ()) -> tuple[OfficeBuilding, list[Message]]:
    """What one device publishes within some minutes of a summer morning."""
    text = f"""
zones: [{{id: z, headcount: 3, area: 40}}, {{id: wc, use: toilet}}]
links: [{{id: broker, mqtt: "mqtt://127.0.0.1:1883"}}]
devices:
  - {{id: d, link: broker, topic: node, every: 60s, {device}}}
"""
    site = build_site(parse_document(text.encode(), "devices.yaml"))
    building = OfficeBuilding(site, 1, faults, start=MORNING)
    (player,) = players_of(building, site.link["broker"])
    said, moment = list(player.speak(MORNING)), MORNING
    while (moment := player.next_after(moment)) <= MORNING + minutes * MINUTE:
        building.advance(moment)
        said += player.speak(moment)
    return building, said


def last(said: list[Message], topic: str) -> bytes:
    return [message.payload for message in said if message.topic == topic][-1]


def test_shelly_of_the_first_generation_counts_watt_minutes_as_text() -> None:
    building, said = spoken("kind: plug, zone: z, profile: shelly_gen1, appliance: 电脑")
    assert last(said, "shellies/node/relay/0") == b"on"
    assert 60 <= float(last(said, "shellies/node/relay/0/power")) <= 115
    energy = int(last(said, "shellies/node/relay/0/energy"))
    assert energy / 60_000 == pytest.approx(building.meters["d"].energy, abs=0.01)
    assert last(said, "shellies/node/online") == b"true"


def test_shelly_of_the_second_generation_tells_changes_and_whole_components() -> None:
    building, said = spoken("kind: plug, zone: z, profile: shelly_gen2, appliance: 电脑")
    status = json.loads(last(said, "node/status/switch:0"))
    assert {"id", "source", "output", "apower", "voltage", "current", "pf", "aenergy", "temperature"} <= set(status)
    assert status["aenergy"]["total"] / 1000 == pytest.approx(building.meters["d"].energy, abs=0.01)
    event = json.loads(last(said, "node/events/rpc"))
    assert event["method"] == "NotifyStatus"
    assert set(event["params"]["switch:0"]) == {"id", "output", "apower"}
    building, said = spoken("kind: electricity, circuit: sockets, zone: z, rated_power: 900, profile: shelly_gen2")
    whole = json.loads(last(said, "node/status/em:0"))
    assert whole["total_act_power"] == pytest.approx(900)
    assert sum(whole[f"{phase}_act_power"] for phase in "abc") == pytest.approx(900, abs=0.2)
    energy = json.loads(last(said, "node/status/emdata:0"))["total_act"]
    assert energy / 1000 == pytest.approx(building.meters["d"].energy, abs=0.02)


def test_zigbee_plugs_and_esphome_nodes_speak_their_own_way() -> None:
    _, said = spoken("kind: plug, zone: z, profile: zigbee2mqtt_sensor, appliance: 电脑")
    assert set(json.loads(last(said, "zigbee2mqtt/node"))) == {
        "current", "energy", "linkquality", "power", "state", "voltage",
    }  # fmt: skip
    building, said = spoken("kind: aircon, zone: z, profile: esphome, rated_power: 1500")
    assert last(said, "node/climate/ac/mode/state") == b"cool"
    assert last(said, "node/climate/ac/target_temperature/state") == b"26.0"
    room = float(last(said, "node/climate/ac/current_temperature/state"))
    assert room == pytest.approx(building.temperature(building.site.device["d"]), abs=0.1)
    _, said = spoken("kind: sensor, zone: z, profile: esphome")
    assert 400 < float(last(said, "node/sensor/co2/state")) < 1500
    assert last(said, "node/binary_sensor/presence/state") in (b"ON", b"OFF")
    assert all(message.retain for message in said if message.topic.endswith("/state"))


def test_a_radio_water_meter_tells_what_has_passed() -> None:
    building, said = spoken("kind: water, zone: wc, profile: wmbusmeters")
    told = json.loads(last(said, "wmbusmeters/node"))
    assert told["total_m3"] == pytest.approx(building.pulses(building.site.device["d"])[0] / 1000)
    assert told["timestamp"].endswith("Z")


def test_faults_of_messages_are_as_named() -> None:
    plug = "kind: plug, zone: z, profile: tasmota_plug, appliance: 电脑"

    def reports(kind: Kind, amount: float | None = None) -> list[dict[str, object]]:
        fault = Fault(kind, "d", MORNING - HOUR, MORNING + HOUR, amount)
        _, said = spoken(plug, 6, (fault,))
        return [json.loads(message.payload) for message in said if message.topic == "tele/node/SENSOR"]

    _, sound = spoken(plug, 6)
    plain = [json.loads(message.payload) for message in sound if message.topic == "tele/node/SENSOR"]
    assert [one["Time"] for one in reports(Kind.DUPLICATE)] == [one["Time"] for one in plain for _ in range(2)]
    overtaken = [str(one["Time"]) for one in reports(Kind.OUT_OF_ORDER)]
    assert overtaken != sorted(overtaken)
    assert str(reports(Kind.CLOCK_WRONG)[0]["Time"])[11:13] == "11"
    assert len({json.dumps(one) for one in reports(Kind.FROZEN)}) == 1
    nothing = reports(Kind.NO_VALUE)[0]["ENERGY"]
    assert isinstance(nothing, dict)
    assert nothing["Power"] is None


def test_what_cannot_be_played_is_named_with_what_can() -> None:
    with pytest.raises(ConfigError, match=r"strange of kind sensor cannot be simulated; MQTT"):
        spoken("kind: sensor, zone: z, profile: strange")
