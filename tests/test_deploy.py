"""The files of a first installation: they hold together, hold no default password, and work where it can be tried."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from paho.mqtt.client import Client, ConnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from building.waiting import hang_up
from greenwarden.door import data_folder, open_site
from tests.parts import ROOT, Server, need, until

DEPLOY: Final = ROOT / "deploy"
PROVISIONING: Final = ROOT / "dashboards" / "grafana" / "provisioning"
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]
SETTINGS: Final = dict(
    line.split("=", 1)
    for line in (DEPLOY / ".env.example").read_text(encoding="utf-8").splitlines()
    if re.match("[A-Z]", line)
)
FILLED: Final = {name: value or "x" * 24 for name, value in SETTINGS.items()}


# -- compose ----------------------------------------------------------------------------------------------------------


def test_every_variable_of_compose_is_in_the_example_and_every_secret_must_be_set() -> None:
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    used = set(re.findall(r"\$\{(\w+)", text))
    assert used == SETTINGS.keys()
    for name, value in SETTINGS.items():
        secret = name.endswith(("PASSWORD", "TOKEN"))
        assert bool(value) is not secret, "no secret has a default"
        if secret:
            assert re.findall(rf"\$\{{{name}(.)", text) == [":"] * text.count(f"${{{name}"), "must be set"
            assert f"${{{name}:?" in text


def test_every_service_that_stays_starts_again_and_is_watched() -> None:
    assert SERVICES.keys() == {"mosquitto", "influxdb", "dashboards", "grafana", "greenwarden"}
    image = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    for name, service in SERVICES.items():
        assert "no-new-privileges:true" in service["security_opt"]
        assert not service.get("privileged")
        if name == "dashboards":  # writes files, and ends
            continue
        assert service["restart"] == "unless-stopped"
        assert "healthcheck" in service or (name == "greenwarden" and "HEALTHCHECK" in image)
        assert service["logging"]["options"]["max-size"], "a log must not fill a small disk"


def test_only_the_broker_and_grafana_are_reached_from_outside_and_only_where_it_is_told() -> None:
    open_ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert open_ports.keys() == {"mosquitto", "grafana"}
    for (port,) in open_ports.values():
        assert ":-127.0.0.1}:" in port


def test_what_must_last_is_in_volumes_and_nothing_else_is_written() -> None:
    for name in ("mosquitto", "grafana", "greenwarden", "dashboards"):
        assert SERVICES[name]["read_only"] is True
        assert SERVICES[name]["cap_drop"] == ["ALL"]
    named = {volume.split(":")[0] for service in SERVICES.values() for volume in service["volumes"]}
    assert {name for name in named if not name.startswith(".")} == COMPOSE["volumes"].keys()
    for service in SERVICES.values():
        for volume in service["volumes"]:
            if volume.startswith("."):
                assert volume.endswith(":ro")
                assert (DEPLOY / volume.split(":")[0]).exists(), volume


def test_grafana_gets_every_variable_that_its_provisioning_asks_for() -> None:
    folder = "datasources-influxdb-2-3"
    mounted = " ".join(SERVICES["grafana"]["volumes"])
    assert f"{folder}:/etc/grafana/provisioning/datasources" in mounted
    for path in (PROVISIONING / "dashboards").iterdir(), (PROVISIONING / folder).iterdir():
        for file in path:
            asked = set(re.findall(r"\$(\w+)", re.sub(r"#.*", "", file.read_text(encoding="utf-8"))))
            assert asked
            assert asked <= SERVICES["grafana"]["environment"].keys()


def test_both_data_sources_are_named_alike_and_hold_their_secret_apart() -> None:
    for folder, secret in (("datasources-influxdb-1", "password"), ("datasources-influxdb-2-3", "httpHeaderValue1")):
        content = yaml.safe_load((PROVISIONING / folder / "greenwarden.yaml").read_text(encoding="utf-8"))
        (source,) = content["datasources"]
        assert (source["name"], source["uid"], source["type"]) == ("greenwarden", "greenwarden", "influxdb")
        assert source["jsonData"]["version"] == "InfluxQL"
        assert source["database"] == source["jsonData"]["dbName"]
        assert source["secureJsonData"].keys() == {secret}


def test_compose_itself_finds_nothing_wrong(tmp_path: Path) -> None:
    tool = _compose()
    (tmp_path / "deploy").mkdir()
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    if tool == ["docker-compose"]:
        text = text.replace("name: greenwarden\n", "", 1)  # the first compose knows no name
    (tmp_path / "deploy" / "compose.yaml").write_text(text, encoding="utf-8")
    command = [*tool, "-f", str(tmp_path / "deploy" / "compose.yaml"), "config", "--quiet"]
    plain = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    good = subprocess.run(command, env=plain | FILLED, capture_output=True, text=True, check=False)
    assert good.returncode == 0, good.stderr
    bad = subprocess.run(command, env=plain, capture_output=True, text=True, check=False)
    assert bad.returncode != 0
    assert "set it in .env" in bad.stderr


def _compose() -> list[str]:
    for tool in (["docker", "compose"], ["docker-compose"]):
        if (
            shutil.which(tool[0])
            and subprocess.run([*tool, "version"], capture_output=True, check=False).returncode == 0
        ):
            return tool
    pytest.skip("no compose on this machine")  # no real part of the tests: an editor's check, like the one below


# -- image and unit ---------------------------------------------------------------------------------------------------


def test_the_image_is_built_from_the_packages_there_are_and_runs_without_root() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    copied = set(re.findall(r"^COPY (\w+) \1$", text, re.MULTILINE))
    assert copied == {"building", "collector", "rules", "dashboards", "simulators", "greenwarden"}
    assert "USER 10001:10001" in text
    assert "--require-hashes" in text
    allowed = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8")
    for source in re.findall(r"^COPY (?!--)(.+) \S+$", text, re.MULTILINE):
        for name in source.split():
            assert f"!{name}\n" in allowed, f"{name} would not reach the build"
            assert (ROOT / name).exists()


def test_what_the_image_installs_is_what_the_project_is_tested_with() -> None:
    def pins(path: Path) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for name, version in re.findall(r"^([\w.-]+)==(\S+)", path.read_text(encoding="utf-8"), re.MULTILINE):
            found.setdefault(name, set()).add(version)
        return found

    whole, image = pins(ROOT / "requirements.lock"), pins(DEPLOY / "requirements.lock")
    assert {name: versions for name, versions in image.items() if not versions <= whole.get(name, set())} == {}
    for name in ("grafana-api", "influxdb-client", "paho-mqtt", "pymodbus", "pydantic", "typer", "hatchling"):
        assert name in image
    assert not {"pytest", "playwright", "pyarrow", "mypy"} & image.keys()


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    text = (DEPLOY / "greenwarden.service").read_text(encoding="utf-8")
    for line in (
        "Type=notify",
        "WatchdogSec=60",
        "ProtectSystem=strict",
        "NoNewPrivileges=true",
        "CapabilityBoundingSet=",
    ):
        assert line in text
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze on this machine")
    unit = tmp_path / "greenwarden.service"
    unit.write_text(text.replace("/opt/greenwarden/.venv/bin/greenwarden", "/bin/true"), encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_site_to_begin_with_is_right_and_keeps_its_data_in_the_volume(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SERVICES["greenwarden"]["environment"]:
        monkeypatch.setenv(name, "x")
    path = DEPLOY / "site" / "devices.yaml"
    site = open_site(path)
    assert site.store.influxdb is not None
    assert site.store.influxdb.token.reveal() == "x"
    assert f"readings:{data_folder(path, site)}" in SERVICES["greenwarden"]["volumes"]
    assert site.link["broker"].password.reveal() == "x"


# -- the broker -------------------------------------------------------------------------------------------------------


class ComposedBroker(Server):
    """The broker of compose.yaml: its own start script and configuration, with other folders and a free port."""

    def __init__(self, folder: Path) -> None:
        need("mosquitto")
        need("mosquitto_passwd", "mosquitto")
        super().__init__(folder, "composed-broker")

    def command(self) -> list[str]:
        (self.folder / "data").mkdir(exist_ok=True)
        for file in (DEPLOY / "mosquitto").iterdir():
            text = file.read_text(encoding="utf-8").replace("/run/mosquitto", str(self.folder))
            text = text.replace("/mosquitto/config", str(self.folder)).replace("/mosquitto/data", f"{self.folder}/data")
            if file.name == "mosquitto.conf":
                text = text.replace("listener 1883", f"listener {self.port} 127.0.0.1")
                text += "user root\n" if os.getuid() == 0 else ""
            (self.folder / file.name).write_text(text, encoding="utf-8")
        passwords = ["MQTT_COLLECTOR_PASSWORD=c 1'$x", "MQTT_DEVICE_PASSWORD=device, second word"]
        path = f"PATH={os.environ['PATH']}:/usr/sbin"
        return ["env", path, *passwords, "/bin/sh", str(self.folder / "start.sh")]


def test_the_broker_knows_its_two_logins_and_lets_each_do_its_own(tmp_path: Path) -> None:
    with ComposedBroker(tmp_path) as broker:
        assert "device, second word" not in (broker.folder / "passwords").read_text(encoding="utf-8")
        heard: list[MQTTMessage] = []
        collector = _connected(broker.port, "collector", "c 1'$x")
        collector.on_message = lambda _client, _data, message: heard.append(message)
        collector.subscribe("#", qos=1)
        device = _connected(broker.port, "device", "device, second word")
        device.publish("tele/plug-101/STATE", b"{}", qos=1)
        until(lambda: heard, "the device's message to reach the collector")
        heard.clear()
        collector.publish("cmnd/plug-101/POWER", b"ON", qos=1).wait_for_publish(30)
        device.publish("tele/plug-101/LWT", b"Online", qos=1)
        until(lambda: heard, "the device's next message")
        assert [message.topic for message in heard] == ["tele/plug-101/LWT"], "the collector only listens"
        for client in (collector, device):
            hang_up(client)
        assert _answer(broker.port, "device", "wrong") == _answer(broker.port, None, None) == "Not authorized"


def _connected(port: int, name: str, password: str) -> Client:
    client = Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set(name, password)
    client.connect("127.0.0.1", port)
    client.loop_start()
    until(client.is_connected, f"{name} to be let in")
    return client


def _answer(port: int, name: str | None, password: str | None) -> str:
    """What the broker says to a login."""
    said: list[str] = []

    def told(_client: Client, _data: Any, _flags: ConnectFlags, code: ReasonCode, _more: Properties | None) -> None:
        said.append(str(code))

    client = Client(CallbackAPIVersion.VERSION2)
    client.on_connect = told
    if name is not None:
        client.username_pw_set(name, password)
    client.connect("127.0.0.1", port)
    client.loop_start()
    until(lambda: said, "an answer of the broker")
    client.loop_stop()
    return said[0]
