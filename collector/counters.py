"""Counter readings to consumption: wrap, reset, exchange, step back, spike and gap, each told apart and named. Pure.

What is booked between two readings is never a guess: a counter that wraps at a known width goes on counting, one that
falls otherwise has been reset (nothing is booked for that step), a tiny step back is rounding (counting goes on from
the highest value), and a step that no meter of this place can have made is left out. A fall or jump that turns out to
have been one misread value is put right by the reading after it.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Final, NamedTuple

_HOUR: Final = 3_600_000
_NEAR: Final = 0.1  # of the width: a wrap is believed from this close under the top
_TINY: Final = 1e-4  # of the value: f32 totals and second reading paths differ by less
_TINY_UNRESET: Final = 1e-2  # the same for a counter that nobody resets
_HELD: Final = 24 * _HOUR  # lower for so long: it was no step back after all
_BELIEVED: Final = 3  # readings in a row from which a jump is the new truth
_DIGITS: Final = 9


class Event(Enum):
    """What happened at a step that is more than counting."""

    WRAP = "wrap"  # over the top of a known width; booked
    RESET = "reset"  # cleared or replaced: nothing is booked, counting goes on from the new value
    EXCHANGE = "exchange"  # a person told the last value of the old meter and the first of the new
    STEP_BACK = "step_back"  # a little lower: nothing is booked until the highest value is passed
    SPIKE = "spike"  # more than can have passed: left out
    JUMP = "jump"  # a spike that stayed: the new value is believed, nothing is booked for it
    RETURN = "return"  # the fall before was one misread value: booked as if it had not been
    GAP = "gap"  # booked whole, but how it spread over the time is not known


class Counter(NamedTuple):
    """How one counter counts, in the unit of its readings.

    ``modulus``       where it wraps, None for never
    ``max_per_hour``  the most that can pass in an hour, None for unknown
    ``max_step``      the most that can pass between two readings whatever the time, None for unknown
    ``grain``         a step of so much is plausible however fast it came: the meter's coarsest count
    ``gap``           ms between readings from which their difference has no known spread, None for never
    ``resets``        whether it is cleared in normal life (plugs at a restart); else a fall of under 1 % is held too
    """

    modulus: float | None = None
    max_per_hour: float | None = None
    max_step: float | None = None
    grain: float = 0.0
    gap: int | None = None
    resets: bool = True


class Step(NamedTuple):
    """What one reading adds. ``delta`` (never negative) belongs to the time from ``since`` to ``at``.

    ``delta`` None says that nothing can be booked for this step. ``before`` is the value counted from (None at the
    first reading), ``after`` the reading itself.
    """

    at: int
    since: int | None
    before: float | None
    after: float
    delta: float | None
    event: Event | None = None


class Memory(NamedTuple):
    """All that a tracker remembers; plain numbers, so that it can be saved as they are."""

    at: int | None = None  # of the value counted from
    value: float | None = None
    held_since: int | None = None  # since when readings are a little lower than ``value``
    fallen_at: int | None = None  # the value before the last reset, until the reading after it
    fallen_from: float | None = None
    high_at: int | None = None  # the last reading left out as a spike
    high: float | None = None
    high_count: int = 0


class CounterTracker:
    """Follows one counter; readings must come in the order of their time."""

    def __init__(self, counter: Counter, memory: Memory | None = None) -> None:
        self.counter = counter
        self.memory = memory if memory is not None else Memory()

    def take(self, at: int, value: float) -> Step:
        """The step to ``value``, read at ``at`` (ms UTC)."""
        self.memory, step = step_to(self.counter, self.memory, at, value)
        return step

    def exchange(self, at: int, old: float, new: float) -> Step:
        """The old meter was taken out at ``old``, the new one put in at ``new``: booked up to ``old``."""
        memory = self.memory
        if memory.value is None or memory.at is None:
            delta = None
        else:
            delta = _rounded(old - memory.value) if old >= memory.value else _wrapped(self.counter, memory.value, old)
        self.memory = Memory(at, new)
        return Step(at, memory.at, memory.value, new, delta, Event.EXCHANGE)


def deltas(readings: Iterable[tuple[int, float | None]], counter: Counter) -> tuple[list[float | None], list[Step]]:
    """What each step between neighbouring readings (ms UTC, value or None) books, and the steps with an event.

    A reading without a value books nothing; the next one counts from the last value that was there.
    """
    tracker = CounterTracker(counter)
    booked: list[float | None] = []
    events: list[Step] = []
    for at, value in readings:
        if value is None:
            booked.append(None)
            continue
        step = tracker.take(at, value)
        booked.append(step.delta)
        if step.event is not None:
            events.append(step)
    return booked[1:], events


def step_to(counter: Counter, memory: Memory, at: int, value: float) -> tuple[Memory, Step]:
    """The step from ``memory`` to ``value`` at ``at``, and the memory after it."""
    if memory.value is None or memory.at is None:
        return Memory(at, value), Step(at, None, None, value, None)
    if memory.fallen_from is not None and _returned(counter, memory, at, value):
        delta = _rounded(value - memory.fallen_from)
        return Memory(at, value), Step(at, memory.fallen_at, memory.fallen_from, value, delta, Event.RETURN)
    if value >= memory.value:
        return _rise(counter, memory, at, value)
    return _fall(counter, memory, at, value)


def _rise(counter: Counter, memory: Memory, at: int, value: float) -> tuple[Memory, Step]:
    assert memory.value is not None
    assert memory.at is not None
    delta = _rounded(value - memory.value)
    if not _plausible(counter, delta, at - memory.at):
        return _spike(counter, memory, at, value)
    gap = counter.gap is not None and at - memory.at > counter.gap
    event = Event.GAP if gap else None
    return Memory(at, value), Step(at, memory.at, memory.value, value, delta, event)


def _fall(counter: Counter, memory: Memory, at: int, value: float) -> tuple[Memory, Step]:
    assert memory.value is not None
    assert memory.at is not None
    wrapped = _wrapped(counter, memory.value, value)
    if wrapped is not None and _plausible(counter, wrapped, at - memory.at):
        return Memory(at, value), Step(at, memory.at, memory.value, value, wrapped, Event.WRAP)
    tiny = memory.value * (_TINY if counter.resets else _TINY_UNRESET)
    held_since = memory.held_since if memory.held_since is not None else at
    if memory.value - value <= tiny and at - held_since < _HELD:
        held = memory._replace(held_since=held_since, fallen_at=None, fallen_from=None, high_count=0)
        return held, Step(at, memory.at, memory.value, value, None, Event.STEP_BACK)
    after = Memory(at, value, fallen_at=memory.at, fallen_from=memory.value)
    return after, Step(at, memory.at, memory.value, value, None, Event.RESET)


def _spike(counter: Counter, memory: Memory, at: int, value: float) -> tuple[Memory, Step]:
    """Left out; when the readings after it go on from there, it is believed."""
    goes_on = (
        memory.high is not None
        and memory.high_at is not None
        and value >= memory.high
        and _plausible(counter, value - memory.high, at - memory.high_at)
    )
    count = memory.high_count + 1 if goes_on else 1
    if count >= _BELIEVED:
        return Memory(at, value), Step(at, memory.at, memory.value, value, None, Event.JUMP)
    after = memory._replace(high_at=at, high=value, high_count=count, fallen_at=None, fallen_from=None)
    return after, Step(at, memory.at, memory.value, value, None, Event.SPIKE)


def _returned(counter: Counter, memory: Memory, at: int, value: float) -> bool:
    """Whether the reading before was a misread low value: this one goes on from what stood before it.

    Without a plausible rate only a small rise beyond the old value (1 % of it) is taken for going on.
    """
    assert memory.fallen_from is not None
    assert memory.fallen_at is not None
    rise = value - memory.fallen_from
    if rise < 0:
        return False
    if counter.max_per_hour is None and counter.max_step is None:
        return rise <= 0.01 * memory.fallen_from
    return _plausible(counter, rise, at - memory.fallen_at)


def _plausible(counter: Counter, delta: float, elapsed: int) -> bool:
    if counter.max_step is not None and delta > counter.max_step:
        return False
    if delta <= counter.grain:
        return True
    return counter.max_per_hour is None or delta <= counter.max_per_hour * max(elapsed, 1) / _HOUR


def _wrapped(counter: Counter, before: float, after: float) -> float | None:
    """What passed if the counter went over its top; None when it was not near enough to it to be believed."""
    if counter.modulus is None or before > counter.modulus:
        return None
    passed = counter.modulus - before + after
    near = counter.modulus - before <= _NEAR * counter.modulus and after <= _NEAR * counter.modulus
    return _rounded(passed) if near else None


def _rounded(delta: float) -> float:
    """Without the noise of binary fractions: 1834.9 - 1834.2 is 0.7."""
    return round(delta, _DIGITS)
