"""The words in which a dashboard is described: queries, panels, rows, variables. No Grafana in here.

A panel is written once, with its texts in Chinese and English; ``dashboards.grafana_json`` makes Grafana's JSON of it.
InfluxQL keeps to what InfluxDB 1.x, 2.x and 3.x share. In a query ``$timeFilter`` and ``$__interval`` are Grafana's,
``${site:regex}`` and the like are the dashboard's variables, each with the form it is to be written in: without one
Grafana's versions differ in what they escape, and a room named ``A(1)`` or a time zone would be written wrongly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from rules.catalogue import Text

Kind = Literal["stat", "lines", "bars", "table", "pie", "ranking", "heatmap", "states", "grid"]
"""stat: big numbers; lines, bars: over time; ranking: horizontal bars; states: on/off over time; grid: a cell a day."""

Step = Mapping[str, Any]
"""A transformation as Grafana writes it: ``{"id": …, "options": …}``."""


NO_DATA: Final = Text("没有数据", "No data")


class Limit(NamedTuple):
    """A colour from ``value`` (in the panel's unit) on; None for everything below the first limit."""

    value: float | None
    colour: str


class Shown(NamedTuple):
    """How a value is written: numbers from ``low`` to ``high``, or the word ``low`` itself, as ``text``."""

    low: float | str
    high: float
    text: Text
    colour: str = ""


@dataclass(frozen=True)
class Look:
    """How one column of a table, or the answer to one query, is shown; empty means as the panel says."""

    title: Text | None = None
    unit: str = ""
    decimals: int | None = None
    limits: tuple[Limit, ...] = ()
    words: tuple[Shown, ...] = ()
    width: int = 0
    hidden: bool = False


@dataclass(frozen=True)
class Query:
    """One InfluxQL query. ``alias`` names its lines: a text, or ``$tag_device`` and the like.

    ``look`` serves its answer alone, where a panel asks several different things.
    """

    text: str
    alias: Text | str = ""
    table: bool = False
    look: Look | None = None


@dataclass(frozen=True)
class Panel:
    """One panel. ``width`` of 24.

    ``unit``     Grafana's name of the unit (``kwatth``), for every value without a look of its own
    ``since``    another stretch of time than the dashboard's: ``10m``, ``now/d`` (today so far)
    ``shift``    that stretch moved into the past: ``7d``
    ``columns``  name of a table's column -> how it is shown, in this order
    ``labels``   words that stand in the data (tags) -> how people read them
    """

    kind: Kind
    title: Text
    about: Text
    queries: tuple[Query, ...]
    width: int
    unit: str
    decimals: int | None = None
    limits: tuple[Limit, ...] = ()
    words: tuple[Shown, ...] = ()
    labels: Mapping[str, Text] = field(default_factory=dict)
    columns: Mapping[str, Look] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    sort: str = ""
    since: str = ""
    shift: str = ""
    least: str = ""
    """Smallest step of ``$__interval``; no finer than the readings come."""
    stacked: bool = False
    low: float | None = None
    high: float | None = None
    bridge: int = 0
    """Milliseconds without a value that a line may cross; a longer gap stays a gap."""
    empty: Text = NO_DATA


@dataclass(frozen=True)
class Row:
    """Panels side by side, 24 wide together, ``height`` of Grafana's units high."""

    height: int
    panels: tuple[Panel, ...]
    title: Text | None = None


@dataclass(frozen=True)
class Variable:
    """A choice on top of a dashboard: the values of a tag, or a fixed list.

    ``among`` narrows the values by other variables (InfluxQL condition), ``source`` to one measurement.
    """

    name: str
    title: Text
    source: str = ""
    among: str = ""
    values: tuple[str, ...] = ()
    first_only: bool = False
    """Begin with the first value rather than with all."""
    single: bool = False
    """One value at a time."""


@dataclass(frozen=True)
class Note:
    """Marks on the time axis of every panel: ``query`` gives instants with the columns ``title`` and ``rule``."""

    title: Text
    query: str
    colour: str


@dataclass(frozen=True)
class Dashboard:
    """One dashboard; ``name`` is the last part of its uid and of its file."""

    name: str
    title: Text
    about: Text
    variables: tuple[Variable, ...]
    rows: tuple[Row, ...]
    range: tuple[str, str] = ("now-7d", "now")
    refresh: str = "5m"
    notes: tuple[Note, ...] = ()
