"""``why``: a rule's conditions, inputs with age and quality, what is missing and how long it will still take."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from greenwarden.cli import app

SITE = """
version: 1
site: {name: hall, timezone: Asia/Shanghai, language: LANGUAGE}
zones: [{id: "301", name: Room 301}, {id: "302"}]
devices:
  - {id: lamp, kind: light, zone: "301", every: 1m}
  - {id: pir, kind: sensor, zone: "301", every: 1m, quantities: [occupancy]}
  - {id: lamp-302, kind: light, zone: "302", every: 1m}
rules: {lights_left_on: {except: ["302"]}}
"""


def rows(pir_until: int = 60) -> str:
    """1 July 2026 from 18:00: the lamp is on, somebody is seen until 18:10, the sensor speaks for so many minutes."""
    lines = ["time,device,quantity,value"]
    for minute in range(61):
        moment = f"2026-07-01T{18 + minute // 60}:{minute % 60:02}:00+08:00"
        lines.append(f"{moment},lamp,on,1")
        if minute <= pir_until:
            lines.append(f"{moment},pir,occupancy,{int(minute < 10)}")
    return "\n".join(lines) + "\n"


class Asking:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def ask(self, *words: str, pir_until: int = 60, language: str = "en") -> str:
        site, readings = self.folder / "devices.yaml", self.folder / "r.csv"
        site.write_text(SITE.replace("LANGUAGE", language), encoding="utf-8")
        readings.write_text(rows(pir_until), encoding="utf-8")
        told = CliRunner().invoke(app, ["why", *words, "--site", str(site), "--readings", str(readings)])
        self.status, self.complaint = told.exit_code, told.stderr
        return told.stdout

    def object(self, at: str, **more: int) -> dict[str, object]:
        (found,) = json.loads(self.ask("lights_left_on", "lamp", "--at", f"2026-07-01T{at}", "--json", **more))[
            "explanations"
        ]
        return dict(found)


@pytest.fixture
def asking(tmp_path: Path) -> Asking:
    return Asking(tmp_path)


def test_while_somebody_is_there_the_condition_that_fails_is_named(asking: Asking) -> None:
    found = asking.object("18:05")
    assert (found["state"], found["holds"]) == ("quiet", False)
    assert found["conditions"] == [
        {"name": "the light is on", "holds": True},
        {"name": "nobody is there", "holds": False},
    ]
    assert found["sentence"] == "Not raised: not true: nobody is there."


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_condition_that_is_a_sentence_ends_with_one_stop(asking: Asking, language: str) -> None:
    told = asking.ask("meter_silent", "lamp", "--at", "2026-07-01T18:30", language=language)
    stop = "." if language == "en" else "。"
    assert (asking.status, told.splitlines()[1][-1]) == (0, stop)
    assert 2 * stop not in told


def test_when_it_holds_it_says_since_when_and_how_long_still_to_go(asking: Asking) -> None:
    found = asking.object("18:20")
    assert (found["state"], found["holds"], found["remaining_s"]) == ("pending", True, 300.0)
    assert str(found["since"]).startswith("2026-07-01T18:10")
    assert str(found["due"]).startswith("2026-07-01T18:25")


def test_a_raised_alert_says_since_when(asking: Asking) -> None:
    assert asking.object("18:30")["state"] == "firing"


def test_what_is_missing_is_named_with_its_age_and_quality(asking: Asking) -> None:
    found = asking.object("18:20", pir_until=12)
    assert found["holds"] is None
    assert found["missing"] == ["pir occupancy"]
    inputs = {(one["device"], one["quantity"]): one for one in found["inputs"]}  # type: ignore[attr-defined]
    assert inputs[("pir", "occupancy")]["quality"] == "stale"
    assert inputs[("pir", "occupancy")]["age_s"] == 8 * 60
    assert inputs[("lamp", "on")]["quality"] == "good"
    assert found["sentence"] == "Unknown: no usable reading of pir occupancy."


def test_only_what_the_unknown_condition_goes_by_is_called_missing(tmp_path: Path) -> None:
    """In May the season says nothing, so without a mode nobody knows whether the unit cools; that it runs is known."""
    site, readings = tmp_path / "devices.yaml", tmp_path / "r.csv"
    site.write_text(
        "version: 1\nsite: {name: hall, language: en}\nzones: [{id: '301'}]\n"
        "devices: [{id: ac, kind: aircon, zone: '301', every: 1m}]\n",
        encoding="utf-8",
    )
    rows = [f"2026-05-05T10:00:{second:02}+08:00,ac,running,1" for second in range(3)]
    rows.append("2026-05-05T10:00:02+08:00,ac,setpoint,20")
    readings.write_text("time,device,quantity,value\n" + "\n".join(rows) + "\n", encoding="utf-8")
    words = ("aircon_setpoint", "ac", "--site", str(site), "--readings", str(readings), "--json")
    (found,) = json.loads(CliRunner().invoke(app, ["why", *words]).stdout)["explanations"]
    assert [one["holds"] for one in found["conditions"]] == [True, None]
    assert found["missing"] == ["ac mode", "ac temperature"]


@pytest.mark.parametrize("language", ["zh", "en"])
def test_people_get_a_table_for_each_device_of_a_zone(asking: Asking, language: str) -> None:
    text = asking.ask("lights_left_on", "301", "--at", "2026-07-01T18:20", language=language)
    assert asking.status == 0
    assert "lamp" in text
    assert ("条件自 07-01 18:10 起成立，再持续5分钟" if language == "zh" else "raised in 5m, at 07-01 18:25") in text


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (("lights_left_on", "303"), 2, "no device and no zone '303'"),
        (("lights_off", "301"), 2, "there is no rule 'lights_off'; known are"),
        (("tap_left_running", "lamp"), 1, "tap_left_running does not look at lamp: it is for water"),
        (("lights_left_on", "302"), 1, "stands under except:"),
        (("lights_left_on", "lamp", "--at", "noon"), 2, "'noon' is no time"),
    ],
)
def test_a_wrong_question_is_one_sentence(asking: Asking, words: tuple[str, ...], status: int, sentence: str) -> None:
    asking.ask(*words)
    assert asking.status == status
    assert sentence in asking.complaint


OWN = """  lit_and_late:
    when: on and (zone.occupancy == 0 or not occupied) and not working_hours
    kind: light
    after: 30m
    text: {zh: 夜里亮灯, en: Lit at night}
