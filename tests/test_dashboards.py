"""The dashboards: sound in structure, in both languages, and every number they ask for is true.

Every query runs on a real InfluxDB 1.6.7 that holds two simulated weeks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from building.quantities import QUANTITIES, Nature
from building.site import Site, SiteInfo, Tariffs
from dashboards.boards import BOARDS
from dashboards.description import Dashboard, Panel, Query
from dashboards.files import COMMITTED, as_text, built, export
from dashboards.for_site import for_site
from dashboards.grafana_json import LANGUAGES, dashboard_json, letter, uid_of
from dashboards.labels import RULES
from rules.catalogue import CATALOGUE
from tests.dashboards_parts import DAY, END, HOUR, START, Time, Weeks, choices, columns_of, filled, load
from tests.parts import Influxd
from tests.simulators_parts import sample_site

Json = dict[str, Any]
CHINESE = re.compile(r"[\u4e00-\u9fff]")
PANELS = [(board, panel) for board in BOARDS for row in board.rows for panel in row.panels]
QUERIES = [
    pytest.param(board, panel, query, id=f"{board.name}-{number}-{letter(index)}")
    for board in BOARDS
    for number, panel in enumerate(panel for row in board.rows for panel in row.panels)
    for index, query in enumerate(panel.queries)
]

# What a query may ask for besides quantities: field or name of its own -> units it may be shown in.
UNITS = {
    "energy": {"kwatth", "kwatt"},  # kWh in an hour are kW
    "volume": {"m3"},
    "cost": {"prefix:¥"},
    "kgco2": {"suffix:kgCO₂"},
    "kwh": {"kwatth"},
    "litres": {"suffix:L"},
    "hours": {"suffix:h"},
    "share_measured": {"percentunit"},
    "busy_share": {"percentunit"},
    "queue_hours": {"suffix:h"},
    "queue_bytes": {"decbytes"},
    "queue_readings": {"none"},
    "age": {"s"},
    "power": {"watt"},
    "demand": {"kwatt"},
    "base": {"kwatt"},
    "used": {"percentunit"},
    "head": {"kwatth"},
    "square": {"suffix:kWh/m²"},
    "measured": {"percentunit"},
    "night": {"suffix:L"},
    "quietest": {"suffix:L"},
}
UNIT_OF = {"W": "watt", "°C": "celsius", "lx": "lux", "A": "amp", "L/min": "flowlpm", "m3": "m3", "": "none"}
OTHER_FIELDS = {
    "interval": {"energy", "volume", "cost", "kgco2", "state", "share_measured", "hour", "headcount", "area", "quota"},
    "alert": {"state", "id", "title", "kwh", "litres", "cost", "kgco2", "hours"},
    "collector": {
        "requests", "answers", "errors", "missed", "silent", "age_s", "busy_share",
        "queue_hours", "queue_readings", "queue_bytes",
    },
}  # fmt: skip
TAGS = {"site", "scope", "zone", "floor", "department", "device", "circuit", "period", "rule", "severity", "link"}
KINDS = {"electricity", "plug", "light", "water", "aircon", "sensor", "gas", "heat", "fuel"}


# -- structure --------------------------------------------------------------------------------------------------------


@pytest.fixture(
    params=[(board, language) for board in BOARDS for language in LANGUAGES], ids=lambda p: f"{p[0].name}-{p[1]}"
)
def dashboard(request: pytest.FixtureRequest) -> Json:
    return dashboard_json(*request.param)


def test_the_committed_files_are_those_that_the_description_makes() -> None:
    expected = {
        f"{language}/{name}.json": as_text(made) for language in LANGUAGES for name, made in built(language).items()
    }
    found = {str(p.relative_to(COMMITTED)): p.read_text(encoding="utf-8") for p in COMMITTED.glob("??/*.json")}
    assert found.keys() == expected.keys()
    for name, text in expected.items():
        assert found[name] == text, f"{name} is old; run: greenwarden dashboards export dashboards/grafana"


def test_there_are_the_eight_boards_that_were_promised() -> None:
    names = [board.name for board in BOARDS]
    assert names == ["today", "building", "department", "zone", "water", "aircon", "health", "campaign"]


def test_ids_are_unique_and_panels_do_not_overlap(dashboard: Json) -> None:
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not own & cells, panel["title"]
        cells |= own
    lowest = max(y for _, y in cells)
    assert len(cells) == 24 * (lowest + 1), "a row is not filled"


def test_every_variable_that_is_used_is_defined_and_none_is_idle(dashboard: Json) -> None:
    defined = {variable["name"] for variable in dashboard["templating"]["list"]}
    own = {"timeFilter", "__interval", "__from", "__to", "__all"}
    aliases = {"tag_device", "tag_department", "tag_zone", "tag_circuit", "tag_link", "tag_rule"}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(dashboard, ensure_ascii=False)))
    assert used - own - aliases <= defined
    assert defined - used <= {"timezone"}


def test_every_panel_asks_the_chosen_data_source(dashboard: Json) -> None:
    sources = re.findall(r'"datasource": (\{.*?"\})', json.dumps(dashboard))
    assert set(sources) == {'{"type": "influxdb", "uid": "${datasource}"}'}
    assert 39 <= dashboard["schemaVersion"] <= 41


def test_every_text_is_in_both_languages() -> None:
    for board in BOARDS:
        for text in _texts(board):
            assert text.zh
            assert text.en
            assert not CHINESE.search(text.en), text.en
    for language in LANGUAGES:
        for name, made in built(language).items():
            assert made["uid"] == uid_of(name, language)
            assert bool(CHINESE.search(json.dumps(made, ensure_ascii=False))) is (language == "zh"), name


def test_every_panel_says_what_it_is_in_what_unit_and_what_it_shows_when_it_is_empty(dashboard: Json) -> None:
    for panel in dashboard["panels"]:
        assert len(panel["title"]) > 1
        assert len(panel["description"]) > 7
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["fieldConfig"]["defaults"]["noValue"]
        assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"][0]["value"] is None


def test_every_rule_has_a_name_that_people_read() -> None:
    assert CATALOGUE.keys() <= RULES.keys()


def _texts(board: Dashboard) -> Iterator[Any]:
    yield from (board.title, board.about, *(variable.title for variable in board.variables))
    for row in board.rows:
        for panel in row.panels:
            yield from (panel.title, panel.about, panel.empty, *panel.labels.values())
            yield from (look.title for look in panel.columns.values() if look.title is not None)
            yield from (word.text for word in panel.words)
            yield from (query.alias for query in panel.queries if not isinstance(query.alias, str))


# -- queries, by what is written --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("board", "panel", "query"), QUERIES)
def test_a_query_asks_for_what_the_store_has_in_the_subset_that_all_influxdbs_share(
    board: Dashboard, panel: Panel, query: Query
) -> None:
    text = query.text
    measurements = set(re.findall(r'FROM ((?:"\w+"(?:, )?)+)', text))
    named = {name for found in measurements for name in re.findall(r'"(\w+)"', found)}
    assert named
    assert named <= KINDS | OTHER_FIELDS.keys()
    known = TAGS | named | set(re.findall(r'AS "(\w+)"', text))
    for measurement in named:
        known |= OTHER_FIELDS.get(measurement, {*QUANTITIES, "quality"})
    assert set(re.findall(r'"(\w+)"', text)) <= known
    assert not re.search(r"\b(integral|sample|holt_winters|slimit|soffset|into)\b|now\(", text, re.IGNORECASE)
    assert not re.search(r'"\."|\|>', text), "no retention policies, no Flux"
    assert "$timeFilter" in text or "${before:raw}" in text
    assert "${site:regex}" in text


@pytest.mark.parametrize(("board", "panel", "query"), QUERIES)
def test_a_panel_shows_a_value_in_the_unit_that_it_has(board: Dashboard, panel: Panel, query: Query) -> None:
    for name, unit in _shown(panel, query):
        quantity = QUANTITIES.get(name)
        if quantity is not None and quantity.nature is Nature.WORD:
            assert unit == "string"
        elif quantity is not None:
            assert unit == UNIT_OF[quantity.unit]
        else:
            assert unit in UNITS[name], f"{panel.title.en}: {name} in {unit}"


def _shown(panel: Panel, query: Query) -> Iterator[tuple[str, str]]:
    """Fields that a query ends in, with the unit they are shown in; words and counts left out."""
    if panel.columns:
        looks = {
            name: look for name, look in panel.columns.items() if look.unit not in ("string", "none", "dateTimeAsIso")
        }
        for name, look in looks.items():
            if f'"{name}"' in query.text and name not in ("before", "now", "saved"):
                yield name, look.unit
        return
    unit = panel.unit if query.look is None or not query.look.unit else query.look.unit
    head = query.text.split(" FROM ")[0]
    named = re.search(r'AS "(\w+)"$', head)
    asked = re.search(r'^SELECT (?!count)(?:\w+\()?"(\w+)"', head)
    if "occupancy" in head or "before" in head or "silent" in head or "errors" in head or asked is None:
        return
    yield named[1] if named else asked[1], unit


# -- queries, on a real database ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def weeks() -> Weeks:
    return Weeks()


@pytest.fixture(scope="module")
def database(weeks: Weeks, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influxd]:
    with Influxd(tmp_path_factory.mktemp("influxd")) as server:
        load(server.url, weeks.lines())
        load(server.url, [_second_site().encode()])
        yield server


STRANGE = "A\"1' (x)|.*/$5\\d, 三楼"
"""An id that devices.yaml takes; as text it is found, as anything else it would be an error or all rooms."""


def _second_site() -> str:
    """A site that shares ids with the first: power, a department with a day unknown, an alert open since long ago."""
    room = STRANGE.replace(",", "\\,").replace(" ", "\\ ")
    day = "interval,site=second,scope=department,department=finance,period=1d"
    hour = "interval,site=second,period=1h"
    alert = "alert,site=second,rule=water_leak,device=water-wc-3,severity=warning"
    return "\n".join(
        [
            f"electricity,site=second,circuit=main,device=main active_power=77000.0 {END - 60_000}",
            f"interval,site=second,scope=zone,zone={room},period=15m energy=3.5,cost=2.0 {END - HOUR}",
            f"interval,site=second,scope=zone,zone=A1,period=15m energy=100.0,cost=50.0 {END - HOUR}",
            f'{day} energy=4.0,quota=8.0,headcount=2.0,area=10.0,state="measured" {END - 3 * DAY}',
            f'{day} quota=8.0,headcount=2.0,area=10.0,state="missing" {END - 2 * DAY}',
            f"{hour},scope=site volume=6.0,hour=9.0 {END - DAY}",
            f"{hour},scope=device,device=water-main volume=6.0,hour=9.0 {END - DAY}",
            f"{hour},scope=device,device=water-wc-3 volume=2.0,hour=9.0 {END - DAY}",
            f'{alert} state="firing",id="a",title="leak",litres=9000.0,cost=36.9 {END - 200 * DAY}',
            f'gas,site=second,device=gas-main quality="bad: no answer" {END - DAY}',
        ]
    )


def ask(database: Influxd, board: Dashboard, panel: Panel, query: Query, **chosen: str) -> list[Json]:
    """The rows that a panel's query brings when the dashboard is opened at END."""
    made = dashboard_json(board, "en")
    where = next(p for p in made["panels"] if p["title"] == panel.title.en and p["type"])
    known = choices(made) | {"timezone": "Asia/Shanghai"} | chosen
    if board.name == "zone":
        known["zone"] = "202"
    return database.query(filled(query.text, Time.of(where, made, END), known))


