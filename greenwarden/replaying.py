"""``greenwarden replay``: readings from a file or the store through the rules; alerts, and the bill they make."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from building.clock import SystemClock
from building.document import Document, read_document
from building.durations import format_duration
from building.errors import ConfigError, InputError
from building.instants import to_iso
from building.site import Site, build_site
from greenwarden import terminal
from greenwarden.door import handed_in, open_site, with_overtime_told
from greenwarden.moments import told_moment
from greenwarden.stores import open_kept
from rules.bill import Bill, Difference, Item, bill, difference
from rules.catalogue import check_rules
from rules.readings_file import Stretches
from rules.replay import InOrder, Replayed, as_lines, open_readings, replay
from rules.rhythm import Rhythm, with_rhythms

_KEYS = ("kwh", "litres", "cost", "kgco2")
_SHOWN = 10  # alerts told in words at a terminal


@dataclass(frozen=True)
class Asked:
    """What a replay is asked for. ``readings`` None: the store; ``start``, ``end``: as the person wrote them."""

    readings: Path | None = None
    alerts: Path | None = None
    start: str | None = None
    end: str | None = None
    rules: Path | None = None
    shadow: Path | None = None


class Source(NamedTuple):
    """Where readings come from, asked for anew for every set of rules; and the periods learned from them."""

    readings: Callable[[], Stretches | InOrder]
    rhythms: list[Rhythm]


class Outcome(NamedTuple):
    """A replay and its bill."""

    replayed: Replayed
    bill: Bill


def replay_file(path: Path, readings: Path, alerts: Path | None, *, as_json: bool) -> None:
    """Replay a file at the site of ``path``; writes ``alerts``. Raises ConfigError, InputError."""
    replay_site(path, Asked(readings, alerts), as_json=as_json)


def replay_site(path: Path, asked: Asked, *, as_json: bool) -> None:
    """Replay what is asked for at the site of ``path``. Raises ConfigError, InputError, StoreAway."""
    site = open_site(path)
    start, end = (None if text is None else told_moment(site, text) for text in (asked.start, asked.end))
    if start is not None and end is not None and start >= end:
        raise ConfigError(f"--from {asked.start} is not before --to {asked.end}")
    if asked.alerts is not None and not os.path.isdir(asked.alerts.parent):
        raise InputError(f"{asked.alerts}: the folder {asked.alerts.parent} does not exist; make it first")
    others = {name: with_rules(path, site, file) for name, file in _others(asked)}
    with _progress() as progress, ExitStack() as opened:
        site, source = open_source(path, site, asked.readings, (start, end), progress, opened)
        live = _run(site, source, progress, _word(site, "回放", "replaying"))
        beside = {
            name: _run(replace_rules(site, other), source, progress, _word(site, "对比", "comparing"))
            for name, other in others.items()
        }
    if asked.alerts is not None:
        _write(asked.alerts, as_lines(live.replayed.alerts))
    if as_json:
        terminal.emit_json(_summary(site, live, beside, source.rhythms))
    else:
        _tell(site, live, beside, source.rhythms)


def _others(asked: Asked) -> Iterable[tuple[str, Path]]:
    if asked.rules is not None:
        yield "other_rules", asked.rules
    if asked.shadow is not None:
        yield "shadow", asked.shadow


def with_rules(path: Path, site: Site, file: Path) -> Site:
    """``site`` with the ``rules:`` section of ``file`` in place of its own. Raises ConfigError naming ``file``."""
    other = read_document(file)
    if not isinstance(other.content, dict) or "rules" not in other.content:
        raise ConfigError(f"{file.name}: has no section rules:; write it as in {path.name}")
    content = dict(read_document(path).content) | {"rules": other.content["rules"]}
    return build_site(Document(other.name, content, other.lines), [check_rules])


def replace_rules(site: Site, other: Site) -> Site:
    """``site`` with the rules of ``other``."""
    return site.model_copy(update={"rules": other.rules})


def open_source(
    path: Path,
    site: Site,
    readings: Path | None,
    limits: tuple[int | None, int | None],
    progress: Progress,
    opened: ExitStack,
) -> tuple[Site, Source]:
    """The readings from a file, or from the store, and the site with the periods learned from a file."""
    if readings is None:
        store = open_kept(path, site, opened)
        first, last = store.span() or (0, -1)
        start, end = max(first, limits[0] or 0), last + 1 if limits[1] is None else min(limits[1], last + 1)
        return with_overtime_told(path, site), Source(lambda: InOrder(store.readings(start, end), start, end - 1), [])
    reading = progress.add_task(_word(site, "读取", "reading"), total=None)
    stretches = open_readings(
        handed_in(readings), site, told=lambda rows: progress.update(reading, completed=rows), limits=limits
    )
    site, rhythms = with_rhythms(site, next(iter(stretches), {}))
    progress.update(reading, total=progress.tasks[reading].completed or 1)
    return site, Source(lambda: stretches, rhythms)


def _run(site: Site, source: Source, progress: Progress, word: str) -> Outcome:
    task = progress.add_task(word, total=None)
    replayed = replay(
        site,
        source.readings(),
        now=SystemClock().now(),
        progress=lambda done, total: progress.update(task, completed=done, total=total),
    )
    return Outcome(replayed, bill(site, replayed.alerts, replayed.last or 0))


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=terminal.err, transient=True, disable=not terminal.err.is_terminal)


def _write(path: Path, lines: Iterable[bytes]) -> None:
    """All or nothing: a broken-off replay leaves no half file under the name asked for."""
    half = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with half.open("wb") as file:
            file.writelines(lines)
        half.replace(path)
    except OSError as error:
        half.unlink(missing_ok=True)
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None


# -- for programs -----------------------------------------------------------------------------------------------------


def _summary(site: Site, live: Outcome, beside: dict[str, Outcome], rhythms: list[Rhythm]) -> dict[str, Any]:
    tz, replayed = site.site.tz, live.replayed
    summary = {
        "readings": replayed.readings,
        "skipped": replayed.skipped,
        "first": None if replayed.first is None else to_iso(replayed.first, tz),
        "last": None if replayed.last is None else to_iso(replayed.last, tz),
        "alerts": len(replayed.alerts),
        **_bill(live.bill),
        "currency": site.site.tariffs.currency,
        "periods": {r.device: {"reports": r.reports, "every": format_duration(r.every)} for r in rhythms},
    }
    for name, other in beside.items():
        change = difference(live.bill.total, other.bill.total)
        summary[name] = {"alerts": len(other.replayed.alerts), **_bill(other.bill)}
        if name == "other_rules":
            summary[name] |= {"difference": {"alerts": change.alerts, "kept": change.kept}}
    return summary


def _bill(told: Bill) -> dict[str, Any]:
    return {
        "total": told.total.as_dict(),
        "rules": {name: item.as_dict() for name, item in sorted(told.rules.items())},
        "departments": {
            name: item.as_dict() | {"messages": told.messages.get(name, 0)}
            for name, item in sorted(told.departments.items())
        },
    }


# -- for people -------------------------------------------------------------------------------------------------------


def _tell(site: Site, live: Outcome, beside: dict[str, Outcome], rhythms: list[Rhythm]) -> None:
    zh, replayed = site.site.language == "zh", live.replayed
    if replayed.first is None or replayed.last is None:
        terminal.say("没有可用的读数" if zh else "there is no reading that can be used")
        return
    tz = site.site.tz
    span = f"{to_iso(replayed.first, tz)[:16]} – {to_iso(replayed.last, tz)[:16]}"
    terminal.say(f"{replayed.readings} {'条读数' if zh else 'readings'}, {span}")
    if replayed.skipped:
        terminal.say(f"{replayed.skipped} {'条时间不可信，未采用' if zh else 'left out: their time cannot be right'}")
    if rhythms:
        terminal.say(_rhythm_sentence(rhythms, zh=zh))
    _tables(site, live.bill)
    for name, other in beside.items():
        heading = _word(site, "试运行规则会发现：", "The shadow rules would have said:")
        if name == "other_rules":
            heading = _compared(site, difference(live.bill.total, other.bill.total))
        terminal.say(heading)
        _tables(site, other.bill)
    if sys.stdout.isatty():
        for alert in replayed.alerts[-_SHOWN:]:
            terminal.say(f"{str(alert.times['raised'])[:16]}  {alert.title}: {alert.text}")


def _rhythm_sentence(rhythms: list[Rhythm], *, zh: bool) -> str:
    change = "变化时" if zh else "on change"
    said = [
        f"{one.device} {change if one.reports == 'on_change' else format_duration(one.every)}"
        for one in rhythms[:_SHOWN]
    ]
    more = len(rhythms) - len(said)
    tail = (f" 等 {len(rhythms)} 台" if zh else f" and {more} more") if more else ""
    head = "配置未写周期，按读数推定：" if zh else "periods not in the file, taken from the readings: "
    return head + ("、" if zh else ", ").join(said) + tail


def _compared(site: Site, change: Difference) -> str:
    more = abs(change.alerts)
    if site.site.language == "zh":
        first = (
            f"换用这套规则：告警{'多' if change.alerts > 0 else '少'} {more} 条" if more else "换用这套规则：告警数不变"
        )
        return first + ("" if change.kept is None else f"，仍可发现 {change.kept:.0%} 的浪费") + "。"
    word = "more" if change.alerts > 0 else "fewer"
    first = (
        f"With these rules: {more} alert{'' if more == 1 else 's'} {word}"
        if more
        else "With these rules: as many alerts"
    )
    return first + ("" if change.kept is None else f", {change.kept:.0%} of the saving kept") + "."


def _tables(site: Site, told: Bill) -> None:
    zh, currency = site.site.language == "zh", site.site.tariffs.currency
    sums = ("告警", "分钟", "kWh", "升") if zh else ("alerts", "minutes", "kWh", "litres")
    rows: list[tuple[str, ...]] = [(rule, *_cells(item)) for rule, item in sorted(told.rules.items())]
    rows.append(("合计" if zh else "total", *_cells(told.total)))
    columns = ("规则" if zh else "rule", *sums, currency, "kgCO2")
    terminal.out.print(terminal.table("", columns, rows, right=range(1, 7)))
    if not told.departments:
        return
    names = {ident: department.name or ident for ident, department in site.department.items()}
    names[""] = "（无部门）" if zh else "(none)"
    lines = [
        (names.get(ident, ident), *_cells(item), str(told.messages.get(ident, 0)))
        for ident, item in sorted(told.departments.items())
    ]
    heads = ("部门" if zh else "department", *sums, currency, "kgCO2", "消息" if zh else "messages")
    terminal.out.print(terminal.table("", heads, lines, right=range(1, 8)))


def _cells(item: Item) -> tuple[str, ...]:
    return (str(item.alerts), f"{item.minutes:.0f}", *(_amount(getattr(item, key)) for key in _KEYS))


def _amount(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _word(site: Site, zh: str, en: str) -> str:
    return zh if site.site.language == "zh" else en
