"""The words of an alert: title and text in the site's language, as a person reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from building.durations import format_duration
from building.money import Waste
from building.site import Site
from rules.catalogue import Rule, rule_of
from rules.condition import Evidence
from rules.findings import Finding
from rules.wording import lost, moment_of, span, stretch


def title(site: Site, finding: Finding) -> str:
    """One line: which rule, which room, which device."""
    rule = rule_of(site, finding.rule)
    return title_in(site, rule, finding.device, finding.zone, site.site.language)


def title_in(site: Site, rule: Rule, subject: str, zone: str | None, language: str) -> str:
    """The same in ``language``; ``subject`` is a device or a department."""
    device, department, room = site.device.get(subject), site.department.get(subject), site.zone.get(zone or "")
    place = room.title if room is not None else site.site.name
    if device is None and department is not None:
        place = department.name or department.id
    what = subject if device is None else device.title
    return rule.title.of(language).format_map({"place": place, "device": what})


def text(
    language: str,
    rule: Rule,
    evidence: Evidence | None,
    times: Mapping[str, str | None],
    lasted: int,
    waste: Waste,
    *,
    estimated: bool,
) -> str:
    """Since when, how long (``lasted``: ms), what it has cost so far, and what to do.

    ``evidence`` None once it is over: the values then are those of what came after it. ``times``: since and ended as
    ISO 8601.
    """
    since, ended = str(times["since"]), times["ended"]
    said = (None if evidence is None or rule.detail is None else rule.detail(evidence)) or rule.told
    how_long = span(lasted, language)
    cost = lost(waste._asdict(), rule.lost.of(language), language, over=ended is not None, estimated=estimated)
    if language == "zh":
        if ended is not None:
            return f"{said.zh}{stretch(since, ended, language)}，共{how_long}，现已结束。{cost}"
        return f"{said.zh}{moment_of(since, language)} 起，已持续{how_long}。{cost}{rule.advice.zh}"
    if ended is not None:
        return f"{said.en} {stretch(since, ended, language)}, {how_long} in all; it is over. {cost}".rstrip()
    parts = (said.en, f"Since {moment_of(since, language)}, for {how_long}.", cost, rule.advice.en)
    return " ".join(filter(None, parts))


def shown_limits(rule: Rule, limits: Mapping[str, float]) -> dict[str, Any]:
    """Limits as people write them: durations as text, numbers with their unit in the key's place."""
    shown: dict[str, Any] = {}
    for parameter in rule.parameters:
        value = limits[parameter.name]
        shown[parameter.name] = format_duration(value) if parameter.unit == "ms" else value
    return shown
