"""A report as tables at a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from building.instants import from_iso
from dashboards.report import Day, Report, Unit, Waste
from dashboards.report_words import MEDIA, NOTHING, Wording, digits
from greenwarden import terminal

_BAR: Final = 20  # letters of the longest
_MOST_GAPS: Final = 20
_MOST_DAYS: Final = 62  # one by one
_FROM_BEST: Final = ("measured", "settled", "estimated", "missing")
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"


def show(report: Report) -> None:
    """Tell ``report``, section by section; what there is nothing to tell of is left out or said in a sentence."""
    say = Wording(report)
    terminal.say(say.title)
    terminal.say(say.period)
    if report.holidays_unknown:
        terminal.say(say.note("holidays"))
    _uses(say)
    _days(say)
    _rest(say)
    _departments(say)
    _balances(say)
    _alerts(say)
    _gaps(say)
    terminal.say(say.accounted)


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> None:
    """``words``: so many columns are text; the others are numbers."""
    terminal.out.print(terminal.table(title, heads, rows, right=range(words, len(heads))))


def _uses(say: Wording) -> None:
    report = say.report
    now, past = [], []
    for medium in report.media:
        use, field = medium.use, medium.field
        name = say.with_unit(say.of(MEDIA, field), say.unit(field))
        shares = [say.percent(share, 1) for share in (use.measured, use.estimated, use.missing)]
        now.append([name, say.amount(use, field), say.cost(use), say.coal(use, field), say.carbon(use, field), *shares])
        past.append(
            [name, say.amount(use, field), say.past(medium.before, field), say.change(use, medium.before),
             say.past(medium.year_ago, field), say.change(use, medium.year_ago)]
        )  # fmt: skip
    now.append(
        [say("total"), "", say.number(report.cost, 2), say.number(report.coal), say.number(report.kgco2), *[""] * 3]
    )
    heads = [say("medium"), say("amount"), say.with_unit(say("cost"), say.money), say.with_unit(say("coal"), "kgce"),
             say.with_unit(say("carbon"), "kgCO₂"), say("measured"), say("estimated"), say("missing")]  # fmt: skip
    _table(say("uses"), heads, now)
    keys = ("medium", "now", "before", "change", "year_ago", "change_in_a_year")
    _table(say("compared"), [say(key) for key in keys], past)
    terminal.say(say.compared)
    if any(not use.complete for medium in report.media for use in (medium.use, medium.before, medium.year_ago) if use):
        terminal.say(say.note("incomplete"))


def _days(say: Wording) -> None:
    """Day by day; of a long time month by month."""
    media = say.report.media
    by_month = say.report.period.span.days > _MOST_DAYS
    found = [_months(medium.days) if by_month else list(medium.days) for medium in media]
    highest = [max((day.amount or 0.0 for day in days), default=0.0) for days in found]
    rows = []
    for number, day in enumerate(found[0]):
        row = [f"{day.day:%Y-%m}", ""] if by_month else [f"{day.day:%m-%d}", "" if day.workday else say("off")]
        for medium, days, most in zip(media, found, highest, strict=True):
            row += [_amount(say, days[number], medium.field), _bar(days[number].amount or 0.0, most)]
        rows.append(row)
    heads = [say("day"), "", *(part for medium in media for part in (say.use_of(medium.field), ""))]
    title = say("monthly" if by_month else "daily")
    terminal.out.print(terminal.table(title, heads, rows, right=range(2, len(heads), 2)))


def _months(days: Sequence[Day]) -> list[Day]:
    """The sums of whole or begun months, each as well known as the worst of its days."""
    found = []
    for _, group in groupby(days, key=lambda day: (day.day.year, day.day.month)):
        these = list(group)
        known = [day.amount for day in these if day.amount is not None]
        worst = max((day.state for day in these), key=_FROM_BEST.index)
        found.append(Day(these[0].day, True, sum(known) if known else None, worst))
    return found


def _amount(say: Wording, day: Day, field: str) -> str:
    """A day that is not measured says so."""
    if day.amount is None:
        return say("missing")
    mark = "" if day.state in ("measured", "settled") else f" {say.state(day.state)}"
    return say.number(day.amount, digits(field)) + mark


def _bar(value: float, most: float) -> str:
    eighths = round(8 * _BAR * value / most) if most > 0 else 0
    whole, part = divmod(eighths, 8)
    return "█" * whole + (_EIGHTHS[part] if part else "")


def _rest(say: Wording) -> None:
    sentences = [sentence for medium in say.report.media if (sentence := say.rest(medium.field))]
    if sentences:
        terminal.say(say("rest"))
    for sentence in sentences:
        terminal.say(f"  {sentence}")


def _departments(say: Wording) -> None:
    report = say.report
    for field in ("energy", "volume"):
        units = [unit for unit in report.departments if field in unit.uses or field in unit.paces]
        if not units:
            continue
        rows = [_department(say, unit, field) for unit in units]
        if report.department is None:
            rows.append([say("all_units"), *_intensity(say, report.whole(field), field), "", "", ""])
        keys = ("department", "amount", "per_head", "per_area", "missing", "quota", "used", "gone")
        title = say.with_unit(f"{say('departments')} · {say.of(MEDIA, field)}", say.unit(field))
        _table(title, [say(key) for key in keys], rows)


def _department(say: Wording, unit: Unit, field: str) -> list[str]:
    pace = unit.paces.get(field)
    quota, gone = (NOTHING, NOTHING) if pace is None else (say.number(pace.quota, 0), say.percent(pace.gone))
    return [unit.name, *_intensity(say, unit, field), quota, say.pace(unit, field), gone]


def _intensity(say: Wording, unit: Unit, field: str) -> list[str]:
    use = unit.uses.get(field)
    return [
        say.amount(use, field), say.number(unit.per_head(field), 2), say.number(unit.per_area(field), 3),
        NOTHING if use is None else say.percent(use.missing, 1),
    ]  # fmt: skip


def _balances(say: Wording) -> None:
    rows = []
    for one in say.report.balances:
        cells = [NOTHING] * 4
        if one.above is not None and one.below is not None:
            places = digits(one.field)
            share = None if not one.above else (one.above - one.below) / one.above
            cells = [say.number(one.above, places), say.number(one.below, places),
                     say.number(one.above - one.below, places), say.percent(share, 1)]  # fmt: skip
        rows.append([say.report.name("device", one.device), say.unit(one.field), *cells, str(one.days)])
    if rows:
        keys = ("meter", "above", "below", "apart", "apart_share", "days")
        heads = [say(key) for key in keys]
        _table(say("balances"), [heads[0], "", *heads[1:]], rows, 2)


def _alerts(say: Wording) -> None:
    alerts = say.report.alerts
    if alerts is None:
        terminal.say(say.note("no_alerts"))
        return
    if not alerts.rules:
        terminal.say(f"{say('alerts')}: {say.note('none_raised')}")
        return
    for key, lines in (("rule", alerts.rules), ("department", alerts.departments)):
        rows = []
        for line in lines:
            name = say.rule(line) if key == "rule" else say.department(line.key)
            rows.append([name, str(line.raised), str(line.ended), str(line.open), *_waste(say, line.waste)])
        rows.append([say("waste"), "", "", "", *_waste(say, alerts.total)])
        heads = [say(key), say("raised"), say("ended"), say("open"), say("kwh"), say("litres"),
                 say.with_unit(say("cost"), say.money), say.with_unit(say("carbon"), "kgCO₂")]  # fmt: skip
        if key == "rule" or len(lines) > 1:
            _table(say(f"by_{key}"), heads, rows)
    terminal.say(say.note("waste"))
    terminal.say(say.answers)
    if say.excused:
        terminal.say(say.excused)
    rows = list(_costliest(say))
    if rows:
        heads = [say("rule"), say("place"), say("answer"), say("since"), say("lasted"), say("kwh"), say("litres"),
                 say.with_unit(say("cost"), say.money)]  # fmt: skip
        _table(say("costliest"), heads, rows, 3)


def _waste(say: Wording, waste: Waste) -> list[str]:
    return [
        say.number(waste.kwh, 1),
        say.number(waste.litres, 0),
        say.number(waste.cost, 2),
        say.number(waste.kgco2, 1),
    ]


def _costliest(say: Wording) -> Iterator[list[str]]:
    for one in () if say.report.alerts is None else say.report.alerts.costliest:
        lasted = say.length(from_iso(one.ended) - from_iso(one.since))
        amounts = _waste(say, one.waste)[:3]
        if one.estimated:
            amounts = [amount if amount == NOTHING else f"~{amount}" for amount in amounts]
        yield [say.report.name("rule", one.rule), say.place(one), say.reason(one), say.since(one), lasted, *amounts]


def _gaps(say: Wording) -> None:
    gaps = say.report.gaps
    if not gaps:
        terminal.say(say.note("no_gaps"))
        return
    rows = [[say.report.name("device", gap.device), gap.device, say.missing(gap), say.silent(gap)]
            for gap in gaps[:_MOST_GAPS]]  # fmt: skip
    if len(gaps) > _MOST_GAPS:
        rows.append([f"+ {len(gaps) - _MOST_GAPS}", "", "", ""])
    _table(say("gaps"), [say("device"), "id", say("missing"), say("silent")], rows, 2)
