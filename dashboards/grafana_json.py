"""A described dashboard as the JSON that Grafana loads. Pure; the same description always gives the same JSON.

Written for schemaVersion 41 and kept to what Grafana 9.4 and later read alike. No data source is fixed: every panel
asks the one chosen in the variable ``datasource``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from dashboards.description import Dashboard, Limit, Look, Note, Panel, Query, Row, Shown, Variable
from rules.catalogue import Text

Json = dict[str, Any]

LANGUAGES: Final = ("zh", "en")
SCHEMA: Final = 41
TIMEZONE: Final = "Asia/Shanghai"
"""Where days begin in dashboards that are made for no site in particular."""

_SOURCE: Final = {"type": "influxdb", "uid": "${datasource}"}
_TYPES: Final = {
    "stat": "stat",
    "lines": "timeseries",
    "bars": "timeseries",
    "table": "table",
    "pie": "piechart",
    "ranking": "bargauge",
    "heatmap": "heatmap",
    "states": "state-timeline",
    "grid": "status-history",
}
_PAINTED: Final = {
    "custom.cellOptions": {"type": "color-text"},
    "custom.displayMode": "color-text",  # the same, for Grafana before 9.5
}
_TITLES: Final = {"datasource": Text("数据源", "Data source"), "boards": Text("其他看板", "Other boards")}
_TAG: Final = "greenwarden"


def uid_of(name: str, language: str) -> str:
    """The uid of a board: ``greenwarden-today-zh``."""
    return f"{_TAG}-{name}-{language}"


def dashboard_json(board: Dashboard, language: str) -> Json:
    """``board`` in ``language`` (zh or en), as Grafana's JSON model."""
    return {
        "uid": uid_of(board.name, language),
        "title": board.title.of(language),
        "description": board.about.of(language),
        "tags": [_TAG, f"{_TAG}-{language}"],
        "schemaVersion": SCHEMA,
        "editable": True,
        "graphTooltip": 1,
        "timezone": TIMEZONE,
        "time": {"from": board.range[0], "to": board.range[1]},
        "refresh": board.refresh,
        "timepicker": {},
        "fiscalYearStartMonth": 0,
        "weekStart": "monday",
        "links": [_link(language)],
        "annotations": {"list": [_note(note, language) for note in board.notes]},
        "templating": {"list": _variables(board.variables, language)},
        "panels": _panels(board.rows, language),
    }


def _link(language: str) -> Json:
    """Every board leads to the others, with the same time and choices."""
    return {
        "type": "dashboards",
        "title": _TITLES["boards"].of(language),
        "tags": [f"{_TAG}-{language}"],
        "asDropdown": True,
        "icon": "external link",
        "includeVars": True,
        "keepTime": False,
        "targetBlank": False,
        "tooltip": "",
        "url": "",
    }


def _note(note: Note, language: str) -> Json:
    """Old and new Grafanas look for the query in different places; both are filled."""
    asked = {"query": note.query, "textColumn": "title", "tagsColumn": "rule"}
    return {
        "name": note.title.of(language),
        "datasource": _SOURCE,
        "enable": True,
        "hide": False,
        "iconColor": note.colour,
        **asked,
        "target": {"refId": "Anno", "fromAnnotations": True, "rawQuery": True, "textEditor": True, **asked},
    }


# -- variables --------------------------------------------------------------------------------------------------------


def _variables(variables: Sequence[Variable], language: str) -> list[Json]:
    made = [_variable(variable, language) for variable in variables]
    hidden = {"name": "timezone", "type": "constant", "query": TIMEZONE, "hide": 2, "skipUrlSync": True}
    option = {"selected": True, "text": TIMEZONE, "value": TIMEZONE}
    datasource = {
        "name": "datasource",
        "type": "datasource",
        "label": _TITLES["datasource"].of(language),
        "query": "influxdb",
        "refresh": 1,
        "regex": "",
        "hide": 0,
        "multi": False,
        "includeAll": False,
        "options": [],
    }
    return [*made, {**hidden, "current": option, "options": [option]}, datasource]


def _variable(variable: Variable, language: str) -> Json:
    common = {"name": variable.name, "label": variable.title.of(language), "hide": 0}
    if variable.values:
        options = [{"selected": n == 0, "text": v, "value": v} for n, v in enumerate(variable.values)]
        query = ",".join(variable.values)
        return {**common, "type": "custom", "query": query, "options": options, "current": options[0], "multi": False}
    found = f' FROM "{variable.source}"' if variable.source else ""
    among = f" WHERE {variable.among}" if variable.among else ""
    query = f'SHOW TAG VALUES{found} WITH KEY = "{variable.name}"{among}'
    # A device without a zone, a zone without a floor: "all" must hold them too, and so is no list of what there is.
    chosen = {"selected": True, "text": "All", "value": "$__all"}
    everything: Json = {} if variable.first_only else {"allValue": ".*", "current": chosen}
    return {
        **common,
        "type": "query",
        "datasource": _SOURCE,
        "query": query,
        "refresh": 2,
        "regex": "",
        "sort": 1,
        "multi": not variable.single,
        "includeAll": not variable.first_only,
        **everything,
        "options": [],
    }


