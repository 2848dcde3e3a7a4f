"""``greenwarden why``: every condition of a rule on a device or zone, what it goes by, and what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

from building.clock import SystemClock
from building.errors import ConfigError, InputError
from building.instants import to_iso
from building.readings import Reading
from building.site import DAY, Site
from greenwarden import terminal
from greenwarden.door import handed_in, open_site, with_overtime_told
from greenwarden.moments import told_moment
from greenwarden.stores import open_kept
from rules.catalogue import CATALOGUE
from rules.engine import RuleEngine
from rules.readings_file import between, read_readings, readings_of
from rules.rhythm import with_rhythms
from rules.why import Why, as_json, devices_of, explain, find, sentence
from rules.wording import length

_LOOK_BACK = 15 * DAY  # of the store; long enough for what rules learn
_BATCH = 5_000


def why_site(path: Path, rule: str, place: str, at: str | None, readings: Path | None, *, json: bool) -> None:
    """Explain ``rule`` on ``place``, a device or a zone. Raises ConfigError, InputError, StoreAway."""
    site = open_site(path)
    moment = None if at is None else told_moment(site, at)
    _check(site, rule, place)
    if readings is not None:
        columns = read_readings(handed_in(readings), site)
        site, _ = with_rhythms(site, columns)
        if moment is None:
            moment = max((int(times[-1]) for times, _ in columns.values() if len(times)), default=0)
        needed = _needed(site, rule, place)
        own = {key: series for key, series in columns.items() if key[0] in needed}
        found = _explained(site, rule, place, readings_of(between(own, None, moment + 1)), moment)
    else:
        moment = SystemClock().now() if moment is None else moment
        site = with_overtime_told(path, site)
        needed = _needed(site, rule, place)
        with ExitStack() as opened:
            kept = open_kept(path, site, opened).readings(moment - _LOOK_BACK, moment + 1, needed)
            found = _explained(site, rule, place, kept, moment)
    if json:
        terminal.emit_json({"explanations": [as_json(why, site) for why in found]})
        return
    for why in found:
        _tell(site, why)


def _check(site: Site, rule: str, place: str) -> None:
    if rule not in CATALOGUE and rule not in site.rules:
        raise ConfigError(f"there is no rule {rule!r}; known are {', '.join(dict.fromkeys((*CATALOGUE, *site.rules)))}")
    if place not in site.device and place not in site.zone and place not in site.department:
        raise ConfigError(f"there is no device and no zone {place!r} in the site's file")


def _needed(site: Site, rule: str, place: str) -> set[str]:
    """Devices to be read. Raises InputError when the rule has nothing to do with ``place``."""
    watches = find(RuleEngine(site).new_memory(), rule, place)
    if watches:
        return set().union(*map(devices_of, watches))
    settings = site.rules.get(rule) or {}
    if settings.get("enabled") is False:
        raise InputError(f"{rule} is switched off in the site's file (enabled: false)")
    if place in settings.get("except", ()):
        raise InputError(f"{rule} does not look at {place}: it stands under except: in the site's file")
    kinds = ", ".join(CATALOGUE[rule].kinds) if rule in CATALOGUE else ""
    raise InputError(f"{rule} does not look at {place}: it is for {kinds or 'other devices'}")


def _explained(site: Site, rule: str, place: str, readings: Iterable[Reading], moment: int) -> list[Why]:
    engine = RuleEngine(site)
    memory = engine.new_memory()
    for batch in _batches(iter(readings)):
        engine.step(memory, batch)
    engine.tick(memory, moment)
    return [explain(site, watch, moment) for watch in find(memory, rule, place)]


def _batches(readings: Iterator[Reading]) -> Iterator[list[Reading]]:
    while batch := list(islice(readings, _BATCH)):
        yield batch


def _tell(site: Site, why: Why) -> None:
    zh = site.site.language == "zh"
    zone = site.zone.get(why.zone or "")
    place = "" if zone is None else zone.title
    name = site.device[why.device].title if why.device in site.device else why.device
    at = to_iso(why.at, site.site.tz)[:16].replace("T", " ")
    terminal.say("  ".join(part for part in (why.rule, place, name, at) if part))
    terminal.say(sentence(why, site))
    words = {True: "成立", False: "不成立", None: "未知"} if zh else {True: "true", False: "false", None: "unknown"}
    if why.parts:
        parts = [(name.of(site.site.language), words[truth]) for name, truth in why.parts]
        terminal.out.print(terminal.table("", ("条件", "结果") if zh else ("condition", "is"), parts))
    qualities = {"good": "良好", "stale": "过期", "bad": "不可信", "never": "从未上报"} if zh else {}
    rows = [
        (
            one.device,
            one.quantity,
            "–" if one.value is None else f"{one.value:g} {one.unit}" if isinstance(one.value, float) else one.value,
            "–" if one.age is None else length(one.age, site.site.language),
            qualities.get(one.quality, one.quality),
        )
        for one in why.inputs
        if one.quality != "never" or one in why.missing
    ]
    heads = ("设备", "量", "值", "多久之前", "质量") if zh else ("device", "quantity", "value", "age", "quality")
    if rows:
        terminal.out.print(terminal.table("", heads, rows))
    for line in _around(site, why, zh=zh):
        terminal.say(line)


def _around(site: Site, why: Why, *, zh: bool) -> Iterator[str]:
    """Presence, and the limits."""
    told = why.presence
    if told is not None:
        states = (
            {True: "无人", False: "有人", None: "未知"} if zh else {True: "empty", False: "people", None: "unknown"}
        )
        said = (
            states[told["empty"]] if told["sensed"] else "无传感器，按工作时间" if zh else "no sensors, by the calendar"
        )
        if told["last_sign"] is not None:
            last = to_iso(told["last_sign"], site.site.tz)[5:16].replace("T", " ")
            said += f"（最后有人 {last}）" if zh else f" (last sign {last})"
        hours = {True: "工作时间", False: "非工作时间", None: "未知"}
        if not zh:
            hours = {True: "working hours", False: "outside working hours", None: "hours unknown"}
        booked = ("，已登记加班" if zh else ", overtime booked") if told["booked"] else ""
        yield f"{'房间' if zh else 'zone'}: {said}; {hours[told['working_hours']]}{booked}"
    limits = ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in why.limits.items()
    )
    yield f"{'参数' if zh else 'limits'}: {limits}"