@pytest.mark.parametrize(("board", "panel", "query"), QUERIES)
def test_every_query_brings_rows(database: Influxd, board: Dashboard, panel: Panel, query: Query) -> None:
    rows = ask(database, board, panel, query)
    assert columns_of(rows) - {"measurement"}, f"{panel.title.en} is empty"
    if panel.columns and not panel.steps:
        shown = {name for name, look in panel.columns.items() if not look.hidden and name != "Time"}
        assert shown <= {name for row in rows for name in row}, "a column that no query brings"


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_every_variable_has_values_and_narrows_those_that_follow(database: Influxd, board: Dashboard) -> None:
    made = dashboard_json(board, "zh")
    for variable in made["templating"]["list"]:
        if variable["type"] == "query":
            everything = database.query(filled(variable["query"], Time(START, END), choices(made)))
            assert everything, variable["name"]
            if "${floor:regex}" in variable["query"]:
                chosen = choices(made) | {"floor": "3"}
                fewer = {row["value"] for row in database.query(filled(variable["query"], Time(START, END), chosen))}
                assert fewer < {row["value"] for row in everything}
    for note in made["annotations"]["list"]:
        marks = database.query(filled(note["query"], Time(START, END), choices(made)))
        assert {"title", "rule"} <= columns_of(marks)


