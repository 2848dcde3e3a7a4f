"""Why a rule speaks or is silent on a device: its conditions and inputs as the engine's memory holds them.

Pure: a memory in, an explanation out. Truths are True, False or None for unknown; instants are ms UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from building.instants import to_iso
from building.quantities import QUANTITIES
from building.site import Site
from rules.catalogue import rule_of
from rules.cells import NEVER, Cell, Signal
from rules.clocks import SeasonNow, Working
from rules.condition import Text, Truth
from rules.memory import Memory
from rules.messages import shown_limits
from rules.presence import Room
from rules.watching import Watch
from rules.wording import length

_INNER: Final = frozenset({"listeners", "memory", "track", "ages"})  # of a cell: leads to others, not to its inputs


class Input(NamedTuple):
    """One quantity a condition goes by. ``quality``: good, stale, bad, or never (never told); ``age`` in ms."""

    device: str
    quantity: str
    value: float | str | None
    unit: str
    taken_at: int | None
    age: int | None
    quality: str


class Why(NamedTuple):
    """One rule on one device at one moment. ``due``: when it will be raised if all stays as it is."""

    rule: str
    device: str
    zone: str | None
    at: int
    phase: str  # quiet, pending, firing
    truth: Truth
    parts: tuple[tuple[Text, Truth], ...]
    inputs: tuple[Input, ...]
    missing: tuple[Input, ...]  # without which nothing can be said
    presence: Mapping[str, Any] | None
    since: int | None
    due: int | None
    limits: Mapping[str, Any]


def devices_of(watch: Watch) -> set[str]:
    """The devices whose readings ``watch`` depends on."""
    return {watch.device} | {signal.track.device.id for signal in signals_of(watch)}


def signals_of(watch: Watch) -> list[Signal]:
    """All signals behind a watch's condition, in order, each once."""
    return _signals([*watch.condition.inputs, *((watch.condition.room,) if watch.condition.room is not None else ())])


def _signals(cells: Iterable[Cell]) -> list[Signal]:
    return list(dict.fromkeys(signal for cell in cells for signal in _within(cell, set())))


def _missing(watch: Watch, now: int) -> tuple[Input, ...]:
    """What is not known of that on which the unknown parts of a condition look: what was told once, else what never
    was."""
    if watch.condition.test() is not None:
        return ()
    cells = [cell for part in watch.condition.parts if part.test() is None for cell in part.inputs]
    inputs = [_input(signal, now) for signal in (_signals(cells) if cells else signals_of(watch))]
    told = tuple(one for one in inputs if one.quality in ("stale", "bad"))
    return told or tuple(one for one in inputs if one.quality == "never")


def explain(site: Site, watch: Watch, now: int) -> Why:
    """What ``watch`` stands on at ``now``; its memory must have come to that moment."""
    rule, condition = rule_of(site, watch.rule), watch.condition
    pending = watch.phase == "pending"
    due = None
    if pending and not watch.unknown_since:
        due = watch.due if condition.sure is None else max(watch.due, condition.sure())
    return Why(
        rule=watch.rule,
        device=watch.device,
        zone=watch.zone,
        at=now,
        phase=watch.phase,
        truth=condition.test(),
        parts=tuple((part.name, part.test()) for part in condition.parts)
        or ((_named(rule.sentence), condition.test()),),
        inputs=tuple(_input(signal, now) for signal in signals_of(watch)),
        missing=_missing(watch, now),
        presence=None if condition.room is None else _presence(condition.room),
        since=None if watch.phase == "quiet" else watch.since,
        due=due,
        limits=shown_limits(rule, watch.limits),
    )


def _within(cell: Any, seen: set[int]) -> Iterator[Signal]:
    """The signals a cell is made of, found through what it holds."""
    if id(cell) in seen:
        return
    seen.add(id(cell))
    if isinstance(cell, Signal):
        yield cell
    elif isinstance(cell, Cell):
        for name in (slot for kind in type(cell).__mro__ for slot in getattr(kind, "__slots__", ())):
            if name not in _INNER:
                held = getattr(cell, name, None)
                for part in held if isinstance(held, list | tuple) else (held,):
                    if isinstance(part, Cell):
                        yield from _within(part, seen)


def _input(signal: Signal, now: int) -> Input:
    quality, value = "good", signal.value
    if not signal.spoken:
        quality = "never"
    elif signal.unknown:
        said = signal.track.said if signal.track.on_change else signal.heard
        quality = "stale" if now - said >= signal.stale_after else "bad"
    return Input(
        signal.track.device.id,
        signal.quantity,
        value if quality == "good" else None,
        QUANTITIES[signal.quantity].unit,
        signal.heard if signal.spoken else None,
        now - signal.heard if signal.spoken else None,
        quality,
    )


