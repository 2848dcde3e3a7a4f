"""A device on a bus examined: how fast it answers, what goes wrong, and what that usually means."""

from __future__ import annotations

import math
import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from building.clock import Clock
from building.errors import BadFrame, GreenwardenError, LinkDown, MeterRefused, NoAnswer
from building.site import Device
from collector.asking import Answer, ask_device
from collector.decoding import Decoder
from collector.links.modbus import ModbusLink
from collector.planning import limits_of, plan, points_of
from collector.profiles import Profile
from collector.stations import station_of
from collector.suspecting import plausibility, suspicion

ORDERS: Final = ("ABCD", "CDAB", "BADC", "DCBA")
_LEAST_TIMEOUT: Final = 200  # ms
_STEP: Final = 50  # ms; what suggestions are rounded up to


class Findings(NamedTuple):
    """What examining one device gave. ``times`` are ms per request; ``errors`` are counted by kind."""

    device: str
    asked: int
    times: tuple[float, ...]
    errors: Mapping[str, int]
    answer: Answer | None
    advice: tuple[str, ...]

    @property
    def median(self) -> float | None:
        """ms; None when it never answered."""
        return statistics.median(self.times) if self.times else None

    @property
    def worst(self) -> float | None:
        """ms; None when it never answered."""
        return max(self.times, default=None)


async def examine(
    line: ModbusLink, device: Device, profile: Profile, clock: Clock, *, rounds: int, waits: int
) -> Findings:
    """Ask ``device`` all its requests ``rounds`` times, on a line that waits longer than the ``waits`` ms set for it.

    Raises LinkDown.
    """
    blocks = plan(points_of(profile, device), limits_of(profile))
    station = station_of(device, profile)
    times: list[float] = []
    errors: Counter[str] = Counter()
    asked, last = 0, ""
    for _ in range(rounds):
        for block in blocks:
            asked += 1
            began = time.monotonic()
            try:
                await line.read(station, block.function, block.address, block.length)
            except MeterRefused as refused:
                errors[f"exception {refused.code}"] += 1
                last = str(refused)
            except (NoAnswer, BadFrame) as error:
                errors[_KINDS[type(error)]] += 1
                last = str(error)
                continue
            times.append((time.monotonic() - began) * 1000)
    answer = await _answer(line, device, profile, clock) if times else None
    advice = [*_line_advice(asked, times, errors, waits, last), *_value_advice(device, profile, answer)]
    return Findings(device.id, asked, tuple(times), dict(errors), answer, tuple(advice))


_KINDS: Final[Mapping[type[GreenwardenError], str]] = {NoAnswer: "silence", BadFrame: "bad frame", LinkDown: "down"}


async def _answer(line: ModbusLink, device: Device, profile: Profile, clock: Clock) -> Answer | None:
    try:
        return await ask_device(line, device, profile, clock)
    except (NoAnswer, BadFrame, MeterRefused):
        return None


def _line_advice(asked: int, times: Sequence[float], errors: Mapping[str, int], timeout: int, last: str) -> list[str]:
    told = []
    silent, garbled = errors.get("silence", 0), errors.get("bad frame", 0)
    if silent == asked:
        told.append("never answers: is it powered, is its unit right, are A and B swapped, are baud rate and parity?")
    elif garbled == asked:
        told.append(f"looks like a wrong baud rate or parity, or two devices with one address ({last})")
    elif garbled:
        told.append(
            f"{garbled} of {asked} answers were garbled: two devices with one address, a missing terminator (120 ohm), "
            "or no pause between requests; try pause: 50ms for the link"
        )
    elif silent:
        told.append(f"{silent} of {asked} requests stayed without answer; try pause: 50ms for the link")
    worst = max(times, default=0.0)
    if worst > timeout:
        told.append(f"answers take up to {worst:.0f} ms, longer than the link waits: set timeout: {_rounded(worst)}ms")
    elif times and timeout > 10 * max(worst, _LEAST_TIMEOUT / 2) and not errors:
        told.append(f"timeout: {_rounded(worst)}ms would do for the link (it is {timeout} ms)")
    refused = [kind for kind in errors if kind.startswith("exception")]
    if refused:
        told.append(f"it {last}; does the profile fit this model?")
    return told


def _rounded(worst: float) -> int:
    """Three times the worst, so that a busy moment is not taken for silence."""
    return max(_LEAST_TIMEOUT, math.ceil(3 * worst / _STEP) * _STEP)


def _value_advice(device: Device, profile: Profile, answer: Answer | None) -> list[str]:
    if answer is None:
        return []
    doubt = suspicion(answer.reading.values)
    if not doubt:
        return []
    order = better_order(device, profile, answer)
    if order is None:
        return [doubt]
    return [
        f"looks like a wrong word order: with order: {order} the values are what they should be; set it for the device"
    ]


def better_order(device: Device, profile: Profile, answer: Answer) -> str | None:
    """The byte order by which the same words make sense; None when no order does, or none does better."""
    used = device.order or profile.order
    blocks = [block for block, _ in answer.blocks]
    best, best_score = None, plausibility(answer.reading.values)
    for order in ORDERS:
        if order == used:
            continue
        turned = device.model_copy(update={"order": order})
        values, _ = Decoder(profile, turned, blocks).decode([data for _, data in answer.blocks])
        score = plausibility(values)
        if score > best_score and not suspicion(values):
            best, best_score = order, score
    return best
