"""Working hours and seasons, as devices.yaml writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Final

from pydantic import BeforeValidator

from building.errors import shown
from building.fields import Frozen

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SPAN: Final = re.compile(r"(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})$")


class Span(Frozen):
    """A stretch of one day, in minutes after midnight, end exclusive; ``end`` may be 1440."""

    start: int
    end: int


Hours = tuple[tuple[Span, ...], ...]
"""Working hours: seven entries, Monday first, each the spans of that day."""


def _spans(texts: object) -> tuple[Span, ...]:
    if isinstance(texts, str):
        texts = (texts,)
    if not isinstance(texts, tuple):
        raise ValueError('working hours are spans such as ["08:30-12:00", "13:30-17:30"]')
    spans = []
    for text in texts:
        match = _SPAN.match(text) if isinstance(text, str) else None
        if match is None:
            raise ValueError(f"{shown(text)} is not a span such as 08:30-12:00")
        h1, m1, h2, m2 = map(int, match.groups())
        start, end = h1 * 60 + m1, h2 * 60 + m2
        if m1 > 59 or m2 > 59 or end > 1440 or start >= end:
            raise ValueError(f"{text!r} does not run from an earlier to a later time of one day")
        spans.append(Span(start=start, end=end))
    spans.sort(key=lambda span: span.start)
    if any(a.end > b.start for a, b in pairwise(spans)):
        raise ValueError("the spans of one day overlap")
    return tuple(spans)


def working_hours(value: object) -> Hours:
    """``{mon-fri: ["08:30-12:00", "13:30-17:30"]}`` as Hours. Raises ValueError with what is accepted."""
    if not isinstance(value, Mapping):
        raise ValueError('working hours look like {mon-fri: ["08:30-12:00", "13:30-17:30"]}')
    days: list[tuple[Span, ...]] = [()] * 7
    for key, texts in value.items():
        for part in str(key).replace(" ", "").split(","):
            first, _, last = part.partition("-")
            if first not in _DAYS or (last and last not in _DAYS):
                raise ValueError(f"{shown(key)} is no day; write mon, tue, wed, thu, fri, sat, sun or mon-fri")
            begin, end = _DAYS.index(first), _DAYS.index(last or first)
            if end < begin:
                raise ValueError(f"{shown(key)} runs backwards; write it as two entries")
            for day in range(begin, end + 1):
                days[day] = _spans(texts)
    return tuple(days)


WorkingHours = Annotated[Hours, BeforeValidator(working_hours)]

_DAYS_OF: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_MONTH_DAY: Final = re.compile(r"(\d{2})-(\d{2})\.\.(\d{2})-(\d{2})$")


class Season(Frozen):
    """Part of every year, both ends included, as (month, day); it may run over the turn of the year."""

    first: tuple[int, int]
    last: tuple[int, int]

    def holds(self, month: int, day: int) -> bool:
        here = (month, day)
        if self.first <= self.last:
            return self.first <= here <= self.last
        return here >= self.first or here <= self.last


def _season(value: object) -> object:
    if value == "none":
        return None
    match = _MONTH_DAY.match(value) if isinstance(value, str) else None
    if match is not None:
        a, b, c, d = map(int, match.groups())
        if all(1 <= month <= 12 and 1 <= day <= _DAYS_OF[month - 1] for month, day in ((a, b), (c, d))):
            return Season(first=(a, b), last=(c, d))
    raise ValueError(f"{shown(value)} is not a season such as 06-01..09-30, or none")


SeasonField = Annotated[Season | None, BeforeValidator(_season)]
