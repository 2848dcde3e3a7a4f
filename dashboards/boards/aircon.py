"""Air conditioning: setpoints against 26 and 18 °C, what the rooms have, and hours of running for nobody."""

# ruff: noqa: S608 - these are queries for Grafana, made of constants alone; nothing from outside enters them

from __future__ import annotations

from typing import Final

from dashboards.boards.common import (
    CELSIUS,
    COUNT,
    COUNTED,
    DEPARTMENT,
    DEPARTMENTS,
    DEVICE,
    FLOOR,
    FLOORS,
    HOURS,
    KWH,
    MONEY,
    NONE_IS_GOOD,
    ON_OFF,
    OVER,
    PLAIN,
    SITE,
    SITES,
    WORD,
    ZONE,
    chosen,
    ended_alerts,
    intervals,
    open_alerts,
    source,
)
from dashboards.description import Dashboard, Limit, Look, Panel, Query, Row
from dashboards.labels import MODES
from rules.catalogue import Text

_PLACE: Final = (FLOOR, DEPARTMENT, ZONE)
_UNITS: Final = source("aircon", SITE, *_PLACE, DEVICE)
_METERS: Final = intervals("device", "1h", *_PLACE, "\"circuit\" = 'aircon'", COUNTED)
_RULES: Final = '"rule" =~ /^aircon_/'
_EACH: Final = 'GROUP BY time($__interval), "device" fill(null)'

_TOTALS: Final = (
    Panel(
        "stat",
        Text("空调用电", "Energy of air conditioning"),
        Text("空调支路电能表的用电量。", "Energy of the meters on air-conditioning circuits."),
        (Query(f'SELECT sum("energy") {_METERS}'),),
        5,
        KWH,
        1,
        limits=PLAIN,
    ),
    Panel(
        "stat",
        Text("空调电费", "Cost of air conditioning"),
        Text("空调支路电能表的电费。", "What that energy costs."),
        (Query(f'SELECT sum("cost") {_METERS}'),),
        5,
        MONEY,
        2,
        limits=PLAIN,
    ),
    Panel(
        "stat",
        Text("正在运行", "Running now"),
        Text("最近 10 分钟内报告正在运行的空调台数。", "Units that said within 10 minutes that they run."),
        (Query(f'SELECT sum("running") FROM (SELECT last("running") AS "running" {_UNITS} GROUP BY "device")'),),
        4,
        COUNT,
        0,
        limits=PLAIN,
        since="10m",
    ),
    Panel(
        "stat",
        Text("无人运行小时", "Hours in empty rooms"),
        Text(
            "所选时间内结束的“无人开空调”告警的总时长。",
            "Length of all alerts of air conditioning for nobody that ended in the time shown.",
        ),
        (
            Query(
                f'SELECT sum("hours") {source("alert", SITE, DEPARTMENT, ZONE, OVER)} '
                "AND \"rule\" = 'aircon_unoccupied'"
            ),
        ),
        5,
        HOURS,
        1,
        limits=NONE_IS_GOOD,
        empty=Text("0", "0"),
    ),
    Panel(
        "stat",
        Text("空调浪费", "Wasted"),
        Text("所选时间内结束的空调告警所浪费的金额。", "Cost of the air-conditioning alerts that ended."),
        (Query(f'SELECT sum("cost") {source("alert", SITE, DEPARTMENT, ZONE, OVER, _RULES)}'),),
        5,
        MONEY,
        2,
        limits=NONE_IS_GOOD,
        empty=Text("0", "0"),
    ),
)

