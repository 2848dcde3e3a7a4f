"""Building: main and sub-meters, where the energy goes, its peak, power factor and night base."""

from __future__ import annotations

from typing import Final

from dashboards.boards.common import (
    A_DAY,
    BAD,
    CO2,
    COUNT,
    COUNTED,
    DEVICE,
    FLOOR,
    GOOD,
    KILOWATT,
    KWH,
    LOCAL,
    MONEY,
    NIGHT,
    PLAIN,
    SHARE,
    SITE,
    SITES,
    WARN,
    WATT,
    WORD,
    chosen,
    intervals,
    source,
)
from dashboards.description import Dashboard, Limit, Look, Panel, Query, Row
from dashboards.labels import CIRCUITS
from rules.catalogue import Text

_MAIN: Final = "\"circuit\" = 'main'"
_SUB: Final = "\"circuit\" != 'main'"

_TOTALS: Final = (
    Panel(
        "stat",
        Text("用电量", "Energy"),
        Text("所选时间内全楼用电量。", "Energy of the whole site in the time shown."),
        (Query(f'SELECT sum("energy") {intervals("site", "1h")}'),),
        4,
        KWH,
        1,
        limits=PLAIN,
    ),
    Panel(
        "stat",
        Text("电费与水费", "Energy and water"),
        Text("所选时间内的电费与水费。", "Cost of energy and water in the time shown."),
        (Query(f'SELECT sum("cost") {intervals("site", "1h")}'),),
        4,
        MONEY,
        2,
        limits=PLAIN,
    ),
    Panel(
        "stat",
        Text("碳排放", "CO₂"),
        Text("按站点电网排放因子折算。", "At the site's factor of the grid."),
        (Query(f'SELECT sum("kgco2") {intervals("site", "1h")}'),),
        4,
        CO2,
        1,
        limits=PLAIN,
    ),
    Panel(
        "stat",
        Text("最大需量", "Peak demand"),
        Text("15 分钟平均功率的最大值。", "Highest mean power of a quarter of an hour."),
        (Query(f'SELECT max("energy") * 4 AS "demand" {intervals("site", "15m")}'),),
        4,
        KILOWATT,
        2,
        limits=PLAIN,
    ),
    Panel(
        "stat",
        Text("功率因数", "Power factor"),
        Text(
            "总进线功率因数的平均值，只计有负荷时；低于 0.9 可能被供电公司罚款。",
            "Mean at the main meters while there is a load; below 0.9 the supplier may charge for it.",
        ),
        (
            Query(
                'SELECT mean("power_factor") '
                + source("electricity", SITE, _MAIN, '"active_power" > 500', '"power_factor" > 0')
            ),
        ),
        4,
        COUNT,
        2,
        limits=(Limit(None, BAD), Limit(0.9, GOOD)),
    ),
    Panel(
        "stat",
        Text("夜间基础负荷", "Night base load"),
        Text("01:00–05:00 的平均功率：没有人时还在用的电。", "Mean power from 01:00 to 05:00: what runs for nobody."),
        (Query(f'SELECT mean("energy") AS "base" {intervals("site", "1h", NIGHT)}'),),
        4,
        KILOWATT,
        1,
        limits=PLAIN,
    ),
)

_SHARES: Final = (
    Panel(
        "pie",
        Text("分项用电", "Energy by use"),
        Text(
            "照明、插座、空调、动力等分项计量；不含总进线。",
            "Sub-metering by circuit: lighting, sockets, air conditioning and so on, without the main meter.",
        ),
        (Query(f'SELECT sum("energy") {intervals("circuit", "1h", _SUB)} GROUP BY "circuit"', alias="$tag_circuit"),),
        8,
        KWH,
        1,
        labels=CIRCUITS,
    ),
    Panel(
        "bars",
        Text("每日分项用电", "Energy by use and day"),
        Text("每天各分项的用电量。", "Energy of each circuit, day by day."),
        (
            Query(
                f'SELECT "energy" {intervals("circuit", "1d", _SUB)} GROUP BY "circuit"',
                alias="$tag_circuit",
            ),
        ),
        16,
        KWH,
        1,
        labels=CIRCUITS,
        stacked=True,
        low=0,
    ),
)

