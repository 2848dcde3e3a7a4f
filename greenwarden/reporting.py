"""``greenwarden report``: what was used and wasted in a month, for people who lead a house, out of what is stored.

Read beside a program that runs or not: intervals from the ledger, alerts and answers from ``memory.db``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from building.clock import Clock
from building.errors import ConfigError, InputError, shown
from building.instants import to_iso
from building.site import Department, Site
from collector.storing.keeper import Keeper
from collector.storing.ledger import LEDGER, Ledger
from dashboards.labels import RULES
from dashboards.report import Alerts, Gap, Medium, Report, Span, Worked, as_json
from dashboards.report_page import page
from greenwarden import terminal
from greenwarden.alerting import MEMORY
from greenwarden.door import data_folder, open_site
from greenwarden.report_alerts import Told, sums
from greenwarden.report_energy import Books, a_year_before, missing_share, month_of, the_time_before
from greenwarden.report_tables import show
from rules.catalogue import rule_of

_LANGUAGES: Final = ("zh", "en")
_FIRST_YEAR, _LAST_YEAR = 2000, 2099
_LONGEST: Final = 3 * 366  # days
_TELLING: Final = 0.01  # share of the time missing from which a device is named


@dataclass(frozen=True)
class Asked:
    """What a report is asked for, as the person wrote it; ``data`` in place of the site's own data folder."""

    month: str | None = None
    start: str | None = None
    end: str | None = None
    department: str | None = None
    language: str | None = None
    out: Path | None = None
    data: Path | None = None


def report_site(path: Path, asked: Asked, clock: Clock, *, as_json_object: bool) -> None:
    """Tell the report, or write it to ``asked.out``. Raises ConfigError, InputError, StoreAway."""
    site = open_site(path)
    if asked.language not in (None, *_LANGUAGES):
        raise ConfigError(f"--language {shown(asked.language)} is not accepted; write {' or '.join(_LANGUAGES)}")
    if asked.department is not None and asked.department not in site.department:
        known = ", ".join(site.department) or "none"
        raise ConfigError(f"there is no department {shown(asked.department)} in {path.name}; there are: {known}"[:400])
    if asked.out is not None and not asked.out.parent.is_dir():
        raise InputError(f"{asked.out}: the folder {asked.out.parent} does not exist; make it first")
    folder = asked.data or data_folder(path, site)
    made = gather(site, folder, asked, clock.now(), path)
    if asked.out is not None:
        _write(asked.out, page(made))
    if as_json_object:
        terminal.emit_json(as_json(made))
    elif asked.out is None:
        show(made)
    else:
        terminal.say(_written(asked.out, made.language))


def gather(site: Site, folder: Path, asked: Asked, now: int, path: Path) -> Report:
    """The report that is asked for, out of ``folder``. Raises ConfigError, InputError, StoreAway."""
    file = folder / LEDGER
    if not file.exists():
        raise InputError(f"{file} does not exist; start the program once with: greenwarden run {path}")
    with Ledger(file, read_only=True) as ledger:
        books = Books(site, ledger)
        span, month = _span(asked, books, max(now, ledger.noted("until") or 0))
        alerts, silences = _alerts(site, folder / MEMORY, books, span, asked.department)
        return _report(site, books, asked, (span, month), (alerts, silences), (ledger.noted("until") or 0, now))


