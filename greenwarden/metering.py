"""``greenwarden meter …``: what people know about meters and no wire tells: exchanges, readings, bills; and intervals.

What is told here lies in data/memory.db; the program that runs takes it up within half a minute, the next one at its
start, and the intervals are mended from there on.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from building.clock import SystemClock
from building.errors import ConfigError, InputError
from building.instants import to_iso
from building.site import Device, Site
from collector.accounting import AMOUNTS, ANEW, EXCHANGES, JOURNAL, READINGS
from collector.intervals import PERIODS, Interval
from collector.metering import field_of, places_of
from collector.storing.keeper import Keeper
from collector.storing.ledger import LEDGER, Ledger
from collector.summing import intervals
from greenwarden import terminal
from greenwarden.alerting import MEMORY
from greenwarden.door import data_folder, handed_in, open_site
from greenwarden.moments import told_moment

_UNITS: Final = {"energy": "kWh", "heat": "kWh", "volume": "m3", "gas": "m3", "fuel": "m3"}
_LARGEST_FILE: Final = 100_000  # rows
_LONGEST_BILL: Final = 3_660 * 86_400_000  # ms
_LARGEST_NUMBER: Final = 1e12  # no meter has more digits
_WORDS: Final[dict[str, dict[str, str]]] = {
    "en": {
        "exchanged": "{device}: exchanged at {at}, from {old} to {new}; {then}",
        "told": "{device}: {value} {unit} at {at}; {then}", "rows": "{file}: {rows} rows; {then}",
        "anew": "{device}: to be computed anew; {then}", "all": "all meters",
        "then": "the intervals follow within half a minute when the program runs, else at its next start",
        "quiet": "nothing odd has happened to a counter", "empty": "there is no interval in this time",
        "time": "time", "device": "device", "event": "event", "before": "before", "after": "after", "booked": "booked",
        "from": "from", "of": "of", "cost": "cost {currency}", "kgco2": "kg CO2", "state": "state",
        "share": "measured", "site": "site",
        "energy": "energy kWh", "heat": "heat kWh", "volume": "volume m3", "gas": "gas m3", "fuel": "fuel m3",
    },
    "zh": {
        "exchanged": "{device}：{at} 换表，旧表底数 {old}，新表底数 {new}；{then}",
        "told": "{device}：{at} 抄见 {value} {unit}；{then}", "rows": "{file}：{rows} 行；{then}",
        "anew": "{device}：将重新计算；{then}", "all": "全部表计",
        "then": "程序运行时半分钟内更新区间账，否则下次启动时更新",
        "quiet": "没有异常的计数记录", "empty": "这段时间没有区间数据",
        "time": "时间", "device": "设备", "event": "事件", "before": "之前", "after": "之后", "booked": "入账",
        "from": "起始", "of": "对象", "cost": "费用 {currency}", "kgco2": "碳排放 kg", "state": "状态",
        "share": "实测", "site": "全楼",
        "energy": "电量 kWh", "heat": "热量 kWh", "volume": "用水 m3", "gas": "燃气 m3", "fuel": "燃油 m3",
        "measured": "实测", "settled": "结算", "estimated": "估算", "missing": "缺失", "withdrawn": "已撤销",
        "wrap": "翻转", "reset": "归零", "return": "恢复", "step_back": "倒退", "spike": "突变", "jump": "跳变",
        "exchange": "换表", "ratio_change": "变比更改", "gap": "间断",
    },
}  # fmt: skip
"""What people read; words of the records that are not here are shown as they are."""


def exchange(path: Path, device: str, old: float, new: float, at: str | None) -> None:
    """A meter was taken out at ``old`` and another put in at ``new``. Raises ConfigError."""
    site = open_site(path)
    moment = SystemClock().now() if at is None else told_moment(site, at)
    _metered(site, device)
    old, new = _number(old, "--old"), _number(new, "--new")
    with _keeper(path, site) as keeper:
        keeper.append(EXCHANGES, moment, device, {"device": device, "at": moment, "old": old, "new": new})
    _say(site, "exchanged", device=device, at=to_iso(moment, site.site.tz), old=f"{old:.10g}", new=f"{new:.10g}")


def reading(path: Path, device: str, value: float, at: str | None) -> None:
    """What stands on a meter that nobody polls. Raises ConfigError."""
    site = open_site(path)
    moment = SystemClock().now() if at is None else told_moment(site, at)
    value = _number(value, "the reading")
    unit = _UNITS[field_of(_metered(site, device))]
    with _keeper(path, site) as keeper:
        keeper.append(READINGS, moment, device, {"device": device, "at": moment, "value": value})
    _say(site, "told", device=device, value=f"{value:.10g}", unit=unit, at=to_iso(moment, site.site.tz))


def read_in(path: Path, file: Path) -> None:
    """Readings (device,time,value) or bills (device,from,to,amount) out of a CSV file, all of it or nothing.

    Raises ConfigError, InputError naming the row.
    """
    site = open_site(path)
    records = list(_records(site, handed_in(file)))
    with _keeper(path, site) as keeper:
        keeper.keep({}, records)
    _say(site, "rows", file=file.name, rows=len(records))


def compute_anew(path: Path, device: str | None) -> None:
    """Have all intervals, or those of one device, computed again from the first reading on. Raises ConfigError."""
    site = open_site(path)
    if device is not None:
        _metered(site, device)
    with _keeper(path, site) as keeper:
        keeper.append(ANEW, 0, device or "", {"device": device or "", "at": 0})
    _say(site, "anew", device=device or _words(site)["all"])


def show_journal(path: Path, device: str | None, *, as_json: bool) -> None:
    """What happened to counters: wrap, reset, exchange, change of ratio, step back, spike, with before and after."""
    site = open_site(path)
    records: list[dict[str, Any]] = []
    if (data_folder(path, site) / MEMORY).exists():  # to look makes no data folder
        with _keeper(path, site) as keeper:
            records = keeper.records(JOURNAL, key=device)
    if device is not None and not records:
        _metered(site, device)  # a slip of the pen must not read as "nothing happened"
    if as_json:
        terminal.emit_json({"journal": records})
        return
    if not records:
        _say(site, "quiet")
        return
    words = _words(site)
    rows = [
        (one["at"], one["device"], words.get(one["event"], one["event"]), _plain(one["before"]), _plain(one["after"]),
         _plain(one.get("booked")), words.get("withdrawn", "withdrawn") if one.get("withdrawn") else "")
        for one in records
    ]  # fmt: skip
    columns = (*(words[name] for name in ("time", "device", "event", "before", "after", "booked")), "")
    terminal.out.print(terminal.table("", columns, rows, right=(3, 4, 5)))


def show_intervals(
    path: Path, period: str, scope: str, ident: str | None, start: str | None, end: str | None, *, as_json: bool
) -> None:
    """What was used in each interval, and how well that is known. Raises ConfigError, InputError."""
    site = open_site(path)
    if period not in PERIODS:
        raise ConfigError(f"{period!r} is no period; write one of {', '.join(PERIODS)}")
    wanted = {key: devices for key, devices in places_of(site).items() if key[0] == scope and ident in (None, key[1])}
    if not wanted:
        place = scope if ident is None else f"{scope} {ident}"
        raise ConfigError(f"the site has no {place} with a meter; write --of device, zone, department, circuit or site")
    file = data_folder(path, site) / LEDGER
    if not file.exists():
        raise InputError(f"{file} does not exist; run greenwarden first")
    with Ledger(file, read_only=True) as ledger:
        until = ledger.noted("until") or 0
        last = told_moment(site, end) if end else until
        first = told_moment(site, start) if start else last - 86_400_000
        found = list(intervals(site, ledger, wanted, period, first, last, until)) if last > first else []
    if as_json:
        terminal.emit_json({"intervals": [_as_json(site, one) for one in found]})
        return
    _print(site, found)


def _print(site: Site, found: Sequence[Interval]) -> None:
    if not found:
        _say(site, "empty")
        return
    words = _words(site)
    fields = [field for field in _UNITS if any(field in one.values for one in found)]
    rows = [
        (to_iso(one.start, site.site.tz), one.tags.get(one.scope, words["site"]),
         *(_rounded(one.values.get(field), 3) for field in fields), _rounded(one.cost, 2), _rounded(one.kgco2, 2),
         words.get(one.state.word, one.state.word), f"{one.share_measured:.0%}")
        for one in found
    ]  # fmt: skip
    heads = [words[name] for name in ("from", "of", *fields, "cost", "kgco2", "state", "share")]
    columns = [head.format(currency=site.site.tariffs.currency) for head in heads]
    terminal.out.print(terminal.table("", columns, rows, right=range(2, 4 + len(fields))))


def _words(site: Site) -> dict[str, str]:
    return _WORDS[site.site.language]


def _say(site: Site, what: str, **parts: object) -> None:
    words = _words(site)
    terminal.say(words[what].format(**parts, then=words["then"]))


def _as_json(site: Site, one: Interval) -> dict[str, Any]:
    tz = site.site.tz
    return {
        "scope": one.scope, **one.tags, "period": one.period, "from": to_iso(one.start, tz), "to": to_iso(one.end, tz),
        **one.values, "cost": one.cost, "kgco2": one.kgco2, "state": one.state.word,
        "share_measured": one.share_measured,
    }  # fmt: skip


def _plain(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.10g}" if isinstance(value, int | float) else str(value)


def _rounded(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _keeper(path: Path, site: Site) -> Keeper:
    return Keeper(data_folder(path, site) / MEMORY)


def _number(value: float, what: str) -> float:
    if not 0 <= value < _LARGEST_NUMBER:
        raise ConfigError(f"{what} {value:g} is no meter's number; write what stands on it, such as 1234.5")
    return value


def _metered(site: Site, device: str) -> Device:
    known = site.device.get(device)
    if known is None or known.kind == "sensor":
        names = ", ".join(one.id for one in site.devices if one.kind != "sensor")
        raise ConfigError(f"{device!r} is no meter of this site; meters are {names[:200]}")
    return known


def _records(site: Site, file: Path) -> Iterator[tuple[str, int, str, Mapping[str, object]]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            for number, row in enumerate(csv.DictReader(text), 2):
                if number > _LARGEST_FILE:
                    raise InputError(f"{file.name} has more than {_LARGEST_FILE} rows; cut it into several files")
                try:
                    yield _record(site, row)
                except (KeyError, ValueError, TypeError, AttributeError, ConfigError) as error:
                    raise InputError(f"{file.name}, row {number}: {_complaint(error)}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file} cannot be read ({error}); write a CSV file in UTF-8") from None


def _complaint(error: Exception) -> str:
    if isinstance(error, KeyError | TypeError | AttributeError):  # a column is not there, or the row ends before it
        return "columns are device,time,value (what stands on the meter) or device,from,to,amount (a bill)"
    return str(error)


def _record(site: Site, row: Mapping[str, str]) -> tuple[str, int, str, Mapping[str, object]]:
    device = row["device"].strip()
    _metered(site, device)
    if row.get("amount"):
        start, end, amount = (
            told_moment(site, row["from"].strip()),
            told_moment(site, row["to"].strip()),
            _cell(row["amount"]),
        )
        if end <= start:
            raise ValueError("a bill needs from before to")
        if end - start > _LONGEST_BILL:
            raise ValueError("a bill is for ten years at most; see from and to")
        return AMOUNTS, start, device, {"device": device, "start": start, "end": end, "amount": amount}
    at = told_moment(site, row["time"].strip())
    return READINGS, at, device, {"device": device, "at": at, "value": _cell(row["value"])}


def _cell(text: str) -> float:
    value = float(text)
    if not 0 <= value < _LARGEST_NUMBER:
        raise ValueError(f"{text!r} is no meter's number")
    return value