"""


def test_each_condition_of_a_rule_of_the_sites_own_is_told(asking: Asking) -> None:
    readings, site = asking.folder / "r.csv", asking.folder / "own.yaml"
    readings.write_text(rows(), encoding="utf-8")
    page = SITE.replace("LANGUAGE", "zh").replace('rules: {lights_left_on: {except: ["302"]}}', "rules:")
    site.write_text(page + OWN, encoding="utf-8")
    words = ["lit_and_late", "lamp", "--at", "2026-07-01T18:05", "--site", str(site), "--readings", str(readings)]
    (found,) = json.loads(CliRunner().invoke(app, ["why", *words, "--json"]).stdout)["explanations"]
    assert found["conditions"] == [
        {"name": "on == 1", "holds": True},
        {"name": "zone.occupancy == 0 or not occupied", "holds": False},
        {"name": "not working_hours", "holds": True},
    ]
    assert found["sentence"] == "未告警：以下条件不成立：zone.occupancy == 0 or not occupied。"


def test_while_somebody_is_there_no_older_moment_is_called_the_last_sign(asking: Asking) -> None:
    there, gone = asking.object("18:05")["presence"], asking.object("18:12")["presence"]
    assert isinstance(there, dict)
    assert isinstance(gone, dict)
    assert (there["last_sign"], there["sure_from"]) == (None, None)
    assert gone["last_sign"] == "2026-07-01T18:10:00+08:00"


def test_times_are_written_in_the_language_of_the_site(asking: Asking) -> None:
    told = asking.ask("lights_left_on", "lamp", "--at", "2026-07-01T18:12:30", language="zh")
    assert "再持续12分钟30秒（到 07-01 18:25）即告警" in told
    assert "30秒" in told.partition("多久之前")[2]
    assert told.endswith("on_above 20\n")


def test_known_rules_are_named_once_each(asking: Asking) -> None:
    asking.ask("light_left_on", "lamp")
    assert asking.status == 2
    assert asking.complaint.count("lights_left_on") == 1


def test_what_there_is_nothing_of_leaves_neither_a_gap_nor_an_empty_table(tmp_path: Path) -> None:
    site, readings = tmp_path / "devices.yaml", tmp_path / "r.csv"
    site.write_text("version: 1\nsite: {name: hall, language: en}\ndevices: [{id: gas, kind: gas}]\n", encoding="utf-8")
    readings.write_text(rows().splitlines()[0] + "\n2026-07-01T18:00:00+08:00,gas,volume,1\n", encoding="utf-8")
    told = CliRunner().invoke(app, ["why", "meter_silent", "gas", "--site", str(site), "--readings", str(readings)])
    assert told.stdout.startswith("meter_silent  gas  2026-07-01 18:00\n")
    assert "Not raised: not true: the device does not speak.\n" in told.stdout
    assert "quality" not in told.stdout
