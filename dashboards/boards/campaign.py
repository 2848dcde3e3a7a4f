"""Campaign: before and after, and what the waste avoided is worth."""

from __future__ import annotations

from typing import Final

from dashboards.boards.common import (
    A_DAY,
    CO2,
    COUNT,
    DEPARTMENT,
    DEPARTMENTS,
    KWH,
    LITRE,
    LOCAL,
    MONEY,
    OVER,
    PLAIN,
    SITE,
    SITES,
    WORD,
    intervals,
    source,
)
from dashboards.description import Dashboard, Limit, Look, Panel, Query, Row, Variable
from dashboards.labels import RULES
from rules.catalogue import Text

_NOW: Final = "$timeFilter"
_BEFORE: Final = "time >= ${__from}ms - ${before:raw} AND time <= ${__to}ms - ${before:raw}"
_SAVED: Final = (Limit(None, "red"), Limit(0, "green"))
_NONE: Final = Text("没有可比数据", "Nothing to compare")


def _both(field: str, found: str, keys: str = "") -> str:
    """Sub-queries that give ``field`` of the time shown as ``now`` and that of the time before as ``before``.

    Each is nothing in the other's time, so that a time without any waste counts as zero and not as unknown.
    """
    tags = f"{keys}, " if keys else ""
    before = found.replace(_NOW, _BEFORE)
    return (
        f'FROM (SELECT {tags}"{field}" AS "now", "{field}" * 0 AS "before" {found}), '
        f'(SELECT {tags}"{field}" * 0 AS "now", "{field}" AS "before" {before})'
    )


def _wasted(field: str) -> str:
    return _both(field, source("alert", SITE, DEPARTMENT, OVER), '"rule"')


def _stat(title: Text, about: Text, query: str, unit: str, limits: tuple[Limit, ...], decimals: int = 1) -> Panel:
    return Panel("stat", title, about, (Query(query),), 6, unit, decimals, limits=limits, empty=_NONE)


_DEPARTMENTS: Final = _both("cost", source("alert", SITE, DEPARTMENT, OVER), '"department"')
_HOURS: Final = intervals("site", "1h")
_DIFFERENCE: Final = 'SELECT sum("before") - sum("now")'

_WASTE: Final = (
    _stat(
        Text("避免浪费的电量", "Waste avoided"),
        Text(
            "同样长的前一段时间的浪费电量减去本段；正数是改善。前后相隔由“比较”选定。",
            "Energy wasted in the stretch before less that of the time shown; above zero is better.",
        ),
        f"{_DIFFERENCE} {_wasted('kwh')}",
        KWH,
        _SAVED,
        2,
    ),
    _stat(
        Text("避免浪费的水量", "Water waste avoided"),
        Text("同样长的前一段时间的浪费水量减去本段。", "Litres wasted in the stretch before less those of now."),
        f"{_DIFFERENCE} {_wasted('litres')}",
        LITRE,
        _SAVED,
        0,
    ),
    _stat(
        Text("避免浪费的金额", "Money saved on waste"),
        Text("同样长的前一段时间的浪费金额减去本段。", "Cost of waste in the stretch before less that of now."),
        f"{_DIFFERENCE} {_wasted('cost')}",
        MONEY,
        _SAVED,
        2,
    ),
    _stat(
        Text("减少的碳排放", "CO₂ avoided"),
        Text("同样长的前一段时间的浪费折算碳排放减去本段。", "CO₂ of waste in the stretch before less that of now."),
        f"{_DIFFERENCE} {_wasted('kgco2')}",
        CO2,
        _SAVED,
        2,
    ),
)

