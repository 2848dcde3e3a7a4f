"""The words of an alert: title and text in the site's language, as a person reads them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Final

from building.durations import format_duration
from building.money import Waste
from building.site import Site
from rules.catalogue import Rule, rule_of
from rules.condition import Evidence
from rules.findings import Finding

_UNITS_ZH: Final = (("d", "天"), ("h", "小时"), ("m", "分钟"), ("s", "秒"))
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_STATES: Final = {
    "zh": {"firing": "正在发生", "resolved": "已结束"},
    "en": {"firing": "going on", "resolved": "has ended"},
}


def title(site: Site, finding: Finding) -> str:
    """One line: which rule, which room, which device."""
    device = site.device.get(finding.device)
    zone = site.zone.get(finding.zone or "")
    place = zone.title if zone is not None else site.site.name
    department = site.department.get(finding.device) if device is None else None
    place = department.name or department.id if department is not None else place
    what = finding.device if device is None else device.title
    return rule_of(site, finding.rule).title.of(site.site.language).format_map({"place": place, "device": what})


def text(
    language: str, rule: Rule, evidence: Evidence | None, since: str, lasted: int, waste: Waste, *, estimated: bool
) -> str:
    """Since when (``since``: the moment as ISO 8601), how many ms, what it has cost so far, and what to do.

    ``evidence`` None once it is over: the values then are those of what came after it.
    """
    over = evidence is None
    sentence = (None if evidence is None or rule.detail is None else rule.detail(evidence)) or rule.sentence
    month, day, clock = since[5:7], since[8:10], since[11:16]
    span = _span(lasted // 60_000 * 60_000 if lasted >= 60_000 else max(lasted, 1000), language)
    cost = _cost(waste, language, estimated=estimated)
    state = _STATES[language]["resolved" if over else "firing"]
    if language == "zh":
        tail = "" if over else rule.advice.zh
        return f"{sentence.zh}自{month}月{day}日 {clock}起，已{span}，{state}。{cost}{tail}"
    tail = "" if over else f" {rule.advice.en}"
    return f"{sentence.en} Since {day} {_MONTHS[int(month) - 1]} {clock}, for {span}; {state}.{cost}{tail}"


@functools.lru_cache(maxsize=4096)  # most last some minutes or hours
def _span(milliseconds: int, language: str) -> str:
    words = format_duration(milliseconds)
    if language == "zh":
        for letter, word in _UNITS_ZH:
            words = words.replace(letter, word)
    return words


def _cost(waste: Waste, language: str, *, estimated: bool) -> str:
    if waste.kwh is None and waste.litres is None:
        return ""
    parts = []
    if waste.kwh is not None:
        parts.append(f"{waste.kwh:.2f} kWh")
    if waste.litres is not None:
        parts.append(f"{waste.litres:.0f} L")
    if waste.cost is not None:
        parts.append(f"{waste.cost:.2f} {waste.currency}")
    if waste.kgco2 is not None:
        parts.append(f"{waste.kgco2:.2f} kgCO2")
    if language == "zh":
        return f"已浪费{'约' if estimated else ''} {'，'.join(parts)}。"
    return f" Wasted so far: {'about ' if estimated else ''}{', '.join(parts)}."


def shown_limits(rule: Rule, limits: Mapping[str, float]) -> dict[str, Any]:
    """Limits as people write them: durations as text, numbers with their unit in the key's place."""
    shown: dict[str, Any] = {}
    for parameter in rule.parameters:
        value = limits[parameter.name]
        shown[parameter.name] = format_duration(value) if parameter.unit == "ms" else value
    return shown
