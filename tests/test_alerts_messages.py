"""What a message says, in which language; the lists by the calendar; the picture."""

from __future__ import annotations

import io
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from rules.cases import Case, Letter
from rules.channels import Link
from rules.digest import Calendar
from rules.dispatch import Dispatcher
from rules.pictures import FONTS, Signal, available, draw
from rules.routing import Plan
from rules.writing import Writer
from tests.notify_parts import CHANNELS, HOUR, MINUTE, SITE, TZ, an_alert, clock_text, local, over, site_of

AT = local("2026-07-01 18:25")
LAMP = an_alert(at=AT, title="301办公室：无人亮灯（301照明）", waste={
    "kwh": 0.5, "litres": None, "cost": 0.39, "currency": "CNY", "kgco2": 0.27})  # fmt: skip


def written(
    language: str, *cases: tuple[dict[str, Any], str], later: int = 45 * MINUTE, past: Any = None, **other: Any
) -> Any:
    site = site_of(SITE + CHANNELS + f"routes: {{people: {{keeper: {{channel: keeper, language: {language}}}}}}}\n")
    known = {alert["id"]: Case(alert, AT, AT + later if alert["ended"] else None) for alert, _ in cases}
    if past is not None:
        known[past["id"]] = Case(past, AT, AT + MINUTE)
    letter = Letter("m1", "keeper", AT + later, {alert["id"]: wish for alert, wish in cases}, **other)
    writer = Writer(site, lambda alert, person: (Link("查看", f"https://green.example/{alert['id']}"),))
    return writer.write(letter, known, Plan(site, site.channels).people["keeper"])


def test_a_message_says_room_and_waste_since_when_cost_so_far_and_per_hour_advice_and_clause() -> None:
    message = written("zh", (LAMP, "firing"))
    assert message.title == "301办公室：无人亮灯（301照明）"
    (entry,) = message.entries
    assert entry.lines[0] == "7月1日 18:10 起，已持续1小时。"
    assert entry.lines[1] == "非工作时间，灯仍亮着。"
    assert entry.lines[2] == "已浪费 0.50 kWh，0.39 元，折合二氧化碳 0.27 kg。每小时约 0.39 元。"
    assert entry.lines[3].startswith("建议：")
    assert entry.lines[4].startswith("依据：")
    assert entry.links == (Link("查看", "https://green.example/a1"),)
    assert "每小时约 0.39 元" in message.text


def test_the_same_in_english_for_a_reader_of_english() -> None:
    message = written("en", (LAMP, "firing"))
    assert message.language == "en"
    assert message.entries[0].lines[:3] == (
        "Since 1 Jul 18:10, for 1h.", "The light is on outside working hours.",
        "Wasted so far: 0.50 kWh, 0.39 CNY, 0.27 kg CO2. About 0.39 CNY an hour.",
    )  # fmt: skip
    assert "无人" not in message.title


def test_an_end_says_from_when_to_when_what_it_cost_and_what_was_saved() -> None:
    ended = over(LAMP, AT + 45 * MINUTE)
    ended["evidence"] = {**ended["evidence"], "saved": {"cost": 4.2}}
    message = written("zh", (ended, "resolved"))
    assert message.title.startswith("【已结束】")
    assert message.entries[0].lines == (
        "7月1日 18:10 至 19:10，共1小时。", "共浪费 0.50 kWh，0.39 元，折合二氧化碳 0.27 kg。",
        "因及时结束，预计少浪费 4.20 元。",
    )  # fmt: skip


def test_unknown_waste_is_left_out_and_never_shown_as_nothing() -> None:
    unknown = LAMP | {"waste": LAMP["waste"] | {"kwh": None, "cost": None}}
    assert not any("浪费" in line for line in written("zh", (unknown, "firing")).entries[0].lines)


