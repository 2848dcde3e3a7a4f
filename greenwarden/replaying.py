"""``greenwarden replay``: readings from a file through the rules; JSON lines of alerts, and what they cost."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from building.clock import SystemClock
from building.errors import InputError
from building.instants import to_iso
from building.site import Site
from greenwarden import terminal
from greenwarden.door import open_site
from rules.alerts import Alert
from rules.replay import Replayed, as_lines, read_readings, replay


def replay_file(path: Path, readings: Path, alerts: Path | None, *, as_json: bool) -> None:
    """Replay ``readings`` at the site of ``path``; writes ``alerts``. Raises ConfigError, InputError."""
    site = open_site(path)
    if alerts is not None and not alerts.parent.is_dir():
        raise InputError(f"{alerts}: the folder {alerts.parent} does not exist; make it first")
    with _progress(site) as progress:
        reading = progress.add_task(_word(site, "读取", "reading"), total=None)
        columns = read_readings(readings, site, told=lambda rows: progress.update(reading, completed=rows))
        progress.update(reading, total=progress.tasks[reading].completed or 1)
        judging = progress.add_task(_word(site, "回放", "replaying"), total=None)
        replayed = replay(
            site,
            columns,
            now=SystemClock().now(),
            progress=lambda done, total: progress.update(judging, completed=done, total=total),
        )
    if alerts is not None:
        _write(alerts, as_lines(replayed.alerts))
    if as_json:
        terminal.emit_json(_summary(site, replayed))
    else:
        _tables(site, replayed)


def _progress(site: Site) -> Progress:
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


def _by_rule(alerts: Iterable[Alert]) -> Mapping[str, dict[str, Any]]:
    rules: dict[str, dict[str, Any]] = {}
    for alert in alerts:
        entry = rules.setdefault(alert.rule, {"alerts": 0, "kwh": 0.0, "litres": 0.0, "cost": 0.0, "kgco2": 0.0})
        entry["alerts"] += 1
        for key in ("kwh", "litres", "cost", "kgco2"):
            entry[key] += alert.waste.get(key) or 0.0
    return rules


def _summary(site: Site, replayed: Replayed) -> dict[str, Any]:
    tz = site.site.tz
    return {
        "readings": replayed.readings,
        "skipped": replayed.skipped,
        "first": None if replayed.first is None else to_iso(replayed.first, tz),
        "last": None if replayed.last is None else to_iso(replayed.last, tz),
        "alerts": len(replayed.alerts),
        "rules": _by_rule(replayed.alerts),
        "currency": site.site.tariffs.currency,
    }


def _tables(site: Site, replayed: Replayed) -> None:
    zh, currency = site.site.language == "zh", site.site.tariffs.currency
    if replayed.first is None or replayed.last is None:
        terminal.say("文件里没有可用的读数" if zh else "the file holds no reading that can be used")
        return
    tz = site.site.tz
    span = f"{to_iso(replayed.first, tz)[:16]} – {to_iso(replayed.last, tz)[:16]}"
    terminal.say(f"{replayed.readings} {'条读数' if zh else 'readings'}, {span}")
    if replayed.skipped:
        terminal.say(f"{replayed.skipped} {'条时间不可信，未采用' if zh else 'left out: their time cannot be right'}")
    columns = (
        ("规则", "告警", "kWh", "升", currency, "kgCO2")
        if zh
        else ("rule", "alerts", "kWh", "litres", currency, "kgCO2")
    )
    rows = [
        (rule, told["alerts"], *(f"{told[key]:.2f}" for key in ("kwh", "litres", "cost", "kgco2")))
        for rule, told in sorted(_by_rule(replayed.alerts).items())
    ]
    terminal.out.print(terminal.table("", columns, rows, right=range(1, 6)))
    if not sys.stdout.isatty():
        return
    for alert in replayed.alerts[-10:]:
        terminal.say(f"{str(alert.times['raised'])[:16]}  {alert.title}: {alert.text}")


def _word(site: Site, zh: str, en: str) -> str:
    return zh if site.site.language == "zh" else en
