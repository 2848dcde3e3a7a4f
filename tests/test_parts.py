"""The real parts that other tests lean on do what they promise."""

from __future__ import annotations

import urllib.error
import urllib.request

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from building.waiting import hang_up
from tests.parts import Answer, HttpSink, Influxd, Mosquitto, VictoriaMetrics, until


def _knock(broker: Mosquitto, password: str) -> str:
    """The broker's answer to a login."""
    answers: list[str] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set(broker.username, password)
    client.on_connect = lambda _c, _u, _f, reason, _p: answers.append(str(reason))
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    try:
        return str(until(lambda: answers and answers[0], "the broker's answer"))
    finally:
        hang_up(client)


def test_mosquitto_takes_its_login_and_refuses_another(mosquitto: Mosquitto) -> None:
    assert _knock(mosquitto, mosquitto.password) == "Success"
    assert _knock(mosquitto, "guessed") == "Not authorized"


def test_a_server_comes_back_on_its_port_after_being_killed(mosquitto: Mosquitto) -> None:
    port, pid = mosquitto.port, mosquitto.pid
    mosquitto.kill()
    assert not mosquitto.ready()
    mosquitto.start()
    assert (mosquitto.port, mosquitto.pid != pid) == (port, True)
    assert _knock(mosquitto, mosquitto.password) == "Success"


def _post(url: str, body: bytes) -> int:
    with urllib.request.urlopen(urllib.request.Request(url, body), timeout=30) as answer:
        return int(answer.status)


def test_influxd_keeps_what_it_acknowledged_when_it_is_killed(influxd: Influxd) -> None:
    assert _post(f"{influxd.url}/write?db=energy&precision=ms", "plug,zone=三楼 active_power=5 1000".encode()) == 204
    influxd.kill()
    influxd.start()
    assert influxd.query("SELECT * FROM plug") == [
        {"measurement": "plug", "time": 1000, "active_power": 5, "zone": "三楼"}
    ]


def test_influxd_with_login_refuses_the_nameless(influxd_with_login: Influxd) -> None:
    with pytest.raises(urllib.error.HTTPError, match="401"):
        _post(f"{influxd_with_login.url}/write?db=energy", b"plug active_power=5")
    assert influxd_with_login.query("SHOW DATABASES")[-1]["name"] == "energy"


def test_victoria_metrics_gives_back_what_was_written(victoria_metrics: VictoriaMetrics) -> None:
    line = b"plug,device=a active_power=5 1782835200000"
    assert _post(f"{victoria_metrics.url}/api/v2/write?bucket=b&org=o&precision=ms", line) == 204
    (series,) = until(lambda: victoria_metrics.export('{device="a"}'), "the point written")
    assert series["metric"] == {"__name__": "plug_active_power", "device": "a"}
    assert (series["values"], series["timestamps"]) == ([5], [1782835200000])


def test_the_sink_remembers_requests_and_answers_as_told(http_sink: HttpSink) -> None:
    assert _post(f"{http_sink.url}/hook", b'{"a": 1}') == 200
    http_sink.answer = lambda request: Answer(status=503 if request.path == "/busy" else 200)
    with pytest.raises(urllib.error.HTTPError, match="503"):
        _post(f"{http_sink.url}/busy", b"")
    assert [request.path for request in http_sink.requests] == ["/hook", "/busy"]
    assert http_sink.requests[0].json() == {"a": 1}


def test_no_test_reaches_beyond_this_machine() -> None:
    with pytest.raises(AssertionError, match="loopback only"):
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open("http://192.0.2.1/", timeout=1)
