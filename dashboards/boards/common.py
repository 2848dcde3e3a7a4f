"""What the boards share: units, colours, variables, and the parts that many queries have in common."""

# ruff: noqa: S608 - these are queries for Grafana, made of constants alone; nothing from outside enters them

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dashboards.description import Limit, Look, Note, Panel, Query, Shown, Variable
from dashboards.labels import RULES, SEVERITIES, STATES
from rules.catalogue import Text

# -- units, by Grafana's names ----------------------------------------------------------------------------------------

WATT: Final = "watt"
KILOWATT: Final = "kwatt"
KWH: Final = "kwatth"
CUBIC: Final = "m3"
LITRES_A_MINUTE: Final = "flowlpm"
LITRE: Final = "suffix:L"
MONEY: Final = "prefix:¥"
"""Exchanged for the site's currency when the dashboards are made for a site."""
CO2: Final = "suffix:kgCO₂"
CELSIUS: Final = "celsius"
SHARE: Final = "percentunit"
HOURS: Final = "suffix:h"
SECONDS: Final = "s"
BYTES: Final = "decbytes"
COUNT: Final = "none"
WORD: Final = "string"
TIME: Final = "dateTimeAsIso"
KWH_A_SQUARE: Final = "suffix:kWh/m²"

GOOD: Final = "green"
WARN: Final = "orange"
BAD: Final = "red"
CALM: Final = "blue"
PLAIN: Final = (Limit(None, CALM),)
NONE_IS_GOOD: Final = (Limit(None, GOOD), Limit(0.001, WARN))
"""For waste: nothing is green, anything is not."""

# -- parts of queries -------------------------------------------------------------------------------------------------

SITE: Final = '"site" =~ /^${site:regex}$/'
FLOOR: Final = '"floor" =~ /^${floor:regex}$/'
DEPARTMENT: Final = '"department" =~ /^${department:regex}$/'
ZONE: Final = '"zone" =~ /^${zone:regex}$/'
DEVICE: Final = '"device" =~ /^${device:regex}$/'
OVER: Final = "\"state\" = 'resolved'"
NIGHT: Final = '"hour" >= 1 AND "hour" < 5'
COUNTED: Final = '"energy" >= 0'
"""Leaves out the hours whose energy is missing, and the intervals of water meters."""
SINCE: Final = "365d"
"""How far back open alerts are looked for: each stands in the store at the instant of its last change."""
A_DAY: Final = "time(1d)"
LOCAL: Final = "tz('${timezone:raw}')"


def source(measurement: str, *conditions: str) -> str:
    """``FROM "measurement" WHERE …`` within the time that is shown."""
    return f'FROM "{measurement}" WHERE ' + " AND ".join(("$timeFilter", *conditions))


def intervals(scope: str, period: str, *conditions: str) -> str:
    """Energy and volume per ``period`` of ``scope`` (device, zone, department, circuit, site)."""
    return source("interval", SITE, f"\"scope\" = '{scope}'", f"\"period\" = '{period}'", *conditions)


def last_alerts(*conditions: str) -> str:
    """Every alert's latest word, as the sub-query that others choose from."""
    columns = '"severity", "title", "cost", "kwh", "litres"'
    found = source("alert", SITE, *conditions)
    return f'(SELECT last("state") AS "state", {columns} {found} GROUP BY "rule", "zone", "department", "device")'


def by_hour(field: str, *conditions: str) -> tuple[Query, ...]:
    """24 queries, one for each hour of the day, that give ``field`` of the site day by day: the rows of a heat map."""
    queries = []
    for hour in range(24):
        found = intervals("site", "1h", f'"hour" = {hour}', *conditions)
        text = f'SELECT sum("{field}") {found} GROUP BY {A_DAY} fill(none) {LOCAL}'
        queries.append(Query(text, alias=f"{hour:02}"))
    return tuple(queries)


# -- variables --------------------------------------------------------------------------------------------------------


def chosen(name: str, title: Text, *conditions: str, source: str = "", first_only: bool = False) -> Variable:
    """A variable over the values of the tag ``name``."""
    return Variable(name, title, source=source, among=" AND ".join(conditions), first_only=first_only)


