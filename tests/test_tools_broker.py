"""scan of a real broker: devices that describe themselves, and those known by their topics; record of what they say."""

from __future__ import annotations

import json
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
import yaml
from paho.mqtt.enums import CallbackAPIVersion
from typer.testing import CliRunner

from collector.profiles import load_profile
from greenwarden.cli import app
from tests.parts import Mosquitto

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


def publish(broker: Mosquitto) -> None:
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set(broker.username, broker.password)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    for topic, payload in SAID.items():
        client.publish(topic, payload, qos=1, retain=True).wait_for_publish(30)
    client.disconnect()
    client.loop_stop()


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
