"""``simulate --plot``: one simulated day as a picture: load, presence, what was so, and what the rules said."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from building.errors import ConfigError, InputError
from building.site import Site
from rules.alerts import Alert
from simulators.building import OfficeBuilding
from simulators.courses import Course, total
from simulators.days import Day

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FONTS: Final = (
    "Noto Sans CJK SC",
    "WenQuanYi Zen Hei",
    "Noto Sans CJK JP",
    "Microsoft YaHei",
    "SimHei",
    "PingFang SC",
)
_CIRCUITS: Final = (
    ("lighting", "照明", "lighting", "#f2b705"),
    ("aircon", "空调", "air conditioning", "#2f7fc1"),
    ("plug", "插座", "plugs", "#7a5195"),
    ("other", "其他", "other", "#8a8a8a"),
)
_MOST_LINES: Final = 24


def draw_day(path: Path, site: Site, building: OfficeBuilding, days: Sequence[Day], alerts: Sequence[Alert]) -> None:
    """Draw the first of ``days`` that has an alert into a PNG. Raises ConfigError without matplotlib, InputError."""
    try:
        import matplotlib as mpl
    except ImportError:
        raise ConfigError("--plot needs matplotlib; install it with: pip install 'greenwarden[plot]'") from None
    mpl.use("Agg")
    from matplotlib import font_manager, pyplot

    known = {font.name for font in font_manager.fontManager.ttflist}
    font = next((name for name in _FONTS if name in known), None)
    chinese = site.site.language == "zh" and font is not None  # without such a font there would be boxes
    mpl.rcParams["font.family"] = [font, "DejaVu Sans"] if font and chinese else ["DejaVu Sans"]
    mpl.rcParams["axes.unicode_minus"] = False  # WenQuanYi has no U+2212
    day = next((day for day in days if any(day.begin <= alert.since < day.end for alert in alerts)), days[0])
    drawing = _Drawing(site, building, day, alerts, chinese)
    lines = drawing.lines()
    heights = [3.2, 1.6, max(1.6, 0.24 * len(lines))]
    figure, axes = pyplot.subplots(
        3, 1, figsize=(12, 2.2 + sum(heights)), sharex=True, height_ratios=heights, layout="constrained"
    )
    drawing.load(axes[0])
    drawing.presence(axes[1])
    drawing.judgements(axes[2], lines)
    figure.suptitle(drawing.title)
    try:
        figure.savefig(path, dpi=110)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        pyplot.close(figure)


class _Drawing:
    def __init__(self, site: Site, building: OfficeBuilding, day: Day, alerts: Sequence[Alert], chinese: bool) -> None:
        self._site, self._building, self._day, self._chinese = site, building, day, chinese
        self._tz: tzinfo = site.site.tz
        self._alerts = [alert for alert in alerts if alert.since < day.end and (alert.ended or day.end) > day.begin]

    def _word(self, zh: str, en: str) -> str:
        return zh if self._chinese else en

    @property
    def title(self) -> str:
        when = self._hour(self._day.begin).strftime("%Y-%m-%d")
        name = self._site.site.name if self._chinese else "simulated building"
        return f"{name}  {when}"

    def _hour(self, moment: float) -> datetime:
        """Local wall clock without zone: what matplotlib is to show."""
        return datetime.fromtimestamp(moment / 1000, UTC).astimezone(self._tz).replace(tzinfo=None)

    def load(self, axes: Axes) -> None:
        """Power by use, stacked; what is behind another use's meter counts once."""
        day, grid = self._day, self._day.grid
        groups: dict[str, list[Course]] = {key: [] for key, *_ in _CIRCUITS}
        place_of = self._building.installation.places
        for place in place_of.values():
            groups["lighting"] += [day.power[ident] for ident in place.lamps]
            groups["aircon"] += [day.power[ident] for ident in place.aircons]
            groups["plug"] += [day.power[ident] for ident in (*place.plugs, *place.sockets)]
        for device in self._site.devices:
            leaf = device.id not in self._building.installation.children
            if device.kind == "electricity" and leaf and device.circuit in ("lift", "pump", "other"):
                groups["other"].append(day.power[device.id])
        stacks = [(key, zh, en, colour) for key, zh, en, colour in _CIRCUITS if groups[key]]
        watts = [total(groups[key], day.begin, day.end).sample(grid) / 1000 for key, *_ in stacks]
        hours = [self._hour(moment) for moment in grid.tolist()]
        if stacks:  # else nothing of the site draws power, or only its main meter is known
            axes.stackplot(
                hours,  # type: ignore[arg-type]  # dates are its numbers
                *watts,
                labels=[self._word(zh, en) for _, zh, en, _ in stacks],
                colors=[c for *_, c in stacks],
            )
            axes.legend(loc="upper left", fontsize=8, frameon=False, ncols=4)
        axes.set_ylabel("kW")
        axes.set_title(self._word("负荷", "load"), loc="left", fontsize=10)

    def presence(self, axes: Axes) -> None:
        """How many people there are, and outdoor air and light."""
        day = self._day
        hours = [self._hour(moment) for moment in day.grid.tolist()]
        zones = [zone.id for zone in self._site.zones if zone.use not in ("corridor",)]
        people = np.sum([day.people[zone].sample(day.grid) for zone in zones], axis=0) if zones else day.grid * 0
        axes.fill_between(
            hours,  # type: ignore[arg-type]  # dates are its numbers
            people,
            step="post",
            color="#4f9d69",
            alpha=0.75,
            linewidth=0,
            label=self._word("人数", "people"),
        )
        axes.set_ylabel(self._word("人", "people"))
        axes.set_title(self._word("人数、室外气温与日照", "people, outdoor air and daylight"), loc="left", fontsize=10)
        other: Any = axes.twinx()
        other.plot(hours, day.sky.outdoor, color="#c8553d", linewidth=1, label=self._word("室外气温", "outdoor air"))
        other.set_ylabel("°C", color="#c8553d")
        other.fill_between(
            hours, other.get_ylim()[0], other.get_ylim()[0] + day.sky.daylight / 110_000 * np.ptp(other.get_ylim()),
            color="#f7d774", alpha=0.35, linewidth=0, label=self._word("日照", "daylight"),
        )  # fmt: skip
        shown = [axes.get_legend_handles_labels(), other.get_legend_handles_labels()]
        handles, labels = ([*left, *right] for left, right in zip(*shown, strict=True))
        other.legend(handles, labels, loc="upper left", fontsize=8, frameon=False)

    def lines(self) -> list[tuple[str, str]]:
        """(rule, device) of all that was so or was said on the day."""
        day = self._day
        due = [
            one for one in self._building.truth.all_due(1 << 62)
            if one.since is not None and one.since < day.end and (one.ended or day.end) > day.begin
        ]  # fmt: skip
        self._due = due
        pairs = {(one.rule, one.device) for one in due} | {(alert.rule, _about(alert)) for alert in self._alerts}
        return sorted(pairs)[:_MOST_LINES]

    def judgements(self, axes: Axes, lines: Sequence[tuple[str, str]]) -> None:
        """Bars: what was so above, what the rules said below."""
        day = self._day
        for number, (rule, ident) in enumerate(lines):
            for one in self._due:
                if (one.rule, one.device) == (rule, ident) and one.since is not None:
                    self._bar(axes, number - 0.19, one.since, one.ended or day.end, "#b7b7b7")
            for alert in self._alerts:
                if (alert.rule, _about(alert)) == (rule, ident):
                    self._bar(axes, number + 0.19, alert.raised, alert.ended or day.end, "#c8553d")
        names = {device.id: device.title for device in self._site.devices}
        names |= {department.id: department.name or department.id for department in self._site.departments}
        axes.set_yticks(
            range(len(lines)),
            [f"{rule}  {names.get(ident, ident) if self._chinese else ident}" for rule, ident in lines],
            fontsize=8,
        )
        axes.set_ylim(len(lines) - 0.4, -0.6)
        axes.set_title(
            self._word(
                "灰：真实情况；红：告警（从发出到结束）", "grey: what was so; red: the alert, once it was raised"
            ),
            loc="left",
            fontsize=10,
        )
        from matplotlib.dates import DateFormatter, HourLocator

        axes.xaxis.set_major_locator(HourLocator(interval=2))  # type: ignore[no-untyped-call]  # matplotlib's
        axes.xaxis.set_major_formatter(DateFormatter("%H:%M"))  # type: ignore[no-untyped-call]  # matplotlib's
        axes.set_xlim(self._hour(day.begin), self._hour(day.end))  # type: ignore[arg-type]  # dates are its numbers
        axes.grid(axis="x", alpha=0.3)

    def _bar(self, axes: Axes, height: float, start: int, end: int, colour: str) -> None:
        left, right = max(start, self._day.begin), min(end, self._day.end)
        if right > left:
            axes.barh(height, self._hour(right) - self._hour(left), left=self._hour(left), height=0.34, color=colour)  # type: ignore[arg-type]  # dates are its numbers


def _about(alert: Alert) -> str:
    """The device, or the department where the alert is about none."""
    return alert.device or alert.department or ""
