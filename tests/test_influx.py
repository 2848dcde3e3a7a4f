"""InfluxDB: what is written is what InfluxQL reads back, and every kind of refusal becomes what to do next."""

from __future__ import annotations

import gzip
import json
import math
import re
import socket
import ssl
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from building.errors import StoreAway, StoreRefused
from building.fields import Secret
from building.readings import Reading
from building.site import InfluxSettings
from collector.storing.influx import InfluxStore
from collector.storing.lines import LineEncoder
from collector.storing.refused import WhollyRefused
from tests.parts import Answer, HttpSink, Influxd, Request, VictoriaMetrics, need
from tests.storing_parts import START, Influxd2, alert, every_kind_of_reading, small_site


def secret(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> Secret:
    monkeypatch.setenv(name, value)
    return Secret("${" + name + "}")


def settings_of(server: Influxd, monkeypatch: pytest.MonkeyPatch) -> InfluxSettings:
    if not server.login:
        return InfluxSettings(url=server.url, database=server.database)
    password = secret(monkeypatch, "TEST_INFLUX_PASSWORD", server.password)
    return InfluxSettings(url=server.url, database=server.database, user=server.username, password=password)


# -- lines ------------------------------------------------------------------------------------------------------------


def test_a_reading_is_one_line_with_its_tags_and_the_absent_ones_left_out() -> None:
    lines = LineEncoder(small_site("市民 服务,中心"))
    main, other = every_kind_of_reading()[:2]
    assert lines.readings([main]).decode() == (
        "electricity,circuit=main,device=main,site=市民\\ 服务\\,中心 "
        "active_power=1234.5,energy_import=0.30000000000000004 1782835200000"
    )
    assert (
        lines.readings([other, other]).decode().splitlines()
        == [
            "electricity,device=表\\ 1\\,a\\=b,floor=3,site=市民\\ 服务\\,中心,zone=301 active_power=-3.0 1782835200001"
        ]
        * 2
    )


def test_the_first_line_of_a_device_and_the_next_ones_are_alike() -> None:
    lines = LineEncoder(small_site("100 % 绿"))
    readings = every_kind_of_reading()
    assert lines.readings(readings) == lines.readings(readings)


def test_numbers_that_influxdb_does_not_know_are_no_fields() -> None:
    lines = LineEncoder(small_site())
    odd = Reading("main", START, {"active_power": float("nan"), "voltage": True})
    plain = Reading("main", START, {"active_power": 1.0, "voltage": 1})
    lines.readings([plain])
    (line,) = lines.readings([odd]).decode().splitlines()
    assert line.split(" ", 1)[1] == 'voltage=1.0,quality="active_power bad: nan is not finite" 1782835200000'


NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**15), 10**15)


@given(st.lists(st.dictionaries(st.sampled_from(("active_power", "voltage", "mode")), NUMBERS, min_size=1), min_size=1))
def test_numbers_in_lines_made_all_at_once_are_the_very_same(values: list[dict[str, float]]) -> None:
    """The first call meets a new device and writes line by line; from then on a batch is made all at once."""
    lines = LineEncoder(small_site())
    readings = [Reading("main", START + number, dict(one)) for number, one in enumerate(values)]
    (head,) = {line.split(" ")[0] for line in lines.readings(readings).decode().splitlines()}
    for _ in range(2):
        found = lines.readings(readings).decode().splitlines()
        assert {line.split(" ")[0] for line in found} == {head}
        assert [int(line.split(" ")[2]) for line in found] == [one.taken_at for one in readings]
        told = [[field.split("=") for field in line.split(" ")[1].split(",")] for line in found]
        assert [{name: float(text) for name, text in fields} for fields in told] == values
        assert [[math.copysign(1, float(text)) for _, text in fields] for fields in told] == [
            [math.copysign(1, number) for number in one.values()] for one in values
        ]


def test_extreme_numbers_made_all_at_once_are_read_back_from_a_real_database(influxd: Influxd) -> None:
    numbers = [1e22, -1e-7, 5e-324, 1.7976931348623157e308, 0.1, -0.0, 123456789.123, 4.0, 1e16, 12345678901234567.0]
    readings = [Reading("main", START + number, {"active_power": value}) for number, value in enumerate(numbers)]
    settings = InfluxSettings(url=influxd.url, database="extreme")
    with InfluxStore(small_site(), settings) as store:
        store.write(readings[:1])
        store.write(readings)
        assert store.read("main", "active_power", START, START + 100)[1].tolist() == numbers


