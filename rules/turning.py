"""When what a rule looks at turns from one case to another that differs to it: by numpy, from lines over a stretch."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from rules.cells import NEVER
from rules.readings_file import Ints
from rules.timelines import Line, once
from rules.watching import Watch

_MOST_CASES: Final = 20_000  # cases that are told apart by a table of all there could be

Truth = bool | None
Case = tuple[Truth, Hashable]
"""Whether a condition holds, and what else about it makes a difference."""


class Turning(NamedTuple):
    """The case at first, and from each of ``keys`` on; cases by their place in ``cases``."""

    first: int
    keys: Ints
    numbers: Ints
    cases: list[Case]

    @property
    def known(self) -> bool:
        """Whether it is known all the time whether the condition holds."""
        return all(truth is not None for truth, _ in self.cases)

    @property
    def held(self) -> Truth:
        """Whether it holds at first."""
        return self.cases[self.first][0]

    def truths(self) -> Any:
        """Whether it holds from each of ``keys`` on, where that is known."""
        return np.array([bool(truth) for truth, _ in self.cases])[self.numbers]


def turning(lines: Sequence[Line], case: Callable[[], Case]) -> Turning:
    """Every combination of states that comes up is put to ``case`` once, with the cells of ``lines`` showing it."""
    keys = all_keys(lines)
    states = [np.concatenate((line.codes[:1], line.codes[line.keys.searchsorted(keys, "right")])) for line in lines]
    sizes = [int(codes.max()) + 1 for codes in states]
    if math.prod(sizes) <= _MOST_CASES:
        combined = states[0]
        for codes, size in zip(states[1:], sizes[1:], strict=True):
            combined = combined * size + codes
        seen = np.zeros(math.prod(sizes), np.bool_)
        seen[combined] = True
        places = seen.nonzero()[0]
        shown = np.array(np.unravel_index(places, sizes))
    else:
        shown, combined = np.unique(np.stack(states), axis=1, return_inverse=True)
        places = np.arange(shown.shape[1])
    numbers = np.zeros(int(places[-1]) + 1, np.int64)
    told: dict[Case, int] = {}
    before = [-1] * len(lines)
    for place, codes in zip(places.tolist(), shown.T.tolist(), strict=True):
        for line, code, last in zip(lines, codes, before, strict=True):
            if code != last:
                line.show(code)
        before = codes
        numbers[place] = told.setdefault(case(), len(told))
    turns = numbers[combined]
    changed = (turns[1:] != turns[:-1]).nonzero()[0]
    return Turning(int(turns[0]), keys[changed], turns[changed + 1], list(told))


def all_keys(lines: Sequence[Line]) -> Ints:
    """When any of ``lines`` changes."""
    return lines[0].keys if len(lines) == 1 else once([line.keys for line in lines])


def worth_hearing(watch: Watch, moments: Ints, holds: Any, first: bool) -> Any:
    """Which turns of a condition matter: not those of a time shorter than the wait, while nothing is going on.

    ``first``: whether it held before the first of them.
    """
    chosen = np.zeros(len(moments), np.bool_)
    held = np.concatenate((np.array([first]), holds[:-1]))
    begins, ends = (holds & ~held).nonzero()[0], (~holds & held).nonzero()[0]
    over = watch.ending + watch.clear if watch.ending else NEVER  # until then the end of an alert may be taken back
    if first:
        end = int(ends[0]) if len(ends) else len(moments)
        chosen[: end + 1] = True
        over = int(moments[end]) + watch.clear if len(ends) else NEVER
        ends = ends[1:]
    lasted = np.full(len(begins), watch.after)  # the last of them goes on into the next stretch, perhaps
    lasted[: len(ends)] = moments[ends] - moments[begins[: len(ends)]]
    ends = np.append(ends, len(moments))
    for begin, end, long in zip(begins.tolist(), ends.tolist(), (lasted >= watch.after).tolist(), strict=False):
        if long or moments[begin] <= over:
            chosen[begin : end + 1] = True
            over = int(moments[end]) + watch.clear if end < len(moments) else NEVER
    return chosen
