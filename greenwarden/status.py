"""``greenwarden status`` and ``refused``: how storing fares, out of what the running program leaves in data/."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
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
from greenwarden.door import data_folder, language_of, open_site
from rules.service import BLIND

_SILENT_AFTER: Final = 60.0  # real seconds without a new status file: nobody is running


_TROUBLES: Final = ("refused", "folded", "dropped", "lost", "damaged")
_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        "head": "{site}, as of {at}",
        "program:": "program", "running": "running", "stopped": "not running; start it with greenwarden run",
        "store:": "store", "away": "away: {why}", "taking": "takes readings",
        "rate:": "readings coming in", "unknown": "not known yet", "a second": "{rate:.3g} a second",
        "queued:": "readings waiting", "waiting": "{queued:,} ({megabytes:.1f} MB)",
        "oldest:": "oldest of them", "none": "none", "since": "{at}, {hours:.1f} h ago",
        "room:": "queue can hold out", "hours": "{room:,.0f} h more at this rate",
        "caught up:": "caught up", "yes": "yes", "never": "no, and not as things are", "in": "in about {span}",
        "written:": "written since start",
        "refused": "refused by the store; see: greenwarden refused list",
        "folded": "folded to means because the queue was full",
        "dropped": "gone because the queue was full",
        "lost": "lost because no disk took them before the end",
        "damaged": "damaged places in the queue's files",
        "rules:": "rules", "blind": "judge nothing until {until}: the clock was set back", "holidays:": "holidays",
        "nothing": "nothing was refused", "number": "number", "reason": "reason",
        "again": "{files} files will be sent again within ten seconds when the program runs, else at its next start",
    },
    "zh": {
        "head": "{site}，截至 {at}",
        "program:": "程序", "running": "正在运行", "stopped": "没有运行；启动：greenwarden run",
        "store:": "数据库", "away": "连不上：{why}", "taking": "正常入库",
        "rate:": "读数流入", "unknown": "尚不清楚", "a second": "每秒 {rate:.3g} 条",
        "queued:": "等待入库", "waiting": "{queued:,} 条（{megabytes:.1f} MB）",
        "oldest:": "其中最早的", "none": "无", "since": "{at}，{hours:.1f} 小时前",
        "room:": "队列还能撑", "hours": "按现在的速度 {room:,.0f} 小时",
        "caught up:": "是否追平", "yes": "是", "never": "否，照现在的情况追不上", "in": "约 {span} 后",
        "written:": "启动以来入库",
        "refused": "被数据库拒收；查看：greenwarden refused list",
        "folded": "队列已满，合并成了平均值",
        "dropped": "队列已满，被丢弃",
        "lost": "结束前磁盘写不进去，已丢失",
        "damaged": "队列文件损坏处",
        "rules:": "规则", "blind": "{until} 之前不作判断：时钟被往回拨过", "holidays:": "节假日",
        "nothing": "没有被拒收的读数", "number": "数量", "reason": "原因",
        "again": "{files} 个文件将重新发送：程序运行时十秒之内，否则在下次启动时",
    },
}  # fmt: skip


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
    terminal.say(_WORDS[site.site.language]["head"].format(site=site.site.name, at=_clock(site, int(status["at"]))))
    terminal.out.print(terminal.table("", ("", ""), _rows(site, status)))


def _blind_until(file: Path, now: int) -> int | None:
    """After the clock was set back: until when (ms) the rules judge nothing."""
    if not file.exists():
        return None
    with Keeper(file) as keeper:
        kept = keeper.load(BLIND)
    until = None if kept is None else json.loads(kept)
    return until if until is not None and until > now else None


def _rows(site: Site, status: dict[str, Any]) -> list[tuple[str, str]]:
    words = _WORDS[site.site.language]
    oldest, rate, room = (status.get(key) for key in ("oldest", "rate", "room_hours"))
    waiting = {"queued": status["queued"], "megabytes": status["bytes"] / 1e6}
    told = {
        "program": words["running" if status["running"] else "stopped"],
        "store": words["away"].format(why=status["away"]) if status["away"] else words["taking"],
        "rate": words["unknown"] if rate is None else words["a second"].format(rate=rate),
        "queued": words["waiting"].format(**waiting),
        "oldest": words["none"] if oldest is None
        else words["since"].format(at=to_iso(oldest, site.site.tz), hours=status["hours"]),
        "room": words["unknown"] if room is None else words["hours"].format(room=room),
        "caught up": _caught_up(status["queued"], status.get("catch_up_minutes"), words),
        "written": f"{status['written']:,}",
    }  # fmt: skip
    rows = [(words[f"{key}:"], what) for key, what in told.items()]
    rows += [(words[key], f"{status[key]:,}") for key in _TROUBLES if status.get(key)]
    if status["rules_blind_until"] is not None:
        rows.append((words["rules:"], words["blind"].format(until=_clock(site, status["rules_blind_until"])[:16])))
    year = status["missing_holidays"]
    return rows if year is None else [*rows, (words["holidays:"], missing_holidays(year, site.site.language))]


def _clock(site: Site, moment: int) -> str:
    return to_iso(moment, site.site.tz)[:19].replace("T", " ")


def _caught_up(queued: int, minutes: float | None, words: Mapping[str, str]) -> str:
    if not queued:
        return words["yes"]
    return words["never"] if minutes is None else words["in"].format(span=format_duration(max(1000, minutes * 60_000)))


def list_refused(path: Path, *, as_json: bool) -> None:
    """How many readings lie in data/refused/, and why."""
    words = _WORDS[language_of(path)]
    reasons = _refused(path).reasons()
    if as_json:
        terminal.emit_json({"refused": dict(reasons)})
        return
    if not reasons:
        terminal.say(words["nothing"])
        return
    rows = [(f"{count:,}", reason) for reason, count in reasons.most_common()]
    terminal.out.print(terminal.table("", (words["number"], words["reason"]), rows, right=(0,)))


def retry_refused(path: Path) -> None:
    """Hand what was refused to the running program, or the next one, to be sent again."""
    words = _WORDS[language_of(path)]
    files = _refused(path).send_again()
    terminal.say(words["again"].format(files=files) if files else words["nothing"])


def _refused(path: Path) -> Refused:
    return Refused(data_folder(path, open_site(path)) / "refused")