def test_a_device_that_the_site_does_not_have_is_refused() -> None:
    with pytest.raises(StoreRefused, match=r"'ghost' is not in devices\.yaml"):
        LineEncoder(small_site()).readings([Reading("ghost", START, {"active_power": 1.0})])


# -- the real 1.6.7 ---------------------------------------------------------------------------------------------------


@pytest.fixture(params=["open", "login"])
def server(request: pytest.FixtureRequest) -> Influxd:
    found = request.getfixturevalue("influxd" if request.param == "open" else "influxd_with_login")
    assert isinstance(found, Influxd)
    return found


@pytest.mark.parametrize(
    "name", ["市民服务中心", "a b", 'quote "x"', "a=b,c", "line\nbreak", "back\\slash", "end\\", "100 %", "'single'"]
)
def test_values_written_are_values_read_whatever_the_names(
    influxd: Influxd, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with InfluxStore(small_site(name), settings_of(influxd, monkeypatch)) as store:
        store.write(every_kind_of_reading())
    rows = influxd.query('SELECT * FROM "electricity", "plug", "aircon", "sensor"')
    assert {row["site"].strip() for row in rows} == {name.replace("\n", " ")}
    read = {(row["device"].rstrip(" "), row["time"]): row for row in rows}
    for reading in every_kind_of_reading():
        row = read[reading.device, reading.taken_at]
        for quantity, value in reading.values.items():
            good = reading.quality.of(quantity) < 2
            assert row.get(quantity) == (value if good else None)
    assert read["main", START + 8]["quality"] == "bad: no answer within 1 s"
    assert read["room", START + 5]["quality"] == "humidity suspect: frozen"
    assert len(rows) == len(every_kind_of_reading())


def test_with_and_without_login_points_arrive_and_writing_again_changes_nothing(
    server: Influxd, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = [Reading("main", START + number, {"active_power": float(number)}) for number in range(12_000)]
    with InfluxStore(small_site(), settings_of(server, monkeypatch)) as store:
        store.write(readings)
        store.write(readings)
        assert store.version.startswith("1.6.7")
    (row,) = server.query("SELECT count(active_power), sum(active_power) FROM electricity")
    assert (row["count"], row["sum"]) == (12_000, sum(range(12_000)))


def test_an_alert_is_one_point_for_each_change(influxd: Influxd, monkeypatch: pytest.MonkeyPatch) -> None:
    resolved = alert("resolved", ended="2026-07-01T18:40:00+08:00")
    with InfluxStore(small_site(), settings_of(influxd, monkeypatch)) as store:
        store.write_alerts([alert(), resolved])
    rows = influxd.query('SELECT * FROM "alert"')
    assert [row["state"] for row in rows] == ["firing", "resolved"]
    assert rows[0]["kwh"] == 1.5
    assert rows[0]["title"] == '长明灯 "301"'
    assert rows[0]["rule"] == "lights_left_on"
    assert rows[1]["time"] - rows[0]["time"] == 15 * 60_000


def test_a_database_that_is_missing_is_made(influxd: Influxd) -> None:
    with InfluxStore(small_site(), InfluxSettings(url=influxd.url, database='新 "库"')) as store:
        store.write(every_kind_of_reading())
    assert '新 "库"' in [row["name"] for row in influxd.query("SHOW DATABASES")]


def test_a_field_of_another_type_is_refused_and_the_rest_is_there(
    influxd: Influxd, monkeypatch: pytest.MonkeyPatch
) -> None:
    with InfluxStore(small_site(), settings_of(influxd, monkeypatch)) as store:
        store.write([Reading("main", START, {"active_power": 1.0})])
        with pytest.raises(StoreRefused, match="field type conflict"):
            store.write([Reading("main", START + 1, {"active_power": "much"})])


def test_a_wrong_password_is_told_with_the_way_out(
    influxd_with_login: Influxd, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = secret(monkeypatch, "TEST_INFLUX_WRONG", "not-it")
    settings = InfluxSettings(url=influxd_with_login.url, database="energy", user="collector", password=wrong)
    with (
        InfluxStore(small_site(), settings) as store,
        pytest.raises(StoreAway, match="see token, or user and password") as told,
    ):
        store.write(every_kind_of_reading())
    assert "not-it" not in str(told.value)


# -- influxdb-client's way --------------------------------------------------------------------------------------------


def test_influxdb_client_brings_the_same_points(
    victoria_metrics: VictoriaMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = secret(monkeypatch, "TEST_INFLUX_TOKEN", "t")
    settings = InfluxSettings(url=victoria_metrics.url, token=token, bucket="energy", org="o")
    readings = [Reading("main", START + 1000 * number, {"active_power": float(number)}) for number in range(6_000)]
    with InfluxStore(small_site(), settings) as store:
        store.write(readings)
    (series,) = victoria_metrics.export("electricity_active_power")
    found = sorted(zip(series["timestamps"], series["values"], strict=True))
    assert found == [(reading.taken_at, reading.values["active_power"]) for reading in readings]
    assert series["metric"]["site"] == "市民服务中心"


def second_version(status: int, body: bytes = b"{}") -> Answer:
    return Answer(status, body, headers={"X-Influxdb-Version": "v2.7.1"})


@pytest.fixture(params=["v2.7.1", "1.6.7", "3.0.0"])
def answering(
    request: pytest.FixtureRequest, http_sink: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[HttpSink, InfluxStore]]:
    """A sink that says which version it is, and a store that writes to it."""
    token = secret(monkeypatch, "TEST_INFLUX_TOKEN", "secret-token")
    settings = InfluxSettings(url=http_sink.url, token=token, bucket="energy", org="o")
    monkeypatch.setattr(http_sink, "version", request.param, raising=False)
    with InfluxStore(small_site(), settings) as store:
        yield http_sink, store


def say(sink: HttpSink, status: int, body: bytes = b"") -> None:
    def answer(request: Request) -> Answer:
        if request.path == "/ping":
            return Answer(204, b"", headers={"X-Influxdb-Version": sink.version})  # type: ignore[attr-defined]
        return Answer(status, body)

    sink.answer = answer


@pytest.mark.parametrize("status", [401, 403, 429, 500, 502, 503])
def test_passing_troubles_are_store_away(answering: tuple[HttpSink, InfluxStore], status: int) -> None:
    sink, store = answering
    say(sink, status, b'{"message":"because"}')
    with pytest.raises(StoreAway, match=str(status)) as told:
        store.write(every_kind_of_reading())
    assert "secret-token" not in str(told.value)
    say(sink, 204)
    store.write(every_kind_of_reading())


def test_a_bad_request_is_refused_for_good(answering: tuple[HttpSink, InfluxStore]) -> None:
    sink, store = answering
    say(sink, 400, b'{"error":"partial write: field type conflict dropped=1"}')
    with pytest.raises(StoreRefused, match="field type conflict") as told:
        store.write(every_kind_of_reading())
    assert not isinstance(told.value, WhollyRefused)
    say(sink, 400, b'{"error":"partial write: points beyond retention policy dropped=9"}')
    with pytest.raises(WhollyRefused):
        store.write(every_kind_of_reading())


def test_the_path_and_the_token_are_those_of_the_version(answering: tuple[HttpSink, InfluxStore]) -> None:
    sink, store = answering
    say(sink, 204)
    store.write(every_kind_of_reading())
    ping, write = sink.requests
    assert ping.path == "/ping"
    assert write.headers["authorization"] == "Token secret-token"
    old = sink.version.startswith("1")  # type: ignore[attr-defined]
    assert write.path.startswith("/write?db=energy&precision=ms" if old else "/api/v2/write?")
    assert write.body == LineEncoder(small_site()).readings(every_kind_of_reading())
    if not old:
        assert re.search(r"bucket=energy", write.path)
        assert re.search(r"precision=ms", write.path)


def test_a_bucket_that_is_missing_is_made_or_told(http_sink: HttpSink, monkeypatch: pytest.MonkeyPatch) -> None:
    missing, made = True, []

    def answer(request: Request) -> Answer:
        nonlocal missing
        if request.path.startswith("/api/v2/orgs"):
            return second_version(200, b'{"orgs":[{"id":"0123456789abcdef","name":"o"}]}')
        if request.path.startswith("/api/v2/buckets") and request.method == "POST":
            missing = False
            made.append(request.json())
            return second_version(201, b'{"name":"energy","retentionRules":[]}')
        if request.path.startswith("/api/v2/buckets"):
            return second_version(200, b'{"buckets":[]}')
        return second_version(404 if missing and "write" in request.path else 204, b"")

    http_sink.answer = answer
    token = secret(monkeypatch, "TEST_INFLUX_TOKEN", "t")
    settings = InfluxSettings(url=http_sink.url, token=token, bucket="energy", org="o", retention_days=400)
    with InfluxStore(small_site(), settings) as store:
        store.write(every_kind_of_reading())
        assert [body["retentionRules"][0]["everySeconds"] for body in made] == [400 * 86_400]
        http_sink.answer = second_version(404, b'{"message":"bucket not found"}')
        with pytest.raises(StoreAway, match="make it by hand"):
            store.write(every_kind_of_reading())


@contextmanager
def half_answers(text: bytes) -> Iterator[str]:
    """A server that reads a request, says ``text`` and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(5)
                    connection.recv(65_536)
                    connection.sendall(text)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize(
    "text", [b"", b"HTTP/1.1 20", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhalf", b"\x00\xff not http\r\n\r\n"]
)
def test_half_an_answer_is_no_answer(text: bytes) -> None:
    with (
        half_answers(text) as url,
        InfluxStore(small_site(), InfluxSettings(url=url, database="energy")) as store,
        pytest.raises(StoreAway, match="does not answer"),
    ):
        store.write(every_kind_of_reading())


def test_nobody_listening_is_store_away() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with (
        InfluxStore(small_site(), InfluxSettings(url=f"http://127.0.0.1:{port}")) as store,
        pytest.raises(StoreAway, match="kept on disk until it does"),
    ):
        store.write(every_kind_of_reading())


def test_a_request_that_hangs_is_let_go_when_the_store_is_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        store = InfluxStore(small_site(), InfluxSettings(url=f"http://127.0.0.1:{listener.getsockname()[1]}"))
        threading.Timer(0.2, store.close).start()
        with pytest.raises(StoreAway, match="being closed"):
            store.write(every_kind_of_reading())


# -- TLS --------------------------------------------------------------------------------------------------------------


def test_tls_is_verified_and_an_own_authority_can_be_named(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [need("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with HttpSink(Answer(204, b"", headers={"X-Influxdb-Version": "1.6.7"})) as sink:
        sink._server.socket = context.wrap_socket(sink._server.socket, server_side=True)
        url = sink.url.replace("http:", "https:")
        with (
            InfluxStore(small_site(), InfluxSettings(url=url)) as store,
            pytest.raises(StoreAway, match="CERTIFICATE_VERIFY_FAILED"),
        ):
            store.write(every_kind_of_reading())
        assert sink.requests == []
        with InfluxStore(small_site(), InfluxSettings(url=url, ca=str(certificate), gzip=True)) as store:
            store.write(every_kind_of_reading())
    assert gzip.decompress(sink.requests[-1].body) == LineEncoder(small_site()).readings(every_kind_of_reading())


# -- a real 2.x -------------------------------------------------------------------------------------------------------


def test_a_real_second_version_gets_organisation_bucket_and_retention_and_refuses_what_it_will_never_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Influxd2(tmp_path) as server:
        token = secret(monkeypatch, "TEST_INFLUX_TOKEN", server.token)
        settings = InfluxSettings(url=server.url, token=token, org="新机关", bucket="energy", retention_days=400)
        fresh = int(time.time() * 1000)
        with InfluxStore(small_site(), settings) as store:
            store.write([Reading("main", fresh, {"active_power": 1.0})])
            assert store.version.startswith("v2.")
            with pytest.raises(StoreRefused, match="field type conflict"):
                store.write([Reading("main", fresh + 1, {"active_power": "much"})])
        request = urllib.request.Request(
            f"{server.url}/api/v2/buckets?name=energy", headers={"Authorization": f"Token {server.token}"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            (bucket,) = json.load(answer)["buckets"]
        assert bucket["retentionRules"][0]["everySeconds"] == 400 * 86_400
        wrong = secret(monkeypatch, "TEST_INFLUX_WRONG", "not-it")
        with (
            InfluxStore(small_site(), settings.model_copy(update={"token": wrong})) as store,
            pytest.raises(StoreAway, match="does not let us in"),
        ):
            store.write([Reading("main", fresh, {"active_power": 1.0})])


def test_the_database_that_is_made_keeps_as_long_as_told(influxd: Influxd) -> None:
    settings = InfluxSettings(url=influxd.url, database="short", retention_days=30)
    with InfluxStore(small_site(), settings) as store:
        store.write([Reading("main", int(time.time() * 1000), {"active_power": 1.0})])
    (policy,) = influxd.query('SHOW RETENTION POLICIES ON "short"')
    assert policy["duration"] == "720h0m0s"


PAGE = Answer(200, b"<!DOCTYPE html><html><body>Please log in</body></html>", content_type="text/html; charset=utf-8")


@pytest.mark.parametrize("version", ["v2.7.1", "1.6.7", "3.0.0"])
@pytest.mark.parametrize(
    "body", [PAGE.body, b"", b"[]", b'{"results":[{"series":[{"values":[[1]]}]}]}', b'{"results":7}']
)
def test_an_answer_that_is_not_influxqls_is_store_away_in_one_sentence(
    http_sink: HttpSink, monkeypatch: pytest.MonkeyPatch, version: str, body: bytes
) -> None:
    ping = Answer(204, b"", headers={"X-Influxdb-Version": version})
    http_sink.answer = lambda request: ping if request.path == "/ping" else Answer(200, body)
    token = secret(monkeypatch, "TEST_INFLUX_TOKEN", "secret-token")
    settings = InfluxSettings(url=http_sink.url, token=token, bucket="energy", org="o")
    with InfluxStore(small_site(), settings) as store:
        with pytest.raises(StoreAway, match="not InfluxDB"):
            store.read("main", "active_power", START, START + 1000)
        with pytest.raises(StoreAway, match="not InfluxDB") as told:
            store.first("main", "active_power", START)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("version", ["v2.7.1", "1.6.7", "3.0.0", None])
def test_a_proxys_page_is_no_acknowledgement(
    http_sink: HttpSink, monkeypatch: pytest.MonkeyPatch, version: str | None
) -> None:
    """With a version the proxy steps in after the first answer; without one it was there from the start."""
    ping = PAGE if version is None else Answer(204, b"", headers={"X-Influxdb-Version": version})
    http_sink.answer = lambda request: ping if request.path == "/ping" else PAGE
    token = secret(monkeypatch, "TEST_INFLUX_TOKEN", "secret-token")
    settings = InfluxSettings(url=http_sink.url, token=token, bucket="energy", org="o")
    with InfluxStore(small_site(), settings) as store, pytest.raises(StoreAway, match="not InfluxDB"):
        store.write(every_kind_of_reading())


def test_a_page_in_place_of_organisations_is_store_away(http_sink: HttpSink, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(request: Request) -> Answer:
        if request.path == "/ping":
            return second_version(204, b"")
        return second_version(404, b'{"message":"bucket not found"}') if "write" in request.path else PAGE

    http_sink.answer = answer
    token = secret(monkeypatch, "TEST_INFLUX_TOKEN", "secret-token")
    settings = InfluxSettings(url=http_sink.url, token=token, bucket="energy", org="o")
    with InfluxStore(small_site(), settings) as store, pytest.raises(StoreAway, match="not InfluxDB"):
        store.write(every_kind_of_reading())


@pytest.mark.parametrize("version", ["3.0.0", "v2.7.1", ""])
@pytest.mark.parametrize("looked_up", [404, 401, 403, 200])
def test_without_organisations_a_bad_batch_is_still_refused_for_good(
    http_sink: HttpSink, monkeypatch: pytest.MonkeyPatch, version: str, looked_up: int
) -> None:
    def answer(request: Request) -> Answer:
        if request.path == "/ping":
            return Answer(204, b"", headers={"X-Influxdb-Version": version})
        if request.path.startswith("/api/v2/orgs"):
            return Answer(looked_up, b'{"orgs":[]}' if looked_up == 200 else b'{"error":"not found"}')
        if b"energy_import" in request.body:
            return Answer(400, b'{"error":"partial write of line protocol occurred"}')
        return Answer(204, b"")

    http_sink.answer = answer
    token = secret(monkeypatch, "TEST_INFLUX_TOKEN", "secret-token")
    settings = InfluxSettings(url=http_sink.url, token=token, database="energy")
    with InfluxStore(small_site(), settings) as store:
        with pytest.raises(StoreRefused, match="partial write"):
            store.write([Reading("main", START, {"energy_import": 1.0})])
        store.write([Reading("main", START, {"active_power": 1.0})])


def test_a_missing_organisation_is_told_and_nothing_is_thrown_away(
    http_sink: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(request: Request) -> Answer:
        if request.path == "/ping":
            return second_version(204, b"")
        if request.path.startswith("/api/v2/orgs"):
            return second_version(403, b'{"message":"forbidden"}')
        return second_version(400, b'{"code":"invalid","message":"Please provide either orgID or org"}')

    http_sink.answer = answer
    token = secret(monkeypatch, "TEST_INFLUX_TOKEN", "secret-token")
    settings = InfluxSettings(url=http_sink.url, token=token, bucket="energy")
    with InfluxStore(small_site(), settings) as store, pytest.raises(StoreAway, match="name one with org:"):
        store.write(every_kind_of_reading())