def _report(
    site: Site,
    books: Books,
    asked: Asked,
    days: tuple[Span, bool],
    told: tuple[Alerts | None, Mapping[str, int]],
    times: tuple[int, int],
) -> Report:
    (span, month), tz, language = days, site.site.tz, asked.language or site.site.language
    before, year_ago = the_time_before(span, month=month), a_year_before(span, month=month)
    department = None if asked.department is None else site.department[asked.department]
    zone = _zone_of(site, department)
    place = ("site", "") if department is None else ("department", department.id)
    media = books.media(place, span, before, year_ago, zone)
    if not media:
        raise InputError(_no_meter(asked.department))
    if all(medium.use.amount is None for medium in media):
        raise InputError(_nothing(books, span, books.calendar.local_date(max(times))))
    units = [books.unit(one, span) for one in ([department] if department else site.departments)]
    found = books.meters(span, asked.department)
    heads, areas = [unit.headcount for unit in units], [unit.area for unit in units]
    return Report(
        site=site.site.name,
        department=units[0] if department else None,
        language=language,
        currency=site.site.tariffs.currency,
        month=month,
        period=Worked(span, books.workdays(span, zone)),
        before=Worked(before, books.workdays(before, zone)),
        year_ago=Worked(year_ago, books.workdays(year_ago, zone)),
        holidays_unknown=_holidays_unknown(books, span),
        media=media,
        cost=_whole(media, "cost"),
        coal=_whole([one for one in media if one.field != "volume"], "coal"),
        kgco2=_whole([one for one in media if one.field != "volume"], "kgco2"),
        headcount=sum(head or 0 for head in heads) if heads and all(heads) else None,
        area=sum(area or 0.0 for area in areas) if areas and all(areas) else None,
        departments=units,
        balances=list(books.balances(span, found)),
        alerts=told[0],
        gaps=_gaps(books, found, told[1], asked.department, span),
        names=_names(site, told[0], language),
        until=to_iso(times[0], tz),
        made=to_iso(times[1] // 1000 * 1000, tz),
    )


def _whole(media: list[Medium], what: str) -> float | None:
    """The sum over ``media`` of which anything is known; None where one of them does not say."""
    known = [getattr(medium.use, what) for medium in media if medium.use.amount is not None]
    return None if not known or None in known else float(sum(known))


def _zone_of(site: Site, department: Department | None) -> str | None:
    """A zone by whose working hours a department's days go; None: by the site's."""
    return None if department is None else next((z.id for z in site.zones if z.department == department.id), None)


def _holidays_unknown(books: Books, span: Span) -> bool:
    years = {span.begin.year, (span.end - timedelta(1)).year}
    return any(books.calendar.missing_year(books.instant(date(year, 6, 1))) is not None for year in years)


# -- which days -------------------------------------------------------------------------------------------------------


def _span(asked: Asked, books: Books, now: int) -> tuple[Span, bool]:
    """The days that are asked for and over, and whether they are a month's. ``now`` (ms): how far anything is known."""
    today = books.calendar.local_date(now)
    if asked.start is not None or asked.end is not None:
        if asked.month is not None:
            raise ConfigError("write either --month or --from and --to")
        return _from_to(asked, today), False
    if asked.month is None:
        return month_of(today.replace(day=1) - timedelta(1)), True
    span = month_of(_month(asked.month))
    if span.begin == today:
        raise ConfigError(f"no day of {asked.month} is over yet; its first day can be reported tomorrow")
    if span.begin > today:
        raise ConfigError(f"the month {asked.month} is in the future; a report is of days that are over")
    return Span(span.begin, min(span.end, today)), True


def _from_to(asked: Asked, today: date) -> Span:
    if asked.start is None:
        raise ConfigError("--to needs --from, such as --from 2026-06-01 --to 2026-07-01")
    begin = _day("--from", asked.start)
    end = today if asked.end is None else _day("--to", asked.end)
    if begin >= today:
        raise ConfigError(f"--from {asked.start} is in the future; a report is of days that are over")
    if end <= begin:
        raise ConfigError(f"--from {asked.start} is not before --to {asked.end}, the first day left out")
    if (end - begin).days > _LONGEST:
        raise ConfigError(f"a report is of {_LONGEST} days at most; write a later --from")
    return Span(begin, min(end, today))


def _month(text: str) -> date:
    try:
        if len(text) != len("2026-06"):
            raise ValueError
        return _possible(date.fromisoformat(f"{text}-01"))
    except ValueError:
        raise ConfigError(f"--month {shown(text)} is no month; write it as 2026-06") from None


def _day(option: str, text: str) -> date:
    try:
        return _possible(date.fromisoformat(text))
    except ValueError:
        raise ConfigError(
            f"{option} {shown(text)} is no date; a report is of whole days, write one as 2026-06-01"
        ) from None


def _possible(day: date) -> date:
    if not _FIRST_YEAR < day.year <= _LAST_YEAR:
        raise ValueError
    return day


def _no_meter(department: str | None) -> str:
    if department is None:
        return "the site has no meter; add one under devices: and start the program"
    return (
        f"the department {department} has no meter: write department: {department} at those that measure it, "
        "or at their zones"
    )


def _nothing(books: Books, span: Span, today: date) -> str:
    """What to say where the ledger has nothing of ``span``; a report is of days that are over ``today``."""
    said = f"nothing is known of {span.begin} to {span.end - timedelta(1)}"
    known = books.known()
    if known is None:
        return f"{said}: no meter has been read yet; start the program with greenwarden run, or see greenwarden doctor"
    if known.begin >= today:
        return f"{said}; the first readings are of {known.begin}, which is not over: it can be reported tomorrow"
    return f"{said}; there are readings from {known.begin} to {known.end - timedelta(1)}, choose with --month or --from"


# -- alerts, gaps, names ----------------------------------------------------------------------------------------------


def _alerts(
    site: Site, file: Path, books: Books, span: Span, department: str | None
) -> tuple[Alerts | None, Mapping[str, int]]:
    """The alerts, and how long devices were told to be silent (ms)."""
    if not file.exists():
        return None, {}
    start, end = books.instant(span.begin), books.instant(span.end)
    with Keeper(file) as keeper:
        kept, audit = keeper.records("alerts", since=start), keeper.records("audit", since=start)
        blob = keeper.load("alerts open")
    now_open = [] if blob is None else msgspec.json.decode(blob, type=list[dict[str, Any]])
    told = Told(kept, now_open, start, end)
    return sums(site, told, audit, department), told.silences()


def _gaps(
    books: Books, found: Mapping[str, Any], silences: Mapping[str, int], department: str | None, span: Span
) -> list[Gap]:
    """Devices of which more than a little of ``span`` is not known; sensors by the alerts alone."""
    never = set(books.never_heard(found))
    length = books.instant(span.end) - books.instant(span.begin)
    silences = {ident: lasted for ident, lasted in silences.items() if lasted > _TELLING * length}
    gaps = [Gap(ident, None, silences.get(ident, 0), never=True) for ident in never]
    for ident, days in found.items():
        missing = missing_share(days) if days else None
        if ident not in never and ((missing or 0) > _TELLING or ident in silences):
            gaps.append(Gap(ident, missing, silences.get(ident, 0)))
    for ident, lasted in silences.items():
        device = books.site.device.get(ident)
        if device is None or device.kind != "sensor":
            continue
        if department in (None, books.site.department_of(device)):
            gaps.append(Gap(ident, None, lasted))
    return sorted(gaps, key=lambda gap: (not gap.never, -(gap.missing or 0), -gap.silent, gap.device))


def _names(site: Site, alerts: Alerts | None, language: str) -> dict[str, dict[str, str]]:
    rules = {name: text.of(language) for name, text in RULES.items()}
    for line in () if alerts is None else alerts.rules:
        if line.key not in rules:
            try:
                rules[line.key] = rule_of(site, line.key).sentence.of(language).rstrip("。.")
            except KeyError:
                continue  # the site has it no more; it goes by its id
    return {
        "rule": rules,
        "zone": {zone.id: zone.title for zone in site.zones},
        "department": {department.id: department.name or department.id for department in site.departments},
        "device": {device.id: device.title for device in site.devices},
    }


# -- the file ---------------------------------------------------------------------------------------------------------


def _write(target: Path, text: str) -> None:
    """All or nothing: a report broken off leaves what stood there."""
    half = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        half.write_text(text, encoding="utf-8")
        half.replace(target)
    except OSError as error:
        half.unlink(missing_ok=True)
        raise InputError(f"{target} cannot be written ({error.strerror}); name another file with --out") from None


def _written(target: Path, language: str) -> str:
    if language == "zh":
        return f"已写入 {target}：用浏览器打开，按 A4 打印或另存为 PDF"
    return f"{target} is written: open it in a browser, which prints it on A4 or saves it as PDF"