# -- true numbers -----------------------------------------------------------------------------------------------------


def the(board_name: str, title: str) -> tuple[Dashboard, Panel]:
    return next((board, panel) for board, panel in PANELS if (board.name, panel.title.en) == (board_name, title))


def value(database: Influxd, board_name: str, title: str, **chosen: str) -> float:
    """The one number that a stat shows."""
    board, panel = the(board_name, title)
    (row,) = ask(database, board, panel, panel.queries[0], **chosen)
    (number,) = [v for k, v in row.items() if k not in ("time", "measurement")]
    return float(number)


TODAY = END - (END - START) % DAY
WEEK = END - 7 * DAY
SITE = sample_site().site.name


def near(expected: float) -> Any:
    return pytest.approx(expected, rel=0.01)


def test_consumption_is_the_truth(database: Influxd, weeks: Weeks) -> None:
    kwh = weeks.totals.kwh
    assert value(database, "today", "Energy today") == near(kwh("site", SITE, TODAY, END))
    last_week = near(kwh("site", SITE, TODAY - 7 * DAY, WEEK + 1))
    assert value(database, "today", "Same weekday last week") == last_week
    full_hours = -(-WEEK // HOUR) * HOUR
    assert value(database, "building", "Energy") == near(kwh("site", SITE, full_hours, END))
    assert value(database, "zone", "Energy") == near(kwh("zone", "202", END - DAY, END))
    of_days = sum(kwh("department", name, START, END) for name in ("service", "finance", "logistics"))
    assert value(database, "department", "Energy") == near(of_days)
    aircons = sum(
        kwh("device", d.id, full_hours, END)
        for d in weeks.site.devices
        if d.circuit == "aircon" and d.kind == "electricity"
    )
    assert value(database, "aircon", "Energy of air conditioning") == near(aircons)
    meters = [device.id for device in weeks.site.devices if device.kind == "water"]
    cubic = sum(weeks.totals.cubic("device", meter, full_hours, END) for meter in meters)
    assert value(database, "water", "Water of the chosen meters") == near(cubic)


def test_what_a_device_really_measured_is_what_its_counter_gained(database: Influxd, weeks: Weeks) -> None:
    (row,) = database.query("SELECT spread(\"energy_import\") AS gained FROM electricity WHERE circuit = 'main'")
    assert row["gained"] == near(weeks.totals.kwh("site", SITE, START, END))


def test_cost_is_the_truth(database: Influxd, weeks: Weeks) -> None:
    tariffs = weeks.site.site.tariffs
    today = weeks.totals.kwh("site", SITE, TODAY, END) * tariffs.electricity
    today += weeks.totals.cubic("site", SITE, TODAY, END) * tariffs.water
    assert value(database, "today", "Cost today") == near(today)
    co2 = weeks.totals.kwh("site", SITE, -(-WEEK // HOUR) * HOUR, END) * weeks.site.site.factors.grid_co2
    assert value(database, "building", "CO₂") == near(co2)


def test_waste_is_the_truth(database: Influxd, weeks: Weeks) -> None:
    tariffs = weeks.site.site.tariffs

    def cost(start: int, end: int) -> float:
        ended = weeks.ended(start, end)
        return sum((e.kwh or 0) * tariffs.electricity + (e.litres or 0) / 1000 * tariffs.water for e in ended)

    assert value(database, "today", "Wasted today") == near(cost(TODAY, END))
    assert value(database, "department", "Wasted") == near(cost(START, END))
    litres = sum(e.litres or 0 for e in weeks.ended(WEEK, END, "tap_left_running"))
    assert value(database, "water", "Wasted water") == near(litres)
    empty = weeks.ended(WEEK, END, "aircon_unoccupied")
    assert value(database, "aircon", "Hours in empty rooms") == near(sum(e.ended - e.since for e in empty) / HOUR)  # type: ignore[operator]
    avoided = cost(WEEK - 7 * DAY, WEEK) - cost(WEEK, END)
    assert value(database, "campaign", "Money saved on waste") == near(avoided)
    kwh = sum(e.kwh or 0 for e in weeks.ended(WEEK - 7 * DAY, WEEK)) - sum(e.kwh or 0 for e in weeks.ended(WEEK, END))
    assert value(database, "campaign", "Waste avoided") == near(kwh)
    open_now = sum(e.is_due(END) and not weeks.is_over(e) for e in weeks.building.truth.expected)
    assert open_now
    assert value(database, "today", "Open alerts") == open_now


def test_quota_per_head_and_per_square_metre_are_the_truth(database: Influxd, weeks: Weeks) -> None:
    board, panel = the("department", "League table")
    rows = {row["department"]: row for row in ask(database, board, panel, panel.queries[0])}
    for department in weeks.site.departments:
        used = weeks.totals.kwh("department", department.id, START, END)
        row = rows[department.id]
        assert row["energy"] == near(used)
        assert row["head"] == near(used / department.headcount)
        assert row["square"] == near(used / (department.area or 0))
        assert row["used"] == near(used / ((department.quota.electricity or 0) * 15 / 365))


def test_links_are_not_counted_as_devices_nor_their_errors_twice(database: Influxd, weeks: Weeks) -> None:
    assert value(database, "health", "Silent devices") == 1, "each link says silent too"
    board, panel = the("health", "Errors by hour")
    rows = ask(database, board, panel, panel.queries[0])
    assert {row["link"] for row in rows} == {link.id for link in weeks.site.links}
    steps = (END - (END - 3 * DAY)) // 300_000
    for link in weeks.site.links:
        counted = sum(row["sum"] for row in rows if row["link"] == link.id)
        assert counted == pytest.approx(steps // 11, abs=1), "errors of the three days, up to the first hour's own"


def test_the_hours_of_the_heat_map_are_local_hours(database: Influxd, weeks: Weeks) -> None:
    board, panel = the("today", "Energy by hour and day")
    for hour in (0, 9, 14):
        rows = ask(database, board, panel, panel.queries[hour])
        shown = {row["time"]: row["sum"] for row in rows}
        assert all((at - START) % DAY == 0 for at in shown), "a column stands for a local day"
        day = START + 6 * DAY
        began = day + hour * HOUR
        assert shown[day] == near(weeks.totals.kwh("site", SITE, began, began + HOUR))


def test_a_device_that_says_nothing_is_not_shown_with_its_last_value(database: Influxd, weeks: Weeks) -> None:
    board, panel = the("today", "Power now")
    made = dashboard_json(board, "en")
    query = filled(panel.queries[0].text, Time(END + HOUR, END + HOUR + 600_000), choices(made))
    assert not database.query(query)


# -- sites side by side, and what is hard to write ---------------------------------------------------------------------


def test_a_site_is_not_mixed_with_another_that_has_the_same_ids(database: Influxd) -> None:
    first, second = value(database, "today", "Power now"), value(database, "today", "Power now", site="second")
    assert first < 70_000
    assert second == 77_000
    both = value(database, "today", "Power now", site=".*")
    assert both in (first, second), "one main meter hides the other, so the boards never ask for both"
    for board in BOARDS:
        (chosen,) = (v for v in dashboard_json(board, "zh")["templating"]["list"] if v["name"] == "site")
        assert chosen["multi"] is False
        assert chosen["includeAll"] is False


def test_an_id_full_of_signs_is_text_and_never_part_of_a_query(database: Influxd) -> None:
    board, panel = the("zone", "Energy")
    made = dashboard_json(board, "en")
    where = next(p for p in made["panels"] if p["title"] == panel.title.en)
    known = choices(made) | {"site": "second", "zone": STRANGE}
    query = filled(panel.queries[0].text, Time.of(where, made, END), known)
    assert [row["sum"] for row in database.query(query)] == [3.5]


def test_every_variable_says_in_what_form_it_is_written(dashboard: Json) -> None:
    queries = [target["query"] for panel in dashboard["panels"] for target in panel["targets"]]
    queries += [v["query"] for v in dashboard["templating"]["list"] if v["type"] == "query"]
    queries += [
        query for note in dashboard["annotations"]["list"] for query in (note["query"], note["target"]["query"])
    ]
    for query in queries:
        left = re.sub(r"\$(timeFilter|__interval|\{__from\}|\{__to\}|\{\w+:(regex|raw)\}|/)", "", query)
        assert "$" not in left, query
        assert set(re.findall(r"\$\{(\w+):raw\}", query)) <= {"timezone", "before"}


def test_the_quota_of_a_day_whose_energy_is_unknown_is_not_held_against_the_others(database: Influxd) -> None:
    assert value(database, "department", "Part of the quota used", site="second") == 0.5
    for title in ("League table", "Quota used"):
        board, panel = the("department", title)
        (row,) = ask(database, board, panel, panel.queries[0], site="second")
        assert row["used"] == 0.5


def test_water_behind_another_meter_is_counted_once_for_the_site(database: Influxd, weeks: Weeks) -> None:
    assert value(database, "water", "Water of the site", site="second") == 6
    full_hours = -(-WEEK // HOUR) * HOUR
    assert value(database, "water", "Water of the site") == near(weeks.totals.cubic("site", SITE, full_hours, END))


def test_an_alert_that_has_been_open_for_half_a_year_is_shown(database: Influxd) -> None:
    assert value(database, "today", "Open alerts", site="second") == 1
    board, _ = the("today", "Open alerts")
    table = next(p for b, p in PANELS if b is board and p.title.en == "Open alerts" and p.kind == "table")
    (row,) = database.query(
        filled(
            table.queries[0].text, Time(END - 365 * DAY, END), choices(dashboard_json(board, "en")) | {"site": "second"}
        )
    )
    assert row["litres"] == 9000
    assert table.since == "365d"


def test_flaws_of_every_kind_of_meter_are_shown(database: Influxd) -> None:
    board, panel = the("health", "Readings with flaws")
    (row,) = ask(database, board, panel, panel.queries[0], site="second")
    assert (row["device"], row["flawed"]) == ("gas-main", 1)


def test_a_gap_in_a_line_is_sent_as_a_gap() -> None:
    """So that Grafana, which crosses only so many milliseconds of nothing, need not know how often a device speaks."""
    for board, panel in PANELS:
        for query in panel.queries if panel.bridge else ():
            assert query.text.endswith("fill(null)"), (board.name, panel.title.en)


def test_a_reading_that_stands_alone_between_gaps_is_drawn_and_no_line_goes_on_after_the_last() -> None:
    for board, panel in PANELS:
        if panel.kind == "lines":
            made = next(p for p in dashboard_json(board, "en")["panels"] if p["title"] == panel.title.en)
            custom = made["fieldConfig"]["defaults"]["custom"]
            assert (custom["showPoints"], custom["lineInterpolation"]) == ("auto", "linear")


# -- for a site -------------------------------------------------------------------------------------------------------


def test_for_a_site_the_dashboards_speak_its_names_currency_and_time_zone() -> None:
    site = sample_site()
    made = for_site(built("zh")["department"], site)
    text = json.dumps(made, ensure_ascii=False)
    assert "财务处" in text
    berlin = site.model_copy(update={"site": SiteInfo(timezone="Europe/Berlin", tariffs=Tariffs(currency="EUR"))})
    made = for_site(built("en")["today"], berlin)
    text = json.dumps(made, ensure_ascii=False)
    assert "prefix:€" in text
    assert "¥" not in text
    assert "Asia/Shanghai" not in text
    assert made["timezone"] == "Europe/Berlin"


def test_a_board_made_for_a_site_opens_with_that_site() -> None:
    site = sample_site()
    for made in built("zh", site).values():
        (chosen,) = (v for v in made["templating"]["list"] if v["name"] == "site")
        assert chosen["current"] == {"selected": True, "text": site.site.name, "value": site.site.name}


def test_devices_with_the_same_name_are_told_apart() -> None:
    made = for_site(built("zh")["zone"], sample_site())
    names = [
        override["properties"][0]["value"]
        for panel in made["panels"]
        for override in panel["fieldConfig"]["overrides"]
        if override["matcher"] == {"id": "byName", "options": "pc-301"}
    ]
    assert set(names) == {"电脑 pc-301"}


def test_a_site_without_names_changes_nothing_but_what_it_must() -> None:
    plain, made = built("zh")["today"], for_site(built("zh")["today"], Site())
    assert {key for key in plain if made[key] != plain[key]} == {"templating"}
    changed = [v for v in made["templating"]["list"] if v not in plain["templating"]["list"]]
    assert [v["name"] for v in changed] == ["site"]


def test_export_writes_every_board_in_both_languages_with_the_provisioning(tmp_path: Path) -> None:
    written = export(tmp_path / "new" / "folder")
    assert len(written) == 2 * len(BOARDS)
    assert json.loads((tmp_path / "new/folder/zh/today.json").read_text(encoding="utf-8"))["title"] == "今日用能"
    found = {str(path.relative_to(tmp_path / "new/folder")) for path in (tmp_path / "new/folder").rglob("*.yaml")}
    assert found == {
        "provisioning/dashboards/greenwarden.yaml",
        "provisioning/datasources-influxdb-1/greenwarden.yaml",
        "provisioning/datasources-influxdb-2-3/greenwarden.yaml",
    }


def test_titles_within_a_board_differ() -> None:
    for board in BOARDS:
        shown: list[Mapping[str, Any]] = dashboard_json(board, "en")["panels"]
        for one, other in combinations(shown, 2):
            assert (one["title"], one["type"]) != (other["title"], other["type"]), one["title"]