def _presence(room: Room) -> dict[str, Any]:
    known = room.last_sign != NEVER and not room.yes  # while somebody is there, the last sign is now
    return {
        "sensed": room.sensed,
        "empty": room.vacant if room.sensed else None,
        "last_sign": room.last_sign if known else None,
        "sure_from": room.last_sign + room.hold if room.sensed and known else None,
        "working_hours": room.working.state,
        "booked": room.bookings.holds(room.memory.now),
    }


def calendar_of(watch: Watch) -> dict[str, Any]:
    """What the calendar says to a watch that asks it: the season, or whether it is working hours."""
    said: dict[str, Any] = {}
    for cell in watch.condition.inputs:
        if isinstance(cell, SeasonNow):
            said["season"] = cell.name
        elif isinstance(cell, Working):
            said["working_hours"] = cell.state
    return said


def find(memory: Memory, rule: str, place: str) -> list[Watch]:
    """The watches of ``rule`` on a device of that id, else on all devices of that zone."""
    own = memory.watches.get((rule, place))
    if own is not None:
        return [own]
    return [watch for (name, _), watch in memory.watches.items() if name == rule and watch.zone == place]


# -- words ------------------------------------------------------------------------------------------------------------


def as_json(why: Why, site: Site) -> dict[str, Any]:
    """For programs: instants as ISO 8601, durations in seconds, unknown as null."""
    tz = site.site.tz

    def iso(moment: int | None) -> str | None:
        return None if moment is None else to_iso(moment, tz)

    presence = why.presence
    if presence is not None:
        presence = {**presence, **{key: iso(presence[key]) for key in ("last_sign", "sure_from")}}
    return {
        "rule": why.rule,
        "device": why.device,
        "zone": why.zone,
        "at": iso(why.at),
        "state": why.phase,
        "holds": why.truth,
        "since": iso(why.since),
        "due": iso(why.due),
        "remaining_s": None if why.due is None else max(why.due - why.at, 0) / 1000,
        "conditions": [{"name": name.of(site.site.language), "holds": truth} for name, truth in why.parts],
        "inputs": [
            {
                "device": one.device,
                "quantity": one.quantity,
                "value": one.value,
                "unit": one.unit,
                "time": iso(one.taken_at),
                "age_s": None if one.age is None else one.age / 1000,
                "quality": one.quality,
            }
            for one in why.inputs
        ],
        "missing": [f"{one.device} {one.quantity}" for one in why.missing],
        "presence": presence,
        "limits": dict(why.limits),
        "sentence": sentence(why, site),
    }


def _named(said: Text) -> Text:
    """A rule's sentence as the name of its only condition, to stand in a list."""
    first = said.en[:1].lower() if said.en[1:2].islower() else said.en[:1]  # "CO2 is high" stays
    return Text(zh=said.zh.rstrip("。"), en=first + said.en[1:].rstrip("."))


def sentence(why: Why, site: Site) -> str:
    """The whole of it in one sentence, in the site's language."""
    zh, tz = site.site.language == "zh", site.site.tz

    def clock(moment: int | None) -> str:
        return "" if moment is None else to_iso(moment, tz)[5:16].replace("T", " ")

    if why.phase == "firing":
        return f"已告警，自 {clock(why.since)} 起。" if zh else f"Raised; it has held since {clock(why.since)}."
    if why.truth is None:
        names = _listed((f"{one.device} {one.quantity}" for one in why.missing), zh=zh)
        return f"无法判断：缺少 {names} 的有效读数。" if zh else f"Unknown: no usable reading of {names}."
    if why.phase == "pending":
        left = length(max((why.due or why.at) - why.at, 0) // 1000 * 1000, site.site.language)
        if zh:
            return f"条件自 {clock(why.since)} 起成立，再持续{left}（到 {clock(why.due)}）即告警。"
        return f"It has held since {clock(why.since)}; raised in {left}, at {clock(why.due)}, if it goes on."
    names = _listed((name.of(site.site.language) for name, truth in why.parts if truth is False), zh=zh)
    if zh:
        return f"未告警：{f'以下条件不成立：{names}' if names else '条件不成立'}。"
    return f"Not raised: {f'not true: {names}' if names else 'the condition is not true'}."


def _listed(names: Iterable[str], *, zh: bool) -> str:
    return ("、" if zh else ", ").join(dict.fromkeys(name.rstrip(".。") for name in names))
