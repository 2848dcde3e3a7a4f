"""scan of a real broker: devices that describe themselves, and those known by their topics; record of what they say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
import yaml
from paho.mqtt.enums import CallbackAPIVersion
from typer.testing import CliRunner

from building.waiting import hang_up
from collector.profiles import load_profile
from greenwarden import terminal
from greenwarden.cli import app
from tests.parts import Mosquitto, free_port

SAID = {
    "tele/dispenser/LWT": "Online",
    "zigbee2mqtt/pir": '{"occupancy":true,"battery":97}',
    "shellies/shellyplug-s-112233/online": "true",
    "homeassistant/sensor/meter7/energy/config": json.dumps(
        {
            "~": "building/meter7", "stat_t": "~/state", "val_tpl": "{{ value_json.energy }}", "unit_of_meas": "kWh",
            "dev_cla": "energy", "dev": {"ids": ["meter 7"]},
        }
    ),
    "building/meter7/state": '{"energy": 12.5, "Id": "030597946B04"}',
}  # fmt: skip


def publish(broker: Mosquitto, said: Mapping[str, str] = SAID) -> None:
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set(broker.username, broker.password)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    for topic, payload in said.items():
        client.publish(topic, payload, qos=1, retain=True).wait_for_publish(30)
    hang_up(client)


def site_file(folder: Path, broker: Mosquitto, *devices: dict[str, object]) -> Path:
    path = folder / "devices.yaml"
    link = {"id": "broker", "mqtt": f"mqtt://127.0.0.1:{broker.port}", "username": broker.username}
    content = {"version": 1, "links": [{**link, "password": "${WORD}"}], "devices": list(devices)}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output


def test_scan_lists_who_speaks_and_writes_pages_for_those_who_describe_themselves(
    mosquitto: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORD", mosquitto.password)
    publish(mosquitto)
    path = site_file(tmp_path, mosquitto)
    code, output = run("scan", "broker", "--site", str(path), "--seconds", "2", "--write", "--json")
    assert code == 0, output
    found = {one["where"]: one for one in json.loads(output)["found"]}
    assert {one["profile"] for one in found.values()} == {
        "tasmota_plug", "zigbee2mqtt_sensor", "shelly_gen1", "found_meter_7",
    }  # fmt: skip
    assert found["topic building/meter7/state"]["values"] == {"energy_import": ""}
    page = load_profile("found_meter_7", tmp_path / "profiles")
    assert page.quantities == ("energy_import",)

    device = {
        "id": "m7",
        "kind": "electricity",
        "profile": "found_meter_7",
        "link": "broker",
        "topic": "building/meter7/state",
    }
    path = site_file(tmp_path, mosquitto, device)
    code, output = run("record", "m7", "--site", str(path), "--timeout", "10")
    assert code == 0, output
    written = (tmp_path / "recordings" / "found_meter_7" / "m7.yaml").read_text("utf-8")
    assert "030597946B04" not in written
    assert yaml.safe_load(written)["expect"] == {"energy_import": 12.5}
    code, output = run(
        "decode", "found_meter_7", str(tmp_path / "recordings/found_meter_7/m7.yaml"), "--site", str(path)
    )
    assert code == 0, output


def test_what_scan_writes_for_devices_yaml_is_yaml_whatever_a_device_calls_itself(
    mosquitto: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORD", mosquitto.password)
    power = {"dev_cla": "power", "unit_of_meas": "W"}
    odd = ("会议室, x: 1/state", "机房, id: [/state")
    meters = {
        f"homeassistant/sensor/{number}/config": {**power, "stat_t": topic, "dev": {"ids": [topic[:2]]}}
        for number, topic in enumerate(odd)
    }
    gas = {"dev": {"ids": "gas1"}, "stat_t": "cellar/gas", "cmps": {"v": {"p": "sensor", "dev_cla": "gas"}}}
    publish(mosquitto, {topic: json.dumps(said) for topic, said in meters.items()})
    publish(mosquitto, {"homeassistant/device/gas1/config": json.dumps(gas), "tele/on/LWT": "\x1b[2JOnline"})
    path = site_file(tmp_path, mosquitto)
    code, output = run("scan", "broker", "--site", str(path), "--seconds", "2", "--write", "--json")
    assert code == 0, output
    lines = [yaml.safe_load(one["line"])[0] for one in json.loads(output)["found"]]
    found = {one["topic"]: (one["kind"], one["profile"]) for one in lines}
    assert found["cellar/gas"] == ("gas", "found_gas1")
    assert found["on"] == ("plug", "tasmota_plug")
    assert {found[topic] for topic in odd} == {("electricity", "found_device"), ("electricity", "found_device_2")}
    assert all(load_profile(found[topic][1], tmp_path / "profiles").quantities == ("active_power",) for topic in odd)
    code, output = run("scan", "broker", "--site", str(path), "--seconds", "1")
    assert code == 0, output
    assert "Online" in output
    assert "\x1b" not in output


def plug(name: str) -> dict[str, object]:
    return {"id": name, "kind": "plug", "profile": "tasmota_plug", "link": "broker", "topic": name}


def test_read_waits_for_more_than_a_last_will_and_takes_what_comes_together(
    mosquitto: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORD", mosquitto.password)
    publish(mosquitto, {"tele/p1/LWT": "Online"})
    path = site_file(tmp_path, mosquitto, plug("p1"))
    code, output = run("read", "p1", "--site", str(path), "--timeout", "1", "--json")
    assert code == 0, output
    assert json.loads(output)["values"] == {"online": 1}
    publish(mosquitto, {"tele/p1/SENSOR": '{"ENERGY":{"Power":12}}', "tele/p1/STATE": '{"POWER":"ON"}'})
    code, output = run("read", "p1", "--site", str(path), "--timeout", "20", "--json")
    assert code == 0, output
    said = json.loads(output)
    assert said["values"] == {"online": 1, "on": 1, "active_power": 12}
    assert len(said["messages"]) == 3
    assert said["remark"].startswith("kept by the broker")


@pytest.mark.parametrize("name", ["tele", "Power", "p1", "shellyplus1pm-a8032abe54dc"])
def test_a_recording_decodes_whatever_the_device_is_called(
    mosquitto: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Its name goes out of topics and values, and out of no key that happens to hold the same letters."""
    monkeypatch.setenv("WORD", mosquitto.password)
    payload = {"Src": name, "ENERGY": {"Power": 12, "Total": 3.5}, "Topic": f"cmnd/{name}/POWER"}
    publish(mosquitto, {f"tele/{name}/SENSOR": json.dumps(payload)})
    path = site_file(tmp_path, mosquitto, {**plug("p"), "topic": name})
    code, output = run("record", "p", "--site", str(path), "--timeout", "20", "--to", str(tmp_path / "r.yaml"))
    assert code == 0, output
    text = (tmp_path / "r.yaml").read_text("utf-8")
    (message,) = yaml.safe_load(text)["messages"]
    assert message["topic"] == "tele/device/SENSOR"
    said = json.loads(message["payload"])
    assert said["ENERGY"] == payload["ENERGY"]
    assert said["Src"] == (name if len(name) < 4 else "device")
    code, output = run("decode", "tasmota_plug", str(tmp_path / "r.yaml"), "--site", str(path))
    assert code == 0, output


