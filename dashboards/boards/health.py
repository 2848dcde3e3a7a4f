"""Data health: silent meters, quality, how busy the buses are, and what waits on disk."""

# ruff: noqa: S608 - these are queries for Grafana, made of constants alone; nothing from outside enters them

from __future__ import annotations

from typing import Final, get_args

from building.site import Kind
from dashboards.boards.common import (
    BAD,
    BYTES,
    COUNT,
    DEVICE,
    GOOD,
    HOURS,
    PLAIN,
    SECONDS,
    SHARE,
    SITE,
    SITES,
    WARN,
    WORD,
    chosen,
    intervals,
    source,
)
from dashboards.description import Dashboard, Limit, Look, Panel, Query, Row, Shown
from dashboards.labels import INTERVAL_STATES
from rules.catalogue import Text

_KINDS: Final = ", ".join(f'"{kind}"' for kind in get_args(Kind))
_OWN: Final = source("collector", SITE)
_DEVICES: Final = source("collector", SITE, DEVICE, '"device" =~ /./')
_LINKS: Final = source("collector", SITE, "\"device\" = ''", '"link" =~ /./')
_LAST_SILENT: Final = f'SELECT last("silent") AS "silent" {_DEVICES} GROUP BY "device"'
_SPOKEN: Final = (Shown(0, 0.499, Text("正常", "Answers"), GOOD), Shown(0.499, 1, Text("无应答", "Silent"), BAD))
_SHARES: Final = (Limit(None, BAD), Limit(0.9, WARN), Limit(0.99, GOOD))
_ERRORS: Final = f'SELECT non_negative_difference(last("errors")) AS "errors" {_LINKS} GROUP BY time(1h), "link"'

_NOW: Final = (
    Panel(
        "stat",
        Text("无应答的设备", "Silent devices"),
        Text("最近 15 分钟内被判为无应答的设备数。", "Devices that are silent by the word of the last 15 minutes."),
        (Query(f'SELECT sum("silent") FROM ({_LAST_SILENT})'),),
        5,
        COUNT,
        0,
        limits=(Limit(None, GOOD), Limit(1, BAD)),
        since="15m",
    ),
    Panel(
        "stat",
        Text("实测比例", "Measured"),
        Text("所选时间内有实测数据的时段比例。", "Part of the time shown that was really measured."),
        (Query(f'SELECT mean("share_measured") {intervals("device", "1h", DEVICE)}'),),
        5,
        SHARE,
        1,
        limits=_SHARES,
    ),
    Panel(
        "stat",
        Text("排队时长", "Queue"),
        Text(
            "磁盘队列里最旧的数据等待了多少小时；数据库正常时应接近零。",
            "Hours of readings that wait on disk; near nothing while the database answers.",
        ),
        (Query(f'SELECT last("queue_hours") {_OWN}'),),
        5,
        HOURS,
        2,
        limits=(Limit(None, GOOD), Limit(0.25, WARN), Limit(4, BAD)),
        since="1h",
    ),
    Panel(
        "stat",
        Text("排队读数", "Readings waiting"),
        Text("磁盘队列里的读数个数。", "Readings that wait on disk for the database."),
        (Query(f'SELECT last("queue_readings") {_OWN}'),),
        4,
        COUNT,
        0,
        limits=PLAIN,
        since="1h",
    ),
    Panel(
        "stat",
        Text("队列占用磁盘", "Queue on disk"),
        Text("磁盘队列的大小。", "Size of the queue on disk."),
        (Query(f'SELECT last("queue_bytes") {_OWN}'),),
        5,
        BYTES,
        1,
        limits=PLAIN,
        since="1h",
    ),
)