_CURVES: Final = (
    Panel(
        "lines",
        Text("设定温度（夏季不低于 26 ℃，冬季不高于 18 ℃）", "Setpoints (summer from 26 °C, winter up to 18 °C)"),
        Text(
            "运行中空调的设定温度。26 ℃ 及以上（绿色区）是制冷允许范围，18 ℃ 及以下（橙色区下方）是制热允许范围；"
            "橙色区内制冷、制热都不合规。",
            "What running units are set to. Cooling: 26 °C or more (green). Heating: 18 °C or less (below the orange). "
            "Orange is right for neither.",
        ),
        (Query(f'SELECT mean("setpoint") {_UNITS} AND "running" > 0 {_EACH}', "$tag_device"),),
        12,
        CELSIUS,
        1,
        limits=(
            Limit(None, "transparent"),
            Limit(18, "rgba(255, 120, 50, 0.12)"),
            Limit(26, "rgba(80, 180, 90, 0.12)"),
        ),
        least="5m",
        low=15,
        high=31,
        bridge=900_000,
    ),
    Panel(
        "lines",
        Text("室温", "Room temperature"),
        Text("空调回风温度（室温）。", "Room temperature as the units measure it."),
        (Query(f'SELECT mean("temperature") {_UNITS} {_EACH}', "$tag_device"),),
        12,
        CELSIUS,
        1,
        least="5m",
        bridge=1_800_000,
    ),
)

_RUNNING: Final = (
    Panel(
        "states",
        Text("运行时间线", "When they run"),
        Text("每台空调的开与关；空白是没有读数。", "On and off of each unit; blank means no reading."),
        (Query(f'SELECT max("running") {_UNITS} {_EACH}', "$tag_device"),),
        14,
        COUNT,
        words=ON_OFF,
        least="5m",
        bridge=1_800_000,
    ),
    Panel(
        "table",
        Text("空调现状", "Units now"),
        Text("每台空调最近 15 分钟内的状态。", "What each unit said within the last 15 minutes."),
        (
            Query(
                'SELECT last("running") AS "running", "mode", "setpoint", "temperature" '
                f'{_UNITS} GROUP BY "device", "zone"',
                table=True,
            ),
        ),
        10,
        WORD,
        columns={
            "Time": Look(hidden=True),
            "device": Look(Text("空调", "Unit"), WORD),
            "zone": Look(Text("区域", "Zone"), WORD),
            "running": Look(Text("运行", "Running"), COUNT, words=ON_OFF),
            "mode": Look(Text("模式", "Mode"), WORD, words=MODES),
            "setpoint": Look(Text("设定", "Setpoint"), CELSIUS, 1),
            "temperature": Look(Text("室温", "Room"), CELSIUS, 1),
        },
        sort="running",
        since="15m",
    ),
)

_WASTE: Final = (
    Panel(
        "ranking",
        Text("空调用电排行", "Energy by meter"),
        Text("各空调支路的用电量。", "Energy of each air-conditioning circuit."),
        (Query(f'SELECT sum("energy") {_METERS} GROUP BY "device"', "$tag_device"),),
        8,
        KWH,
        1,
        limits=PLAIN,
        low=0,
    ),
    Panel(
        "ranking",
        Text("无人运行小时", "Hours in empty rooms"),
        Text("无人时空调运行的小时数，按区域。", "Hours of running for nobody, by zone."),
        (
            Query(
                f'SELECT sum("hours") {source("alert", SITE, DEPARTMENT, ZONE, OVER)} '
                'AND "rule" = \'aircon_unoccupied\' GROUP BY "zone"',
                "$tag_zone",
            ),
        ),
        6,
        HOURS,
        1,
        limits=NONE_IS_GOOD,
        low=0,
    ),
    open_alerts(10, _RULES, DEPARTMENT, ZONE, amounts=("kwh",)),
)

AIRCON: Final = Dashboard(
    "aircon",
    Text("空调", "Air conditioning"),
    Text("设定温度、室温、无人运行。", "Setpoints, room temperatures, hours of running for nobody."),
    (
        SITES,
        FLOORS,
        DEPARTMENTS,
        chosen("zone", Text("区域", "Zone"), SITE, FLOOR, source="aircon"),
        chosen("device", Text("空调", "Unit"), SITE, FLOOR, ZONE, source="aircon"),
    ),
    (
        Row(4, _TOTALS),
        Row(9, _CURVES),
        Row(8, _RUNNING),
        Row(8, _WASTE),
        Row(7, (ended_alerts(24, _RULES, DEPARTMENT, ZONE, amounts=("kwh",)),)),
    ),
)
