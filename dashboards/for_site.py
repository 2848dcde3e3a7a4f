"""The dashboards of one site: its currency, its time zone, and names instead of ids. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from building.site import Site
from dashboards.boards.common import MONEY
from dashboards.grafana_json import Json, renamed

_SIGNS: Final = {"CNY": "¥", "JPY": "¥", "EUR": "€", "USD": "$", "GBP": "£"}
_MOST_NAMES: Final = 300
"""Above this a board would carry more names than panels; large sites see ids."""
_BY_TAG: Final = re.compile(r"\$tag_(\w+)")


def for_site(dashboard: Json, site: Site) -> Json:
    """A copy of ``dashboard`` (as ``dashboard_json`` makes it) that speaks of ``site``."""
    made = dict(_with_unit(dashboard, _currency(site)))
    zone = site.site.timezone
    option = {"selected": True, "text": zone, "value": zone}
    variables = made["templating"]["list"]
    told = {
        "timezone": {"query": zone, "current": option, "options": [option]},
        "site": {"current": {"selected": True, "text": site.site.name, "value": site.site.name}},
    }
    made["templating"] = {"list": [v | told.get(v["name"], {}) for v in variables]}
    made["timezone"] = zone
    names = _names(site)
    made["panels"] = [_named(panel, names) for panel in made["panels"]]
    return made


def _currency(site: Site) -> str:
    currency = site.site.tariffs.currency
    return f"prefix:{_SIGNS[currency]}" if currency in _SIGNS else f"suffix:{currency}"


def _with_unit(value: Any, money: str) -> Any:
    """``value`` with the money of the site wherever the unit is money."""
    if isinstance(value, dict):
        return {key: _with_unit(inner, money) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_unit(inner, money) for inner in value]
    return money if value == MONEY else value


def _names(site: Site) -> Mapping[str, Mapping[str, str]]:
    """Tag -> id -> what people call it; only where that differs from the id."""
    listed = {
        "department": {department.id: department.name for department in site.departments},
        "zone": {zone.id: zone.title for zone in site.zones},
        "device": {device.id: device.title for device in site.devices},
    }
    told = {tag: {i: name for i, name in names.items() if name and name != i} for tag, names in listed.items()}
    return {tag: _distinct(names) if len(names) <= _MOST_NAMES else {} for tag, names in told.items()}


def _distinct(names: Mapping[str, str]) -> Mapping[str, str]:
    """Two computers are told apart by their ids."""
    shared = list(names.values())
    return {i: name if shared.count(name) == 1 else f"{name} {i}" for i, name in names.items()}


def _named(panel: Json, names: Mapping[str, Mapping[str, str]]) -> Json:
    overrides = [_cells(override, names) for override in panel["fieldConfig"]["overrides"]]
    for target in panel["targets"]:
        alias = target.get("alias", "")
        tag = _BY_TAG.search(alias)
        if tag is None:
            continue
        for ident, name in names.get(tag[1], {}).items():
            override = renamed(alias.replace(tag[0], ident), alias.replace(tag[0], name))
            if override not in overrides:
                overrides.append(override)
    return panel | {"fieldConfig": panel["fieldConfig"] | {"overrides": overrides}}


def _cells(override: Json, names: Mapping[str, Mapping[str, str]]) -> Json:
    """A column of ids shows names."""
    known = names.get(override["matcher"]["options"]) if override["matcher"]["id"] == "byName" else None
    if not known:
        return override
    mappings = [{"type": "value", "options": {ident: {"text": name} for ident, name in known.items()}}]
    return override | {"properties": [*override["properties"], {"id": "mappings", "value": mappings}]}
