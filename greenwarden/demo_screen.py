"""What the demo shows: live readings and alerts while the day runs, and the closing tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from building.clock import Clock
from building.quantities import QUANTITIES
from building.readings import Reading
from building.site import Device, Site
from greenwarden import terminal
from greenwarden.demo_outcome import Outcome
from rules.channels import Message
from rules.wording import money
from simulators.truth import Expected

_SHOWN: Final = ("active_power", "flow", "setpoint", "temperature", "occupancy", "illuminance", "mode", "on", "volume")
_PER_DEVICE: Final = 3
_OPEN_SHOWN: Final = 6
_HOUR: Final = 3_600_000
_WIDE: Final = 100  # columns from which the table of faults fits whole
_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "zh": {
        "title": "绿哨 演示", "alerts": "此刻正在浪费", "none": "无",
        "count": "已收读数", "speed": "倍速", "raised": "告警", "resolved": "已结束",
        "occupancy 0": "无人", "occupancy 1": "有人", "on 0": "断开", "on 1": "接通",
        "off": "关机", "cool": "制冷", "heat": "制热", "auto": "自动", "dry": "除湿", "fan": "送风",
    },
    "en": {
        "title": "Greenwarden demo", "alerts": "being wasted now",
        "none": "nothing", "count": "readings", "speed": "times real time", "raised": "ALERT", "resolved": "over",
        "occupancy 0": "empty", "occupancy 1": "somebody", "on 0": "off", "on 1": "on",
    },
}  # fmt: skip


class Screen:
    """A live picture on a terminal; plain lines where the output is no terminal; nothing at all when ``quiet``."""

    def __init__(self, site: Site, clock: Clock, start: int, end: int, *, quiet: bool) -> None:
        self._site = site
        self._clock = clock
        self._start, self._end = start, end
        self._words = _WORDS[site.site.language]
        self._latest: Mapping[str, Reading] = {}
        self._count = 0
        self._open: dict[str, Text] = {}
        self._quiet = quiet
        self._live: Live | None = None
        self._next_line = start
        if not quiet and terminal.out.is_terminal:
            self._live = Live(get_renderable=self._picture, console=terminal.out, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def readings(self, latest: Mapping[str, Reading], count: int) -> None:
        """Newest reading of each device, and how many came in all."""
        self._latest, self._count = latest, count
        now = self._clock.now()
        if self._live is None and not self._quiet and now >= self._next_line:
            self._next_line = now - now % _HOUR + _HOUR
            terminal.say(f"{self._time(now)}  {count} {self._words['count']}  {self._summary()}")

    def message(self, message: Message) -> None:
        """An alert was raised, or is over."""
        line = self._alert_line(message)
        ident = str(message.alert["id"])
        if message.alert.get("state") == "resolved":
            self._open.pop(ident, None)
        else:
            self._open[ident] = Text(f"{str(message.alert['since'])[11:16]}  {message.title}")
        if self._quiet:
            return
        if self._live is not None:
            self._live.console.print(line)
        else:
            terminal.out.print(line, soft_wrap=True)  # a file gets each message as one line

    def _alert_line(self, message: Message) -> Text:
        over = message.alert.get("state") == "resolved"
        at = message.alert.get("ended" if over else "raised")
        moment = str(at)[11:16]
        word = self._words["resolved" if over else "raised"]
        line = Text(f"{moment}  ", style="dim")
        line.append(f"{word} ", style="green" if over else "bold red")
        line.append(f"{message.title}  ", style="bold")
        line.append(message.text, style="dim")
        return line

    def _summary(self) -> str:
        main = next((device for device in self._site.devices if device.circuit == "main"), None)
        reading = self._latest.get(main.id) if main is not None else None
        power = reading.values.get("active_power") if reading is not None else None
        return f"{main.title} {power / 1000:.2f} kW" if main is not None and isinstance(power, float) else ""

    def _picture(self) -> RenderableType:
        now = min(self._clock.now(), self._end)
        bar = ProgressBar(total=self._end - self._start, completed=now - self._start, width=48)
        head = Table.grid(padding=(0, 2))
        speed = f"{self._clock.speed:g} {self._words['speed']}"
        head.add_row(Text(self._time(now), style="bold cyan"), bar, f"{self._count} {self._words['count']}", speed)
        wasting = list(self._open.values())[-_OPEN_SHOWN:] or [Text(self._words["none"], style="dim")]
        return Group(
            Panel(head, title=f"{self._words['title']} · {escape(self._site.site.name)}", title_align="left"),
            self._readings_table(),
            Panel(
                Group(*wasting),
                title=self._words["alerts"],
                title_align="left",
                border_style="red" if self._open else "green",
            ),
        )

    def _readings_table(self) -> Table:
        grid = Table.grid(padding=(0, 3))
        cells = list(self._cells())
        columns = 2
        rows = -(-len(cells) // columns)
        for row in range(rows):
            grid.add_row(*(cells[column * rows + row] for column in range(columns) if column * rows + row < len(cells)))
        return grid

    def _cells(self) -> Iterator[Text]:
        for device in self._site.devices:
            reading = self._latest.get(device.id)
            line = Text(f"{device.title}  ", style="bold" if reading else "dim")
            line.append(_values_of(reading, self._words) if reading else "–", style="" if reading else "dim")
            if device.zone and device.title == (device.appliance or device.id):
                line.append(f"  {self._site.zone[device.zone].title}", style="dim")
            yield line

    def _time(self, moment: int) -> str:
        return f"{datetime.fromtimestamp(moment / 1000, UTC).astimezone(self._site.site.tz):%m-%d %H:%M}"


def _values_of(reading: Reading, words: Mapping[str, str]) -> str:
    parts: list[str] = []
    for name in _SHOWN:
        value = reading.values.get(name)
        if value is None or len(parts) >= _PER_DEVICE:
            continue
        if isinstance(value, str):
            parts.append(words.get(value, value))
            continue
        unit = QUANTITIES[name].unit
        number = f"{value:.4g}" if abs(value) < 10_000 else f"{value:.0f}"
        parts.append(f"{number} {unit}" if unit else words.get(f"{name} {value:g}", f"{name} {number}"))
    return "  ".join(parts)


# -- the closing tables -----------------------------------------------------------------------------------------------


def closing_tables(outcome: Outcome) -> Iterator[Table | Text]:
    """Readings per device; faults against alerts; false alarms if any; the sum."""
    zh = outcome.site.site.language == "zh"
    yield _device_table(outcome, zh)
    yield _fault_table(outcome, zh)
    for alert in outcome.false_alarms:
        yield Text(f"{'误报' if zh else 'false alarm'}: {alert.title}: {alert.text}", style="bold red")
    yield _sum_line(outcome, zh)


def _device_table(outcome: Outcome, zh: bool) -> Table:
    title = "各设备读数" if zh else "Readings per device"
    columns = ("设备", "名称", "区域", "读数", "无应答") if zh else ("device", "name", "zone", "readings", "no answer")
    rows = [
        (
            device.id,
            _name(device),
            _zone(outcome.site, device),
            outcome.books.readings[device.id],
            outcome.books.empty[device.id],
        )
        for device in outcome.site.devices
        if device.link is not None
    ]
    return terminal.table(title, columns, rows, right=(3, 4))


def _name(device: Device) -> str:
    return device.title if device.title != device.id else ""


def _zone(site: Site, device: Device) -> str:
    return site.zone[device.zone].title if device.zone else ""


def _fault_table(outcome: Outcome, zh: bool) -> Table:
    title = "设置的故障与发出的告警" if zh else "Faults set against alerts raised"
    columns: tuple[str, ...] = (
        ("故障", "位置", "规则", "应告警", "已告警", "真实浪费", "告警所报")
        if zh
        else ("fault", "place", "rule", "due", "raised", "true waste", "waste told")
    )
    tz = outcome.site.site.tz
    rows: list[tuple[str, ...]] = []
    for expected, alert in zip(outcome.expected, outcome.matches, strict=True):
        assert expected.raised is not None
        due = f"{datetime.fromtimestamp(expected.raised / 1000, UTC).astimezone(tz):%H:%M}"
        raised = str(alert.times["raised"])[11:16] if alert is not None else ("漏报" if zh else "MISSED")
        told = _amount(alert.waste.get("kwh"), alert.waste.get("litres")) if alert is not None else ""
        fault = expected.fault.name if expected.fault is not None else ""
        rows.append((fault, expected.device, expected.rule, due, raised, _true(expected), told))
    if terminal.out.width < _WIDE:  # the rule says nearly what the fault says; ids stay whole
        columns, rows = columns[1:], [row[1:] for row in rows]
    return terminal.table(title, columns, rows, right=(len(columns) - 2, len(columns) - 1))


def _true(expected: Expected) -> str:
    kwh = expected.kwh if not expected.litres else None
    return _amount(kwh, expected.litres or None)


def _amount(kwh: float | None, litres: float | None) -> str:
    parts = [f"{kwh:.2f} kWh"] if kwh is not None else []
    return "  ".join(parts + ([f"{litres:.0f} L"] if litres is not None else []))


def _sum_line(outcome: Outcome, zh: bool) -> Text:
    told, waste = outcome.to_json(), outcome.waste()
    forms = {"kwh": "{:.2f} kWh", "litres": "{:.0f} L", "cost": "", "kgco2": "{:.2f} kgCO2"}
    known = [
        form.format(waste[key]) if form else money(waste[key], waste["currency"], "zh" if zh else "en")
        for key, form in forms.items()
        if waste[key] is not None
    ]
    amount = ("，" if zh else ", ").join(known) or "–"
    if zh:
        text = (
            f"读数 {told['readings']}，丢失 {told['lost']}；故障 {told['faults']}，发现 {told['found']}，"
            f"漏报 {told['missed']}，误报 {told['false_alarms']}；浪费合计 {amount}"
        )
    else:
        text = (
            f"{told['readings']} readings, {told['lost']} lost; {told['faults']} faults, {told['found']} found, "
            f"{told['missed']} missed, {told['false_alarms']} false alarms; waste in all {amount}"
        )
    return Text(text, style="bold green" if outcome.sound else "bold red")