_SILENCE: Final = (
    Panel(
        "table",
        Text("最久没有读数的设备", "Oldest readings"),
        Text("每个设备最近一次读数距今多久，最久的在前。", "Age of each device's latest reading, oldest first."),
        (
            Query(
                f'SELECT last("age_s") AS "age", "errors", "missed", "silent" {_DEVICES} GROUP BY "device", "link"',
                table=True,
            ),
        ),
        14,
        WORD,
        columns={
            "Time": Look(hidden=True),
            "device": Look(Text("设备", "Device"), WORD),
            "link": Look(Text("链路", "Link"), WORD),
            "age": Look(Text("距今", "Age"), SECONDS, 0, (Limit(None, GOOD), Limit(900, WARN), Limit(3600, BAD))),
            "errors": Look(Text("错误", "Errors"), COUNT, 0),
            "missed": Look(Text("漏采", "Missed"), COUNT, 0),
            "silent": Look(Text("应答", "Answers"), COUNT, words=_SPOKEN),
        },
        sort="age",
        since="1h",
    ),
    Panel(
        "table",
        Text("有问题的读数", "Readings with flaws"),
        Text("被标为可疑或无效的读数个数，按设备。", "Readings that were marked suspect or bad, by device."),
        (
            Query(
                f'SELECT count("quality") AS "flawed", last("quality") AS "why" FROM {_KINDS} '
                f'WHERE $timeFilter AND {SITE} AND {DEVICE} GROUP BY "device"',
                table=True,
            ),
        ),
        10,
        WORD,
        columns={
            "Time": Look(hidden=True),
            "device": Look(Text("设备", "Device"), WORD),
            "flawed": Look(Text("个数", "Readings"), COUNT, 0, width=90),
            "why": Look(Text("最近原因", "Latest reason"), WORD),
        },
        sort="flawed",
        empty=Text("没有", "None"),
    ),
)

_WIRES: Final = (
    Panel(
        "lines",
        Text("总线负载", "How busy the buses are"),
        Text(
            "每条链路等待应答的时间比例；长期高于 80% 应降低采集频率或拆分总线。",
            "Part of the time each link waits for answers; above 80 % ask less often, or split the bus.",
        ),
        (Query(f'SELECT mean("busy_share") {_LINKS} GROUP BY time($__interval), "link" fill(null)', "$tag_link"),),
        8,
        SHARE,
        least="5m",
        low=0,
        high=1,
        bridge=1_800_000,
    ),
    Panel(
        "bars",
        Text("每小时错误", "Errors by hour"),
        Text("每条链路每小时的通信错误数。", "Errors of each link, hour by hour."),
        (Query(f'SELECT sum("errors") FROM ({_ERRORS}) GROUP BY time(1h), "link" fill(none)', "$tag_link"),),
        8,
        COUNT,
        0,
        stacked=True,
        low=0,
    ),
    Panel(
        "lines",
        Text("队列", "Queue over time"),
        Text("磁盘队列中等待的小时数；上升说明数据库不可用。", "Hours waiting on disk; rising: the database is away."),
        (
            Query(
                f'SELECT max("queue_hours") {_OWN} GROUP BY time($__interval) fill(null)',
                Text("排队小时", "Hours waiting"),
            ),
        ),
        8,
        HOURS,
        2,
        least="5m",
        low=0,
        bridge=1_800_000,
    ),
)

_QUALITY: Final = (
    Panel(
        "grid",
        Text("每日实测比例", "Measured by day"),
        Text("每块表每天实测数据的比例。", "Part of each day that each meter really measured."),
        (Query(f'SELECT "share_measured" {intervals("device", "1d", DEVICE)} GROUP BY "device"', "$tag_device"),),
        16,
        SHARE,
        0,
        limits=_SHARES,
    ),
    Panel(
        "pie",
        Text("电量、水量的来历", "Where the numbers come from"),
        Text(
            "按小时统计：实测、补算、估算、缺失各有多少。",
            "Hours that are measured, settled over a gap, estimated, or missing.",
        ),
        tuple(
            Query(f'SELECT count("state") {intervals("device", "1h", DEVICE)} AND "state" = \'{state}\'', words)
            for state, words in INTERVAL_STATES.items()
        ),
        8,
        COUNT,
        0,
    ),
)

_ANSWERS: Final = Panel(
    "states",
    Text("设备应答", "Who answers"),
    Text("每个设备是否应答；空白是采集程序没有运行。", "Whether each device answers; blank: the program was off."),
    (Query(f'SELECT max("silent") {_DEVICES} GROUP BY time($__interval), "device" fill(null)', "$tag_device"),),
    24,
    COUNT,
    words=_SPOKEN,
    least="5m",
    bridge=1_800_000,
)

HEALTH: Final = Dashboard(
    "health",
    Text("数据健康", "Data health"),
    Text("无应答的仪表、数据质量、总线负载、队列。", "Silent meters, quality, busy buses, what waits on disk."),
    (SITES, chosen("device", Text("设备", "Device"), SITE)),
    (Row(4, _NOW), Row(9, _SILENCE), Row(8, _WIRES), Row(10, _QUALITY), Row(18, (_ANSWERS,))),
    range=("now-7d", "now"),
)
