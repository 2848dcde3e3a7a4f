"""The little language of a site's own rules: ``temperature > 28 and not working_hours``.

Comparisons of quantities with numbers, words or other quantities, joined by ``and``, ``or``, ``not`` and brackets. A
quantity is the device's own; ``zone.people`` is that of the device's zone, ``ac-301.setpoint`` that of another device
(ids with unusual letters in quotes: ``"water 3w".flow``). Besides: ``empty``, ``occupied``, ``working_hours``,
``cooling_season``, ``heating_season``. Nothing is executed: the text becomes a tree, and the tree cells.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from building.quantities import QUANTITIES, Nature
from building.site import Device
from rules.bench import Bench
from rules.cells import Cell, Signal
from rules.condition import Part, Text, Truth, both, either
from rules.presence import Room

WORDS: Final = ("empty", "occupied", "working_hours", "cooling_season", "heating_season")
_OPERATORS: Final = (">", ">=", "<", "<=", "==", "!=")
_LONGEST: Final = 500
_DEEPEST: Final = 20
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>-?\d+(?:\.\d+)?)(?![\w.-])|(?P<op>>=|<=|==|!=|>|<)|(?P<bracket>[()])"
    r'|(?:"(?P<quoted>[^"]+)"\.(?P<of>\w+))|(?P<name>[^\W][\w-]*(?:\.\w+)?))'
)


_PLAIN: Final = re.compile(r"[^\W\d][\w-]*")


@dataclass(frozen=True)
class Name:
    """A quantity of a device: "" for the device itself, "zone" for its zone, else an id."""

    owner: str
    quantity: str


@dataclass(frozen=True)
class Compare:
    left: Name
    operator: str
    right: Name | float | str


@dataclass(frozen=True)
class Word:
    word: str


@dataclass(frozen=True)
class Not:
    term: Term


@dataclass(frozen=True)
class Joined:
    how: str  # "and" or "or"
    terms: tuple[Term, ...]


Term = Compare | Word | Not | Joined


def parse(text: str) -> Term:
    """The tree of ``text``. Raises ValueError with what is wrong and what is accepted."""
    if len(text) > _LONGEST:
        raise ValueError(f"the condition is longer than {_LONGEST} letters")
    return _Parser(list(_tokens(text))).whole()


def names(term: Term) -> Iterator[Name]:
    """All quantities in ``term``."""
    if isinstance(term, Compare):
        yield term.left
        if isinstance(term.right, Name):
            yield term.right
    elif isinstance(term, Not):
        yield from names(term.term)
    elif isinstance(term, Joined):
        for part in term.terms:
            yield from names(part)


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    place = 0
    text = text.rstrip()
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise ValueError(
                f"{text[place : place + 20]!r} is not understood; write such as temperature > 28 and empty"
            )
        place = match.end()
        if match["quoted"]:
            yield "quoted", f"{match['quoted']}\0{match['of']}"
        else:
            kind = match.lastgroup or ""
            yield kind, match[kind]


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._place = 0
        self._depth = 0

    def whole(self) -> Term:
        term = self._joined("or")
        if self._place < len(self._tokens):
            raise ValueError(f"{self._tokens[self._place][1]!r} was not expected; join conditions by and, or")
        return term

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._place] if self._place < len(self._tokens) else ("end", "the end")

    def _next(self) -> tuple[str, str]:
        token = self._peek()
        self._place += 1
        return token

    def _joined(self, how: str) -> Term:
        part = self._negated if how == "and" else lambda: self._joined("and")
        terms = [part()]
        while self._peek() == ("name", how):
            self._next()
            terms.append(part())
        return terms[0] if len(terms) == 1 else Joined(how, tuple(terms))

    def _negated(self) -> Term:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError(f"the condition is nested deeper than {_DEEPEST}")
        if self._peek() == ("name", "not"):
            self._next()
            term: Term = Not(self._negated())
        elif self._peek() == ("bracket", "("):
            self._next()
            term = self._joined("or")
            if self._next() != ("bracket", ")"):
                raise ValueError("a bracket is not closed")
        else:
            term = self._simple()
        self._depth -= 1
        return term

    def _simple(self) -> Term:
        kind, text = self._next()
        if kind == "name" and text in WORDS:
            return Word(text)
        left = _name(kind, text)
        nature = QUANTITIES[left.quantity].nature
        if self._peek()[0] != "op":
            if nature is Nature.STATE:
                return Compare(left, "==", 1.0)
            raise ValueError(f"{left.quantity} needs a comparison, such as {left.quantity} > 20")
        operator = self._next()[1]
        right = self._right(left)
        if nature is Nature.WORD and operator not in ("==", "!="):
            raise ValueError(f"{left.quantity} is a word; compare it by == or !=")
        return Compare(left, operator, right)

    def _right(self, left: Name) -> Name | float | str:
        kind, text = self._next()
        words = QUANTITIES[left.quantity].words
        if words:
            if text not in words:
                raise ValueError(f"{text!r} is no {left.quantity}; it is one of {', '.join(words)}")
            return text
        return float(text) if kind == "number" else _name(kind, text)


def _name(kind: str, text: str) -> Name:
    if kind not in ("name", "quoted"):
        raise ValueError(f"{text!r} stands where a quantity should; known are {', '.join((*WORDS, *QUANTITIES))}")
    owner, _, quantity = text.partition("\0") if kind == "quoted" else text.rpartition(".")
    if quantity not in QUANTITIES:
        raise ValueError(f"{quantity!r} is no quantity; known are {', '.join((*WORDS, *QUANTITIES))}")
    return Name(owner, quantity)


@dataclass
class Wired:
    """A tree on the cells of one device; ``parts``: what its outermost ``and`` or ``or`` joins, as written."""

    test: Callable[[], Truth]
    inputs: list[Cell]
    shown: list[Signal]
    room: Room | None = None
    parts: list[Part] = field(default_factory=list)


def wire(term: Term, bench: Bench, device: Device) -> Wired:
    """``term`` as a three-valued test over the cells of ``device``."""
    wired = Wired(lambda: None, [], [])
    terms = term.terms if isinstance(term, Joined) else (term,)
    for part in terms:
        text, before = written(part), len(wired.inputs)
        test = _build(part, bench, device, wired)
        wired.parts.append(Part(Text(text, text), test, tuple(wired.inputs[before:])))
    tests = [part.test for part in wired.parts]
    wired.test = _joined(term.how, tests) if isinstance(term, Joined) else tests[0]
    return wired


def written(term: Term) -> str:
    """``term`` as a site would write it."""
    if isinstance(term, Word):
        return term.word
    if isinstance(term, Not):
        return f"not {_bracketed(term.term)}"
    if isinstance(term, Joined):
        return f" {term.how} ".join(map(_bracketed, term.terms))
    right = term.right
    shown = _named(right) if isinstance(right, Name) else right if isinstance(right, str) else f"{right:g}"
    return f"{_named(term.left)} {term.operator} {shown}"


def _bracketed(term: Term) -> str:
    return f"({written(term)})" if isinstance(term, Joined) else written(term)


def _named(name: Name) -> str:
    if not name.owner:
        return name.quantity
    owner = name.owner if _PLAIN.fullmatch(name.owner) else '"' + name.owner + '"'
    return f"{owner}.{name.quantity}"


def _build(term: Term, bench: Bench, device: Device, wired: Wired) -> Callable[[], Truth]:
    if isinstance(term, Word):
        return _word(term.word, bench, device, wired)
    if isinstance(term, Not):
        inner = _build(term.term, bench, device, wired)

        def negated() -> Truth:
            truth = inner()
            return None if truth is None else not truth

        return negated
    if isinstance(term, Joined):
        return _joined(term.how, [_build(part, bench, device, wired) for part in term.terms])
    return _compare(term, bench, device, wired)


def _joined(how: str, tests: list[Callable[[], Truth]]) -> Callable[[], Truth]:
    join, neutral = (both, True) if how == "and" else (either, False)

    def joined() -> Truth:
        truth: Truth = neutral
        for test in tests:
            truth = join(truth, test())
        return truth

    return joined


def _word(word: str, bench: Bench, device: Device, wired: Wired) -> Callable[[], Truth]:
    if word.endswith("_season"):
        season, wanted = bench.season(), word.removesuffix("_season")
        wired.inputs.append(season)
        return lambda: None if season.name is None else season.name == wanted
    room = wired.room = bench.room(device.zone)
    wired.inputs.append(room)
    if word == "working_hours":
        wired.inputs += [room.working, room.bookings]
        return lambda: room.expected
    if word == "empty":
        return lambda: room.vacant
    return lambda: None if room.vacant is None else not room.vacant


def _signals(name: Name, bench: Bench, device: Device, *cuts: float) -> list[Signal]:
    if name.owner == "":
        return [bench.signal(device, name.quantity, *cuts)]
    if name.owner == "zone":
        return [bench.signal(beside, name.quantity, *cuts) for beside in bench.in_zone(device.zone)]
    other = bench.site.device.get(name.owner)
    return [] if other is None or not bench.owns(other) else [bench.signal(other, name.quantity, *cuts)]


def _compare(term: Compare, bench: Bench, device: Device, wired: Wired) -> Callable[[], Truth]:
    right = term.right
    cuts = (right, bench.above(right)) if isinstance(right, float) else ()
    lefts = _signals(term.left, bench, device, *cuts)
    rights = _signals(right, bench, device) if isinstance(right, Name) else []
    for signal in (*lefts, *rights) if isinstance(right, Name) else ():
        signal.each = True
    wired.inputs += [*lefts, *rights]
    wired.shown += [*lefts, *rights]
    compare = _COMPARE[term.operator]

    def holds() -> Truth:
        left = _value(lefts)
        other = _value(rights) if isinstance(right, Name) else right
        return None if left is None or other is None else compare(left, other)

    return holds


def _value(signals: list[Signal]) -> float | str | None:
    """Of several, the first that ever spoke; None when it is unknown."""
    signal = next((signal for signal in signals if signal.spoken), None)
    if signal is None or signal.unknown:
        return None
    return signal.value if isinstance(signal.value, str) else signal.number


_COMPARE: Final[dict[str, Callable[[float | str, float | str], bool]]] = {
    ">": lambda a, b: a > b,  # type: ignore[operator]  # numbers both: words are compared by == and != alone
    ">=": lambda a, b: a >= b,  # type: ignore[operator]  # the same
    "<": lambda a, b: a < b,  # type: ignore[operator]  # the same
    "<=": lambda a, b: a <= b,  # type: ignore[operator]  # the same
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}
