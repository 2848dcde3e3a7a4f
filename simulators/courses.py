"""Step functions of time: what is so from one moment until the next, with exact integrals.

Everything in the simulated building that does not glide is a course over one local day. So a reading may be taken at
any millisecond, an energy is the same however often it is asked for, and a condition is a set of stretches, not of
samples.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

Stretch = tuple[int, int]
"""From and until, ms since 1970 UTC."""

HOUR: Final = 3_600_000


class Course:
    """``values[i]`` holds from ``times[i]`` to ``times[i + 1]``, the last to ``end``; ``times[0]`` is the begin."""

    def __init__(self, times: Ints, values: Floats, end: int) -> None:
        self.times = times
        self.values = values
        self.end = end

    @property
    def begin(self) -> int:
        return int(self.times[0])

    @cached_property
    def _sums(self) -> Floats:
        lengths = np.diff(np.append(self.times, self.end))
        return np.concatenate(([0.0], np.cumsum(self.values * lengths)))

    @cached_property
    def _lists(self) -> tuple[list[int], list[float]]:
        return self.times.tolist(), self.values.tolist()

    def at(self, moment: int) -> float:
        """The value at ``moment``, which lies within the course (else the nearest end's)."""
        times, values = self._lists
        return values[max(bisect_right(times, moment) - 1, 0)]

    def sample(self, moments: Ints) -> Floats:
        """The values at many moments."""
        places = np.searchsorted(self.times, moments, "right") - 1
        return self.values[np.maximum(places, 0)]

    def sum_to(self, moment: int) -> float:
        """Integral from the begin to ``moment``: value times ms."""
        place = max(bisect_right(self._lists[0], moment) - 1, 0)
        inside = min(max(moment, self.begin), self.end) - self._lists[0][place]
        return float(self._sums[place]) + self._lists[1][place] * inside

    def sums(self, moments: Ints) -> Floats:
        """``sum_to`` for many moments."""
        places = np.maximum(np.searchsorted(self.times, moments, "right") - 1, 0)
        inside = np.clip(moments, self.begin, self.end) - self.times[places]
        result: Floats = self._sums[places] + self.values[places] * inside
        return result

    @property
    def whole(self) -> float:
        """Integral over the whole course: value times ms."""
        return float(self._sums[-1])

    def between(self, start: int, end: int) -> float:
        """Integral over a stretch: value times ms."""
        return self.sum_to(end) - self.sum_to(start) if end > start else 0.0

    def bounds(self, start: int, end: int) -> tuple[float, float]:
        """The least and the greatest value within a stretch, both ends included."""
        times, values = self._lists
        part = values[max(bisect_right(times, start) - 1, 0) : max(bisect_right(times, end), 1)]
        return min(part), max(part)

    def stretches(self) -> list[Stretch]:
        """Where the value is not 0."""
        on = self.values != 0
        if not on.any():
            return []
        edges = np.flatnonzero(np.diff(np.concatenate(([False], on, [False])).astype(np.int8)))
        bounds = np.append(self.times, self.end)
        pairs = bounds[edges].reshape(-1, 2).tolist()
        return [(int(start), int(end)) for start, end in pairs]

    def next_change(self, moment: int) -> int:
        """The first moment after ``moment`` at which the value may change; the end if there is none."""
        times, _ = self._lists
        place = bisect_right(times, moment)
        return times[place] if place < len(times) else self.end


def constant(begin: int, end: int, value: float) -> Course:
    """The same value all along."""
    return Course(np.array([begin], np.int64), np.array([float(value)]), end)


def on_grid(times: Ints, values: npt.NDArray[np.generic], end: int) -> Course:
    """Values on a grid of moments, neighbours that are alike joined."""
    numbers = values.astype(np.float64)
    keep = np.concatenate(([True], numbers[1:] != numbers[:-1]))
    return Course(times[keep], numbers[keep], end)


def from_stretches(begin: int, end: int, stretches: Iterable[Stretch], value: float = 1.0) -> Course:
    """``value`` within the stretches, 0 outside; those that overlap count once."""
    total = piled(begin, end, [(start, stop, 1.0) for start, stop in stretches])
    return Course(total.times, np.where(total.values > 0.5, value, 0.0), end)


def piled(begin: int, end: int, pieces: Sequence[tuple[int, int, float]]) -> Course:
    """The sum of pieces (from, until, value); what lies outside is cut off."""
    inside = [(max(a, begin), min(b, end), value) for a, b, value in pieces if a < end and b > begin and b > a]
    if not inside:
        return constant(begin, end, 0.0)
    starts, ends, values = (np.array(column) for column in zip(*inside, strict=True))
    return _from_steps(begin, end, np.concatenate((starts, ends)), np.concatenate((values, -values)), 0.0)


def _from_steps(begin: int, end: int, times: Ints, steps: Floats, first: float) -> Course:
    if not len(times):
        return constant(begin, end, first)
    order = np.argsort(times, kind="stable")
    times, steps = times[order].astype(np.int64), steps[order]
    running = first + np.cumsum(steps)
    last = np.append(times[1:] != times[:-1], True)  # of several steps at one moment the last sum counts
    times, running = times[last], running[last]
    inside = times < end
    times, running = times[inside], running[inside]
    if not len(times) or times[0] > begin:
        times, running = np.concatenate(([begin], times)), np.concatenate(([first], running))
    running[np.abs(running) < 1e-9] = 0.0  # sums that ought to be nothing
    return Course(times, running, end)


def total(courses: Sequence[Course], begin: int, end: int, factor: float = 1.0) -> Course:
    """``factor`` times the sum of courses over the same day."""
    if not courses:
        return constant(begin, end, 0.0)
    first = sum(float(course.values[0]) for course in courses) * factor
    times = np.concatenate([course.times[1:] for course in courses])
    steps = np.concatenate([np.diff(course.values) for course in courses]) * factor
    return _from_steps(begin, end, times, steps, first)


def combined(fit: Callable[..., npt.NDArray[np.generic]], *courses: Course) -> Course:
    """``fit`` of the courses' values, moment by moment."""
    times = courses[0].times if len(courses) == 1 else np.unique(np.concatenate([course.times for course in courses]))
    return on_grid(times, fit(*(course.sample(times) for course in courses)), courses[0].end)


def both(*courses: Course) -> Course:
    """1 where none is 0."""
    return combined(lambda *values: np.all([value != 0 for value in values], axis=0), *courses)


def either(*courses: Course) -> Course:
    """1 where any is not 0."""
    return combined(lambda *values: np.any([value != 0 for value in values], axis=0), *courses)


def no(course: Course) -> Course:
    """1 where the course is 0."""
    return combined(lambda value: value == 0, course)