def test_doctor_tells_a_plug_that_is_gone_from_one_that_speaks(
    mosquitto: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORD", mosquitto.password)
    publish(mosquitto, {"tele/good/SENSOR": '{"ENERGY":{"Power":12}}', "tele/gone/LWT": "Offline"})
    path = site_file(tmp_path, mosquitto, plug("good"), plug("gone"), plug("never"))
    code, output = run("doctor", "--site", str(path), "--patience", "1", "--json")
    assert code == 1, output
    good, gone, never = json.loads(output)["devices"]
    assert (good["well"], good["advice"]) == (True, [])
    assert (gone["well"], gone["errors"]) == (False, {})
    assert "its last will says that it is gone" in gone["advice"][0]
    assert (never["well"], never["errors"]) == (False, {"silence": 1})
    assert run("doctor", "good", "--site", str(path))[0] == 0


def test_doctor_tells_a_broker_that_is_away_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORD", "x")
    link = {"id": "broker", "mqtt": f"mqtt://127.0.0.1:{free_port()}"}
    path = tmp_path / "devices.yaml"
    path.write_text(json.dumps({"version": 1, "links": [link], "devices": [plug("a"), plug("b")]}), encoding="utf-8")
    code, output = run("doctor", "--site", str(path), "--json")
    assert code == 1
    told = json.loads(output)
    assert told["devices"] == []
    assert "cannot be used" in told["links_down"]["broker"]


def test_nothing_from_outside_steers_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.complain("a\x1b]0;title\x07b\x9b2Jc [bold]d[/]\u4e2d")
    assert capsys.readouterr().err == "error: a\ufffd]0;title\ufffdb\ufffd2Jc [bold]d[/]\u4e2d\n"
