"""Department: what each uses against its quota, per head and per m², and how it answers to alerts."""

# ruff: noqa: S608 - these are queries for Grafana, made of constants alone; nothing from outside enters them

from __future__ import annotations

from typing import Final

from dashboards.boards.common import (
    BAD,
    CO2,
    COUNT,
    COUNTED,
    CUBIC,
    DEPARTMENT,
    DEPARTMENTS,
    GOOD,
    HOURS,
    KWH,
    KWH_A_SQUARE,
    MONEY,
    NONE_IS_GOOD,
    OVER,
    PLAIN,
    SHARE,
    SITE,
    SITES,
    WARN,
    WORD,
    intervals,
    open_alerts,
    source,
)
from dashboards.description import Dashboard, Limit, Look, Panel, Query, Row
from rules.catalogue import Text

_QUOTA: Final = (Limit(None, GOOD), Limit(0.9, WARN), Limit(1.0, BAD))
_DAYS: Final = intervals("department", "1d", DEPARTMENT)
_DUE: Final = '"quota" + "energy" * 0'
"""The quota of the days whose energy is known; beside the others it would make a department look thrifty."""

_TOTALS: Final = (
    Panel(
        "stat",
        Text("用电量", "Energy"),
        Text("所选部门、所选整日的用电量。", "Energy of the chosen departments in the whole days shown."),
        (Query(f'SELECT sum("energy") {_DAYS}'),),
        6,
        KWH,
        1,
        limits=PLAIN,
    ),
    Panel(
        "stat",
        Text("定额使用率", "Part of the quota used"),
        Text(
            "用电量除以同期定额（全年定额按天分摊）；超过 100% 即超定额进度。",
            "Energy over the quota of the same days (the year's quota spread over its days); above 100 % is too fast.",
        ),
        (
            Query(
                'SELECT sum("energy") / sum("quota") AS "used" '
                + intervals("department", "1d", DEPARTMENT, '"quota" > 0', COUNTED)
            ),
        ),
        6,
        SHARE,
        0,
        limits=_QUOTA,
        empty=Text("未设定额", "No quota set"),
    ),
    Panel(
        "stat",
        Text("用水量", "Water"),
        Text("所选部门的用水量。", "Water of the chosen departments."),
        (Query(f'SELECT sum("volume") {intervals("department", "1d", DEPARTMENT)}'),),
        6,
        CUBIC,
        2,
        limits=PLAIN,
        empty=Text("无水表", "No water meter"),
    ),
    Panel(
        "stat",
        Text("已结束浪费", "Wasted"),
        Text("所选时间内结束的告警所浪费的金额。", "Cost of the alerts that ended in the time shown."),
        (Query(f'SELECT sum("cost") {source("alert", SITE, DEPARTMENT, OVER)}'),),
        6,
        MONEY,
        2,
        limits=NONE_IS_GOOD,
        empty=Text("0", "0"),
    ),
)

_LEAGUE: Final = Panel(
    "table",
    Text("部门排行", "League table"),
    Text(
        "各部门用电、定额使用率、人均和单位面积用电，按定额使用率排列。",
        "Energy, quota, per head and per m² of each department, by the part of the quota used.",
    ),
    (
        Query(
            'SELECT sum("energy") AS "energy", sum("energy") / sum("due") AS "used", '
            'sum("energy") / max("headcount") AS "head", sum("energy") / max("area") AS "square", '
            'sum("cost") AS "cost", sum("kgco2") AS "kgco2" '
            f'FROM (SELECT "energy", {_DUE} AS "due", "headcount", "area", "cost", "kgco2" {_DAYS} '
            'GROUP BY "department") GROUP BY "department"',
            table=True,
        ),
    ),
    24,
    WORD,
    columns={
        "Time": Look(hidden=True),
        "department": Look(Text("部门", "Department"), WORD),
        "energy": Look(Text("用电量", "Energy"), KWH, 1),
        "used": Look(Text("定额使用率", "Quota used"), SHARE, 0, _QUOTA),
        "head": Look(Text("人均用电", "Per head"), KWH, 1),
        "square": Look(Text("单位面积用电", "Per m²"), KWH_A_SQUARE, 2),
        "cost": Look(Text("费用", "Cost"), MONEY, 2),
        "kgco2": Look(Text("碳排放", "CO₂"), CO2, 1),
    },
    sort="used",
)

