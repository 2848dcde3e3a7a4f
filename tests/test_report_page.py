"""The report's page: what stands in it, how a browser shows and prints it; and a rehearsal to make one of."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from greenwarden.cli import app
from tests.parts import need
from tests.report_parts import OFFICE, House, alert

JULY = ("--month", "2026-07")
MARKUP = "<script>alert(1)</script>"


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A house with a gap, an estimate, alerts, and markup in every name."""
    content = json.loads(json.dumps(OFFICE))
    content["site"]["name"] = f"Hall {MARKUP}"
    content["departments"][0]["name"] = f"<b>Finance</b> & {MARKUP}"
    content["zones"][0]["name"] = f'"{MARKUP}'
    content["devices"][0]["name"] = f"Main {MARKUP} [red]meter[/red]"
    content["devices"][1]["name"] = f"Sub {MARKUP}"
    made = House(tmp_path, content)
    made.used("main", "2026-06-01", "2026-07-01", 1500)
    made.used("main", "2026-07-01", "2026-07-11", 1000)
    made.used("main", "2026-07-16", "2026-08-01", 1600, estimated=True)
    made.used("sub-301", "2026-01-01", "2026-08-01", 12_720)
    made.used("sub-b1", "2026-07-01", "2026-08-01", 930)
    made.used("water", "2026-07-01", "2026-08-01", 62)
    made.account("2026-08-01")
    waste = {"kwh": 10.0, "litres": None, "cost": 5.0, "kgco2": 6.0}
    answer = {"by": MARKUP, "reason": MARKUP, "at": "2026-07-03T12:40:00+08:00", "why": MARKUP}
    once = alert("a", "lights_left_on", "2026-07-03T12:00+08:00", "2026-07-03T13:00+08:00", waste=waste, answer=answer)
    where = {"department": MARKUP, "zone": MARKUP, "device": MARKUP}
    made.keep([once, alert("b", MARKUP, "2026-07-04T12:00+08:00", "2026-07-05T13:00+08:00", waste=waste, **where)])
    return made


