"""What MQTT devices publish, family by family, written from their makers' documents: here what all have in common.

Pure: asked at a moment, a player says which messages leave its device then, and when it will speak next.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, Final, NamedTuple, Protocol

from building.site import Device
from simulators.building import Meter, OfficeBuilding
from simulators.courses import Course
from simulators.faults import Kind
from simulators.sampling import report_offset

_GARBAGE: Final = (b'{"Time":"', b"\xff\xfe\x00garbage", b'{"ENERGY":{"Power":NaN}}', b"")
_GONE_AFTER: Final = 45_000  # ms of silence until the broker sends the last will: one and a half keep-alives


class Message(NamedTuple):
    """One publication."""

    topic: str
    payload: bytes
    retain: bool = False


class Player(Protocol):
    """Plays one device on a broker. ``telemetry`` counts the reports of values it has sent."""

    device: Device
    telemetry: int

    def speak(self, now: int) -> list[Message]:
        """The messages of this moment."""

    def next_after(self, now: int) -> int:
        """The next moment at which there may be something to say."""


class Talker(ABC):
    """Timetable, last will, and faults: the same for every family."""

    online: tuple[str, bytes, bytes]  # topic, payload when there, payload when gone

    def __init__(self, building: OfficeBuilding, device: Device) -> None:
        self.device = device
        self.telemetry = 0
        self.building = building
        self._offset = report_offset(building.seed, device)
        self._last_period: int | None = None
        self._kept: dict[str, bytes] = {}
        self._held: list[Message] = []
        self._announced: bool | None = None
        self._reported: list[Message] = []
        places = [device.id, *([device.link] if device.link else [])]
        self._edges = sorted(
            edge + ahead
            for fault in building.faults
            if fault.place in places
            for edge in (fault.start, fault.end)
            for ahead in (0, _GONE_AFTER)
        )

    # -- when ---------------------------------------------------------------------------------------------------------

    def next_after(self, now: int) -> int:
        """The next report, the next change of what it watches, or the next turn of a fault."""
        moments = [now + self.device.every - (now - self._offset) % self.device.every, self.building.day.end]
        watched = self.watched()
        if watched is not None:
            moments.append(watched.next_change(now))
        moments += [edge for edge in self._edges if edge > now][:1]
        return min(moments)

    def watched(self) -> Course | None:
        """What makes the device speak at once when it changes."""
        return None

    def _is_due(self, now: int) -> bool:
        number = (now - self._offset) // self.device.every
        due = number != self._last_period
        self._last_period = number
        return due

    # -- what ---------------------------------------------------------------------------------------------------------

    def speak(self, now: int) -> list[Message]:
        """The messages of this moment, as the faults of the device leave them."""
        due = self._is_due(now)
        silence = self.building.silent(self.device)
        if silence is not None:
            if silence.kind is Kind.BROKER_RESTART:
                return []
            if silence.kind is Kind.RETAINED_STALE and self._reported:
                stale, self._reported = self._reported, []
                return [message._replace(retain=True) for message in stale]
            gone = silence.kind is Kind.LAST_WILL or now >= silence.start + _GONE_AFTER
            return self._announce(False) if gone and silence.kind is not Kind.RETAINED_STALE else []
        said = self._say(now, due)
        if due:
            self._reported = said
        return self._announce(True) + self._disturbed(said, now)

    def _disturbed(self, said: list[Message], now: int) -> list[Message]:
        fault = self._fault
        if fault(Kind.GARBAGE):
            return [message._replace(payload=_GARBAGE[now // 1000 % len(_GARBAGE)]) for message in said]
        if fault(Kind.NO_VALUE):
            said = [message._replace(payload=_emptied(message.payload)) for message in said]
        if fault(Kind.FROZEN):
            said = [message._replace(payload=self._kept.setdefault(message.topic, message.payload)) for message in said]
        else:
            self._kept.clear()
        if fault(Kind.OUT_OF_ORDER) and said:
            said, self._held = (said + self._held, []) if self._held else ([], said)
        elif self._held:
            said, self._held = self._held + said, []
        return [message for message in said for _ in range(2)] if fault(Kind.DUPLICATE) else said

    def _fault(self, kind: Kind) -> bool:
        return self.building.fault_of(self.device.id, kind) is not None

    def _announce(self, there: bool) -> list[Message]:
        if there is self._announced:
            return []
        self._announced = there
        topic, present, gone = self.online
        return [Message(topic, present if there else gone, retain=True)]

    @abstractmethod
    def _say(self, now: int, due: bool) -> list[Message]:
        """What a healthy device says now; ``due`` when its period begins anew."""

    # -- for all families ---------------------------------------------------------------------------------------------

    def device_time(self, now: int) -> int:
        """What the device's own clock says, ms."""
        fault = self.building.fault_of(self.device.id, Kind.CLOCK_WRONG)
        return now if fault is None else now + round(fault.size * 3_600_000)


class Switched(Talker):
    """A plug or lamp with a relay, and mostly a meter."""

    def __init__(self, building: OfficeBuilding, device: Device) -> None:
        super().__init__(building, device)
        self.meter: Meter = building.meters[device.id]
        self.was_on: bool | None = None

    def watched(self) -> Course | None:
        """Its relay: a plug's own, or the room's lamps."""
        course = self.building.day.switched.get(self.device.id)
        return course if course is not None else self.building.day.lamps[self.device.zone or ""]

    @property
    def on(self) -> bool:
        course = self.watched()
        return course is not None and course.at(self.building.now) > 0

    def turned(self) -> bool:
        """Whether the relay has changed since this was last asked; not at the first time."""
        before, self.was_on = self.was_on, self.on
        return before is not None and before is not self.was_on

    def electric(self) -> dict[str, float]:
        """W, V, A, VA and the power factor as such a plug rounds them."""
        power = self.meter.power
        volts = self.meter.voltage(self.building.now)
        apparent = power / self.meter.factor
        return {
            "power": power, "voltage": volts, "current": apparent / volts, "apparent": apparent,
            "factor": self.meter.factor if power else 0.0, "reactive": math.sqrt(max(0.0, apparent**2 - power**2)),
        }  # fmt: skip


def _emptied(payload: bytes) -> bytes:
    """JSON with null for every number; other payloads as ESPHome says that there is no value."""
    try:
        content = json.loads(payload)
    except ValueError:
        return payload
    return to_json(_nulls(content)) if isinstance(content, dict) else b"nan"


def _nulls(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _nulls(value) for key, value in content.items()}
    return None if isinstance(content, int | float) and not isinstance(content, bool) else content


def local(now: int, tz: tzinfo) -> datetime:
    """The wall clock at the site."""
    return datetime.fromtimestamp(now / 1000, UTC).astimezone(tz)


def to_json(content: Mapping[str, object]) -> bytes:
    """Compact JSON, as devices write it."""
    return json.dumps(content, separators=(",", ":")).encode()
