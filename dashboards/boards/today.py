"""Today: what is drawn now, what is being wasted now, by whom, and whether it is getting better."""

# ruff: noqa: S608 - these are queries for Grafana, made of constants alone; nothing from outside enters them

from __future__ import annotations

from typing import Final

from dashboards.boards.common import (
    A_DAY,
    COUNT,
    DEPARTMENT,
    DEPARTMENTS,
    GOOD,
    KWH,
    LOCAL,
    MONEY,
    NONE_IS_GOOD,
    OVER,
    PLAIN,
    SINCE,
    SITE,
    SITES,
    WARN,
    WATT,
    by_hour,
    intervals,
    last_alerts,
    open_alerts,
    source,
)
from dashboards.description import Dashboard, Limit, Panel, Query, Row
from rules.catalogue import Text

_MAIN: Final = "\"circuit\" = 'main'"
_LAST_POWER: Final = f'SELECT last("active_power") AS "power" {source("electricity", SITE, _MAIN)} GROUP BY "device"'
_ENERGY: Final = f'SELECT sum("energy") {intervals("site", "15m")}'

_NOW: Final = (
    Panel(
        "stat",
        Text("当前功率", "Power now"),
        Text(
            "总进线电能表最近 10 分钟内的最新读数；超过 10 分钟没有读数时显示无数据，不沿用旧值。",
            "The main meters' latest reading of the last 10 minutes; older ones are not shown as today's.",
        ),
        (Query(f'SELECT sum("power") FROM ({_LAST_POWER})'),),
        4,
        WATT,
        limits=PLAIN,
        since="10m",
    ),
    Panel(
        "stat",
        Text("今日用电", "Energy today"),
        Text("今天零点至今的用电量（15 分钟电量之和）。", "Energy since midnight, the sum of quarter hours."),
        (Query(_ENERGY),),
        4,
        KWH,
        1,
        limits=PLAIN,
        since="now/d",
    ),
    Panel(
        "stat",
        Text("上周同日同时段", "Same weekday last week"),
        Text("上周同一天零点到同一时刻的用电量。", "Energy of the same day last week, up to the same time of day."),
        (Query(_ENERGY),),
        4,
        KWH,
        1,
        limits=PLAIN,
        since="now/d",
        shift="7d",
    ),
    Panel(
        "stat",
        Text("今日费用", "Cost today"),
        Text("今天零点至今的电费与水费。", "Cost of energy and water since midnight."),
        (Query(f'SELECT sum("cost") {intervals("site", "15m")}'),),
        4,
        MONEY,
        2,
        limits=PLAIN,
        since="now/d",
    ),
    Panel(
        "stat",
        Text("未结束的告警", "Open alerts"),
        Text("正在发生、已确认或已静音的告警数。", "Alerts that are going on, acknowledged or silenced."),
        (Query(f'SELECT count("state") FROM {last_alerts(DEPARTMENT)} WHERE "state" != \'resolved\''),),
        4,
        COUNT,
        0,
        limits=(Limit(None, GOOD), Limit(1, WARN), Limit(5, "red")),
        since=SINCE,
        empty=Text("0", "0"),
    ),
    Panel(
        "stat",
        Text("今日已结束浪费", "Wasted today"),
        Text(
            "今天结束的告警所浪费的金额；仍在发生的见下表。",
            "Cost of the alerts that ended today; those still going on are below.",
        ),
        (Query(f'SELECT sum("cost") {source("alert", SITE, DEPARTMENT, OVER)}'),),
        4,
        MONEY,
        2,
        limits=NONE_IS_GOOD,
        since="now/d",
        empty=Text("0", "0"),
    ),
)

_POWER: Final = (
    Panel(
        "lines",
        Text("今日负荷", "Load today"),
        Text("总进线有功功率。", "Active power of the main meters."),
        (
            Query(
                f'SELECT mean("active_power") {source("electricity", SITE, _MAIN)} '
                'GROUP BY time($__interval), "device" fill(null)',
                alias="$tag_device",
            ),
        ),
        12,
        WATT,
        since="now/d",
        least="5m",
        low=0,
        bridge=900_000,
    ),
    Panel(
        "lines",
        Text("上周同日负荷", "Load on the same weekday last week"),
        Text(
            "上周同一天到同一时刻的有功功率，用于对照。",
            "Active power of the same day last week up to the same time, to compare.",
        ),
        (
            Query(
                f'SELECT mean("active_power") {source("electricity", SITE, _MAIN)} '
                'GROUP BY time($__interval), "device" fill(null)',
                alias="$tag_device",
            ),
        ),
        12,
        WATT,
        since="now/d",
        shift="7d",
        least="5m",
        low=0,
        bridge=900_000,
    ),
)

_WASTE: Final = (
    Panel(
        "bars",
        Text("每日浪费", "Waste by day"),
        Text("近 14 天每天结束的告警所浪费的金额，按部门。", "Cost of alerts by the day they ended, by department."),
        (
            Query(
                f'SELECT sum("cost") {source("alert", SITE, DEPARTMENT, OVER)} '
                f'GROUP BY {A_DAY}, "department" fill(none) {LOCAL}',
                alias="$tag_department",
            ),
        ),
        10,
        MONEY,
        2,
        since="14d",
        stacked=True,
        low=0,
    ),
    Panel(
        "heatmap",
        Text("用电热力图（时段 × 日期）", "Energy by hour and day"),
        Text(
            "近 14 天每小时用电量：横向是日期，纵向是钟点。绿色少，红色多；夜间和周末应当是绿色。",
            "Energy of each hour: days across, hours of the day upwards. Green is little, red is much.",
        ),
        by_hour("energy"),
        14,
        KWH,
        1,
        since="14d",
    ),
)

TODAY: Final = Dashboard(
    "today",
    Text("今日用能", "Today"),
    Text("现在谁在浪费、值多少钱、是否在好转。", "Who is wasting what now, what it costs, and whether it gets better."),
    (SITES, DEPARTMENTS),
    (
        Row(4, _NOW),
        Row(8, (open_alerts(24, DEPARTMENT),)),
        Row(8, _POWER),
        Row(11, _WASTE),
    ),
    range=("now-24h", "now"),
    refresh="1m",
)
