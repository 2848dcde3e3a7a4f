"""Zone: who is there and what is on, side by side, with the alerts as marks."""

# ruff: noqa: S608 - these are queries for Grafana, made of constants alone; nothing from outside enters them

from __future__ import annotations

from typing import Final

from dashboards.boards.common import (
    ALERT_NOTE,
    CALM,
    CELSIUS,
    COUNT,
    DEVICE,
    FLOOR,
    FLOORS,
    GOOD,
    KWH,
    MONEY,
    NONE_IS_GOOD,
    ON_OFF,
    OVER,
    PLAIN,
    SITE,
    SITES,
    WARN,
    WATT,
    WORD,
    ZONE,
    chosen,
    ended_alerts,
    intervals,
    source,
)
from dashboards.description import Dashboard, Look, Panel, Query, Row, Shown
from dashboards.labels import MODES
from rules.catalogue import Text

_OCCUPIED: Final = (
    Shown(0, 0.499, Text("无人", "Nobody"), "#5f6368"),
    Shown(0.499, 1, Text("有人", "Somebody"), GOOD),
)
_LIT: Final = (Shown(0, 20, Text("关", "Off"), "#5f6368"), Shown(20, 1e9, Text("开", "On"), "yellow"))
_WORKING: Final = (
    Shown(0, 0.5, Text("关", "Off"), "#5f6368"),
    Shown(0.5, 30, Text("待机", "Standby"), WARN),
    Shown(30, 1e9, Text("使用", "In use"), CALM),
)
_EACH: Final = 'GROUP BY time($__interval), "device" fill(null)'
_LIGHTING: Final = "\"circuit\" = 'lighting'"


def _power_now(kind: str) -> str:
    """What the devices of a kind draw together, each by its latest word."""
    latest = f'SELECT last("active_power") AS "power" {source(kind, SITE, ZONE)} GROUP BY "device"'
    return f'SELECT sum("power") FROM ({latest})'


_STATES: Final = Panel(
    "states",
    Text("人、灯、插座、空调", "People, lights, sockets, air conditioning"),
    Text(
        "每一行是一个设备：有没有人、灯是否亮、插座是待机还是使用、空调是否在开。空白是没有读数。竖线是告警。",
        "One line for each device: is somebody there, is it on, standing by, or working. Blank means no reading.",
    ),
    (
        Query(
            f'SELECT max("occupancy") {source("sensor", SITE, ZONE, DEVICE)} {_EACH}',
            "$tag_device",
            look=Look(words=_OCCUPIED),
        ),
        Query(
            f'SELECT mean("active_power") {source("electricity", SITE, ZONE, DEVICE, _LIGHTING)} {_EACH}',
            "$tag_device",
            look=Look(words=_LIT, unit=WATT),
        ),
        Query(
            f'SELECT mean("active_power") {source("plug", SITE, ZONE, DEVICE)} {_EACH}',
            "$tag_device",
            look=Look(words=_WORKING, unit=WATT),
        ),
        Query(
            f'SELECT max("running") {source("aircon", SITE, ZONE, DEVICE)} {_EACH}',
            "$tag_device",
            look=Look(words=ON_OFF),
        ),
    ),
    24,
    COUNT,
    least="5m",
    bridge=1_800_000,
)