_ENERGY: Final = (
    _stat(
        Text("之前用电", "Energy before"),
        Text("前一段时间的全楼用电量。", "Energy of the site in the stretch before."),
        f'SELECT sum("energy") {_HOURS.replace(_NOW, _BEFORE)}',
        KWH,
        PLAIN,
    ),
    _stat(
        Text("本段用电", "Energy now"),
        Text("所选时间内的全楼用电量。", "Energy of the site in the time shown."),
        f'SELECT sum("energy") {_HOURS}',
        KWH,
        PLAIN,
    ),
    _stat(
        Text("用电减少", "Energy saved"),
        Text(
            "前一段减本段的用电量；未按天气修正。", "Energy before less energy now; without correction for the weather."
        ),
        f"{_DIFFERENCE} {_both('energy', _HOURS)}",
        KWH,
        _SAVED,
    ),
    _stat(
        Text("费用减少", "Cost saved"),
        Text("前一段减本段的费用；未按天气修正。", "Cost before less cost now; without correction for the weather."),
        f"{_DIFFERENCE} {_both('cost', _HOURS)}",
        MONEY,
        _SAVED,
        2,
    ),
)

_BY_RULE: Final = Panel(
    "table",
    Text("各类浪费的前后对比", "Waste before and after, by kind"),
    Text("每条规则前后两段时间的浪费金额和差额。", "Cost of each kind of waste before and now, and the difference."),
    (
        Query(
            'SELECT sum("before") AS "before", sum("now") AS "now", sum("before") - sum("now") AS "saved" '
            f'{_wasted("cost")} GROUP BY "rule"',
            table=True,
        ),
    ),
    12,
    WORD,
    columns={
        "Time": Look(hidden=True),
        "rule": Look(Text("问题", "Problem"), WORD),
        "before": Look(Text("之前", "Before"), MONEY, 2),
        "now": Look(Text("本段", "Now"), MONEY, 2),
        "saved": Look(Text("减少", "Avoided"), MONEY, 2, _SAVED),
    },
    labels=RULES,
    sort="before",
    empty=_NONE,
)

_BY_DEPARTMENT: Final = Panel(
    "table",
    Text("各部门的前后对比", "Waste before and after, by department"),
    Text("各部门前后两段时间的浪费金额和差额。", "Cost of each department's waste before and now."),
    (
        Query(
            'SELECT sum("before") AS "before", sum("now") AS "now", sum("before") - sum("now") AS "saved" '
            f'{_DEPARTMENTS} GROUP BY "department"',
            table=True,
        ),
    ),
    12,
    WORD,
    columns={
        "Time": Look(hidden=True),
        "department": Look(Text("部门", "Department"), WORD),
        "before": Look(Text("之前", "Before"), MONEY, 2),
        "now": Look(Text("本段", "Now"), MONEY, 2),
        "saved": Look(Text("减少", "Avoided"), MONEY, 2, _SAVED),
    },
    sort="before",
    empty=_NONE,
)

_TREND: Final = (
    Panel(
        "bars",
        Text("每日浪费电量", "Wasted energy by day"),
        Text("每天结束的告警所浪费的电量，按问题。", "Energy of the alerts that ended each day, by kind."),
        (
            Query(
                f'SELECT sum("kwh") {source("alert", SITE, DEPARTMENT, OVER)} '
                f'GROUP BY {A_DAY}, "rule" fill(none) {LOCAL}',
                "$tag_rule",
            ),
        ),
        12,
        KWH,
        2,
        labels=RULES,
        stacked=True,
        low=0,
        since="60d",
    ),
    Panel(
        "bars",
        Text("每日告警数", "Alerts by day"),
        Text("每天结束的告警数，按问题。", "Alerts that ended each day, by kind."),
        (
            Query(
                f'SELECT count(distinct("id")) {source("alert", SITE, DEPARTMENT, OVER)} '
                f'GROUP BY {A_DAY}, "rule" fill(none) {LOCAL}',
                "$tag_rule",
            ),
        ),
        12,
        COUNT,
        0,
        labels=RULES,
        stacked=True,
        low=0,
        since="60d",
    ),
)

CAMPAIGN: Final = Dashboard(
    "campaign",
    Text("创建活动成效", "Campaign"),
    Text("前后对比：避免的浪费、金额和碳排放。", "Before and after: waste avoided, in kWh, money and CO₂."),
    (
        SITES,
        DEPARTMENTS,
        Variable("before", Text("与多久以前比较", "Compared with"), values=("7d", "14d", "28d", "91d", "364d")),
    ),
    (
        Row(4, _WASTE),
        Row(4, _ENERGY),
        Row(9, (_BY_RULE, _BY_DEPARTMENT)),
        Row(9, _TREND),
    ),
)
