"""How commands speak: tables and colour for people, JSON for programs, errors in one plain sentence."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

_PIPED_WIDTH: Final = 160  # columns of tables that go to a file or another program

out = Console(highlight=False)
if not out.is_terminal:
    out = Console(highlight=False, width=_PIPED_WIDTH)
err = Console(stderr=True, highlight=False, soft_wrap=True)


_UNSEEN: Final = dict.fromkeys((*range(9), *range(11, 32), *range(127, 160)), "�")
"""Characters that steer a terminal instead of being shown, but for tab and line end."""


def _plain(text: str) -> str:
    """``text`` as it is: names and payloads come from outside, and are neither markup nor orders to the terminal."""
    return escape(text.translate(_UNSEEN))


def say(text: str) -> None:
    """A line for people; a file or another program gets it whole."""
    out.print(_plain(text), soft_wrap=not out.is_terminal)


def complain(text: str) -> None:
    """An error sentence on standard error."""
    err.print(f"[bold red]error:[/] {_plain(text)}" if err.is_terminal else f"error: {_plain(text)}")


def note(text: str) -> None:
    """A line for people beside the result, on standard error, so that no program takes it for a part of it."""
    err.print(_plain(text))


def emit_json(content: Mapping[str, Any]) -> None:
    """One JSON object on one line of standard output."""
    sys.stdout.write(msgspec.json.encode(content).decode() + "\n")
    sys.stdout.flush()


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[object]], *, right: Iterable[int] = ()) -> Table:
    """A table; columns whose numbers are in ``right`` are aligned right."""
    made = Table(
        title=_plain(title) or None, title_justify="left", title_style="bold", header_style="bold", box=SIMPLE_HEAD
    )
    to_the_right = set(right)
    for number, column in enumerate(columns):
        made.add_column(_plain(column), justify="right" if number in to_the_right else "left", overflow="fold")
    for row in rows:
        made.add_row(*(_plain(str(cell)) for cell in row))
    return made
