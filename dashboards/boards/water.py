"""Water: what is used, what flows at night, and what leaks."""

# ruff: noqa: S608 - these are queries for Grafana, made of constants alone; nothing from outside enters them

from __future__ import annotations

from typing import Final

from dashboards.boards.common import (
    A_DAY,
    BAD,
    CUBIC,
    DEVICE,
    FLOOR,
    FLOORS,
    GOOD,
    LITRE,
    LITRES_A_MINUTE,
    LOCAL,
    MONEY,
    NIGHT,
    NONE_IS_GOOD,
    OVER,
    PLAIN,
    SITE,
    SITES,
    TIME,
    WORD,
    ZONE,
    by_hour,
    chosen,
    ended_alerts,
    intervals,
    open_alerts,
    source,
)
from dashboards.description import Dashboard, Limit, Look, Panel, Query, Row
from dashboards.labels import INTERVAL_STATES
from rules.catalogue import Text

_RULES: Final = '"rule" =~ /^(tap_left_running|water_leak)$/'
_PLACE: Final = (FLOOR, ZONE, DEVICE)
_COUNTED: Final = '"volume" >= 0'

_TOTALS: Final = (
    Panel(
        "stat",
        Text("全站用水", "Water of the site"),
        Text(
            "所选时间内整个站点的用水量；总表之下的分表不重复计。与所选楼层、区域、水表无关。",
            "Water of the whole site in the time shown, no meter behind another twice, whatever is chosen.",
        ),
        (Query(f'SELECT sum("volume") {intervals("site", "1h")}'),),
        4,
        CUBIC,
        2,
        limits=PLAIN,
    ),
    Panel(
        "stat",
        Text("所选水表用水", "Water of the chosen meters"),
        Text(
            "所选水表的用水量之和；同时选中总表和它的分表时，分表的水计两次。",
            "Sum of the chosen meters; choose a main meter or those behind it, for together they count water twice.",
        ),
        (Query(f'SELECT sum("volume") {intervals("device", "1h", *_PLACE)}'),),
        4,
        CUBIC,
        2,
        limits=PLAIN,
    ),
    Panel(
        "stat",
        Text("所选水表水费", "Cost of the chosen meters"),
        Text("所选水表的用水按站点水价折算。", "Their water at the site's price."),
        (Query(f'SELECT sum("cost") {intervals("device", "1h", *_PLACE, _COUNTED)}'),),
        4,
        MONEY,
        2,
        limits=PLAIN,
    ),
    Panel(
        "stat",
        Text("夜间用水", "Water at night"),
        Text(
            "整个站点 01:00–05:00 平均每小时用水量：楼里没人，应当接近零。",
            "The site's mean of an hour from 01:00 to 05:00: nobody is there, so it should be near nothing.",
        ),
        (Query(f'SELECT mean("volume") * 1000 AS "night" {intervals("site", "1h", NIGHT)}'),),
        4,
        LITRE,
        1,
        limits=(Limit(None, GOOD), Limit(5, "orange"), Limit(30, BAD)),
    ),
    Panel(
        "stat",
        Text("当前流量", "Flow now"),
        Text("所选水表最近 10 分钟最新流量之和。", "Sum of the chosen meters' latest flow of the last 10 minutes."),
        (
            Query(
                f'SELECT sum("flow") FROM (SELECT last("flow") AS "flow" {source("water", SITE, *_PLACE)} '
                'GROUP BY "device")'
            ),
        ),
        4,
        LITRES_A_MINUTE,
        1,
        limits=PLAIN,
        since="10m",
    ),
    Panel(
        "stat",
        Text("已浪费水量", "Wasted water"),
        Text("结束的长流水、漏水告警所浪费的水。", "Water of the taps and leaks that ended in the time shown."),
        (Query(f'SELECT sum("litres") {source("alert", SITE, ZONE, OVER, _RULES)}'),),
        4,
        LITRE,
        0,
        limits=NONE_IS_GOOD,
        empty=Text("0", "0"),
    ),
)