# -- panels -----------------------------------------------------------------------------------------------------------


def _panels(rows: Sequence[Row], language: str) -> list[Json]:
    """Every panel in its place: rows below each other, panels side by side."""
    made: list[Json] = []
    top = 0
    for row in rows:
        if row.title is not None:
            place = {"x": 0, "y": top, "w": 24, "h": 1}
            made.append({"id": len(made) + 1, "type": "row", "title": row.title.of(language), "gridPos": place})
            made[-1] |= {"collapsed": False, "panels": []}
            top += 1
        left = 0
        for panel in row.panels:
            place = {"x": left, "y": top, "w": panel.width, "h": row.height}
            made.append({"id": len(made) + 1, "gridPos": place, **_panel(panel, language)})
            left += panel.width
        top += row.height
    return made


def _panel(panel: Panel, language: str) -> Json:
    made: Json = {
        "type": _TYPES[panel.kind],
        "title": panel.title.of(language),
        "description": panel.about.of(language),
        "datasource": _SOURCE,
        "targets": [_target(query, number, language) for number, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _defaults(panel, language), "overrides": _overrides(panel, language)},
        "options": _options(panel, language),
    }
    if panel.least:
        made["interval"] = panel.least
    if panel.since:
        made["timeFrom"] = panel.since
        if panel.kind == "stat":
            made["hideTimeOverride"] = True  # it would run into the title, which says it already
    if panel.shift:
        made["timeShift"] = panel.shift
    steps = [*panel.steps, *_ordered(panel)]
    if steps:
        made["transformations"] = steps
    return made


def letter(number: int) -> str:
    """The refId of a panel's query: A, B, C, …"""
    return chr(ord("A") + number)


def _target(query: Query, number: int, language: str) -> Json:
    made: Json = {
        "refId": letter(number),
        "datasource": _SOURCE,
        "query": query.text,
        "rawQuery": True,
        "resultFormat": "table" if query.table else "time_series",
    }
    alias = query.alias.of(language) if isinstance(query.alias, Text) else query.alias
    return made | ({"alias": alias} if alias else {})


def _ordered(panel: Panel) -> list[Json]:
    """A table's columns in the order of the description; those that are not described are left out."""
    if not panel.columns:
        return []
    shown = [name for name, look in panel.columns.items() if not look.hidden]
    return [
        {"id": "filterFieldsByName", "options": {"include": {"names": shown}}},
        {"id": "organize", "options": {"indexByName": {name: place for place, name in enumerate(shown)}}},
    ]


def _defaults(panel: Panel, language: str) -> Json:
    made: Json = {"unit": panel.unit, "noValue": panel.empty.of(language), "custom": _custom(panel)}
    made["mappings"] = _mappings(panel.words, panel.labels, language)
    made["thresholds"] = _thresholds(panel.limits)
    made["color"] = {"mode": "thresholds" if panel.limits or panel.kind == "stat" else "palette-classic"}
    if panel.kind in ("lines", "bars", "pie"):
        made["color"] = {"mode": "palette-classic"}
    if panel.kind == "states":
        made["color"] = {"mode": "fixed", "fixedColor": "#5f6368"}  # by thresholds the words would not be shown
    for name, value in (("decimals", panel.decimals), ("min", panel.low), ("max", panel.high)):
        if value is not None:
            made[name] = value
    return made


def _thresholds(limits: Sequence[Limit]) -> Json:
    steps = [{"color": limit.colour, "value": limit.value} for limit in limits]
    return {"mode": "absolute", "steps": steps or [{"color": "green", "value": None}]}


def _mappings(words: Sequence[Shown], labels: Mapping[str, Text], language: str) -> list[Json]:
    made: list[Json] = []
    named: Json = {key: {"text": text.of(language)} for key, text in labels.items()}
    for word in words:
        result = {"text": word.text.of(language), "color": word.colour}
        if isinstance(word.low, str):
            named[word.low] = result
        else:
            made.append({"type": "range", "options": {"from": word.low, "to": word.high, "result": result}})
    return made + ([{"type": "value", "options": named}] if named else [])


def _overrides(panel: Panel, language: str) -> list[Json]:
    made = []
    for number, query in enumerate(panel.queries):
        if query.look is not None:
            matcher = {"id": "byFrameRefID", "options": letter(number)}
            made.append({"matcher": matcher, "properties": _properties(query.look, language)})
    for name, look in panel.columns.items():
        if not look.hidden:
            matcher = {"id": "byName", "options": name}
            made.append({"matcher": matcher, "properties": [*_properties(look, language), *_cell(look)]})
    if panel.kind != "table":
        made += [renamed(name, text.of(language)) for name, text in panel.labels.items()]
    return made


def _cell(look: Look) -> list[Json]:
    """What every column of a table needs.

    Rooms whose ids are all digits are no numbers to be set right; a column of numbers that holds none at all would be
    shown as ``null`` but for the way its cells are painted.
    """
    word = look.unit in ("string", "dateTimeAsIso")
    made: Json = {"noValue": "–", "custom.align": "left" if word else "right"}
    if not word and not look.limits:
        made |= {"color": {"mode": "fixed", "fixedColor": "text"}, **_PAINTED}
    return [{"id": key, "value": value} for key, value in made.items()]


