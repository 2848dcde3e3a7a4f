"""Pushing dashboards: nothing twice, nothing of others, nothing half done, and one sentence when it cannot be."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from greenwarden.cli import app
from tests.grafana_parts import TOKEN, FakeGrafana, fake_grafana
from tests.parts import Answer, HttpSink
from tests.simulators_parts import SITE

SECRET = "influx-token-of-the-test"
STORE = 'store:\n  influxdb: {url: "http://10.1.0.9:8086", token: "${TEST_INFLUX}", org: office, bucket: energy}\n'


@pytest.fixture
def grafana() -> Iterator[FakeGrafana]:
    with fake_grafana() as server:
        yield server


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TEST_INFLUX", SECRET)
    path = tmp_path / "devices.yaml"
    path.write_text(SITE.read_text(encoding="utf-8") + "\n" + STORE, encoding="utf-8")
    return path


def push(site: Path, url: str, *options: str, token: str = TOKEN) -> Result:
    command = ["dashboards", "push", "--site", str(site), "--url", url, "--token", token, *options]
    return CliRunner().invoke(app, command, env={"COLUMNS": "300"})


def sentence(result: Result, status: int = 1) -> str:
    """The one line on standard error of a command that failed."""
    assert result.exit_code == status, result.output
    assert result.stderr.count("\n") == 1, result.stderr
    assert TOKEN not in result.output
    assert SECRET not in result.output
    return result.stderr.removeprefix("error: ").strip()


# -- what it does -----------------------------------------------------------------------------------------------------


def test_the_first_push_makes_folder_data_source_and_eight_dashboards(grafana: FakeGrafana, site: Path) -> None:
    told = push(site, grafana.url, "--json")
    assert told.exit_code == 0
    assert len(json.loads(told.stdout)["created"]) == 8
    assert grafana.folders == {"greenwarden-zh": "绿哨"}
    assert set(grafana.folder_of.values()) == {"greenwarden-zh"}
    source = grafana.sources["greenwarden"]
    assert (source["url"], source["database"], source["jsonData"]["dbName"]) == (
        "http://10.1.0.9:8086",
        "energy",
        "energy",
    )
    assert source["jsonData"]["httpHeaderName1"] == "Authorization"
    assert grafana.secrets["greenwarden"] == {"httpHeaderValue1": f"Token {SECRET}"}
    today = grafana.dashboards["greenwarden-today-zh"]
    chosen = next(v for v in today["templating"]["list"] if v["type"] == "datasource")["current"]
    assert chosen == {"selected": True, "text": "greenwarden", "value": "greenwarden"}
    assert "财务处" in json.dumps(today, ensure_ascii=False)


def test_a_second_push_changes_nothing(grafana: FakeGrafana, site: Path) -> None:
    push(site, grafana.url)
    before, writes = grafana.state(), len(grafana.writes())
    again = push(site, grafana.url, "--json")
    assert again.exit_code == 0
    assert len(json.loads(again.stdout)["unchanged"]) == 8
    assert len(grafana.writes()) == writes
    assert grafana.state() == before


def test_what_has_changed_in_the_site_is_updated_and_stays_where_it_was_moved_to(
    grafana: FakeGrafana, site: Path
) -> None:
    push(site, grafana.url)
    grafana.folders["own"] = "我们的"
    grafana.folder_of["greenwarden-today-zh"] = "own"
    site.write_text(site.read_text(encoding="utf-8").replace("currency: CNY", "currency: EUR"), encoding="utf-8")
    told = json.loads(push(site, grafana.url, "--json").stdout)
    assert len(told["updated"]) >= 7
    assert "€" in json.dumps(grafana.dashboards["greenwarden-today-zh"], ensure_ascii=False)
    assert grafana.folder_of["greenwarden-today-zh"] == "own"
    assert len(json.loads(push(site, grafana.url, "--json").stdout)["unchanged"]) == 8


def test_nothing_else_is_touched(grafana: FakeGrafana, site: Path) -> None:
    grafana.folders["other"] = "机房"
    grafana.sources["prom"] = {"id": 7, "uid": "prom", "name": "Prometheus", "type": "prometheus", "isDefault": True}
    grafana._store({"uid": "mine", "title": "我的"}, "other", "")
    before = grafana.state()
    push(site, grafana.url)
    after = grafana.state()
    assert after[0]["other"] == before[0]["other"]
    assert after[1]["prom"] == before[1]["prom"]
    assert after[2]["mine"] == before[2]["mine"]


def test_both_languages_stand_side_by_side(grafana: FakeGrafana, site: Path) -> None:
    push(site, grafana.url)
    assert push(site, grafana.url, "--language", "en").exit_code == 0
    assert len(grafana.dashboards) == 16
    assert grafana.folders == {"greenwarden-zh": "绿哨", "greenwarden-en": "Greenwarden"}


def test_grafana_may_reach_the_database_by_another_address_and_a_data_source_from_a_file_is_left_alone(
    grafana: FakeGrafana, site: Path
) -> None:
    push(site, grafana.url, "--influx-url", "http://influxdb:8086")
    assert grafana.sources["greenwarden"]["url"] == "http://influxdb:8086"
    grafana.sources["greenwarden"]["readOnly"] = True
    before = grafana.state()
    assert push(site, grafana.url).exit_code == 0
    assert grafana.state() == before


def test_a_new_database_token_is_brought_when_the_old_one_is_refused(
    grafana: FakeGrafana, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(site, grafana.url)
    monkeypatch.setenv("TEST_INFLUX", "second")
    grafana.database_trouble = lambda secrets: (
        "" if secrets.get("httpHeaderValue1") == "Token second" else "401 Unauthorized: unauthorized access"
    )
    told = push(site, grafana.url, "--json")
    assert json.loads(told.stdout)["trouble"] == ""
    assert grafana.secrets["greenwarden"] == {"httpHeaderValue1": "Token second"}


def test_a_grafana_that_goes_on_with_the_old_token_for_a_while_is_waited_for(
    grafana: FakeGrafana, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(site, grafana.url)
    monkeypatch.setenv("TEST_INFLUX", "second")
    answers = iter(["An error occurred within the plugin"] * 3)
    grafana.database_trouble = lambda secrets: next(answers, "")
    assert json.loads(push(site, grafana.url, "--json").stdout)["trouble"] == ""
    assert grafana.secrets["greenwarden"] == {"httpHeaderValue1": "Token second"}


def test_a_database_that_grafana_cannot_read_is_told_though_the_dashboards_are_there(
    grafana: FakeGrafana, site: Path
) -> None:
    grafana.database_trouble = lambda secrets: "dial tcp 10.1.0.9:8086: connect: connection refused"
    told = push(site, grafana.url)
    assert told.exit_code == 0
    assert "Grafana cannot read the database: dial tcp" in told.stdout
    assert len(grafana.dashboards) == 8


def test_influxdb_1_is_reached_by_name_and_password(grafana: FakeGrafana, site: Path) -> None:
    text = site.read_text(encoding="utf-8").replace(
        'token: "${TEST_INFLUX}", org: office, bucket: energy', 'user: reader, password: "${TEST_INFLUX}", database: e1'
    )
    site.write_text(text, encoding="utf-8")
    assert push(site, grafana.url).exit_code == 0
    source = grafana.sources["greenwarden"]
    assert (source["user"], source["database"]) == ("reader", "e1")
    assert "httpHeaderName1" not in source["jsonData"]
    assert grafana.secrets["greenwarden"] == {"password": SECRET}


# -- edited by hand ---------------------------------------------------------------------------------------------------


def test_a_dashboard_edited_by_hand_is_kept_and_told_and_the_others_are_updated(
    grafana: FakeGrafana, site: Path
) -> None:
    push(site, grafana.url)
    grafana.edit("greenwarden-water-zh", description="ours")
    site.write_text(site.read_text(encoding="utf-8").replace("currency: CNY", "currency: EUR"), encoding="utf-8")
    told = sentence(push(site, grafana.url))
    assert told.startswith("kept as they are, because somebody changed them by hand: 用水; ")
    assert grafana.dashboards["greenwarden-water-zh"]["description"] == "ours"
    assert "€" in json.dumps(grafana.dashboards["greenwarden-today-zh"], ensure_ascii=False)
    assert push(site, grafana.url, "--replace-edited").exit_code == 0
    assert grafana.dashboards["greenwarden-water-zh"]["description"] != "ours"
    assert push(site, grafana.url).exit_code == 0


def test_one_that_is_saved_by_hand_while_we_push_is_kept_too(grafana: FakeGrafana, site: Path) -> None:
    push(site, grafana.url)
    site.write_text(site.read_text(encoding="utf-8").replace("currency: CNY", "currency: EUR"), encoding="utf-8")

    def meanwhile(wanted: dict[str, Any]) -> None:
        if wanted["uid"] == "greenwarden-aircon-zh":
            grafana.edit("greenwarden-aircon-zh", description="ours")

    grafana.before_save = meanwhile
    assert "空调" in sentence(push(site, grafana.url))
    assert grafana.dashboards["greenwarden-aircon-zh"]["description"] == "ours"


# -- what it cannot do ------------------------------------------------------------------------------------------------


def test_a_wrong_token_is_one_sentence_and_changes_nothing(grafana: FakeGrafana, site: Path) -> None:
    told = sentence(push(site, grafana.url, token="wrong"))
    assert "does not know this token; make one under Administration, Service accounts, with the role Admin" in told
    assert not grafana.writes()


def test_a_token_that_may_not_is_one_sentence_and_changes_nothing(grafana: FakeGrafana, site: Path) -> None:
    grafana.role = "Editor"
    told = sentence(push(site, grafana.url))
    assert told == "the token may not do this in Grafana (list data sources); give its service account the role Admin"
    assert not grafana.writes()


def test_a_grafana_that_is_away_is_one_sentence(site: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    told = sentence(push(site, f"http://127.0.0.1:{port}"))
    assert "does not answer (ConnectionError); see that it runs, and its address" in told


def test_something_that_is_no_grafana_is_one_sentence(site: Path) -> None:
    for answer in (Answer(200, b"<html>welcome</html>", "text/html"), Answer(200, b'{"ok": true}')):
        with HttpSink(answer) as sink:
            told = sentence(push(site, sink.url))
        assert "answers, but not as Grafana does" in told
    with HttpSink(Answer(302, b"", headers={"Location": "/login"})) as sink:
        assert "sends us elsewhere" in sentence(push(site, sink.url))


@pytest.mark.parametrize("url", ["grafana", "ftp://10.1.0.9", "http://:3000", "http://a:b@10.1.0.9:3000"])
def test_an_address_that_is_none_is_one_sentence(site: Path, url: str) -> None:
    assert "address" in sentence(push(site, url))


def test_a_folder_of_the_same_name_is_left_alone(grafana: FakeGrafana, site: Path) -> None:
    grafana.folders["theirs"] = "绿哨"
    told = sentence(push(site, grafana.url))
    assert "has a folder named 绿哨 already that is not from greenwarden (uid 'theirs')" in told
    assert not grafana.writes()
    assert push(site, grafana.url, "--folder", "绿哨能耗").exit_code == 0


def test_a_data_source_of_the_same_name_is_left_alone(grafana: FakeGrafana, site: Path) -> None:
    grafana.sources["x"] = {"id": 1, "uid": "x", "name": "greenwarden", "type": "influxdb"}
    assert "has a data source named greenwarden already" in sentence(push(site, grafana.url))
    assert not grafana.writes()


def test_dashboards_from_files_are_left_to_the_files(grafana: FakeGrafana, site: Path) -> None:
    push(site, grafana.url)
    grafana.provisioned.add("greenwarden-zone-zh")
    before, writes = grafana.state(), len(grafana.writes())
    assert "the dashboard 区域详情 comes from a file" in sentence(push(site, grafana.url, "--replace-edited"))
    assert (grafana.state(), len(grafana.writes())) == (before, writes)


@pytest.mark.parametrize("fifth", [Answer(500, b'{"message":"database is locked"}'), Answer(400, b'{"message":"bad"}')])
def test_a_push_that_breaks_off_leaves_nothing_behind(grafana: FakeGrafana, site: Path, fifth: Answer) -> None:
    before = grafana.state()
    grafana.before_save = lambda wanted: fifth if wanted["uid"] == "greenwarden-water-zh" else None
    assert "would not save 用水" in sentence(push(site, grafana.url))
    after = grafana.state()
    assert after[:3] == before[:3] == [{}, {}, {}]


def test_an_update_that_breaks_off_is_put_back(grafana: FakeGrafana, site: Path) -> None:
    push(site, grafana.url)
    before = grafana.state()
    site.write_text(site.read_text(encoding="utf-8").replace("currency: CNY", "currency: EUR"), encoding="utf-8")
    refusal = Answer(500, b'{"message":"disk full"}')
    grafana.before_save = lambda wanted: refusal if wanted["uid"] == "greenwarden-water-zh" else None
    sentence(push(site, grafana.url))
    assert "€" not in json.dumps(grafana.dashboards, ensure_ascii=False)
    assert grafana.state()[0] == before[0]
    grafana.before_save = lambda wanted: None
    assert push(site, grafana.url).exit_code == 0, "and it may be pushed again"


def test_a_folder_that_vanishes_meanwhile_is_one_sentence(grafana: FakeGrafana, site: Path) -> None:
    grafana.before_save = lambda wanted: grafana.folders.clear()
    assert "folder not found" in sentence(push(site, grafana.url))


def test_a_site_without_an_influxdb_is_told_what_to_add(grafana: FakeGrafana) -> None:
    told = sentence(push(SITE, grafana.url), 2)
    assert "Grafana needs an InfluxDB to read from" in told
    assert not grafana.sink.requests


def test_a_language_that_there_is_not_is_told(grafana: FakeGrafana, site: Path) -> None:
    assert sentence(push(site, grafana.url, "--language", "fr"), 2) == "--language 'fr' is not accepted; write zh or en"


# -- files ------------------------------------------------------------------------------------------------------------


def test_export_writes_files_and_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    done = CliRunner().invoke(app, ["dashboards", "export", str(folder), "--site", str(SITE), "--json"])
    assert done.exit_code == 0
    assert len(json.loads(done.stdout)["files"]) == 16
    assert "财务处" in (folder / "zh/department.json").read_text(encoding="utf-8")
    (tmp_path / "file").write_text("x", encoding="utf-8")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        assert "folder" in sentence(CliRunner().invoke(app, ["dashboards", "export", str(path)]))
