"""Odd values at any place of what is right, for tests of the doors through which text and files come in."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Final

from hypothesis import strategies as st

Place = tuple[Any, ...]
Changes = list[tuple[Place, Any, bool]]

ODD: Final[list[Any]] = [
    *(None, True, 0, -1, 301, 2**70, 1e308, float("nan"), float("inf"), "", "a", "0s", "-5m", "10s", "9" * 30 + "d"),
    *("2026-07-01", "0001-01-01T00:00", "9999-12-31T23:59:59", "24:00-25:00", "23:00-01:00", "02-30..02-31", "mon"),
    *("${", "${NOBODY_SET_THIS}", "tcp://", "http://x", "../..", "\a", "x" * 3000, "调休", "on", "power >", "(", "not"),
    *([], {}, [None], [[1]], [{}], {"a": None}, {"": 1}, ["08:30-12:00", "11:00-13:00"], {"mon-sun": "00:00-24:00"}),
]


def places(node: Any, place: Place = ()) -> Iterator[Place]:
    """Every place inside ``node``."""
    for key, inner in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield (*place, key)
        yield from places(inner, (*place, key))


def changes(content: Any, *more: Any) -> st.SearchStrategy[Changes]:
    """One to three changes: at a place an odd value (or one of ``more``), or what stands at another, or nothing."""
    known = list(places(content))
    new = st.sampled_from([*ODD, *more]) | st.sampled_from(known)
    return st.lists(st.tuples(st.sampled_from(known), new, st.booleans()), min_size=1, max_size=3)


def changed(content: Any, wanted: Changes) -> Any:
    """A copy of ``content`` with the changes; those whose place an earlier one took away are left out."""
    found = copy.deepcopy(content)
    for place, new, away in wanted:
        try:
            around = _inside(found, place[:-1])
            if away:
                del around[place[-1]]
            else:
                around[place[-1]] = copy.deepcopy(_inside(content, new) if isinstance(new, tuple) else new)
        except (KeyError, IndexError, TypeError, AttributeError):
            continue
    return found


def _inside(node: Any, place: Place) -> Any:
    for key in place:
        node = node[key]
    return node
