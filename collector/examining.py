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
from collector.decoding import Decoder, decode_value
from collector.links.modbus import ModbusLink
from collector.planning import limits_of, plan, points_of
from collector.profiles import Profile
from collector.stations import station_of
from collector.suspecting import plausibility, suspicion

ORDERS: Final = ("ABCD", "CDAB", "BADC", "DCBA")
_LEAST_TIMEOUT: Final = 200  # ms
_TURNABLE: Final = ("u32", "s32", "u64", "s64", "f32", "f64")
_FEWEST_VOTES: Final = 2
_SMALLEST_FLOAT: Final = 1e-4
_LARGEST_FLOAT: Final = 1e10
_STEP: Final = 50  # ms; what suggestions are rounded up to


class Findings(NamedTuple):
    """What examining one device gave. ``times`` are ms per request; ``errors`` are counted by kind.

    ``faults`` say what is wrong and how to mend it, ``hints`` what could be better where nothing is wrong.
    """

    device: str
    asked: int
    times: tuple[float, ...]
    errors: Mapping[str, int]
    answer: Answer | None
    faults: tuple[str, ...]
    hints: tuple[str, ...] = ()

    @property
    def advice(self) -> tuple[str, ...]:
        """All there is to say, the faults first."""
        return self.faults + self.hints

    @property
    def well(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.faults and not self.errors

    @property
    def median(self) -> float | None:
        """ms; None when it never answered."""
        return statistics.median(self.times) if self.times else None

    @property
    def worst(self) -> float | None:
        """ms; None when it never answered."""
        return max(self.times, default=None)


async def examine(
    line: ModbusLink, device: Device, profile: Profile, clock: Clock, *, rounds: int, waits: int, language: str = "en"
) -> Findings:
    """Ask ``device`` all its requests ``rounds`` times, on a line that waits longer than the ``waits`` ms set for it.

    Advice is in ``language``, zh or en. Raises LinkDown.
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
    faults = _line_faults(asked, times, errors, waits, last, language)
    if answer is not None and (doubt := doubt_about(device, profile, answer, language)):
        faults.append(doubt)
    hints = () if errors or faults else _line_hints(times, waits, language)
    return Findings(device.id, asked, tuple(times), dict(errors), answer, tuple(faults), hints)


_KINDS: Final[Mapping[type[GreenwardenError], str]] = {NoAnswer: "silence", BadFrame: "bad frame", LinkDown: "down"}


async def _answer(line: ModbusLink, device: Device, profile: Profile, clock: Clock) -> Answer | None:
    try:
        return await ask_device(line, device, profile, clock)
    except (NoAnswer, BadFrame, MeterRefused):
        return None


_ADVICE: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        "never": "never answers: is it powered, is its unit right, are A and B swapped, are baud rate and parity?",
        "noise": "looks like a wrong baud rate or parity, or two devices with one address ({last})",
        "garbled": "{number} of {asked} answers were garbled: two devices with one address, a missing terminator "
        "(120 ohm), or no pause between requests; try pause: 50ms for the link",
        "silent": "{number} of {asked} requests stayed without answer; try pause: 50ms for the link",
        "late": "answers take up to {worst:.0f} ms, longer than the link waits: set timeout: {set}ms",
        "quick": "timeout: {set}ms would do for the link (it is {timeout} ms)",
        "refused": "it {last}; does the profile fit this model?",
        "order": "looks like a wrong word order: with order: {order} the values are what they should be; "
        "set it for the device",
    },
    "zh": {
        "never": "从不应答：是否通电，单元号是否正确，A、B 线是否接反，波特率和校验是否一致？",
        "noise": "像是波特率或校验（parity）不对，或两台设备用了同一地址（{last}）",
        "garbled": "{asked} 个应答中有 {number} 个损坏：两台设备同一地址、缺少终端电阻（120 欧）或请求之间没有间隔；"
        "请为该通信试设 pause: 50ms",
        "silent": "{asked} 个请求中有 {number} 个无应答；请为该通信试设 pause: 50ms",
        "late": "应答最慢需 {worst:.0f} ms，超过通信的等待时间：请设 timeout: {set}ms",
        "quick": "该通信设 timeout: {set}ms 即可（现为 {timeout} ms）",
        "refused": "设备拒绝部分请求（{last}）；型号是否匹配？",
        "order": "像是字序不对（wrong word order）：设 order: {order} 后各值正常；请在该设备下写明",
    },
}


def _line_faults(
    asked: int, times: Sequence[float], errors: Mapping[str, int], timeout: int, last: str, language: str
) -> list[str]:
    words = _ADVICE[language]
    told = []
    silent, garbled = errors.get("silence", 0), errors.get("bad frame", 0)
    if silent == asked:
        told.append(words["never"])
    elif garbled == asked:
        told.append(words["noise"].format(last=last))
    elif garbled:
        told.append(words["garbled"].format(number=garbled, asked=asked))
    elif silent:
        told.append(words["silent"].format(number=silent, asked=asked))
    worst = max(times, default=0.0)
    if worst > timeout:
        told.append(words["late"].format(worst=worst, set=_rounded(worst)))
    if any(kind.startswith("exception") for kind in errors):
        told.append(words["refused"].format(last=last))
    return told


def _line_hints(times: Sequence[float], timeout: int, language: str) -> tuple[str, ...]:
    """A meter that answers at once is waited for long when it is gone."""
    worst = max(times, default=math.inf)
    if timeout <= 10 * max(worst, _LEAST_TIMEOUT / 2):
        return ()
    return (_ADVICE[language]["quick"].format(set=_rounded(worst), timeout=timeout),)


def _rounded(worst: float) -> int:
    """Three times the worst, so that a busy moment is not taken for silence."""
    return max(_LEAST_TIMEOUT, math.ceil(3 * worst / _STEP) * _STEP)


def doubt_about(device: Device, profile: Profile, answer: Answer, language: str = "en") -> str:
    """What is probably set wrong for ``device``, by what it said, in ``language``; empty when nothing is."""
    doubt = suspicion(answer.reading.values, language)
    used = device.order or profile.order
    order = None
    if doubt or len(_turned_numbers(answer, used)) >= _FEWEST_VOTES:
        order = better_order(device, profile, answer)
    return _ADVICE[language]["order"].format(order=order) if order is not None else doubt


def better_order(device: Device, profile: Profile, answer: Answer) -> str | None:
    """The byte order by which the same words make sense; None when no order does, or none does better.

    Two kinds of evidence: voltages and frequencies that mains have by that order alone, and numbers whose halves show
    that they were changed round, of which one alone proves nothing.
    """
    used = device.order or profile.order
    blocks = [block for block, _ in answer.blocks]
    turned = _turned_numbers(answer, used)
    best, best_score = None, plausibility(answer.reading.values)
    for order in ORDERS:
        if order == used:
            continue
        other = device.model_copy(update={"order": order})
        values, _ = Decoder(profile, other, blocks).decode([data for _, data in answer.blocks])
        score = plausibility(values)
        votes = len(turned) >= _FEWEST_VOTES and all(order in orders for orders in turned)
        better = score > best_score or (votes and best is None and score == best_score)
        if better and not suspicion(values):
            best, best_score = order, score
    return best


def _turned_numbers(answer: Answer, used: str) -> list[tuple[str, ...]]:
    """For each number of two registers or more that looks changed round in the order ``used``: the orders that cure it.

    Empty as soon as as many look right as they are.
    """
    found: list[tuple[str, ...]] = []
    right = 0
    for block, data in answer.blocks:
        for point in block.points:
            kind = point.row.type
            if kind not in _TURNABLE or point.row.order is not None:
                continue
            first = 2 * (point.address - block.address)
            raw = data[first : first + 2 * point.row.width]
            if not any(raw):
                continue
            natural = tuple(order for order in ORDERS if _natural(kind, decode_value(kind, order, raw)))
            if used in natural:
                right += 1
            elif natural:
                found.append(natural)
    return found if len(found) > right else []


def _natural(kind: str, number: float | None) -> bool:
    """Whether a meter would send such a number. Of an integer in hundredths or watt-hours the low half is hardly ever
    0 (or all ones, when negative) by chance: one time in 65536; a float of a building is neither tiny nor huge."""
    if number is None:
        return False
    if kind.startswith("f"):
        return number == 0 or _SMALLEST_FLOAT <= abs(number) <= _LARGEST_FLOAT
    low = int(number) & 0xFFFF
    return -0x10000 < number < 0x10000 or low not in (0, 0xFFFF)
