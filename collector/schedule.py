"""When whose turn is: moments on fixed grids, and probes of the silent in the time that is left. Pure.

All moments are steady milliseconds (``Clock.steady``), which nobody can set back. A grid does not drift, and what was
missed is counted rather than caught up with.
"""

from __future__ import annotations

import heapq
from typing import Final, Generic, NamedTuple, TypeVar

_PROBE_PATIENCE: Final = 30_000  # ms after which a probe no longer waits for a line that is never free

J = TypeVar("J")
T = TypeVar("T")


class Grid(NamedTuple):
    """Every ``period`` ms from ``phase`` on."""

    phase: int
    period: int

    def after(self, moment: int) -> int:
        """The first grid moment later than ``moment``."""
        return self.phase + ((moment - self.phase) // self.period + 1) * self.period

    def passed(self, due: int, now: int) -> int:
        """How many grid moments after ``due`` have come by ``now``: the polls that were missed."""
        return max(0, (now - self.phase) // self.period - (due - self.phase) // self.period)


def spread(start: int, period: int, number: int, of: int) -> Grid:
    """The grid of the ``number``-th of ``of`` devices, so that they come evenly over the period."""
    return Grid(start + period * number // of, period)


def round_moment_after(wall: int, steady: int, period: int) -> int:
    """The steady moment at which the wall clock (ms UTC) shows the next multiple of ``period``."""
    return steady + (wall // period + 1) * period - wall


class Turn(NamedTuple, Generic[J]):
    """A job whose moment has come."""

    due: int
    job: J


class Probe(NamedTuple, Generic[T]):
    """A silent device that may be asked in small."""

    due: int
    target: T


class Schedule(Generic[J, T]):
    """Jobs by due moment; probes come when no job is due, so that the silent take nothing from the others."""

    def __init__(self) -> None:
        self._jobs: list[tuple[int, int, J]] = []
        self._probes: list[tuple[int, int, T]] = []
        self._order = 0

    def add_job(self, due: int, job: J) -> None:
        """``job`` has its turn at ``due``."""
        self._order += 1
        heapq.heappush(self._jobs, (due, self._order, job))

    def add_probe(self, due: int, target: T) -> None:
        """``target`` is probed from ``due`` on."""
        self._order += 1
        heapq.heappush(self._probes, (due, self._order, target))

    def take(self, now: int) -> Turn[J] | Probe[T] | None:
        """What is to be done at ``now``, if anything."""
        overdue = bool(self._probes) and self._probes[0][0] + _PROBE_PATIENCE <= now
        if self._jobs and self._jobs[0][0] <= now and not overdue:
            due, _, job = heapq.heappop(self._jobs)
            return Turn(due, job)
        if self._probes and self._probes[0][0] <= now:
            due, _, target = heapq.heappop(self._probes)
            return Probe(due, target)
        return None

    def next_moment(self) -> int | None:
        """When there is something to do next; None when there never will be."""
        return min((heap[0][0] for heap in (self._jobs, self._probes) if heap), default=None)