def renamed(name: str, shown: str) -> Json:
    """The override that writes ``shown`` for the line that is called ``name``."""
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [{"id": "displayName", "value": shown}],
    }


def _properties(look: Look, language: str) -> list[Json]:
    made: Json = {}
    if look.title is not None:
        made["displayName"] = look.title.of(language)
    if look.unit:
        made["unit"] = look.unit
    if look.decimals is not None:
        made["decimals"] = look.decimals
    if look.words:
        made["mappings"] = _mappings(look.words, {}, language)
    if look.limits:
        made["thresholds"] = _thresholds(look.limits)
        made["color"] = {"mode": "thresholds"}
        made |= _PAINTED
    if look.width:
        made["custom.width"] = look.width
    return [{"id": key, "value": value} for key, value in made.items()]


def _custom(panel: Panel) -> Json:
    """What only this kind of panel has."""
    match panel.kind:
        case "lines":
            return {
                "drawStyle": "line",
                "lineInterpolation": "linear",
                "lineWidth": 1,
                "fillOpacity": 25 if panel.stacked else 8 if panel.low == 0 else 0,
                "showPoints": "auto",  # a reading that stands alone between gaps is a point
                "spanNulls": panel.bridge or False,
                "insertNulls": panel.bridge or False,
                "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
                "thresholdsStyle": {"mode": "area" if panel.limits else "off"},
            }
        case "bars":
            return {
                "drawStyle": "bars",
                "lineWidth": 1,
                "fillOpacity": 70,
                "barAlignment": 1,  # a bar stands after the beginning of its day
                "barWidthFactor": 0.8,
                "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
            }
        case "states":
            return {"fillOpacity": 80, "lineWidth": 0, "spanNulls": panel.bridge or False, "insertNulls": panel.bridge}
        case "grid":
            return {"fillOpacity": 80, "lineWidth": 1}
        case "table":
            return {"align": "auto", "filterable": False, "minWidth": 60}
        case _:
            return {}


_LAST: Final = {"calcs": ["lastNotNull"], "fields": "", "values": False}
_LEGEND: Final = {"showLegend": True, "displayMode": "list", "placement": "bottom", "calcs": []}
_TOOLTIP: Final = {"mode": "multi", "sort": "desc"}


def _options(panel: Panel, language: str) -> Json:
    match panel.kind:
        case "stat":
            return {
                "reduceOptions": _LAST,
                "colorMode": "value",
                "graphMode": "none",
                "justifyMode": "auto",
                "orientation": "auto",
                "textMode": "auto",
            }
        case "lines" | "bars":
            return {"legend": _LEGEND, "tooltip": _TOOLTIP}
        case "pie":
            place = "right" if panel.width >= 8 else "bottom"
            return {
                "reduceOptions": _LAST,
                "pieType": "donut",
                "displayLabels": ["percent"],
                "legend": {**_LEGEND, "displayMode": "table", "placement": place, "values": ["value", "percent"]},
                "tooltip": {"mode": "single", "sort": "none"},
            }
        case "ranking":
            return {
                "reduceOptions": _LAST,
                "orientation": "horizontal",
                "displayMode": "basic",
                "showUnfilled": True,
                "minVizWidth": 0,
                "minVizHeight": 10,
            }
        case "heatmap":
            return {
                "calculate": False,
                "cellGap": 1,
                "color": {
                    "mode": "scheme",
                    "scheme": "RdYlGn",
                    "fill": "dark-orange",
                    "steps": 64,
                    "exponent": 0.5,
                    "reverse": False,
                },
                "yAxis": {"axisPlacement": "left", "reverse": False, "unit": "string"},
                "rowsFrame": {"layout": "auto"},
                "cellValues": {"unit": panel.unit, "decimals": panel.decimals},
                "filterValues": {"le": -1},  # nothing used is a value; only what is unknown stays blank
                "legend": {"show": True},
                "tooltip": {"mode": "single", "yHistogram": False},
                "exemplars": {"color": "rgba(255,0,255,0.7)"},
                "showValue": "never",
            }
        case "states":
            return {
                "mergeValues": True,
                "showValue": "auto",
                "alignValue": "left",
                "rowHeight": 0.85,
                "legend": {**_LEGEND, "showLegend": False},
                "tooltip": {"mode": "single", "sort": "none"},
            }
        case "grid":
            return {
                "showValue": "auto",
                "rowHeight": 0.9,
                "colWidth": 0.9,
                "legend": {**_LEGEND, "showLegend": False},
                "tooltip": {"mode": "single", "sort": "none"},
            }
        case _:
            title = panel.columns[panel.sort].title if panel.sort else None
            order = [] if title is None else [{"displayName": title.of(language), "desc": True}]
            return {
                "showHeader": True,
                "cellHeight": "sm",
                "sortBy": order,
            }
