"""``greenwarden report``: every number against one worked out by hand, and nothing unknown told as known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from building.clock import ManualClock
from building.instants import from_iso
from building.site import load_site
from greenwarden.reporting import Asked, gather
from tests.report_parts import OFFICE, House, Json, alert

JULY = ("--month", "2026-07")


@pytest.fixture
def house(tmp_path: Path) -> House:
    """July 2026 of main (100 kWh a day) with two meters behind it (60 and 30) and a plug behind one of those; water."""
    made = House(tmp_path)
    for device, a_day in {"main": 100, "sub-301": 60, "plug-301": 10, "sub-b1": 30, "water": 2}.items():
        made.used(device, "2026-07-01", "2026-08-01", 31 * a_day)
    return made


def changed(content: Json, **site: Any) -> Json:
    return content | {"site": content["site"] | site}


# -- use --------------------------------------------------------------------------------------------------------------


def test_a_month_is_the_main_meters_use_with_cost_coal_and_carbon_and_no_child_counts_twice(house: House) -> None:
    house.account("2026-08-01")
    told = house.told(*JULY)
    energy, water = told["media"]["energy"], told["media"]["volume"]
    assert energy["amount"] == pytest.approx(3100)
    assert energy["cost"] == pytest.approx(1550)  # at 0.5
    assert energy["kgce"] == pytest.approx(387.5)  # at 0.125
    assert energy["kgco2"] == pytest.approx(1860)  # at 0.6
    assert (energy["share_measured"], energy["share_missing"]) == (1.0, 0.0)
    assert (water["amount"], water["cost"]) == (pytest.approx(62), pytest.approx(248))
    assert (water["kgce"], water["kgco2"]) == (None, None)
    assert told["total"] == {"cost": pytest.approx(1798), "kgce": pytest.approx(387.5), "kgco2": pytest.approx(1860)}
    assert told["period"] == {"from": "2026-07-01", "to": "2026-08-01", "days": 31, "workdays": 23}
    assert [day["amount"] for day in energy["days"]] == pytest.approx([100.0] * 31)
    assert [day["day"] for day in energy["days"] if not day["workday"]][:3] == [
        "2026-07-04",
        "2026-07-05",
        "2026-07-11",
    ]


def test_a_department_is_the_sum_of_its_topmost_meters_per_head_and_square_metre(house: House) -> None:
    house.account("2026-08-01")
    told = house.told(*JULY)
    finance, archive = told["departments"]["finance"], told["departments"]["archive"]
    assert finance["media"]["energy"]["amount"] == pytest.approx(1860)  # the plug is behind its meter
    assert finance["media"]["energy"]["per_head"] == pytest.approx(186)
    assert finance["media"]["energy"]["per_m2"] == pytest.approx(9.3)
    assert finance["media"]["volume"]["per_head"] == pytest.approx(6.2)
    assert archive["media"]["energy"]["amount"] == pytest.approx(930)
    assert (archive["media"]["energy"]["per_head"], archive["media"]["energy"]["per_m2"]) == (None, None)
    assert (told["headcount"], told["area"]) == (None, None)  # one department does not say
    assert archive["quotas"] == {}
    text = house.text(*JULY)
    assert "no quota" in text


def test_one_department_alone_is_told_as_such(house: House) -> None:
    house.account("2026-08-01")
    told = house.told(*JULY, "--department", "finance")
    assert told["department"] == "finance"
    assert told["media"]["energy"]["amount"] == pytest.approx(1860)
    assert list(told["departments"]) == ["finance"]
    assert [one["device"] for one in told["balances"]] == ["sub-301"]
    assert "Town hall Finance: energy and water, July 2026" in house.text(*JULY, "--department", "finance")


def test_a_house_without_a_main_meter_is_the_sum_of_the_meters_that_are_behind_no_other(tmp_path: Path) -> None:
    devices = [{"id": "a", "kind": "electricity"}, {"id": "b", "kind": "electricity", "parent": "a"},
               {"id": "c", "kind": "plug"}]  # fmt: skip
    house = House(tmp_path, OFFICE | {"devices": devices})
    for device, amount in {"a": 310, "b": 100, "c": 31}.items():
        house.used(device, "2026-07-01", "2026-08-01", amount)
    house.account("2026-08-01")
    told = house.told(*JULY)
    assert told["media"]["energy"]["amount"] == pytest.approx(341)
    assert told["balances"] == [
        {"device": "a", "field": "energy", "above": pytest.approx(310), "below": pytest.approx(100), "days": 31}
    ]


def test_a_main_meter_is_held_against_those_directly_behind_it_on_days_on_which_all_are_known(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.used("main", "2026-07-01", "2026-08-01", 3100)
    house.used("sub-301", "2026-07-01", "2026-07-11", 600)
    house.used("sub-b1", "2026-07-02", "2026-08-01", 900)
    house.account("2026-08-01")
    (balance,) = (one for one in house.told(*JULY)["balances"] if one["device"] == "main")
    assert balance["days"] == 9  # 2 to 10 July
    assert balance["above"] == pytest.approx(900)
    assert balance["below"] == pytest.approx(9 * 90)


@pytest.mark.parametrize(("month", "hours"), [("2026-03", 743), ("2026-10", 745)])
def test_a_month_in_which_summer_time_begins_or_ends_has_an_hour_less_or_more(
    tmp_path: Path, month: str, hours: int
) -> None:
    house = House(tmp_path, changed(OFFICE, timezone="Europe/Berlin"))
    after = f"2026-{int(month[5:]) + 1:02}-01"
    house.used("main", f"{month}-01", after, hours)
    house.account(after)
    energy = house.told("--month", month)["media"]["energy"]
    assert energy["amount"] == pytest.approx(hours)
    assert energy["share_missing"] == pytest.approx(0, abs=1e-4)
    day = next(one for one in energy["days"] if one["day"] == {"2026-03": "2026-03-29", "2026-10": "2026-10-25"}[month])
    assert day["amount"] == pytest.approx(hours - 30 * 24)  # 23 or 25 hours at 1 kW
    assert energy["rest"]["base"] == pytest.approx(1.0)
    assert energy["rest"]["base_share"] == pytest.approx(1.0)


def test_night_and_evening_are_told_by_the_quarters_of_an_hour(tmp_path: Path) -> None:
    """2 kW in working hours (08:00 to 18:00), else 1 kW, in the week from Monday the 6th."""
    house = House(tmp_path)
    for day in range(6, 13):
        name = f"2026-07-{day:02}"
        at_work = 2.0 if day < 11 else 1.0
        house.used("main", f"{name}T00:00", f"{name}T08:00", 8)
        house.used("main", f"{name}T08:00", f"{name}T18:00", 10 * at_work)
        house.used("main", f"{name}T18:00", f"2026-07-{day + 1:02}T00:00", 6)
    house.account("2026-07-13")
    rest = house.told("--from", "2026-07-06", "--to", "2026-07-13")["media"]["energy"]["rest"]
    total = 7 * 24 + 5 * 10
    assert rest["base"] == pytest.approx(1.0)
    assert rest["base_share"] == pytest.approx(7 * 24 / total, abs=1e-6)
    assert rest["outside_share"] == pytest.approx((total - 100) / total, abs=1e-6)
    assert rest["known"] == 1.0


# -- what is not known ------------------------------------------------------------------------------------------------


def test_what_is_missing_of_a_month_is_told_as_missing_and_never_as_nothing(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.used("main", "2026-07-01", "2026-07-11", 1000)
    house.used("main", "2026-07-21", "2026-08-01", 550, estimated=True)
    house.account("2026-08-01")
    energy = house.told(*JULY)["media"]["energy"]
    assert energy["amount"] == pytest.approx(1550)
    shares = {name: energy[f"share_{name}"] for name in ("measured", "estimated", "missing")}
    assert shares == pytest.approx({"measured": 10 / 31, "estimated": 11 / 31, "missing": 10 / 31}, abs=1e-4)
    days = {one["day"][8:]: (one["amount"], one["state"]) for one in energy["days"]}
    assert days["15"] == (None, "missing")
    assert days["25"] == (pytest.approx(50), "estimated")
    text = house.text(*JULY)
    assert "only those of the part that was measured" in text
    assert "32.3%" in text


def test_a_program_that_stopped_leaves_the_rest_of_its_month_missing(tmp_path: Path) -> None:
    """Nothing was accounted after the 16th; the clock says that the month is long over."""
    house = House(tmp_path)
    house.used("main", "2026-07-01", "2026-07-16", 1500)
    house.account("2026-07-16")
    site, now = load_site(house.path), from_iso("2026-08-20T09:00+08:00")
    report = gather(site, house.data, Asked(), ManualClock(now).now(), house.path)
    assert report.period.span.begin.isoformat() == "2026-07-01"  # the last whole month
    (energy,) = (medium for medium in report.media if medium.field == "energy")
    assert energy.use.missing == pytest.approx(16 / 31, abs=1e-4)
    assert energy.days[20].state == "missing"


def test_the_time_before_and_a_year_ago_are_compared_only_where_both_are_known(house: House) -> None:
    house.used("main", "2026-06-01", "2026-07-01", 30 * 50)
    house.used("main", "2025-07-11", "2025-08-01", 21 * 100)
    house.account("2026-08-01")
    energy = house.told(*JULY)["media"]["energy"]
    assert energy["before"]["amount"] == pytest.approx(1500)
    assert energy["change"] == pytest.approx(3100 / 1500 - 1, abs=1e-6)
    assert energy["year_ago"]["amount"] == pytest.approx(2100)
    assert energy["year_ago"]["share_missing"] == pytest.approx(10 / 31, abs=1e-4)
    assert energy["change_in_a_year"] is None
    water = house.told(*JULY)["media"]["volume"]
    assert (water["before"], water["change"], water["year_ago"]) == (None, None, None)
    text = house.text(*JULY)
    assert "+106.7%" in text
    assert "32% missing then" in text


def test_a_month_that_is_not_over_is_compared_with_as_many_days(house: House) -> None:
    house.used("main", "2026-06-01", "2026-07-01", 30 * 50)
    house.account("2026-07-20T11:30")
    site, now = load_site(house.path), from_iso("2026-07-20T12:00+08:00")
    report = gather(site, house.data, Asked(month="2026-07"), now, house.path)
    assert (report.period.span.days, report.before.span.days, report.year_ago.span.days) == (19, 19, 19)
    energy = report.medium("energy")
    assert energy is not None
    assert energy.use.amount == pytest.approx(1900)
    assert energy.before is not None
    assert energy.before.amount == pytest.approx(950)


def test_without_a_price_money_is_unknown_and_so_is_the_sum(tmp_path: Path) -> None:
    house = House(tmp_path, changed(OFFICE, tariffs={"electricity": 0.5}))
    house.used("main", "2026-07-01", "2026-08-01", 3100)
    house.used("water", "2026-07-01", "2026-08-01", 62)
    house.account("2026-08-01")
    told = house.told(*JULY)
    assert told["media"]["energy"]["cost"] == pytest.approx(1550)
    assert told["media"]["volume"]["cost"] is None
    assert told["total"]["cost"] is None
    assert "no price" in house.text(*JULY)


def test_gas_has_coal_and_carbon_by_the_factors_of_the_site_or_they_are_unknown(tmp_path: Path) -> None:
    devices = [*OFFICE["devices"], {"id": "gas", "kind": "gas"}]
    factors = OFFICE["site"]["factors"] | {"gas_co2": 2.0, "gas_coal": 1.2}
    known = House(tmp_path / "known", changed(OFFICE, factors=factors) | {"devices": devices})
    unknown = House(tmp_path / "unknown", OFFICE | {"devices": devices})
    for house in (known, unknown):
        house.used("main", "2026-07-01", "2026-08-01", 100)
        house.used("gas", "2026-07-01", "2026-08-01", 50)
        house.account("2026-08-01")
    told = known.told(*JULY)
    assert told["media"]["gas"]["kgce"] == pytest.approx(60)
    assert told["total"]["kgce"] == pytest.approx(60 + 12.5)
    assert told["total"]["kgco2"] == pytest.approx(100 + 60)
    told = unknown.told(*JULY)
    assert (told["media"]["gas"]["kgce"], told["total"]["kgce"], told["total"]["kgco2"]) == (None, None, None)
    assert "no factor" in unknown.text(*JULY)


def test_a_quota_is_used_since_january_against_the_part_of_the_year_that_is_gone(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.used("sub-301", "2026-01-01", "2026-08-01", 212 * 60)
    house.used("main", "2026-07-01", "2026-08-01", 3100)
    house.account("2026-08-01")
    quota = house.told(*JULY)["departments"]["finance"]["quotas"]
    assert quota["energy"]["used"] == pytest.approx(12_720)
    assert quota["energy"]["share_used"] == pytest.approx(12_720 / 36_500, abs=1e-6)
    assert quota["energy"]["share_of_year"] == pytest.approx(212 / 365, abs=1e-6)
    assert quota["energy"]["share_missing"] == pytest.approx(0, abs=1e-4)
    assert (quota["volume"]["used"], quota["volume"]["share_used"]) == (None, None)  # its meter was never heard
    december = House(tmp_path / "december")
    december.used("sub-301", "2026-01-01", "2027-01-01", 36_500)
    december.account("2027-01-01")
    quota = december.told("--month", "2026-12", "--department", "finance")["departments"]["finance"]["quotas"]
    assert quota["energy"]["share_used"] == pytest.approx(1.0)
    assert quota["energy"]["share_of_year"] == 1.0


def test_meters_with_gaps_or_without_any_reading_are_named(house: House) -> None:
    house.content["devices"].append({"id": "new", "kind": "electricity"})
    other = House(house.path.parent / "more", house.content)
    other.used("main", "2026-07-01", "2026-08-01", 100)
    other.used("sub-301", "2026-07-01", "2026-07-30", 100)
    other.account("2026-08-01")
    silent = alert("s", "meter_silent", "2026-06-30T12:00+08:00", "2026-07-02T00:00+08:00", device="sub-301")
    other.keep([silent])
    gaps = {one["device"]: one for one in other.told(*JULY)["gaps"]}
    assert {ident for ident, one in gaps.items() if one["never"]} == {"plug-301", "sub-b1", "water", "new"}
    assert gaps["sub-301"]["missing"] == pytest.approx(2 / 31, abs=1e-4)
    assert gaps["sub-301"]["silent"] == 86_400_000  # the part of it in July
    assert "main" not in gaps
    assert "never read" in other.text(*JULY)


# -- alerts -----------------------------------------------------------------------------------------------------------

LEFT_ON = {"kwh": 10.0, "litres": None, "cost": 5.0, "kgco2": 6.0}
TAP = {"kwh": None, "litres": 500.0, "cost": 2.0, "kgco2": None}


def alerts_of_july(house: House) -> None:
    answered = {"by": "Li", "reason": "fixed", "at": "2026-07-03T12:40:00+08:00", "state": "acknowledged", "why": ""}
    excused = {
        "by": "Li",
        "reason": "false_alarm",
        "at": "2026-07-05T13:00:00+08:00",
        "state": "acknowledged",
        "why": "",
    }
    still = alert("open", "standby_load", "2026-07-30T18:00:00+08:00", None)
    house.keep(
        [
            alert("june", "lights_left_on", "2026-06-01T18:00+08:00", "2026-06-01T20:00+08:00", waste=LEFT_ON),
            alert("turn", "lights_left_on", "2026-06-30T18:00+08:00", "2026-07-01T06:00+08:00", waste=LEFT_ON),
            alert("a", "lights_left_on", "2026-07-03T12:00+08:00", "2026-07-03T13:00+08:00", waste=LEFT_ON,
                  answer=answered, estimated=True),
            alert("b", "tap_left_running", "2026-07-05T12:00+08:00", "2026-07-05T14:00+08:00", waste=TAP,
                  answer=excused, department="archive", zone="b1", device="water"),
            alert("c", "balance_mismatch", "2026-07-06T00:00+08:00", "2026-07-07T00:00+08:00", device="main",
                  department=None, zone=None, waste={"kwh": 99.0, "cost": 49.5, "kgco2": 59.4}),
            alert("late", "lights_left_on", "2026-07-31T23:00+08:00", "2026-08-01T03:00+08:00", waste=LEFT_ON),
            alert("gone", "lights_in_daylight", "2026-07-08T12:00+08:00", None),
            still,
        ],
        [
            {"alert": "a", "at": "2026-07-03T12:00+08:00", "from": "pending", "to": "firing", "who": "rules"},
            {"alert": "a", "at": "2026-07-03T12:20+08:00", "from": "firing", "to": "silenced", "who": "Li"},
            {"alert": "a", "at": "2026-07-03T12:40+08:00", "from": "silenced", "to": "acknowledged", "who": "Li"},
            {"alert": "b", "at": "2026-07-05T13:00+08:00", "from": "firing", "to": "acknowledged", "who": "Li"},
            {"alert": "b", "at": "2026-07-05T14:00+08:00", "from": "acknowledged", "to": "resolved", "who": "rules"},
        ],
        [still],
    )  # fmt: skip


def test_alerts_are_counted_where_they_were_raised_and_their_waste_where_they_ended(house: House) -> None:
    house.account("2026-08-02")
    alerts_of_july(house)
    told = house.told(*JULY)["alerts"]
    counts = {name: (line["raised"], line["ended"], line["open"]) for name, line in told["rules"].items()}
    assert counts == {
        "lights_left_on": (2, 2, 1), "tap_left_running": (1, 1, 0), "balance_mismatch": (1, 1, 0),
        "lights_in_daylight": (1, 0, 0),  # nobody saw its end, and it is not open now
        "standby_load": (1, 0, 1),
    }  # fmt: skip
    assert told["waste"] == {"kwh": 20.0, "litres": 500.0, "cost": 12.0, "kgco2": 12.0}
    assert told["rules"]["balance_mismatch"]["is_waste"] is False
    assert told["departments"]["finance"]["kwh"] == 20.0
    assert told["departments"]["archive"]["litres"] == 500.0
    assert [one["id"] for one in told["costliest"]] == ["turn", "a", "b"]
    assert [one["estimated"] for one in told["costliest"]] == [False, True, False]


def test_answers_are_counted_with_the_time_that_people_took(house: House) -> None:
    house.account("2026-08-02")
    alerts_of_july(house)
    answers = house.told(*JULY)["alerts"]["answers"]
    assert (answers["raised"], answers["answered"]) == (6, 2)
    assert answers["median_minutes"] == pytest.approx(40)  # of 20 and 60
    assert answers["reasons"] == {"fixed": 1, "false_alarm": 1}
    assert answers["excused"] == {"kwh": None, "litres": 500.0, "cost": 2.0, "kgco2": None}
    text = house.text(*JULY)
    assert "6 raised, 2 answered by people, half of them within 40m (false alarm 1, dealt with 1)." in text
    assert "Of the waste people called a false alarm or on purpose: 500 litres, 2.00 CNY." in text


def test_a_departments_alerts_are_its_own(house: House) -> None:
    house.account("2026-08-02")
    alerts_of_july(house)
    told = house.told(*JULY, "--department", "archive")["alerts"]
    assert list(told["rules"]) == ["tap_left_running"]
    assert told["waste"] == {"kwh": None, "litres": 500.0, "cost": 2.0, "kgco2": None}


def test_without_a_memory_of_alerts_waste_is_unknown_and_not_nothing(house: House) -> None:
    house.account("2026-08-01")
    assert house.told(*JULY)["alerts"] is None
    assert not (house.data / "memory.db").exists()
    assert "what was wasted is not known" in house.text(*JULY)


def test_waste_without_a_price_makes_the_sum_of_money_unknown(house: House) -> None:
    house.account("2026-08-01")
    unpriced = TAP | {"cost": None}
    house.keep(
        [
            alert("a", "lights_left_on", "2026-07-03T12:00+08:00", "2026-07-03T13:00+08:00", waste=LEFT_ON),
            alert("b", "tap_left_running", "2026-07-05T12:00+08:00", "2026-07-05T14:00+08:00", waste=unpriced),
        ]
    )
    assert house.told(*JULY)["alerts"]["waste"] == {"kwh": 10.0, "litres": 500.0, "cost": None, "kgco2": 6.0}


def test_a_house_with_one_kind_never_heard_tells_it_as_unknown(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.used("main", "2026-07-01", "2026-08-01", 3100)
    house.account("2026-08-01")
    told = house.told(*JULY)
    water = told["media"]["volume"]
    assert (water["amount"], water["cost"], water["share_missing"], water["rest"]) == (None, None, 1.0, None)
    assert {(day["amount"], day["state"]) for day in water["days"]} == {(None, "missing")}
    assert len(water["days"]) == 31
    assert told["total"]["cost"] == pytest.approx(1550)  # of what is known; the water is told as unknown beside it
    assert "no data" in house.text(*JULY)


def test_a_long_time_is_told_by_months_at_the_terminal(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.used("main", "2026-05-01", "2026-06-21", 510)
    house.used("main", "2026-07-01", "2026-08-01", 310)
    house.account("2026-08-01")
    lines = [line.split() for line in house.text("--from", "2026-05-01", "--to", "2026-08-01").splitlines()]
    amounts = {line[0]: line[1:3] for line in lines if line and line[0].startswith("2026-")}
    assert amounts["2026-05"][0] == "310.0"
    assert amounts["2026-06"] == ["200.0", "Missing"]  # ten days of it
    assert amounts["2026-07"][0] == "310.0"


# -- what cannot be told ----------------------------------------------------------------------------------------------


def test_a_house_that_never_ran_or_read_nothing_says_what_to_do(tmp_path: Path) -> None:
    house = House(tmp_path)
    status, said = house.refused(*JULY)
    assert (status, "start the program once with: greenwarden run" in said) == (1, True)
    house.account("2026-08-01")
    status, said = house.refused(*JULY)
    assert (status, "no meter has been read yet" in said) == (1, True)


def test_a_department_without_a_meter_is_told_how_to_get_one(tmp_path: Path) -> None:
    departments = [*OFFICE["departments"], {"id": "police"}]
    house = House(tmp_path, OFFICE | {"departments": departments})
    house.used("main", "2026-07-01", "2026-08-01", 3100)
    house.account("2026-08-01")
    status, said = house.refused(*JULY, "--department", "police")
    assert (status, "the department police has no meter" in said) == (1, True)


def test_a_time_of_which_nothing_is_known_names_the_days_that_are(house: House) -> None:
    house.account("2026-08-01")
    status, said = house.refused("--month", "2026-03")
    assert status == 1
    assert "nothing is known of 2026-03-01 to 2026-03-31; there are readings from 2026-07-01 to 2026-07-31" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--month", "2099-01"), "the month 2099-01 is in the future"),
        (("--month", "June"), "--month 'June' is no month; write it as 2026-06"),
        (("--month", "2026-13"), "--month '2026-13' is no month"),
        (("--month", "0001-01"), "--month '0001-01' is no month"),
        (("--month", "2026-07", "--from", "2026-07-01"), "either --month or --from and --to"),
        (("--from", "2026-07-05", "--to", "2026-07-05"), "--from 2026-07-05 is not before --to 2026-07-05"),
        (("--from", "2026-07-05T08:00"), "a report is of whole days"),
        (("--from", "2098-01-01"), "--from 2098-01-01 is in the future"),
        (("--from", "2010-01-01", "--to", "2020-01-01"), "at most"),
        (("--to", "2026-07-05"), "--to needs --from"),
        (
            ("--month", "2026-07", "--department", "police"),
            "no department 'police' in devices.yaml; there are: finance",
        ),
        (("--month", "2026-07", "--language", "fr"), "--language 'fr' is not accepted; write zh or en"),
    ],
)
def test_a_wrong_wish_is_told_with_the_way_out_and_status_2(house: House, words: tuple[str, ...], said: str) -> None:
    house.account("2026-08-01")
    status, sentence = house.refused(*words)
    assert status == 2
    assert said in sentence
    assert "Traceback" not in sentence


def test_a_page_that_cannot_be_written_leaves_nothing_behind(house: House, tmp_path: Path) -> None:
    house.account("2026-08-01")
    status, said = house.refused(*JULY, "--out", str(tmp_path / "none" / "r.html"))
    assert (status, "does not exist; make it first" in said) == (1, True)
    (tmp_path / "folder.html").mkdir()
    status, said = house.refused(*JULY, "--out", str(tmp_path / "folder.html"))
    assert (status, "cannot be written" in said) == (1, True)
    assert not list(tmp_path.glob(".folder*"))


def test_a_damaged_ledger_is_told_in_a_sentence(house: House) -> None:
    (house.data / "intervals.db").write_bytes(b"nothing of a database" * 1000)
    status, said = house.refused(*JULY)
    assert (status, "intervals.db is damaged" in said) == (1, True)


def test_another_data_folder_can_be_read_instead(house: House, tmp_path: Path) -> None:
    house.account("2026-08-01")
    house.data.rename(tmp_path / "elsewhere")
    assert house.refused(*JULY)[0] == 1
    told = house.told(*JULY, "--data", str(tmp_path / "elsewhere"))
    assert told["media"]["energy"]["amount"] == pytest.approx(3100)


def test_a_house_whose_first_day_is_not_over_is_not_sent_in_a_circle(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.used("main", "2090-01-05T10:00", "2090-01-05T12:00", 3)
    house.account("2090-01-05T12:00")
    status, said = house.refused("--month", "2090-01")
    assert (status, "first readings are of 2090-01-05, which is not over: it can be reported tomorrow" in said) == (
        1,
        True,
    )
    assert "choose with" not in said