def test_little_waste_is_not_told_as_nothing_and_money_only_where_the_site_told_a_price() -> None:
    little = LAMP | {"waste": {"kwh": 0.004, "litres": None, "cost": 0.003, "currency": "CNY", "kgco2": 0.002}}
    (entry,) = written("zh", (little, "firing")).entries
    assert entry.lines[2] == "已浪费 0.004 kWh，不到 0.01 元。"
    free = LAMP | {"waste": {"kwh": 0.5, "litres": None, "cost": 0.0, "currency": "CNY", "kgco2": 0.27}}
    (entry,) = written("en", (free, "firing")).entries
    assert entry.lines[2] == "Wasted so far: 0.50 kWh, 0.27 kg CO2."


def test_what_has_lasted_a_day_when_it_is_raised_is_not_called_standing_before_people_had_their_time() -> None:
    leak = an_alert(rule="water_leak", device="water-3", zone="wc-3", at=AT, since=AT - 24 * HOUR, title="漏水")
    assert written("zh", (leak, "firing")).title == "漏水"
    assert written("zh", (leak, "reminder")).title == "【超过 24 小时】漏水"
    assert written("zh", (leak, "firing"), later=25 * HOUR).title == "【超过 24 小时】漏水"


def test_departments_and_a_sites_own_rules_are_told_in_the_readers_language_too() -> None:
    quota = an_alert(rule="quota_pace", device=None, zone=None, title="财务处：用量超定额进度")
    assert written("en", (quota, "firing")).title == "财务处: ahead of its quota"
    own = (
        SITE
        + CHANNELS
        + """
rules: {hot: {when: temperature > 30, kind: aircon, text: {zh: 房间过热, en: The room is hot}, advice: {en: Look}}}
routes: {people: {keeper: {channel: keeper, language: en}}}
"""
    )
    alert = an_alert(rule="hot", device="ac-301", title="301办公室：房间过热（301空调）", text="房间过热。")
    site = site_of(own)
    letter = Letter("m1", "keeper", AT, {"a1": "firing"})
    message = Writer(site).write(letter, {"a1": Case(alert, AT)}, Plan(site, site.channels).people["keeper"])
    assert message.title == "301办公室: The room is hot (301空调)"
    assert message.entries[0].lines[2:] == ("Look.", "Rule: A rule of this site")


def test_several_alerts_name_the_department_and_how_many_and_what_was_held_back_before() -> None:
    second = LAMP | {"id": "a2"}
    gone = over(LAMP | {"id": "a3"}, AT + MINUTE)
    message = written(
        "zh", (LAMP, "firing"), (second, "firing"), past=gone, department="finance", last_today=True, more=["a3"]
    )
    assert message.title == "财务处：2 条告警"
    held_back, last = message.footer
    assert held_back == "另有 1 条此前因达到每日上限未单独发送，现已结束：301办公室：无人亮灯（301照明）"
    assert last == "今天给您的普通提醒到此为止（每人每天最多 10 条，余下的留给紧急告警和清单），未发的明天补报。"
    assert len(message.entries) == 2


def test_a_message_of_very_many_alerts_shows_thirty_and_says_how_many_more() -> None:
    many = [(LAMP | {"id": f"a{n}"}, "firing") for n in range(500)]
    message = written("zh", *many, department="finance")
    assert (message.title, len(message.entries)) == ("财务处：500 条告警", 31)
    assert message.entries[-1].title == "…… 另有 470 条"


# -- lists by the calendar --------------------------------------------------------------------------------------------

DIGESTS = """
routes:
  people: {keeper: {channel: keeper}, duty: {channel: duty}}
  alerts: [{tell: [], steps: [{tell: duty, after: 10h}]}]
  digests:
    - {list: last_night, at: "08:30", tell: keeper}
    - {list: still_on, at: closing, after: 30m, tell: [keeper, duty]}
  canary: {tell: keeper, day: mon, at: "09:00"}
"""


def calendar(still: list[dict[str, Any]] | None = None) -> tuple[Dispatcher, Calendar]:
    site = site_of(SITE + CHANNELS + DIGESTS)
    desk = Dispatcher(Plan(site, site.channels))
    return desk, Calendar(desk, lambda: still or [])