_POWER: Final = (
    Panel(
        "lines",
        Text("总进线功率", "Power of the main meters"),
        Text("总进线有功功率的平均值与最大值。", "Mean and highest active power of the main meters."),
        (
            Query(
                f'SELECT mean("active_power") {source("electricity", SITE, _MAIN)} '
                'GROUP BY time($__interval), "device" fill(null)',
                alias=Text("$tag_device 平均", "$tag_device mean"),
            ),
            Query(
                f'SELECT max("active_power") {source("electricity", SITE, _MAIN)} '
                'GROUP BY time($__interval), "device" fill(null)',
                alias=Text("$tag_device 最大", "$tag_device highest"),
            ),
        ),
        12,
        WATT,
        least="5m",
        low=0,
        bridge=3_600_000,
    ),
    Panel(
        "lines",
        Text("支路功率", "Power of the sub-meters"),
        Text("各支路电能表的有功功率，叠加显示。", "Active power of each sub-meter, stacked."),
        (
            Query(
                f'SELECT mean("active_power") {source("electricity", SITE, _SUB, FLOOR, DEVICE)} '
                'GROUP BY time($__interval), "device" fill(null)',
                alias="$tag_device",
            ),
        ),
        12,
        WATT,
        least="5m",
        low=0,
        stacked=True,
        bridge=3_600_000,
    ),
)

_NIGHTS: Final = (
    Panel(
        "bars",
        Text("夜间基础负荷趋势", "Night base load by day"),
        Text(
            "每天 01:00–05:00 的平均功率；持续上升说明有设备整夜未关。",
            "Mean power from 01:00 to 05:00, day by day; rising means that something stays on.",
        ),
        (
            Query(
                f'SELECT mean("energy") AS "base" {intervals("site", "1h", NIGHT)} GROUP BY {A_DAY} fill(none) {LOCAL}',
                alias=Text("夜间基础负荷", "Night base"),
            ),
        ),
        8,
        KILOWATT,
        1,
        low=0,
    ),
    Panel(
        "bars",
        Text("每日最大需量", "Peak demand by day"),
        Text("每天最大的 15 分钟平均功率。", "Highest mean power of a quarter of an hour, day by day."),
        (
            Query(
                f'SELECT max("energy") * 4 AS "demand" {intervals("site", "15m")} GROUP BY {A_DAY} fill(none) {LOCAL}',
                alias=Text("最大需量", "Peak demand"),
            ),
        ),
        8,
        KILOWATT,
        2,
        low=0,
    ),
    Panel(
        "lines",
        Text("相电流", "Phase currents"),
        Text("三相电流；长期不平衡应调整负荷。", "Currents of the main meters' phases; they should be alike."),
        tuple(
            Query(
                f'SELECT mean("current_l{phase}") {source("electricity", SITE, _MAIN)} '
                "GROUP BY time($__interval) fill(null)",
                alias=f"L{phase}",
            )
            for phase in (1, 2, 3)
        ),
        8,
        "amp",
        1,
        least="5m",
        low=0,
        bridge=3_600_000,
    ),
)

_METERS: Final = Panel(
    "table",
    Text("电能表一览", "Meters"),
    Text(
        "每块表在所选时间内的电量、费用、最大需量和实测比例；实测比例低说明有缺数或估算。",
        "Energy, cost and peak of each meter; a low measured share means gaps or estimates.",
    ),
    (
        Query(
            'SELECT sum("energy") AS "energy", sum("cost") AS "cost", sum("kgco2") AS "kgco2", '
            'max("energy") * 4 AS "demand", mean("share_measured") AS "measured" '
            f'{intervals("device", "15m", FLOOR, DEVICE, COUNTED)} GROUP BY "device", "circuit", "zone"',
            table=True,
        ),
    ),
    24,
    WORD,
    columns={
        "Time": Look(hidden=True),
        "device": Look(Text("电能表", "Meter"), WORD),
        "circuit": Look(Text("分项", "Circuit"), WORD),
        "zone": Look(Text("区域", "Zone"), WORD),
        "energy": Look(Text("用电量", "Energy"), KWH, 1),
        "cost": Look(Text("电费", "Cost"), MONEY, 2),
        "kgco2": Look(Text("碳排放", "CO₂"), CO2, 1),
        "demand": Look(Text("最大需量", "Peak demand"), KILOWATT, 2),
        "measured": Look(
            Text("实测比例", "Measured"), SHARE, 0, (Limit(None, BAD), Limit(0.9, WARN), Limit(0.99, GOOD))
        ),
    },
    labels=CIRCUITS,
    sort="energy",
)

BUILDING: Final = Dashboard(
    "building",
    Text("全楼用电", "Building"),
    Text(
        "总表与支路、分项、需量、功率因数、夜间基础负荷。", "Main and sub-meters, uses, peak, power factor, night base."
    ),
    (
        SITES,
        chosen("floor", Text("楼层", "Floor"), SITE, source="electricity"),
        chosen("device", Text("电能表", "Meter"), SITE, FLOOR, source="electricity"),
    ),
    (Row(4, _TOTALS), Row(9, _SHARES), Row(9, _POWER), Row(8, _NIGHTS), Row(12, (_METERS,))),
)
