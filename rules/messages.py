"""The words of an alert: title and text in the site's language, as a person reads them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from building.durations import format_duration
from building.money import Waste
from building.site import Site
from rules.catalogue import Rule, rule_of
from rules.findings import Finding

_UNITS_ZH: Final = (("d", "天"), ("h", "小时"), ("m", "分钟"), ("s", "秒"))
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


def text(site: Site, finding: Finding, waste: Waste, *, estimated: bool) -> str:
    """Since when, how long, what it has cost so far, and what to do."""
    language = site.site.language
    rule = rule_of(site, finding.rule)
    # Once it is over, the values are those of what came after it.
    detail = None if finding.state == "resolved" or rule.detail is None else rule.detail(finding.evidence)
    sentence = detail or rule.sentence
    since = datetime.fromtimestamp(finding.since / 1000, UTC).astimezone(site.site.tz)
    lasted = _span(finding.at - finding.since, language)
    cost = _cost(waste, language, estimated=estimated)
    state = _STATES[language]["resolved" if finding.state == "resolved" else "firing"]
    if language == "zh":
        tail = "" if finding.state == "resolved" else rule.advice.zh
        return f"{sentence.zh}自{since:%m月%d日 %H:%M}起，已{lasted}，{state}。{cost}{tail}"
    tail = "" if finding.state == "resolved" else f" {rule.advice.en}"
    return f"{sentence.en} Since {since:%d %b %H:%M}, for {lasted}; {state}.{cost}{tail}"


def policy(site: Site, rule: str) -> str:
    """The clause of the campaign that the rule serves."""
    return rule_of(site, rule).clause.of(site.site.language)


def _span(milliseconds: int, language: str) -> str:
    words = format_duration(milliseconds // 60_000 * 60_000 if milliseconds >= 60_000 else max(milliseconds, 1000))
    if language == "zh":
        for letter, word in _UNITS_ZH:
            words = words.replace(letter, word)
    return words


def _cost(waste: Waste, language: str, *, estimated: bool) -> str:
    parts = []
    if waste.kwh is not None:
        parts.append(f"{waste.kwh:.2f} kWh")
    if waste.litres is not None:
        parts.append(f"{waste.litres:.0f} L")
    if not parts:
        return ""
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