def lists(desk: Dispatcher, jobs: Calendar, begin: str, end: str, step: int = 5 * MINUTE) -> list[str]:
    found: list[Letter] = []
    for now in range(local(begin), local(end) + 1, step):
        found += jobs.step(now)
    return [f"{clock_text(letter.at)} {letter.kind} {letter.person} {len(letter.wishes)}" for letter in found]


def test_the_morning_list_names_what_was_on_last_night_on_workdays() -> None:
    desk, jobs = calendar()
    jobs.step(local("2026-07-03 17:00"))  # a Friday
    desk.take(over(an_alert("ended", at=local("2026-07-03 20:00")), local("2026-07-03 23:00")), 0)
    desk.take(an_alert("open", at=local("2026-07-04 20:00"), device="ac-301"), 0)
    told = lists(desk, jobs, "2026-07-03 17:00", "2026-07-06 08:55")
    assert [line for line in told if "last_night" in line] == ["07-06 08:30 last_night keeper 2"]


def test_what_was_over_before_closing_time_is_not_of_last_night() -> None:
    desk, jobs = calendar()
    jobs.step(local("2026-07-02 08:35"))
    by_day = {"morning": ("10:00", "10:30"), "noon": ("12:10", "13:00"), "evening": ("17:00", "17:40")}
    for ident, (begin, end) in by_day.items():
        desk.take(over(an_alert(ident, at=local(f"2026-07-02 {begin}")), local(f"2026-07-02 {end}")), 0)
    (letter,) = [letter for letter in jobs.step(local("2026-07-03 08:30")) if letter.kind == "last_night"]
    assert list(letter.wishes) == ["evening"]


def test_the_round_after_work_lists_what_is_still_on_by_department() -> None:
    still = [
        {"device": "light-201", "zone": "201", "department": "service", "quantity": "active_power", "value": 321.0},
        {"device": "ac-301", "zone": "301", "department": "finance", "quantity": "running", "value": 1.0},
    ]
    desk, jobs = calendar(still)
    told = lists(desk, jobs, "2026-07-01 08:00", "2026-07-01 23:55")
    assert told == ["07-01 18:00 still_on keeper 0", "07-01 18:00 still_on duty 0"]
    letters = jobs.step(local("2026-07-02 18:00"))
    message = Writer(desk.site).write(letters[-1], desk.cases, desk.plan.people["duty"])
    assert message.title == "下班后仍未关闭：2 处"
    assert [entry.title for entry in message.entries] == [
        "服务处 · 201大厅 · 201照明 321 W", "财务处 · 301办公室 · 301空调",
    ]  # fmt: skip


def test_the_round_after_work_names_a_place_once_and_nothing_that_cannot_be_switched_off() -> None:
    still = [
        {"device": device, "zone": "301", "department": "finance", "quantity": "active_power", "value": 321.0}
        for device in ("light-301", "ac-301")
    ]
    desk, jobs = calendar(still)
    jobs.step(local("2026-07-01 17:00"))
    desk.take(an_alert("lamp", at=local("2026-07-01 17:50")), 0)
    desk.take(an_alert("silent", rule="meter_silent", device="light-201", at=local("2026-07-01 16:00")), 0)
    letter = jobs.step(local("2026-07-01 18:00"))[0]
    assert (list(letter.wishes), [on["device"] for on in letter.still]) == (["lamp"], ["ac-301"])
    message = Writer(desk.site).write(letter, desk.cases, desk.plan.people["keeper"])
    assert message.title == "下班后仍未关闭：2 处"


def test_a_make_up_saturday_has_its_round_and_a_holiday_none() -> None:
    still = [{"device": "ac-301", "zone": "301", "department": "finance", "quantity": "running", "value": 1.0}]
    desk, jobs = calendar(still)
    told = [line for line in lists(desk, jobs, "2026-09-30 12:00", "2026-10-11 12:00") if "keeper" in line]
    assert [line[:5] for line in told if "still_on" in line] == ["09-30", "10-08", "10-09", "10-10"]