_NOW: Final = (
    Panel(
        "stat",
        Text("当前功率", "Power now"),
        Text(
            "各表和插座最近 10 分钟的功率之和。",
            "Meters and plugs of the zone, by their latest word of the last 10 minutes.",
        ),
        (
            Query(_power_now("electricity"), Text("电表", "Meters")),
            Query(_power_now("plug"), Text("插座", "Plugs")),
        ),
        5,
        WATT,
        limits=PLAIN,
        since="10m",
    ),
    Panel(
        "stat",
        Text("用电量", "Energy"),
        Text("所选时间内该区域的用电量。", "Energy of the zone in the time shown."),
        (Query(f'SELECT sum("energy") {intervals("zone", "15m", ZONE)}'),),
        5,
        KWH,
        2,
        limits=PLAIN,
    ),
    Panel(
        "stat",
        Text("费用", "Cost"),
        Text("所选时间内该区域的电费与水费。", "Cost of the zone's energy and water."),
        (Query(f'SELECT sum("cost") {intervals("zone", "15m", ZONE)}'),),
        5,
        MONEY,
        2,
        limits=PLAIN,
    ),
    Panel(
        "stat",
        Text("已结束浪费", "Wasted"),
        Text("所选时间内结束的告警所浪费的金额。", "Cost of the alerts that ended in the time shown."),
        (Query(f'SELECT sum("cost") {source("alert", SITE, ZONE, OVER)}'),),
        5,
        MONEY,
        2,
        limits=NONE_IS_GOOD,
        empty=Text("0", "0"),
    ),
    Panel(
        "stat",
        Text("室温", "Room temperature"),
        Text("传感器最近 30 分钟的平均值。", "Mean of the sensors over the last 30 minutes."),
        (Query(f'SELECT mean("temperature") {source("sensor", SITE, ZONE)}'),),
        4,
        CELSIUS,
        1,
        limits=PLAIN,
        since="30m",
    ),
)

_CURVES: Final = (
    Panel(
        "lines",
        Text("功率", "Power"),
        Text("区域内每块表、每个插座的有功功率。", "Active power of every meter and plug in the zone."),
        (
            Query(f'SELECT mean("active_power") {source("electricity", SITE, ZONE, DEVICE)} {_EACH}', "$tag_device"),
            Query(f'SELECT mean("active_power") {source("plug", SITE, ZONE, DEVICE)} {_EACH}', "$tag_device"),
        ),
        12,
        WATT,
        least="5m",
        low=0,
        bridge=1_800_000,
    ),
    Panel(
        "lines",
        Text("室温与设定温度", "Room and setpoint"),
        Text("传感器室温和空调设定温度。", "Temperature by the sensors, and what the air conditioners are set to."),
        (
            Query(
                f'SELECT mean("temperature") {source("sensor", SITE, ZONE)} GROUP BY time($__interval) fill(null)',
                Text("室温", "Room"),
            ),
            Query(
                f'SELECT mean("setpoint") {source("aircon", SITE, ZONE)} GROUP BY time($__interval) fill(null)',
                Text("设定温度", "Setpoint"),
            ),
        ),
        6,
        CELSIUS,
        1,
        least="5m",
        bridge=3_600_000,
    ),
    Panel(
        "lines",
        Text("照度", "Illuminance"),
        Text("窗边照度；超过 500 lx 时一般不需要开灯。", "Light at the sensor; above 500 lx lamps are rarely needed."),
        (
            Query(
                f'SELECT mean("illuminance") {source("sensor", SITE, ZONE)} GROUP BY time($__interval) fill(null)',
                Text("照度", "Illuminance"),
            ),
        ),
        6,
        "lux",
        0,
        least="5m",
        low=0,
        bridge=3_600_000,
    ),
)

_MODE: Final = Panel(
    "states",
    Text("空调模式", "Air conditioner mode"),
    Text("空调设定的运行模式。", "What the air conditioners are set to do."),
    (Query(f'SELECT last("mode") {source("aircon", SITE, ZONE, DEVICE)} {_EACH}', "$tag_device"),),
    10,
    WORD,
    words=MODES,
    least="5m",
    bridge=1_800_000,
    empty=Text("没有空调", "No air conditioner"),
)

ZONE_BOARD: Final = Dashboard(
    "zone",
    Text("区域详情", "Zone"),
    Text("一个区域里有没有人、灯和空调是否开着、浪费了多少。", "Is somebody there, what is on, and what is wasted."),
    (
        SITES,
        FLOORS,
        chosen("zone", Text("区域", "Zone"), SITE, FLOOR, first_only=True),
        chosen("device", Text("设备", "Device"), SITE, ZONE),
    ),
    (Row(4, _NOW), Row(9, (_STATES,)), Row(8, _CURVES), Row(7, (_MODE, ended_alerts(14, ZONE)))),
    range=("now-24h", "now"),
    refresh="1m",
    notes=(ALERT_NOTE,),
)
