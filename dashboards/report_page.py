"""A report as one HTML file that a browser shows and prints on A4: nothing in it comes from elsewhere. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from building.instants import from_iso
from dashboards.report import Alerts, Line, Medium, Report, Unit, Waste
from dashboards.report_chart import days_chart, quota_bar
from dashboards.report_words import MEDIA, NOTHING, Wording, digits

_MOST_GAPS: Final = 20
_UNBROKEN: Final = 8  # rows of a table that is kept on one sheet
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_STYLE: Final = """
@page{size:A4;margin:15mm 14mm 16mm;@bottom-center{content:counter(page) " / " counter(pages);font-size:8pt;color:#666}}
*{box-sizing:border-box}
body{font-family:'Microsoft YaHei','PingFang SC','Noto Sans CJK SC',sans-serif;font-size:14px;line-height:1.5;
color:#1c2833;max-width:60em;margin:0 auto;padding:1.5em 1.2em;overflow-wrap:break-word;
-webkit-print-color-adjust:exact;print-color-adjust:exact}
h1{font-size:1.6em;margin:0 0 .2em;text-align:center}.period{text-align:center;margin:0 0 1.2em;color:#555}
h2{font-size:1.1em;margin:1.6em 0 .5em;padding-left:.5em;border-left:4px solid #1e8449;break-after:avoid}
h3{font-size:1em;margin:1em 0 .3em;break-after:avoid}
.key{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5em,1fr));gap:.6em;margin:0 0 1em}
.key div{border:1px solid #d5dbdb;border-radius:4px;padding:.5em .7em;break-inside:avoid}
.key b{display:block;font-size:1.45em;line-height:1.3;font-variant-numeric:tabular-nums}
.key small,.note{color:#666;font-size:.86em}
.wide{overflow-x:auto;margin:.3em 0;padding-right:1px}
table{border-collapse:collapse;width:100%;font-size:.9em;font-variant-numeric:tabular-nums}
th,td{border:1px solid #ccd1d1;padding:.28em .45em;text-align:right;vertical-align:top;white-space:nowrap}
th{background:#eef4f0;font-weight:600;text-align:center;white-space:normal;min-width:3.4em}
td.w{text-align:left;white-space:normal;min-width:5em;max-width:16em}
tr.sum td{font-weight:600;background:#f7f9f8}tr{break-inside:avoid}thead{display:table-header-group}
table.short{break-inside:avoid}figure{margin:.6em 0;break-inside:avoid}figcaption{font-weight:600;font-size:.95em}
svg{display:block;width:100%;height:auto}svg.quota{display:inline-block;width:7em;vertical-align:middle}
.up{color:#b03a2e}.down{color:#1e8449}.sign{display:flex;justify-content:space-between;margin:2.5em 0 0;gap:1em;
break-inside:avoid}.sign span{flex:1;border-bottom:1px solid #888;padding-bottom:.3em}
footer{margin-top:1.2em;border-top:1px solid #ccd1d1;padding-top:.5em}
@media print{body{font-size:9.5pt;max-width:none;padding:0}.wide{overflow:visible}
.key{grid-template-columns:repeat(auto-fit,minmax(30mm,1fr))}}
""".replace("\n", "")


def page(report: Report) -> str:
    """The whole file; everything that has a name is escaped."""
    say = Wording(report)
    parts = [
        f"<h1>{escape(say.title)}</h1>",
        f'<p class="period">{escape(say.period)}</p>',
        _note(say.note("holidays")) if report.holidays_unknown else "",
        _key_figures(say),
        *_uses(say),
        *_departments(say),
        *_alerts(say),
        *_balances(say),
        *_gaps(say),
        _signatures(say),
        f'<footer class="note">{escape(say.note("settled"))}<br>{escape(say.accounted)}</footer>',
    ]
    return (
        f'<!DOCTYPE html>\n<html lang="{"zh-CN" if say.zh else "en"}"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex">'
        f"<title>{escape(say.title)}</title><style>{_STYLE}</style></head>\n<body>"
        + "\n".join(part for part in parts if part)
        + "</body></html>\n"
    )


# -- pieces -----------------------------------------------------------------------------------------------------------


def _note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1, *, last_is_sum: bool = False) -> str:
    """``words``: so many columns are text. Cells are escaped; one that is HTML already is an ``_Html``."""
    told = list(rows)
    body = []
    for number, row in enumerate(told):
        cells = "".join(
            f"<td{' class=w' if place < words else ''}>{cell if isinstance(cell, _Html) else escape(cell)}</td>"
            for place, cell in enumerate(row)
        )
        summed = ' class="sum"' if last_is_sum and number == len(told) - 1 else ""
        body.append(f"<tr{summed}>{cells}</tr>")
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    short = ' class="short"' if len(told) <= _UNBROKEN else ""
    return f'<div class="wide"><table{short}><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'


class _Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def _section(title: str) -> str:
    return f"<h2>{escape(title)}</h2>"


# -- sections ---------------------------------------------------------------------------------------------------------


def _key_figures(say: Wording) -> str:
    """The few numbers that a leader looks for."""
    report, cards = say.report, []
    for medium in report.media:
        cards.append((say.use_of(medium.field), say.amount(medium.use, medium.field), _against(say, medium)))
    cards.append((say.with_unit(say("total_cost"), say.money), say.number(report.cost, 2), ""))
    cards.append((say.with_unit(say("carbon"), "kgCO₂"), say.number(report.kgco2),
                  f"{escape(say('coal'))} {say.number(report.coal)} kgce"))  # fmt: skip
    if report.alerts is not None:
        waste = report.alerts.total
        kwh = f"{say.number(waste.kwh)} {say.unit('energy')}"
        cards.append((say.with_unit(say("waste"), say.money), say.number(waste.cost, 2), escape(kwh)))
    shown = "".join(
        f"<div><small>{escape(head)}</small><b>{escape(number)}</b><small>{below or '&nbsp;'}</small></div>"
        for head, number, below in cards
    )
    return f'<div class="key">{shown}</div>'


def _against(say: Wording, medium: Medium) -> str:
    """How it compares, in a line of HTML."""
    told = [
        f"{escape(say(key))} {_change(say.change(medium.use, then))}"
        for key, then in (("change", medium.before), ("change_in_a_year", medium.year_ago))
    ]
    return " · ".join(told)


def _change(text: str) -> _Html:
    """More is red, less is green; what is unknown has no colour."""
    colour = {"+": "up", "-": "down"}.get(text[:1]) if text.endswith("%") and text[1:2].isdigit() else None
    return _Html(f'<span class="{colour}">{escape(text)}</span>' if colour else escape(text))


def _uses(say: Wording) -> list[str]:
    report, now, past = say.report, [], []
    for medium in report.media:
        use, field = medium.use, medium.field
        name = say.with_unit(say.of(MEDIA, field), say.unit(field))
        shares = [say.percent(share, 1) for share in (use.measured, use.estimated, use.missing)]
        now.append([name, say.amount(use, field), say.cost(use), say.coal(use, field), say.carbon(use, field), *shares])
        past.append(
            [name, say.amount(use, field), say.past(medium.before, field), _change(say.change(use, medium.before)),
             say.past(medium.year_ago, field), _change(say.change(use, medium.year_ago))]
        )  # fmt: skip
    now.append(
        [say("total"), "", say.number(report.cost, 2), say.number(report.coal), say.number(report.kgco2), "", "", ""]
    )
    heads = [say("medium"), say("amount"), say.with_unit(say("cost"), say.money), say.with_unit(say("coal"), "kgce"),
             say.with_unit(say("carbon"), "kgCO₂"), say("measured"), say("estimated"), say("missing")]  # fmt: skip
    parts = [_section(say("uses")), _table(heads, now, last_is_sum=True)]
    keys = ("medium", "now", "before", "change", "year_ago", "change_in_a_year")
    parts += [f"<h3>{escape(say('compared'))}</h3>", _table([say(key) for key in keys], past), _note(say.compared)]
    if any(not use.complete for one in report.media for use in (one.use, one.before, one.year_ago) if use):
        parts.append(_note(say.note("incomplete")))
    parts.append(_section(say("daily")))
    for medium in report.media:
        chart = days_chart(medium.days, say, digits(medium.field), say.unit(medium.field))
        parts.append(f"<figure><figcaption>{escape(say.use_of(medium.field))}</figcaption>{chart}</figure>")
    parts.append(_note(say.note("chart")))
    sentences = [sentence for medium in report.media if (sentence := say.rest(medium.field))]
    if sentences:
        parts.append(f"<h3>{escape(say('rest'))}</h3><p>{'<br>'.join(map(escape, sentences))}</p>")
    return parts


def _departments(say: Wording) -> list[str]:
    report, parts = say.report, []
    for field in ("energy", "volume"):
        units = [unit for unit in report.departments if field in unit.uses or field in unit.paces]
        if not units:
            continue
        rows = [_department(say, unit, field) for unit in units]
        if report.department is None:
            rows.append([say("all_units"), *_intensity(say, report.whole(field), field), "", "", ""])
        keys = ("department", "amount", "per_head", "per_area", "missing", "quota", "used", "gone")
        title = say.with_unit(say.of(MEDIA, field), say.unit(field))
        table = _table([say(key) for key in keys], rows, last_is_sum=report.department is None)
        parts += [f"<h3>{escape(title)}</h3>", table]
    return [_section(say("departments")), *parts, _note(say.note("intensity"))] if parts else []


def _department(say: Wording, unit: Unit, field: str) -> list[str]:
    pace = unit.paces.get(field)
    if pace is None:
        return [unit.name, *_intensity(say, unit, field), NOTHING, say.pace(unit, field), NOTHING]
    used = escape(say.pace(unit, field))
    bar = "" if pace.share is None else quota_bar(pace.share, pace.gone)
    return [unit.name, *_intensity(say, unit, field), say.number(pace.quota, 0), _Html(f"{bar} {used}"),
            say.percent(pace.gone)]  # fmt: skip


def _intensity(say: Wording, unit: Unit, field: str) -> list[str]:
    use = unit.uses.get(field)
    return [say.amount(use, field), say.number(unit.per_head(field), 2), say.number(unit.per_area(field), 3),
            NOTHING if use is None else say.percent(use.missing, 1)]  # fmt: skip


def _alerts(say: Wording) -> list[str]:
    alerts = say.report.alerts
    if alerts is None:
        return [_section(say("alerts")), _note(say.note("no_alerts"))]
    if not alerts.rules:
        return [_section(say("alerts")), f"<p>{escape(say.note('none_raised'))}</p>"]
    parts = [_section(say("alerts"))]
    parts.append(f"<p>{'<br>'.join(escape(text) for text in (say.answers, say.excused) if text)}</p>")
    parts.append(_lines(say, "rule", alerts.rules, alerts))
    if len(alerts.departments) > 1:
        parts.append(_lines(say, "department", alerts.departments, alerts))
    parts.append(_note(say.note("waste")))
    if alerts.costliest:
        parts += [f"<h3>{escape(say('costliest'))}</h3>", _costliest(say, alerts)]
    return parts


def _lines(say: Wording, key: str, lines: Sequence[Line], alerts: Alerts) -> str:
    rows = []
    for line in lines:
        name = say.rule(line) if key == "rule" else say.department(line.key)
        rows.append([name, str(line.raised), str(line.ended), str(line.open), *_waste(say, line.waste)])
    rows.append([say("waste"), "", "", "", *_waste(say, alerts.total)])
    heads = [say(key), say("raised"), say("ended"), say("open"), say("kwh"), say("litres"),
             say.with_unit(say("cost"), say.money), say.with_unit(say("carbon"), "kgCO₂")]  # fmt: skip
    return _table(heads, rows, last_is_sum=True)


def _waste(say: Wording, waste: Waste) -> list[str]:
    return [
        say.number(waste.kwh, 1),
        say.number(waste.litres, 0),
        say.number(waste.cost, 2),
        say.number(waste.kgco2, 1),
    ]


def _costliest(say: Wording, alerts: Alerts) -> str:
    rows = []
    for one in alerts.costliest:
        about = "~" if one.estimated else ""
        amounts = [cell if cell == NOTHING else about + cell for cell in _waste(say, one.waste)]
        lasted = say.length(from_iso(one.ended) - from_iso(one.since))
        rows.append([say.report.name("rule", one.rule), say.place(one), say.report.name("department", one.department),
                     say.since(one), lasted, say.reason(one), *amounts[:3]])  # fmt: skip
    heads = [say("rule"), say("place"), say("department"), say("since"), say("lasted"), say("answer"), say("kwh"),
             say("litres"), say.with_unit(say("cost"), say.money)]  # fmt: skip
    return _table(heads, rows, 6)


def _balances(say: Wording) -> list[str]:
    rows = []
    for one in say.report.balances:
        cells = [NOTHING] * 4
        if one.above is not None and one.below is not None:
            places, apart = digits(one.field), one.above - one.below
            cells = [say.number(one.above, places), say.number(one.below, places), say.number(apart, places),
                     say.percent(apart / one.above if one.above else None, 1)]  # fmt: skip
        rows.append([say.with_unit(say.report.name("device", one.device), say.unit(one.field)), *cells, str(one.days)])
    keys = ("meter", "above", "below", "apart", "apart_share", "days")
    if not rows:
        return []
    return [_section(say("balances")), _table([say(key) for key in keys], rows), _note(say.note("balances"))]


def _gaps(say: Wording) -> list[str]:
    gaps = say.report.gaps
    if not gaps:
        return [_section(say("gaps")), f"<p>{escape(say.note('no_gaps'))}</p>"]
    rows = [[say.report.name("device", gap.device), gap.device, say.missing(gap), say.silent(gap)]
            for gap in gaps[:_MOST_GAPS]]  # fmt: skip
    if len(gaps) > _MOST_GAPS:
        rows.append([f"+ {len(gaps) - _MOST_GAPS}", "", "", ""])
    return [_section(say("gaps")), _table([say("device"), "id", say("missing"), say("silent")], rows, 2)]


def _signatures(say: Wording) -> str:
    names = (
        ("填表人：", "审核人：", "单位负责人：", "日期：") if say.zh else ("Made by:", "Checked by:", "Head:", "Date:")
    )
    return f'<div class="sign">{"".join(f"<span>{escape(name)}</span>" for name in names)}</div>'


__all__ = ["Report", "page"]
