"""Working hours, holidays and make-up workdays.

The days of 2026 are those of the State Council's notice of 4 November 2025 about that year's holidays.
"""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from building.calendar import WorkCalendar
from collector.storing.service import STATUS_FILE
from greenwarden.status import show_status
from tests.site_parts import local, site_of

CHINA = WorkCalendar(site_of("site: {name: a}"))

HOLIDAYS_2026 = [
    ("2026-01-01", 3),
    ("2026-02-15", 9),
    ("2026-04-04", 3),
    ("2026-05-01", 5),
    ("2026-06-19", 3),
    ("2026-09-25", 3),
    ("2026-10-01", 7),
]
MADE_UP_2026 = ["2026-01-04", "2026-02-14", "2026-02-28", "2026-05-09", "2026-09-20", "2026-10-10"]


def test_2026_is_as_the_notice_says() -> None:
    off = {date.fromisoformat(first) + timedelta(days=n) for first, days in HOLIDAYS_2026 for n in range(days)}
    made_up = {date.fromisoformat(day) for day in MADE_UP_2026}
    for n in range(365):
        day = date(2026, 1, 1) + timedelta(days=n)
        assert CHINA.is_workday(day) == (day in made_up or (day.weekday() < 5 and day not in off)), day
        assert CHINA.is_made_up(day) == (day in made_up), day


def test_a_make_up_saturday_has_an_ordinary_days_hours() -> None:
    times = ("08:29", "08:30", "12:30", "17:29", "17:30")
    assert [CHINA.is_working(local(f"2026-10-10 {time}")) for time in times] == [False, True, False, True, False]


def test_the_hours_end_where_they_say() -> None:
    moment = local("2026-07-01 09:00")
    assert CHINA.next_change(moment) == local("2026-07-01 12:00")
    assert CHINA.since(moment) == local("2026-07-01 08:30")


def test_a_holiday_week_is_one_stretch() -> None:
    moment = local("2026-10-03 10:00")
    assert CHINA.since(moment) == local("2026-09-30 17:30")
    assert CHINA.next_change(moment) == local("2026-10-08 08:30")


def test_the_sites_own_days_go_before_the_official_ones() -> None:
    calendar = WorkCalendar(site_of("site: {extra_holidays: [2026-10-08], extra_workdays: [2026-10-03, 2026-10-11]}"))
    days = (date(2026, 10, 8), date(2026, 10, 3), date(2026, 10, 11))
    assert [calendar.is_workday(day) for day in days] == [False, True, True]
    assert calendar.is_working(local("2026-10-11 09:00"))  # a Sunday, with an ordinary day's hours


def test_a_zone_has_its_own_hours_else_its_departments_else_the_sites() -> None:
    calendar = WorkCalendar(
        site_of(
            "departments: [{id: hall, working_hours: {mon-sat: 09:00-16:00}}]\n"
            "zones:\n"
            "  - {id: guard, department: hall, working_hours: {mon-sun: 00:00-24:00}}\n"
            "  - {id: counter, department: hall}\n"
            "  - {id: office}\n"
        )
    )
    saturday = local("2026-07-04 10:00")
    assert [calendar.is_working(saturday, zone) for zone in ("guard", "counter", "office", None)] == [
        True, True, False, False,
    ]  # fmt: skip
    assert calendar.next_change(local("2026-09-20 10:00"), "guard") == local("2026-09-25 00:00")


def test_hours_until_midnight_go_on_where_the_next_day_takes_them_up() -> None:
    wednesday = local("2026-07-01 10:00", "Europe/Berlin")
    assert BERLIN.since(wednesday, "porter") == local("2026-06-29 00:00", "Europe/Berlin")
    assert BERLIN.next_change(wednesday, "porter") == local("2026-07-04 00:00", "Europe/Berlin")


def test_a_hall_open_on_saturdays_is_closed_on_a_saturday_that_is_a_holiday() -> None:
    calendar = WorkCalendar(site_of("site: {working_hours: {mon-sat: 09:00-16:00}}"))
    assert calendar.is_workday(date(2026, 7, 4))
    assert not calendar.is_workday(date(2026, 10, 3))


def test_a_weekday_without_hours_is_no_workday_and_not_made_up() -> None:
    calendar = WorkCalendar(site_of("site: {working_hours: {mon-thu: 09:00-16:00}}"))
    friday = date(2026, 7, 3)
    assert (calendar.is_workday(friday), calendar.is_made_up(friday)) == (False, False)
    assert not calendar.is_working(local("2026-07-03 10:00"))


def test_an_unknown_year_counts_by_weekday_and_is_named() -> None:
    calendar = WorkCalendar(site_of("site: {name: a}"))
    assert calendar.is_workday(date(2090, 10, 2))
    assert calendar.unknown_years == {2090}


@pytest.mark.parametrize(
    ("moment", "year"),
    [
        ("2025-12-15 09:00", None),
        ("2026-11-30 23:59", None),
        ("2089-12-01 00:00", 2089),  # the present year is told before the next
        ("2090-06-15 12:00", 2090),
    ],
)
def test_a_year_without_holidays_is_missing_in_it_and_in_the_december_before(moment: str, year: int | None) -> None:
    assert WorkCalendar(site_of("site: {name: a}")).missing_year(local(moment)) == year


