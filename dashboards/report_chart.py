"""Charts of a report, drawn as SVG that stands in the page itself. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Final

from dashboards.report import Day
from dashboards.report_words import Wording

_WIDTH, _HEIGHT = 760.0, 150.0  # of the whole; the browser scales it
_LEFT, _BOTTOM, _TOP = 52.0, 18.0, 8.0
_WORKDAY, _DAY_OFF, _ESTIMATED, _INK, _LINE = "#1e8449", "#a9dfbf", "#d68910", "#555", "#e3e8e6"
_MOST_LABELS: Final = 31  # of days; where there are more, months are named
_HATCH: Final = (
    '<defs><pattern id="none" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect width="6" height="6" fill="#fff"/><line x1="0" y1="0" x2="0" y2="6" stroke="#aab7b8" stroke-width="2"/>'
    "</pattern></defs>"
)


def days_chart(days: Sequence[Day], say: Wording, digits: int, unit: str) -> str:
    """A bar for each day: dark on working days, light on others, orange where it is estimated or in part missing,
    hatched over the whole height where nothing is known."""
    top = _round_above(max((day.amount or 0.0 for day in days), default=0.0))
    plot_width, plot_height = _WIDTH - _LEFT, _HEIGHT - _BOTTOM - _TOP
    step = plot_width / max(1, len(days))
    long = len(days) > _MOST_LABELS
    parts = [_HATCH, *(_level(share, top, plot_height) for share in (0.0, 0.5, 1.0))]
    for number, day in enumerate(days):
        left = _LEFT + number * step + step * 0.12
        parts.append(_bar(day, left, step * 0.76, plot_height, top, _told(day, say, digits, unit)))
        if not long:
            parts.append(_text(left + step * 0.38, _HEIGHT - 4, str(day.day.day), "middle"))
        elif day.day.day == 1:
            parts.append(_text(left, _HEIGHT - 4, say.month(day.day), "start"))
    name = escape(f"{say('daily')}, {unit}")
    return f'<svg viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" aria-label="{name}">{"".join(parts)}</svg>'


def _told(day: Day, say: Wording, digits: int, unit: str) -> str:
    amount = say("no_data") if day.amount is None else f"{say.number(day.amount, digits)} {unit}"
    kind = say("workday") if day.workday else say("day_off")
    return f"{day.day.isoformat()} {kind}: {amount} ({say.state(day.state)})"


def _bar(day: Day, left: float, width: float, height: float, top: float, told: str) -> str:
    if day.amount is None:
        tall, colour = height, "url(#none)"
    else:
        tall = height * day.amount / top if top else 0.0
        colour = _WORKDAY if day.workday else _DAY_OFF
        if day.state in ("estimated", "missing"):
            colour = _ESTIMATED
    tall = max(0.0, tall)
    return (
        f'<rect x="{left:.1f}" y="{_TOP + height - tall:.1f}" width="{width:.1f}" height="{tall:.1f}" '
        f'fill="{colour}"><title>{escape(told)}</title></rect>'
    )


def _level(share: float, top: float, height: float) -> str:
    y = _TOP + height * (1 - share)
    line = f'<line x1="{_LEFT:g}" x2="{_WIDTH:g}" y1="{y:.1f}" y2="{y:.1f}" stroke="{_LINE if share else _INK}"/>'
    return line + _text(_LEFT - 5, y + 4, f"{top * share:,g}", "end")


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="11" fill="{_INK}" text-anchor="{anchor}">{escape(text)}</text>'


def _round_above(value: float) -> float:
    """The next of 1, 2, 4, 6, 8 times a power of ten: its half is a round number too."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 6, 8, 10, 20) if step * power >= value)


def quota_bar(used: float, gone: float) -> str:
    """The part of a quota that is used as a bar, and the part of the year that is gone as a line across it."""
    whole, high = 100.0, 12.0
    scale = whole / max(1.0, used)
    colour = "#b03a2e" if used > gone else _WORKDAY
    return (
        f'<svg class="quota" viewBox="0 0 {whole:g} {high:g}" aria-hidden="true">'
        f'<rect width="{scale:.1f}" height="{high:g}" fill="#e8eceb"/>'
        f'<rect width="{used * scale:.1f}" height="{high:g}" fill="{colour}"/>'
        f'<line x1="{gone * scale:.1f}" x2="{gone * scale:.1f}" y1="0" y2="{high:g}" stroke="#17202a" '
        'stroke-width="2"/></svg>'
    )