_FLOW: Final = (
    Panel(
        "lines",
        Text("流量", "Flow"),
        Text("各水表流量；长时间不归零就是漏水。", "Flow at each meter; one that never returns to zero leaks."),
        (
            Query(
                f'SELECT max("flow") {source("water", SITE, *_PLACE)} GROUP BY time($__interval), "device" fill(null)',
                "$tag_device",
            ),
        ),
        14,
        LITRES_A_MINUTE,
        1,
        least="5m",
        low=0,
        bridge=1_800_000,
    ),
    Panel(
        "heatmap",
        Text("用水热力图（时段 × 日期）", "Water by hour and day"),
        Text("每小时用水量：横向是日期，纵向是钟点。", "Water of each hour: days across, hours of the day upwards."),
        by_hour("volume"),
        10,
        CUBIC,
        3,
        since="14d",
    ),
)

_LEAKS: Final = (
    Panel(
        "bars",
        Text("每夜用水", "Water by night"),
        Text("每天 01:00–05:00 各水表的用水量。", "Water of each meter from 01:00 to 05:00, day by day."),
        (
            Query(
                f'SELECT sum("volume") * 1000 AS "night" {intervals("device", "1h", *_PLACE, NIGHT)} '
                f'GROUP BY {A_DAY}, "device" fill(none) {LOCAL}',
                "$tag_device",
            ),
        ),
        8,
        LITRE,
        0,
        low=0,
    ),
    Panel(
        "grid",
        Text("一天中的最小小时用水", "Quietest hour of the day"),
        Text(
            "每天用水最少的一小时用了多少升；整天没有停过（大于零）就可能漏水。",
            "Litres of each day's quietest hour; more than nothing means that water never stopped: a leak, perhaps.",
        ),
        (
            Query(
                f'SELECT min("volume") * 1000 AS "quietest" {intervals("device", "1h", *_PLACE)} '
                f'GROUP BY {A_DAY}, "device" fill(none) {LOCAL}',
                "$tag_device",
            ),
        ),
        8,
        LITRE,
        0,
        limits=(Limit(None, GOOD), Limit(1, "orange"), Limit(20, BAD)),
    ),
    Panel(
        "ranking",
        Text("用水排行", "Water by meter"),
        Text("各水表的用水量。", "Water of each meter in the time shown."),
        (
            Query(
                f'SELECT sum("volume") {intervals("device", "1h", *_PLACE, _COUNTED)} GROUP BY "device"', "$tag_device"
            ),
        ),
        8,
        CUBIC,
        2,
        limits=PLAIN,
        low=0,
    ),
)

_DAYS: Final = Panel(
    "table",
    Text("每日用水", "Water by day and meter"),
    Text("每块水表每天的用水量和费用。", "Water and cost of each meter, day by day."),
    (Query(f'SELECT "device", "volume", "cost", "state" {intervals("device", "1d", *_PLACE, _COUNTED)}', table=True),),
    10,
    WORD,
    columns={
        "Time": Look(Text("日期", "Day"), TIME, width=155),
        "device": Look(Text("水表", "Meter"), WORD, width=150),
        "volume": Look(Text("用水量", "Water"), CUBIC, 2),
        "cost": Look(Text("水费", "Cost"), MONEY, 2),
        "state": Look(Text("数据", "Data"), WORD),
    },
    labels=INTERVAL_STATES,
    sort="Time",
)

WATER: Final = Dashboard(
    "water",
    Text("用水", "Water"),
    Text("用水量、夜间流量、长流水与漏水。", "What is used, what flows at night, and what leaks."),
    (
        SITES,
        FLOORS,
        chosen("zone", Text("区域", "Zone"), SITE, FLOOR, source="water"),
        chosen("device", Text("水表", "Meter"), SITE, FLOOR, ZONE, source="water"),
    ),
    (
        Row(4, _TOTALS),
        Row(10, _FLOW),
        Row(8, _LEAKS),
        Row(8, (open_alerts(14, _RULES, ZONE, amounts=("litres",)), _DAYS)),
        Row(7, (ended_alerts(24, _RULES, ZONE, amounts=("litres",)),)),
    ),
)