def test_the_canary_comes_once_a_week() -> None:
    desk, jobs = calendar()
    told = lists(desk, jobs, "2026-07-01 00:00", "2026-07-31 00:00", HOUR)
    assert [line for line in told if "canary" in line] == [
        f"07-{day} 09:00 canary keeper 0" for day in ("06", "13", "20", "27")
    ]


def test_while_the_next_years_holidays_are_missing_december_mondays_say_so_to_those_who_get_lists() -> None:
    desk, jobs = calendar()
    told = lists(desk, jobs, "2089-11-21 00:00", "2089-12-14 00:00", HOUR)
    assert [line for line in told if "holidays" in line] == [
        f"{day} 09:00 holidays {person} 0"
        for day in ("11-21", "11-28", "12-05", "12-12")
        for person in ("keeper", "duty")
    ]
    desk, jobs = calendar()
    assert not [line for line in lists(desk, jobs, "2025-11-21 00:00", "2026-01-14 00:00", HOUR) if "holidays" in line]


def test_the_word_about_missing_holidays_names_the_year_and_the_way_out() -> None:
    desk, jobs = calendar()
    jobs.step(local("2090-01-01 00:00"))
    letters = [letter for letter in jobs.step(local("2090-01-02 09:00")) if letter.kind == "holidays"]
    message = Writer(desk.site).write(letters[0], desk.cases, desk.plan.people["keeper"])
    assert message.title == "2090 年节假日尚未收录"
    assert "extra_holidays" in message.text


def test_a_list_that_came_due_while_the_program_was_off_is_made_up_for_within_two_hours_and_not_later() -> None:
    still = [{"device": "ac-301", "zone": "301", "department": "finance", "quantity": "running", "value": 1.0}]
    for back_at, expected in (("2026-07-01 19:55", 2), ("2026-07-01 20:05", 0)):
        _, jobs = calendar(still)
        jobs.step(local("2026-07-01 12:00"))
        assert len(jobs.step(local(back_at))) == expected
        assert jobs.step(local(back_at)) == []


# -- the picture ------------------------------------------------------------------------------------------------------


def signal(title: str = "301办公室：无人亮灯（301照明）") -> Signal:
    start = local("2026-07-01 00:00")
    times = [start + n * 5 * MINUTE for n in range(288)]
    watts = [-1.0 if n < 96 else 320.0 for n in range(288)]
    return Signal(
        title, "lights_left_on light-301", "active_power", times, watts, start, start + 24 * HOUR,
        local("2026-07-01 18:10"), None, 20.0, [(local("2026-07-01 08:30"), local("2026-07-01 18:00"))],
    )  # fmt: skip


needs_matplotlib = pytest.mark.skipif(not available(), reason="the extra 'pictures' is not installed")


@needs_matplotlib
@pytest.mark.parametrize(("fonts", "language"), [(FONTS, "zh"), ((), "zh"), (FONTS, "en")])
def test_the_picture_has_no_empty_box_with_and_without_a_chinese_font(
    fonts: tuple[str, ...], language: str, recwarn: pytest.WarningsRecorder
) -> None:
    png = draw(signal(), TZ, language, fonts)
    assert png.startswith(b"\x89PNG")
    assert 5_000 < len(png) < 200_000
    missing = [str(warning.message) for warning in recwarn if "missing from" in str(warning.message)]
    assert missing == []


@needs_matplotlib
def test_the_picture_marks_alert_and_presence_in_their_places() -> None:
    image = pytest.importorskip("PIL.Image").open(io.BytesIO(draw(signal(), ZoneInfo("Asia/Shanghai"), "zh")))
    pixels = image.convert("RGB")
    row = 150
    colours = [pixels.getpixel((x, row)) for x in range(70, 770)]
    red = [x for x, (r, g, b) in enumerate(colours) if r > 240 and 190 < g < 230 and 190 < b < 230]
    green = [x for x, (r, g, b) in enumerate(colours) if g > r + 8 and g > b and r > 200]
    assert min(red) == pytest.approx(18.17 / 24 * 700, abs=12)
    assert min(green) == pytest.approx(8.5 / 24 * 700, abs=12)
    assert max(green) == pytest.approx(18 / 24 * 700, abs=12)
