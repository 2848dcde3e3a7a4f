"""What the alerts of one watch say, for all that it raised and ended within a stretch at once.

It is what the watch would say itself (``Watch.tell_found``) when it is certain that an alert is over: waste since it
began, and the readings last heard. Here all of them are looked up in the columns in one go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from building.quantities import MODES
from rules.cells import TRAPEZIUM, Signal
from rules.episodes import Episode
from rules.findings import Finding, Used
from rules.metering import Meter, Seen
from rules.presence import Room, presence
from rules.readings_file import Ints
from rules.runs import Run
from rules.watching import Watch


class Moments:
    """Moments of a stretch, each with the rank of the last device that has spoken by then."""

    def __init__(self, runs: Mapping[Signal, Run], moments: Ints, ranks: Ints) -> None:
        self._runs = runs
        self.moments, self._ranks = moments, ranks
        self._places: dict[tuple[int, int], Ints] = {}

    def seen(self, signal: Signal) -> Seen:
        """The signal as it stood at each of them; only of one that is known throughout, or never."""
        run = self._runs.get(signal)
        if run is None:
            return Seen(signal.heard, signal.value, signal.total)
        places = self._places_of(run)
        values = run.values[places]
        return Seen(run.times[places], values, values if run.total is None else run.total[places])

    def _places_of(self, run: Run) -> Ints:
        key = (id(run.instants), run.rank)
        places = self._places.get(key)
        if places is None:
            places = self._places[key] = run.instants.places(self.moments, run.rank <= self._ranks)
        return places

    def turned(self, signal: Signal) -> Ints:
        """Numbers of those at which ``signal`` said something that differs to some rule."""
        run = self._runs.get(signal)
        if run is None or not len(run.events):
            return np.empty(0, np.int64)
        places = self._places_of(run)
        following = np.minimum(run.events.searchsorted(places), len(run.events) - 1)
        return np.flatnonzero((run.events[following] == places) & (run.times[places] == self.moments))

    def is_by(self, signal: Signal, rank: int) -> bool:
        """Whether ``rank`` is that of the device of ``signal``, which speaks."""
        return self._runs[signal].rank == rank

    def steps(self, signal: Signal, numbers: Ints) -> list[tuple[int, float, float]]:
        """At each of ``numbers``, at which it turned: when ``signal`` had spoken before, its value then and now."""
        run = self._runs[signal]
        places = self._places_of(run)[numbers]
        before = np.maximum(places - 1, 0)
        columns = (run.times[before], run.values[before], run.values[places])
        return list(zip(*(column.tolist() for column in columns), strict=True))

    def told(self, signal: Signal) -> list[dict[str, Any]]:
        """The reading of ``signal`` as evidence shows it, at each of them."""
        run, seen = self._runs.get(signal), self.seen(signal)
        device, quantity = signal.track.device.id, signal.quantity
        if run is None:
            value = None if signal.unknown else signal.value
            told = {"device": device, "quantity": quantity, "value": value, "time": signal.heard}
            return [told] * len(self.moments)
        values = seen.value.tolist()
        if run.worded:
            values = [MODES[int(value)] for value in values]
        return [
            {"device": device, "quantity": quantity, "value": value, "time": time}
            for value, time in zip(values, seen.heard.tolist(), strict=True)
        ]


def findings(
    watch: Watch,
    episodes: Sequence[Episode],
    runs: Mapping[Signal, Run],
    bring: Callable[[int, int], None],
    bring_room: Callable[[int, int], None],
) -> list[Finding]:
    """What ``watch`` says of ``episodes``. ``bring(moment, rank)``: all that it looks at, as it was then;
    ``bring_room``: no more than the room whose presence it tells."""
    over = Moments(runs, np.array([e.over for e in episodes]), np.array([e.over_by for e in episodes]))
    used = _used(watch, episodes, runs, over, bring)
    condition, found = watch.condition, []
    told = [over.told(signal) for signal in condition.shown if signal.spoken]
    readings = zip(*told, strict=True) if told else [()] * len(episodes)
    for episode, waste, shown in zip(episodes, used, readings, strict=True):
        evidence: dict[str, Any] = {"readings": list(shown), "limits": watch.limits, "presence": None}
        if condition.facts is not None or condition.spent is not None:
            bring(episode.over, episode.over_by)
        elif condition.room is not None:
            bring_room(episode.over, episode.over_by)
        if condition.spent is not None:
            waste = condition.spent(episode.since, episode.ended)
        if condition.room is not None:
            evidence["presence"] = presence(condition.room)
        if condition.facts is not None:
            evidence["facts"] = condition.facts()
        found.append(
            Finding(
                "resolved", watch.rule, watch.device, watch.zone, episode.since, episode.raised, episode.ended, waste,
                evidence,
            )
        )  # fmt: skip
    return found


def _used(
    watch: Watch,
    episodes: Sequence[Episode],
    runs: Mapping[Signal, Run],
    over: Moments,
    bring: Callable[[int, int], None],
) -> list[Used]:
    """Waste of each from its beginning to its end; nothing after it, while that was not yet certain."""
    meter, wasted, condition = watch.meter, watch.wasted, watch.condition
    if meter is None or wasted is None or condition.spent is not None:
        return [Used()] * len(episodes)
    begun = Moments(runs, np.array([e.since for e in episodes]), np.array([e.began_by for e in episodes]))
    marks = meter.marks(begun.moments, begun.seen)
    if wasted == "kwh":
        _put_back(watch, meter, marks, begun, episodes, bring)
    ended = over
    if watch.clear:
        ended = Moments(runs, np.array([e.ended for e in episodes]), np.array([e.ended_by for e in episodes]))
    return [
        meter.waste_between(mark, here, wasted, None, 1.0, None)
        for mark, here in zip(marks, meter.marks(ended.moments, ended.seen), strict=True)
    ]


def _put_back(
    watch: Watch,
    meter: Meter,
    marks: list[tuple[float, ...]],
    begun: Moments,
    episodes: Sequence[Episode],
    bring: Callable[[int, int], None],
) -> None:
    """Where the power has shown that it began: mark the beginning halfway from the reading before."""
    power = meter.power
    turned = begun.turned(power)
    if power.summed != TRAPEZIUM or not len(turned):
        return
    others = _beside(watch, power)
    busy = None if others is None else {number for other in others for number in begun.turned(other).tolist()}
    for number, step in zip(turned.tolist(), begun.steps(power, turned), strict=True):
        since = episodes[number].since
        if busy is not None and number not in busy and begun.is_by(power, episodes[number].began_by):
            marks[number] = meter.halfway(marks[number], since, *step)  # nothing else has changed: it did not hold yet
        else:
            bring(since, episodes[number].began_by)
            marks[number] = meter.from_halfway(marks[number], since, watch.condition.test)


def _beside(watch: Watch, power: Signal) -> list[Signal] | None:
    """What else the condition looks at that may change with a reading of ``power``; None where that is not so plain."""
    inputs = watch.condition.inputs
    rooms = [room for room in (*inputs, watch.condition.room) if isinstance(room, Room)]
    if power not in inputs or any(source.track is power.track for room in rooms for source in room.sources):
        return None
    return [cell for cell in inputs if isinstance(cell, Signal) and cell.track is power.track and cell is not power]
