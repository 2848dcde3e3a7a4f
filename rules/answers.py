"""Answers that people give: from the page, from a command beside the running program, or from an MQTT topic.

Commands write to the table ``answers``; the running program takes them from there, and what came of each stands in
``answered``. "False alarm" answers are counted per rule and zone; where they pile up, a change of the rule's parameter
is proposed, which a person confirms by writing it into the site file.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from building.clock import Clock
from building.durations import format_duration, parse_duration
from building.errors import InputError, StoreAway
from building.instants import from_iso
from building.site import DAY, Site
from building.waiting import unbroken
from rules.catalogue import CATALOGUE, Rule, read_settings
from rules.life import Answer

log = logging.getLogger(__name__)

_TAKEN: Final = "answers/taken"
_LOOK_EVERY_S: Final = 1.0
_LOOK_BACK: Final = 2 * DAY
_FEWEST_FALSE: Final = 3
_WITHIN: Final = 30 * DAY


class Keeper(Protocol):
    """Where answers are kept."""

    def load(self, name: str) -> bytes | None:
        """What was saved last under ``name``."""

    def keep(
        self, blobs: Mapping[str, bytes | None], records: Iterable[tuple[str, int, str, Mapping[str, object]]] = ()
    ) -> None:
        """Save blobs and append records, all or nothing."""

    def records(self, table: str, *, since: int | None = None, key: str | None = None) -> list[dict[str, Any]]:
        """Records in order of time."""


Give = Callable[[Answer], Awaitable[object]]
"""Gives an answer to the rules; raises InputError when it cannot be."""


def leave(keeper: Keeper, answer: Answer, now: int) -> None:
    """Leave an answer for the running program, or for the next one that starts."""
    keeper.keep({}, [("answers", now, answer.ident, msgspec.to_builtins(answer))])


def outcome(keeper: Keeper, ident: str) -> str | None:
    """What came of an answer that was left: empty when it was taken, else why not; None while nobody has looked."""
    found = keeper.records("answered", key=ident)
    return None if not found else str(found[-1]["refused"])


def from_topic(said: Mapping[str, Any], now: int) -> Answer:
    """An answer that came as a JSON object: ``alert, action, by, reason, why`` and, for a silence, ``for: 2h``.

    Raises InputError.
    """
    until = None
    if "for" in said:
        try:
            until = now + parse_duration(said["for"])
        except ValueError as error:
            raise InputError(f"for: {error}") from None
    words = {key: said[key] for key in ("alert", "action", "by", "reason", "why") if key in said}
    try:
        answer = msgspec.convert({"action": "", "by": "", **words, "until": until, "via": "mqtt"}, Answer)
    except msgspec.ValidationError as error:
        raise InputError(f"the answer cannot be read ({error})") from None
    return answer


class Inbox:
    """Takes answers that commands have left, each once."""

    def __init__(self, keeper: Keeper, clock: Clock, give: Give) -> None:
        self._keeper, self._clock, self._give = keeper, clock, give
        taken = keeper.load(_TAKEN)
        self._taken: dict[str, int] = {} if taken is None else msgspec.json.decode(taken, type=dict[str, int])

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.step()
            except StoreAway as error:
                log.error("answers cannot be read: %s", error)
            await asyncio.sleep(_LOOK_EVERY_S)

    async def step(self) -> None:
        """Take what is there."""
        now = self._clock.now()
        for record in await asyncio.to_thread(self._keeper.records, "answers", since=now - _LOOK_BACK):
            if record["ident"] not in self._taken:
                await unbroken(self._take(record, now))

    async def _take(self, record: Mapping[str, Any], now: int) -> None:
        """One answer, as an object of plain values; what is wrong with it is kept, and told in the log."""
        ident, refused = str(record["ident"]), ""
        try:
            await self._give(msgspec.convert(dict(record), Answer))
        except (InputError, msgspec.ValidationError) as error:
            refused = str(error)
            log.warning("an answer is not taken: %s", refused)
        self._taken = {name: at for name, at in self._taken.items() if at > now - 2 * _LOOK_BACK} | {ident: now}
        blob = msgspec.json.encode(self._taken)
        row = ("answered", now, ident, {"ident": ident, "refused": refused})
        await asyncio.to_thread(self._keeper.keep, {_TAKEN: blob}, [row])


_MILDER: Final = ("after", "periods", "margin")
"""Parameters that make a rule milder as they grow; the first that a rule has is the one to change."""


class Proposal(NamedTuple):
    """A change of a parameter that the answers speak for. ``now`` and ``proposed`` in the parameter's unit."""

    rule: str
    zone: str
    false_alarms: int
    parameter: str
    now: float
    proposed: float
    unit: str = "ms"  # a duration
    own: bool = False  # a rule of the site's own has one number for all its zones

    def shown(self, value: float) -> str:
        """``value`` as it is written in the site file."""
        return format_duration(value) if self.unit == "ms" else f"{value:g}"

    def yaml(self) -> str:
        """What to write under ``rules:`` of the site file."""
        number = f"{self.parameter}: {self.shown(self.proposed)}"
        if self.own:
            return f"{self.rule}: {{{number}}}"
        return f'{self.rule}: {{zones: {{"{self.zone}": {{{number}}}}}}}'


def proposals(site: Site, audit: Iterable[Mapping[str, Any]], now: int) -> list[Proposal]:
    """Rules and zones with three false alarms or more in 30 days: half as long, or half as much, again as now.

    A rule that has nothing to make it milder, or has it at its highest already, is left out.
    """
    counted: Counter[tuple[str, str]] = Counter()
    for record in audit:
        recent = from_iso(record["at"]) > now - _WITHIN
        if recent and record.get("reason") == "false_alarm" and record.get("to") == "acknowledged" and record["zone"]:
            counted[(record["rule"], record["zone"])] += 1
    settings = {settings.rule.name: settings for settings in read_settings(site)}
    found = []
    for (rule, zone), count in sorted(counted.items()):
        device = next(
            (d for d in site.devices if d.zone == zone and rule in settings and settings[rule].rule.applies(d)), None
        )
        values = None if device is None else settings[rule].for_device(device)
        if count >= _FEWEST_FALSE and values is not None:
            proposal = _proposal(settings[rule].rule, zone, count, values)
            found += [] if proposal is None else [proposal]
    return found


def _proposal(rule: Rule, zone: str, count: int, values: Mapping[str, float]) -> Proposal | None:
    parameter = next((found for name in _MILDER if (found := rule.parameter(name)) is not None), None)
    if parameter is None:
        return None
    now = values[parameter.name]
    proposed = min(_rounded(now * 1.5) if parameter.unit == "ms" else round(now * 1.5, 1), parameter.high)
    own = rule.name not in CATALOGUE
    return (
        Proposal(rule.name, zone, count, parameter.name, now, proposed, parameter.unit, own) if proposed > now else None
    )


def _rounded(wait: float) -> int:
    """To whole minutes, as people write it."""
    return max(60_000, round(wait / 60_000) * 60_000)