_RANKINGS: Final = (
    Panel(
        "ranking",
        Text("定额使用率", "Quota used"),
        Text("各部门用电量占同期定额的比例。", "Each department's energy as a part of the same days' quota."),
        (
            Query(
                'SELECT sum("energy") / sum("quota") AS "used" '
                + intervals("department", "1d", DEPARTMENT, '"quota" > 0', COUNTED)
                + ' GROUP BY "department"',
                alias="$tag_department",
            ),
        ),
        8,
        SHARE,
        0,
        limits=_QUOTA,
        low=0,
        high=1.5,
    ),
    Panel(
        "ranking",
        Text("人均用电", "Energy per head"),
        Text("用电量除以部门人数。", "Energy over the department's headcount."),
        (
            Query(
                f'SELECT sum("energy") / max("headcount") AS "head" {_DAYS} GROUP BY "department"',
                alias="$tag_department",
            ),
        ),
        8,
        KWH,
        1,
        limits=PLAIN,
        low=0,
    ),
    Panel(
        "ranking",
        Text("单位面积用电", "Energy per m²"),
        Text("用电量除以部门面积。", "Energy over the department's area."),
        (
            Query(
                f'SELECT sum("energy") / max("area") AS "square" {_DAYS} GROUP BY "department"', alias="$tag_department"
            ),
        ),
        8,
        KWH_A_SQUARE,
        2,
        limits=PLAIN,
        low=0,
    ),
)

_OVER_TIME: Final = (
    Panel(
        "bars",
        Text("每日用电", "Energy by day"),
        Text("各部门每天的用电量。", "Energy of each department, day by day."),
        (Query(f'SELECT "energy" {_DAYS} GROUP BY "department"', alias="$tag_department"),),
        12,
        KWH,
        1,
        stacked=True,
        low=0,
    ),
    Panel(
        "ranking",
        Text("浪费排行", "Waste by department"),
        Text("所选时间内结束的告警所浪费的金额，按责任部门。", "Cost of ended alerts by the department that answers."),
        (
            Query(
                f'SELECT sum("cost") {source("alert", SITE, DEPARTMENT, OVER)} GROUP BY "department"',
                alias="$tag_department",
            ),
        ),
        12,
        MONEY,
        2,
        limits=NONE_IS_GOOD,
        low=0,
    ),
)


def _counted(state: str, name: str) -> Query:
    found = source("alert", SITE, DEPARTMENT, f"\"state\" = '{state}'")
    return Query(f'SELECT count(distinct("id")) AS "{name}" {found} GROUP BY "department"', table=True)


_ANSWERS: Final = Panel(
    "table",
    Text("告警与处理", "Alerts and answers"),
    Text(
        "各部门的告警数、有人确认的数、已结束的数和平均持续小时数；持续越短，响应越快。",
        "Alerts raised, acknowledged and ended for each department, and how long they lasted on average.",
    ),
    (
        _counted("firing", "raised"),
        _counted("acknowledged", "answered"),
        _counted("resolved", "ended"),
        Query(
            f'SELECT mean("hours") AS "hours" {source("alert", SITE, DEPARTMENT, OVER)} GROUP BY "department"',
            table=True,
        ),
    ),
    10,
    COUNT,
    columns={
        "department": Look(Text("部门", "Department"), WORD),
        "raised": Look(Text("发生", "Raised"), COUNT, 0),
        "answered": Look(Text("已确认", "Acknowledged"), COUNT, 0),
        "ended": Look(Text("已结束", "Ended"), COUNT, 0),
        "hours": Look(Text("平均持续", "Mean length"), HOURS, 1),
    },
    steps=({"id": "joinByField", "options": {"byField": "department", "mode": "outer"}},),
    sort="raised",
)

DEPARTMENT_BOARD: Final = Dashboard(
    "department",
    Text("部门用能", "Department"),
    Text("定额、人均、单位面积、排行、告警与处理。", "Quota, per head, per m², league table, alerts and how they end."),
    (SITES, DEPARTMENTS),
    (
        Row(4, _TOTALS),
        Row(7, (_LEAGUE,)),
        Row(7, _RANKINGS),
        Row(9, _OVER_TIME),
        Row(8, (_ANSWERS, open_alerts(14, DEPARTMENT))),
    ),
    range=("now-30d", "now"),
)
