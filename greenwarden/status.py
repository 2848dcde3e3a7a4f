"""``greenwarden status`` and ``refused``: how storing fares, out of what the running program leaves in data/."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Final

from building.calendar import WorkCalendar, missing_holidays
from building.durations import format_duration
from building.errors import InputError
from building.instants import to_iso
from building.site import Site
from collector.storing.keeper import Keeper
from collector.storing.refused import Refused
from collector.storing.service import STATUS_FILE
from greenwarden import terminal
from greenwarden.door import data_folder, open_site
from rules.service import BLIND

_SILENT_AFTER: Final = 60.0  # real seconds without a new status file: nobody is running


def show_status(path: Path, *, as_json: bool, now: int) -> None:
    """What waits, how long the queue holds out, when it will have caught up; what is missing at ``now`` (ms).

    Raises ConfigError, InputError.
    """
    site = open_site(path)
    file = data_folder(path, site) / STATUS_FILE
    try:
        status: dict[str, Any] = json.loads(file.read_bytes())
        age = time.time() - file.stat().st_mtime
    except FileNotFoundError:
        raise InputError(f"{file} does not exist; the program has never run here: greenwarden run {path}") from None
    except ValueError:
        raise InputError(f"{file} is damaged; it is written anew within ten seconds while the program runs") from None
    status["running"] = bool(status.get("running")) and age < _SILENT_AFTER
    status["missing_holidays"] = WorkCalendar(site).missing_year(now)
    status["rules_blind_until"] = _blind_until(data_folder(path, site) / "memory.db", now)
    if as_json:
        terminal.emit_json(status)
        return
    title = f"{site.site.name}, as of {to_iso(int(status['at']), site.site.tz)}"
    terminal.out.print(terminal.table(title, ("", ""), _rows(site, status)))


def _blind_until(file: Path, now: int) -> int | None:
    """After the clock was set back: until when (ms) the rules judge nothing."""
    if not file.exists():
        return None
    with Keeper(file) as keeper:
        kept = keeper.load(BLIND)
    until = None if kept is None else json.loads(kept)
    return until if until is not None and until > now else None


def _rows(site: Site, status: dict[str, Any]) -> list[tuple[str, str]]:
    oldest, rate, room, minutes = (status.get(key) for key in ("oldest", "rate", "room_hours", "catch_up_minutes"))
    rows = [
        ("program", "running" if status["running"] else "not running; start it with greenwarden run"),
        ("store", f"away: {status['away']}" if status["away"] else "takes readings"),
        ("readings coming in", "not known yet" if rate is None else f"{rate:.3g} a second"),
        ("readings waiting", f"{status['queued']:,} ({status['bytes'] / 1e6:.1f} MB)"),
        (
            "oldest of them",
            "none" if oldest is None else f"{to_iso(oldest, site.site.tz)}, {status['hours']:.1f} h ago",
        ),
        ("queue can hold out", "not known yet" if room is None else f"{room:,.0f} h more at this rate"),
        ("caught up", _caught_up(status["queued"], minutes)),
        ("written since start", f"{status['written']:,}"),
    ]
    troubles = {
        "refused": "refused by the store; see: greenwarden refused list",
        "folded": "folded to means because the queue was full",
        "dropped": "gone because the queue was full",
        "lost": "lost because no disk took them before the end",
        "damaged": "damaged places in the queue's files",
    }
    rows += [(meaning, f"{status[key]:,}") for key, meaning in troubles.items() if status.get(key)]
    if status["rules_blind_until"] is not None:
        until = to_iso(status["rules_blind_until"], site.site.tz)[:16].replace("T", " ")
        rows.append(("rules", f"judge nothing until {until}: the clock was set back"))
    year = status["missing_holidays"]
    return rows if year is None else [*rows, ("holidays", missing_holidays(year, "en"))]


def _caught_up(queued: int, minutes: float | None) -> str:
    if not queued:
        return "yes"
    return (
        "no, and not as things are" if minutes is None else f"in about {format_duration(max(1000, minutes * 60_000))}"
    )


def list_refused(path: Path, *, as_json: bool) -> None:
    """How many readings lie in data/refused/, and why."""
    reasons = _refused(path).reasons()
    if as_json:
        terminal.emit_json({"refused": dict(reasons)})
        return
    if not reasons:
        terminal.say("nothing was refused")
        return
    rows = [(f"{count:,}", reason) for reason, count in reasons.most_common()]
    terminal.out.print(terminal.table("", ("number", "reason"), rows, right=(0,)))


def retry_refused(path: Path) -> None:
    """Hand what was refused to the running program, or the next one, to be sent again."""
    files = _refused(path).send_again()
    terminal.say(
        f"{files} files will be sent again within ten seconds when the program runs, else at its next start"
        if files
        else "nothing was refused"
    )


def _refused(path: Path) -> Refused:
    return Refused(data_folder(path, open_site(path)) / "refused")