SITES: Final = Variable("site", Text("站点", "Site"), first_only=True, single=True)
"""One at a time: sites share ids of devices, and have their own currency, tariffs and midnight."""
FLOORS: Final = chosen("floor", Text("楼层", "Floor"), SITE)
DEPARTMENTS: Final = chosen("department", Text("部门", "Department"), SITE)
ZONES: Final = chosen("zone", Text("区域", "Zone"), SITE)


# -- panels that several boards have ----------------------------------------------------------------------------------

ALERT_COLUMNS: Final = {
    "Time": Look(Text("时间", "Time"), TIME, width=170),
    "rule": Look(Text("问题", "Problem"), WORD, width=170),
    "title": Look(Text("说明", "What"), WORD),
    "zone": Look(Text("区域", "Zone"), WORD, width=120),
    "department": Look(Text("部门", "Department"), WORD, width=120),
    "device": Look(Text("设备", "Device"), WORD, width=140),
    "state": Look(Text("状态", "State"), WORD, width=120),
    "severity": Look(Text("级别", "Severity"), WORD, width=80),
    "kwh": Look(Text("已浪费电量", "Wasted energy"), KWH, 2, width=125),
    "litres": Look(Text("已浪费水量", "Wasted water"), LITRE, 0, width=125),
    "cost": Look(Text("已浪费金额", "Cost so far"), MONEY, 2, width=110),
}


_ENERGY_OR_WATER: Final = ("kwh", "litres")
_FOR_WIDE: Final = ("rule", "zone", "department", "device", "state", "severity")


def alert_columns(width: int, amounts: Sequence[str], *others: str) -> dict[str, Look]:
    """The columns of a table of alerts; a narrow one leaves out what the title tells as well."""
    left_out = {*others, *(name for name in _ENERGY_OR_WATER if name not in amounts)}
    left_out |= set() if width >= 20 else set(_FOR_WIDE)
    return {name: look for name, look in ALERT_COLUMNS.items() if name not in left_out}


def open_alerts(width: int, *conditions: str, amounts: Sequence[str] = _ENERGY_OR_WATER, since: str = SINCE) -> Panel:
    """The alerts that are not over."""
    return Panel(
        "table",
        Text("未结束的告警", "Open alerts"),
        Text(
            "尚未结束的告警，按浪费金额排列。金额和数量是最近一次上报时的累计值。",
            "Alerts that are not over, dearest first. Cost and amounts are as last told.",
        ),
        (Query(f"SELECT * FROM {last_alerts(*conditions)} WHERE \"state\" != 'resolved'", table=True),),
        width,
        WORD,
        columns=alert_columns(width, amounts),
        labels={**RULES, **STATES, **SEVERITIES},
        sort="cost",
        since=since,
        empty=Text("没有未结束的告警", "No open alerts"),
    )


def ended_alerts(width: int, *conditions: str, amounts: Sequence[str] = _ENERGY_OR_WATER) -> Panel:
    """The alerts that ended in the time shown."""
    columns = '"rule", "title", "zone", "department", "device", "kwh", "litres", "cost"'
    return Panel(
        "table",
        Text("已结束的告警", "Alerts that ended"),
        Text("所选时间内结束的告警及其最终浪费量。", "Alerts that ended in the time shown, with their final waste."),
        (Query(f"SELECT {columns} {source('alert', SITE, OVER, *conditions)}", table=True),),
        width,
        WORD,
        columns=alert_columns(width, amounts, "state", "severity"),
        labels=RULES,
        sort="Time",
        empty=Text("没有告警", "No alerts"),
    )


ALERT_NOTE: Final = Note(
    Text("告警", "Alerts"),
    f'SELECT "title", "rule" {source("alert", SITE, ZONE)} AND "state" = \'firing\'',
    BAD,
)

ON_OFF: Final = (Shown(0, 0.499, Text("关", "Off"), "#5f6368"), Shown(0.499, 1, Text("开", "On"), WARN))