def test_in_december_the_year_after_the_last_that_is_known_is_missing_and_not_in_november() -> None:
    calendar = WorkCalendar(site_of("site: {name: a}"))
    last = next(year for year in range(2025, 2100) if calendar.missing_year(local(f"{year + 1}-01-01 00:00")))
    assert calendar.missing_year(local(f"{last}-11-30 23:59")) is None
    assert calendar.missing_year(local(f"{last}-12-01 00:00")) == last + 1


def test_a_site_that_lists_a_whole_years_holidays_or_keeps_none_misses_no_year() -> None:
    days = ", ".join(f"2090-05-{day:02}" for day in range(1, 12))
    listed = WorkCalendar(site_of(f"site: {{extra_holidays: [{days}]}}"))
    assert (listed.missing_year(local("2090-03-01 00:00")), listed.missing_year(local("2091-03-01 00:00"))) == (
        None,
        2091,
    )
    one = WorkCalendar(site_of("site: {extra_holidays: [2090-05-01]}"))
    assert one.missing_year(local("2090-03-01 00:00")) == 2090
    assert WorkCalendar(site_of("site: {calendar: none}")).missing_year(local("2090-03-01 00:00")) is None


def test_without_the_official_calendar_only_the_weekday_counts() -> None:
    calendar = WorkCalendar(site_of("site: {calendar: none}"))
    assert calendar.is_workday(date(2026, 10, 1))
    assert not calendar.is_workday(date(2026, 10, 10))


BERLIN = WorkCalendar(
    site_of(
        "site: {timezone: Europe/Berlin, calendar: none, working_hours: {mon-fri: 07:00-16:00}}\n"
        "zones:\n"
        "  - {id: night, working_hours: {mon-sun: [01:30-02:15, 02:30-02:45, 03:00-05:00]}}\n"
        "  - {id: porter, working_hours: {mon-fri: 00:00-24:00}}\n"
    )
)


def test_hours_follow_the_wall_clock_over_summer_time() -> None:
    friday, monday = local("2026-03-27 07:00", "Europe/Berlin"), local("2026-03-30 07:00", "Europe/Berlin")
    assert monday - friday == (3 * 24 - 1) * 3_600_000
    assert (BERLIN.is_working(friday), BERLIN.is_working(friday - 1)) == (True, False)
    assert (BERLIN.is_working(monday), BERLIN.is_working(monday - 1)) == (True, False)
    assert BERLIN.next_change(local("2026-03-27 16:00", "Europe/Berlin")) == monday


def test_hours_within_the_skipped_hour_neither_overlap_nor_run_backwards() -> None:
    midnight = local("2026-03-29 00:00", "Europe/Berlin")
    changes, moment = [midnight], midnight
    while (moment := BERLIN.next_change(moment, "night")) < local("2026-03-30 00:00", "Europe/Berlin"):
        changes.append(moment)
    assert changes == sorted(set(changes))
    assert BERLIN.is_working(local("2026-03-29 04:00", "Europe/Berlin"), "night")
    assert not BERLIN.is_working(local("2026-03-29 05:00", "Europe/Berlin"), "night")


@pytest.mark.parametrize(
    ("day", "season"),
    [
        ("06-01", "cooling"),
        ("09-30", "cooling"),
        ("10-01", "none"),
        ("11-15", "heating"),
        ("03-15", "heating"),
        ("03-16", "none"),
    ],
)
def test_seasons_include_both_their_ends_and_run_over_new_year(day: str, season: str) -> None:
    assert CHINA.season(local(f"2026-{day} 12:00")) == season


def test_a_site_may_have_no_cooling_season() -> None:
    calendar = WorkCalendar(site_of("site: {cooling_season: none}"))
    assert calendar.season(local("2026-07-01 12:00")) == "none"


_PLACES = st.sampled_from([(CHINA, None), (BERLIN, None), (BERLIN, "night"), (BERLIN, "porter")])


@given(_PLACES, st.integers(local("2025-06-01 00:00"), local("2026-12-20 00:00")))
def test_the_state_holds_from_since_to_next_change_and_differs_outside(
    place: tuple[WorkCalendar, str | None], moment: int
) -> None:
    calendar, zone = place
    state = calendar.is_working(moment, zone)
    since, change = calendar.since(moment, zone), calendar.next_change(moment, zone)
    assert since <= moment < change
    assert calendar.is_working(since, zone) == calendar.is_working(change - 1, zone) == state
    assert calendar.is_working(since - 1, zone) == calendar.is_working(change, zone) == (not state)
    assert calendar.next_change(since, zone) == change


def test_status_says_that_holidays_are_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "devices.yaml"
    file.write_text("version: 1\nsite: {name: a}\n", encoding="utf-8")
    (tmp_path / "data").mkdir()
    state = {"at": 0, "running": False, "away": None, "queued": 0, "bytes": 0, "written": 0, "hours": 0}
    (tmp_path / "data" / STATUS_FILE).write_text(json.dumps(state), encoding="utf-8")
    show_status(file, as_json=True, now=local("2090-03-01 00:00"))
    assert json.loads(capsys.readouterr().out)["missing_holidays"] == 2090
    show_status(file, as_json=False, now=local("2090-03-01 00:00"))
    assert "2090" in capsys.readouterr().out