class Elements(HTMLParser):
    """Every element with its attributes, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_names_are_shown_as_they_are_and_never_as_markup(house: House) -> None:
    page = house.page(*JULY)
    elements = Elements(page)
    tags = {tag for tag, _ in elements.found}
    assert "script" not in tags
    assert not any(name.startswith("on") for _, attributes in elements.found for name in attributes)
    assert {f"Hall {MARKUP}: energy and water, July 2026", f"<b>Finance</b> & {MARKUP}"} <= set(elements.text)
    assert page.count(MARKUP) == 0
    text = house.text(*JULY)
    assert "[red]meter[/red]" in text  # nor is it markup to the terminal


def test_the_page_needs_nothing_from_elsewhere(house: House) -> None:
    elements = Elements(house.page(*JULY))
    assert not {tag for tag, _ in elements.found} & {"script", "link", "iframe", "object", "img", "a", "form"}
    policy = next(given["content"] for tag, given in elements.found if given.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert not re.search(r"https?:|@import|url\((?!#none\))", house.page(*JULY))


def test_a_chinese_report_is_chinese_throughout(house: House) -> None:
    page = house.page(*JULY, "--language", "zh")
    for word in (
        "2026年7月用能月报", "2026年7月1日至7月31日，共31天，其中工作日23天", "用电量（千瓦时）", "折标煤（kgce）",
        "碳排放（kgCO₂）", "环比", "同比", "人均", "单位建筑面积", "年定额", "定额已用", "总分表核对", "未能计量",
        "审核人：", "费用（元）", "只是已计量的部分",
    ):  # fmt: skip
        assert word in page, word
    english = {"Use", "Cost", "Before", "Missing", "Department", "no data", "Rule", "Raised", "no meter"}
    assert not english & {text.strip() for text in Elements(page).text}
    told = house.text(*JULY, "--language", "zh")
    assert not re.search(r"\b(Use|Cost|Missing|Raised|unknown|working)\b", told)


def test_days_without_data_are_hatched_and_days_off_and_estimates_have_their_colours(house: House) -> None:
    page = house.page(*JULY)
    figure = page[page.index("<figure>") : page.index("</figure>")]
    fills = {day: fill for fill, day in re.findall(r'fill="([^"]+)"><title>(2026-07-\d\d)', figure)}
    assert len(fills) == 31
    assert [fills[f"2026-07-{day:02}"] for day in (3, 4, 12, 20)] == ["#1e8449", "#a9dfbf", "url(#none)", "#d68910"]
    assert "2026-07-03 working day: 100.0 kWh (Measured)" in figure
    assert "2026-07-12 not a working day: no data (Missing)" in figure


# -- in a browser -----------------------------------------------------------------------------------------------------


@pytest.fixture
def browser() -> Iterator[Any]:
    program = need("chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_browser_shows_the_page_at_any_width_and_prints_it_on_a4(house: House, browser: Any, language: str) -> None:
    house.page(*JULY, "--language", language)
    address = house.path.with_name("report.html").as_uri()
    for width in (1280, 390):
        tab = browser.new_page(viewport={"width": width, "height": 900})
        asked: list[str] = []
        troubles: list[str] = []
        tab.on("request", lambda request, asked=asked: asked.append(request.url))
        tab.on("console", lambda message, troubles=troubles: troubles.append(message.text))
        tab.goto(address)
        assert asked == [address]
        assert troubles == []
        assert tab.evaluate("document.documentElement.scrollWidth") <= width  # wide tables scroll by themselves
        assert tab.evaluate("document.querySelector('svg').getBoundingClientRect().height") > 40
    printed = tab.pdf(prefer_css_page_size=True)
    (sizes,) = {tuple(map(float, size)) for size in re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", printed)}
    assert sizes == pytest.approx((595, 842), abs=2)  # A4 in points
    assert len(re.findall(rb"/Type /Page\b", printed)) in (2, 3, 4)


# -- a rehearsal ------------------------------------------------------------------------------------------------------

ROOM = """
version: 1
site: {name: Rehearsal, language: en, tariffs: {electricity: 1.0, water: 4.0}}
departments: [{id: d, headcount: 4, area: 40}]
zones: [{id: "1", department: d, headcount: 4}]
devices:
  - {id: main, kind: electricity, circuit: main, every: 5m}
  - {id: lamps, kind: electricity, circuit: lighting, zone: "1", parent: main, every: 5m, rated_power: 300}
  - {id: ac, kind: aircon, zone: "1", every: 5m, rated_power: 1500}
  - {id: power-ac, kind: electricity, circuit: aircon, zone: "1", parent: main, every: 5m}
  - {id: seen, kind: sensor, zone: "1", every: 5m}
"""


def test_a_simulated_building_can_be_kept_and_reported(tmp_path: Path) -> None:
    path, kept = tmp_path / "devices.yaml", tmp_path / "rehearsal"
    path.write_text(ROOM, encoding="utf-8")
    asked = ["simulate", str(path), "--days", "10", "--start", "2026-07-01", "--direct", "--faults", "standard"]
    played = CliRunner().invoke(app, [*asked, "--keep", str(kept), "--json"])
    assert played.exit_code == 0, played.output
    words = ["report", "-s", str(path), "--from", "2026-07-01", "--to", "2026-07-11", "--data", str(kept), "--json"]
    told = json.loads(CliRunner().invoke(app, words).stdout)
    exported = CliRunner().invoke(app, ["export", str(tmp_path / "x.csv"), "-s", str(path), "--device", "main"])
    assert exported.exit_code == 1  # the site's own folder was not touched
    energy = told["media"]["energy"]
    assert energy["amount"] > 0
    assert energy["share_missing"] < 0.02
    assert energy["cost"] == pytest.approx(energy["amount"], abs=1e-3)
    assert told["departments"]["d"]["media"]["energy"]["amount"] <= energy["amount"] + 1e-6
    assert sum(line["raised"] for line in told["alerts"]["rules"].values()) > 0


def test_a_rehearsal_is_kept_in_an_empty_folder_only_and_when_it_is_made_at_once(tmp_path: Path) -> None:
    path = tmp_path / "devices.yaml"
    path.write_text(ROOM, encoding="utf-8")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "greenwarden.db").touch()
    full = CliRunner().invoke(app, ["simulate", str(path), "--direct", "--keep", str(tmp_path / "full")])
    assert (full.exit_code, "holds something already" in full.stderr) == (1, True)
    slow = CliRunner().invoke(app, ["simulate", str(path), "--days", "1", "--keep", str(tmp_path / "new")])
    assert (slow.exit_code, "write --direct too" in slow.stderr) == (2, True)
