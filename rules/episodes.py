"""What a calm zone's rule raised and ended within one stretch of readings, told from when its condition turned.

A ``Watch`` walks from quiet over pending and firing back to quiet. Where it does so wholly within the stretch, and its
condition is known all the while, when it was raised and over follows from those turns alone: it is said at the end of
the stretch, with every cell brought back to that moment. What began before the stretch, or may go on after it, the
watch hears of itself.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np

from rules.cells import NEVER
from rules.clocks import Working
from rules.readings_file import Ints
from rules.timelines import FIRST_DEVICE, WAITING
from rules.watching import QUIET, Watch

BY_ITSELF: Final = -1
"""The rank of what falls due by itself, before the readings of its moment."""


class Episode(NamedTuple):
    """One alert: moments in ms, and the ranks of the devices with whose reading it began, ended and was over."""

    since: int
    began_by: int
    raised: int
    ended: int
    ended_by: int
    over: int  # when it was certain that it had ended
    over_by: int


class Hours:
    """Working hours as they stood at any moment of a stretch."""

    def __init__(self, working: Working, edges: list[tuple[int, bool]]) -> None:
        self._working = working
        self._edges = [moment for moment, _ in edges]
        self._states = [working.state, *(state for _, state in edges)]
        following = working.waking
        if edges:
            following = working.calendar.next_change(self._edges[-1], working.zone)
        self._following = [*self._edges, following]

    def bring(self, moment: int) -> None:
        place = bisect_right(self._edges, moment)
        self._working.state, self._working.waking = self._states[place], self._following[place]


class Turns:
    """When the condition of a watch turns from false to true and back, as keys of ``rules.timelines``."""

    def __init__(self, watch: Watch, keys: Ints, first: bool, turns: int, last: int) -> None:
        """``first``: whether it holds before the first of ``keys``; ``last``: the end of the stretch."""
        self._watch, self._turns, self._last = watch, turns, last
        self._clear, self._lead = watch.clear, int(first)
        ends = keys[1 - self._lead :: 2]
        begins = keys[self._lead :: 2]
        self._early = ends[:1] if first else ends[:0]  # the end of what held from the start
        self.begins, self.ends = begins, ends[self._lead :]
        self._from, self._to = begins // turns, self.ends // turns

    def is_plain(self) -> bool:
        """Whether no two of them fall on one moment without a reading: which goes first is then not seen here."""
        own = np.concatenate((self.begins, self._early, self.ends))
        own = own[own % self._turns < FIRST_DEVICE] // self._turns
        own.sort()
        return not (own[1:] == own[:-1]).any()

    def parts(self) -> tuple[int, int]:
        """From which of ``begins`` on, and up to which, all is said and done within the stretch."""
        watch, count = self._watch, len(self.ends)
        over = NEVER
        if self._lead:
            over = int(self._early[0]) // self._turns + self._clear if len(self._early) else self._last
        elif watch.phase != QUIET:
            over = watch.ending + self._clear
        head = 0
        while head < count and int(self._from[head]) <= over:
            over = max(over, int(self._to[head]) + self._clear)
            head += 1
        tail = count
        if tail == len(self.begins) and tail > head and self._to[-1] + self._clear >= self._last:
            tail -= 1
        while head < tail < len(self.begins) and int(self._from[tail]) <= int(self._to[tail - 1]) + self._clear:
            tail -= 1
        return head, tail

    def of_its_own(self, head: int, tail: int) -> Ints:
        """The keys at which the watch must hear, those of the others being said at once."""
        return np.sort(
            np.concatenate((self._early, self.begins[:head], self.ends[:head], self.begins[tail:], self.ends[tail:]))
        )

    def chains(self, head: int, tail: int) -> Iterator[list[tuple[int, int]]]:
        """Begin and end of stretches that may be one alert, at least the first of them long enough."""
        begins, ends = self.begins[head:tail], self.ends[head:tail]
        since, until = self._from[head:tail], self._to[head:tail]
        long = np.flatnonzero(until - since >= self._watch.after)
        if not self._clear:
            yield from ([pair] for pair in zip(begins[long].tolist(), ends[long].tolist(), strict=True))
            return
        joined = (since[1:] <= until[:-1] + self._clear).tolist()
        done = 0
        for place in long.tolist():
            if place < done:
                continue
            done = place + 1
            while done < len(begins) and joined[done - 1]:
                done += 1
            yield list(zip(begins[place:done].tolist(), ends[place:done].tolist(), strict=True))

    def episodes(self, chain: list[tuple[int, int]], sure: Callable[[int], int] | None) -> Iterator[Episode]:
        """The alerts of ``chain``. ``sure(key)``: from when on, seen from then, what it rests on is sure."""
        turns = self._turns
        since, raised, ended, shown = 0, 0, 0, 0  # of the alert that is on
        for begin, end in chain:
            moment = begin // turns
            if since and not (
                moment < ended + self._clear or (moment == ended + self._clear and begin % turns < FIRST_DEVICE)
            ):
                yield self._episode(since, raised, ended, shown)
                since = 0
            if not since:
                found = self._raised(begin, end, sure)
                if found is None:
                    continue
                since, raised = begin, found
            ended, shown = end // turns, end
        if since:
            yield self._episode(since, raised, ended, shown)

    def _episode(self, since: int, raised: int, ended: int, shown: int) -> Episode:
        ended_by = max(shown % self._turns - FIRST_DEVICE, BY_ITSELF)
        began_by = max(since % self._turns - FIRST_DEVICE, BY_ITSELF)
        over_by = BY_ITSELF if self._clear else ended_by
        return Episode(since // self._turns, began_by, raised, ended, ended_by, ended + self._clear, over_by)

    def _raised(self, begin: int, end: int, sure: Callable[[int], int] | None) -> int | None:
        """When it is raised; None where it ends before. What is due goes before the readings of its moment, and after
        the calendar."""
        turns = self._turns
        moment, key = begin // turns, begin
        due = moment + self._watch.after
        latest = end // turns if end % turns >= FIRST_DEVICE else end // turns - 1
        while True:
            wanted = due if sure is None else max(due, sure(key))
            if moment >= wanted:
                return wanted
            if wanted > latest:
                return None
            moment, key = wanted, wanted * turns + WAITING
