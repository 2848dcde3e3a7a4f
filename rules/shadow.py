"""Rules on trial beside the live ones: the same readings, a memory and a desk of their own, and nobody is told.

What they would have said is kept in the table ``shadow`` for whoever wants to compare.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from building.readings import Reading
from building.site import Site
from rules.alerts import AlertDesk
from rules.engine import Finding, RuleEngine
from rules.memory import Memory

TABLE: Final = "shadow"
_STATE: Final = "shadow rules"

Row = tuple[str, int, str, Mapping[str, object]]


class Keeper(Protocol):
    """Where the memory of the last run is."""

    def load(self, name: str) -> bytes | None:
        """What was saved last under ``name``."""


class _State(msgspec.Struct):
    rules: str  # digest of the rules on trial: others begin anew
    memory: bytes
    desk: bytes


class Shadow:
    """Engine and desk of ``site``, the live one with other rules. ``drain`` gives what is to be kept."""

    def __init__(self, site: Site, keeper: Keeper) -> None:
        self.site = site
        self._engine = RuleEngine(site)
        self._desk = AlertDesk(site)
        self._rows: list[Row] = []
        self._digest = hashlib.sha256(repr(site.rules).encode()).hexdigest()
        self._memory = self._engine.new_memory()
        blob = keeper.load(_STATE)
        if blob is not None:
            state = msgspec.msgpack.decode(blob, type=_State)
            if state.rules == self._digest:
                self._memory = self._engine.restore(state.memory)
                self._desk.restore(state.desk)

    def take(self, batch: Sequence[Reading], now: int) -> None:
        """Judge a batch of readings."""
        self._note(self._engine.step(self._memory, batch, now))

    def come_to(self, now: int) -> None:
        """Let come due what is due up to ``now`` (ms)."""
        self._note(self._engine.tick(self._memory, now))

    def set_back(self, by: int) -> None:
        """The clock was set by ``by`` ms, back."""
        self._memory = self._engine.shifted(self._memory, by)

    @property
    def memory(self) -> Memory:
        return self._memory

    def drain(self) -> tuple[dict[str, bytes], list[Row]]:
        """Blobs and records to be kept, all or nothing; what they hold is not given again."""
        rows, self._rows = self._rows, []
        state = _State(self._digest, self._engine.save(self._memory), self._desk.save())
        return {_STATE: msgspec.msgpack.encode(state)}, rows

    def _note(self, findings: Iterable[Finding]) -> None:
        for alert in self._desk.take(findings):
            at = alert.raised if alert.ended is None else alert.ended
            self._rows.append((TABLE, at, alert.id, alert.to_json()))


def latest(records: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of each alert the last that was said, oldest first; one told again after a crash counts once."""
    found: dict[str, Mapping[str, Any]] = {}
    for record in records:
        before = found.get(str(record["id"]))
        if before is None or before["ended"] is None:
            found[str(record["id"])] = record
    return sorted(found.values(), key=lambda record: str(record["raised"]))
