"""The picture in a message: 24 hours of the signal, its limit, who was there, and the stretch the alert is about.

Drawn without a screen by matplotlib (the extra ``pictures``). Chinese where a font has every letter that is needed,
else English: an empty box says nothing to anybody.
"""

from __future__ import annotations

import importlib.util
import io
import logging
import math
import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from building.quantities import QUANTITIES
from rules.wording import day_of, quantity_name

FONTS: Final = (
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN", "Microsoft YaHei", "PingFang SC",
    "Hiragino Sans GB", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "SimHei", "SimSun", "Noto Sans CJK JP",
)  # fmt: skip
"""Fonts with Chinese letters, the better ones first."""

_LATIN: Final = "DejaVu Sans"  # comes with matplotlib
_INCHES: Final = (6.4, 3.2)  # small, so that the words can be read on a phone
_DPI: Final = 125
_MOST_POINTS: Final = 3000
_HOUR: Final = 3_600_000
_drawing = threading.Lock()  # matplotlib's font cache is not made for several threads

_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "zh": {"limit": "限值", "present": "有人", "stretch": "告警时段"},
    "en": {"limit": "limit", "present": "occupied", "stretch": "alert"},
}


class Signal(NamedTuple):
    """What is drawn. Instants in ms UTC; ``presence`` are stretches in which somebody was there; ``limit`` may be
    None; ``end`` None while the alert is open."""

    title: str
    name: str  # shown where the title cannot be: letters that every font has
    quantity: str
    times: Sequence[int]
    values: Sequence[float]
    start: int
    until: int
    since: int
    end: int | None
    limit: float | None = None
    presence: Sequence[tuple[int, int]] = ()
    gap: int | None = None  # ms without a reading over which no line is drawn: what was then is not known


def available() -> bool:
    """Whether the extra ``pictures`` is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def draw(signal: Signal, tz: ZoneInfo, language: str, fonts: Iterable[str] = FONTS) -> bytes:
    """A PNG of ``signal``."""
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # it warns of fonts that have one weight
    with _drawing:
        families, language = _families(signal, language, tuple(fonts))
        title = signal.title if _can_show(signal.title, families) else _ascii(signal.name)
        return _draw(signal, tz, title, language, families)


def _draw(signal: Signal, tz: ZoneInfo, title: str, language: str, families: Sequence[str]) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    words, quantity = _WORDS[language], QUANTITIES[signal.quantity]
    font: dict[str, Any] = {"fontfamily": list(families)}
    figure = Figure(figsize=_INCHES, dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for begin, finish in signal.presence:
        axes.axvspan(begin, finish, color="#27ae60", alpha=0.15, lw=0)
    if signal.presence:
        axes.axvspan(signal.start, signal.start, color="#27ae60", alpha=0.3, lw=0, label=words["present"])
    end = signal.until if signal.end is None else signal.end
    axes.axvspan(signal.since, end, color="#e74c3c", alpha=0.2, lw=0, label=words["stretch"])
    steps = "steps-post" if quantity.nature.value == "state" else "default"
    axes.plot(*_line(signal), color="#2c3e50", lw=1.3, drawstyle=steps)
    if signal.limit is not None:
        axes.axhline(signal.limit, color="#c0392b", ls="--", lw=1, label=f"{words['limit']} {signal.limit:g}")
    axes.set_xlim(signal.start, signal.until)
    axes.set_title(title, loc="left", fontsize=12, **font)
    label, unit = quantity_name(quantity.name, language), quantity.unit.replace("m3", "m³")
    axes.set_ylabel(f"{label} ({unit})" if unit else label, **font)
    marks = _marks(signal.start, signal.until, tz)
    axes.set_xticks(marks, [_mark(_local(at, tz), first=at == marks[0], language=language) for at in marks], **font)
    axes.yaxis.set_major_formatter(lambda value, place: f"{value:g}")  # an ASCII minus: some fonts lack the other
    axes.grid(alpha=0.25)
    axes.legend(loc="upper left", fontsize=9, prop={"family": list(families)}, framealpha=0.8)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()


def _line(signal: Signal) -> tuple[list[float], list[float]]:
    """Points of the line; a point without value stands in every gap. Of very many, the highest and lowest stay."""
    width = max(1, 2 * len(signal.times) // _MOST_POINTS)
    times: list[float] = []
    values: list[float] = []
    last = None
    for first in range(0, len(signal.times), width):
        part = range(first, min(first + width, len(signal.times)))
        ends = {min(part, key=signal.values.__getitem__), max(part, key=signal.values.__getitem__), part[0], part[-1]}
        for place in sorted(ends if width > 1 else part):
            at = signal.times[place]
            if signal.gap is not None and last is not None and at - last > signal.gap:
                times.append((last + at) / 2)
                values.append(math.nan)
            times.append(float(at))
            values.append(signal.values[place])
            last = at
    return times, values


def _marks(start: int, until: int, tz: ZoneInfo) -> list[int]:
    """Every third full hour of the local day."""
    hours = range(start - start % _HOUR + _HOUR, until + 1, _HOUR)
    return [at for at in hours if _local(at, tz).hour % 3 == 0]


def _mark(local: datetime, *, first: bool, language: str) -> str:
    """The hour; below the first and below midnight the day, too."""
    day = day_of(local.isoformat(), language)
    return f"{local:%H:%M}\n{day}" if first or local.hour == 0 else f"{local:%H:%M}"


def _local(moment: int, tz: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(moment / 1000, UTC).astimezone(tz)


def _families(signal: Signal, language: str, fonts: Sequence[str]) -> tuple[list[str], str]:
    """Fonts that can show the words in ``language``, else English ones; the first Chinese one that is installed."""
    families = [*_installed(fonts)[:1], _LATIN]
    words = "月日" + "".join(_WORDS["zh"].values()) + quantity_name(signal.quantity, "zh")
    if language == "zh" and not _can_show(words, families):
        language = "en"
    return families, language


def _installed(fonts: Iterable[str]) -> list[str]:
    from matplotlib.font_manager import fontManager

    known = {entry.name for entry in fontManager.ttflist}
    return [name for name in fonts if name in known]


def _can_show(text: str, families: Iterable[str]) -> bool:
    """Whether one font or another has every letter of ``text``."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    faces = [get_font(findfont(FontProperties(family=[family]))) for family in families]
    return all(any(face.get_char_index(ord(letter)) for face in faces) for letter in text if not letter.isspace())


def _ascii(text: str) -> str:
    """Letters that every font has."""
    return text.encode("ascii", "ignore").decode().strip(" -:·")
