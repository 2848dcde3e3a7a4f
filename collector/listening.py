"""MQTT messages of one broker to readings: routes, retained and repeated messages, and what cannot be read."""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import tzinfo
from typing import Final, NamedTuple

from building.clock import Clock
from building.durations import format_duration
from building.errors import BadFrame, LinkDown
from building.readings import Flaw, Grade, Quality, Reading, no_answer, with_flaws
from building.site import Device
from collector.announcements import TOPICS
from collector.finding import Finder
from collector.health import DeviceHealth, LinkHealth
from collector.links.mqtt import Batch, Message, MqttLink
from collector.payloads import Decoded, PayloadDecoder, topics_of
from collector.polling import Publish
from collector.profiles import Profile
from collector.stamping import moment_of_its_own
from collector.stream import Acknowledge, Stream

log = logging.getLogger(__name__)

_RETAINED: Final = Quality(Grade.SUSPECT, "kept by the broker from earlier; how old it is nobody knows")
_WINDOW: Final = 1000  # messages; brokers have 20 to 100 on their way to us without an acknowledgement
_LONG: Final = 1024  # bytes
_LATELY: Final = 15 * 60_000  # ms

Kept = Callable[[int], Iterable[Reading]]

Notes = Mapping[str, Callable[[bytes], Awaitable[None]]]
"""Topics that no device speaks on, and who takes what is told there: safe when that returns."""


class _Route(NamedTuple):
    decoder: PayloadDecoder
    device: Device
    health: DeviceHealth


class Finding(NamedTuple):
    """What it takes to take up devices that announce themselves; ``known`` makes one known to the house."""

    finder: Finder
    known: Callable[[Device], DeviceHealth]


class MqttListener:
    """Turns the messages of one link into readings of its devices."""

    def __init__(
        self,
        ident: str,
        devices: Sequence[tuple[Device, Profile, DeviceHealth]],
        clock: Clock,
        tz: tzinfo,
        health: LinkHealth,
        kept: Kept | None = None,
        notes: Notes | None = None,
        finding: Finding | None = None,
    ) -> None:
        """``kept(since)`` gives readings that are safe on disk since an instant, from before this start too.

        ``finding`` is for a broker whose devices may announce themselves.
        """
        self._notes = notes or {}
        self._ident = ident
        self._clock = clock
        self._health = health
        self._devices = [(device, device_health) for device, _, device_health in devices]
        self._routes: dict[str, list[_Route]] = {}
        self._heard: deque[tuple[str, bytes]] = deque(maxlen=_WINDOW)  # to know a repeated delivery
        self._kept = kept
        self._on_disk: dict[str, set[frozenset[tuple[str, float | str]]]] | None = None
        self._stamped: dict[str, int] = {}  # moment of a device's newest message
        self._told: dict[str, str] = {}  # what was said about a device's bad messages
        self._down: LinkDown | None = None
        self._tell_down = False
        self._tz = tz
        self._finding = finding
        for device, profile, device_health in devices:
            for topic, decoder in topics_of(profile, device, tz):
                self._routes.setdefault(topic, []).append(_Route(decoder, device, device_health))
        self._of_the_file = frozenset(self._routes)
        self._found: dict[str, set[str]] = {}  # topics of devices that announced themselves

    @property
    def topics(self) -> list[str]:
        """What to subscribe to."""
        return sorted({*self._routes, *self._notes, *(TOPICS if self._finding is not None else ())})

    async def run(self, link: MqttLink, stream: Stream) -> None:
        """Publish readings until cancelled. A batch is acknowledged when every keeper of the stream has it safe."""
        async for batch in link.batches():
            self._health.dropped = link.dropped
            for message in batch.messages if self._notes else ():
                take = self._notes.get(message.topic)
                if take is not None:
                    await take(message.payload)
            await self._pass_on(self.readings(batch), batch.acknowledge, stream)
            if self._finding is not None:
                self._take_up(self._finding, link)

    @staticmethod
    async def _pass_on(readings: list[Reading], acknowledge: Acknowledge, stream: Stream) -> None:
        if readings:
            await stream.publish(readings, acknowledge)
        else:
            acknowledge()

    def readings(self, batch: Batch) -> list[Reading]:
        """What a batch says; messages that say nothing leave nothing."""
        found: list[Reading] = []
        for message in batch.messages:
            self._health.messages += 1
            payload = message.payload
            heard = (message.topic, payload if len(payload) <= _LONG else _digest(payload))
            if message.again and heard in self._heard:
                self._health.duplicates += 1
                continue
            self._heard.append(heard)
            routes = self._routes.get(message.topic, ())
            if not routes and self._finding is not None:
                self._finding.finder.hear(message.topic, message.payload)
            for route in routes:
                reading = self._reading(route, message)
                if reading is not None:
                    found.append(reading)
        return found

    def _reading(self, route: _Route, message: Message) -> Reading | None:
        device, health = route.device.id, route.health
        try:
            decoded = route.decoder.decode(message.payload, dated=message.retained)
        except BadFrame as error:
            health.errors["unreadable"] += 1
            self._tell(device, f"{message.topic}: {error}")
            return None
        if decoded.flaws:
            health.errors["flawed"] += 1
            self._tell(device, "; ".join(flaw.reason for flaw in decoded.flaws.values()))
        else:
            self._told.pop(device, None)
        if not decoded.values and not decoded.flaws:
            return None
        if message.again and self._is_on_disk(device, decoded):
            self._health.duplicates += 1
            return None
        health.answered += 1
        health.silent_since = None
        arrived_at = self._stamped[device] = moment_of_its_own(message.arrived_at, self._stamped.get(device))
        reading = _dated(route, message, decoded, arrived_at)
        health.last_reading_at = max(health.last_reading_at or 0, reading.taken_at)
        return reading

    # -- devices that announce themselves ------------------------------------------------------------------------------

    def _take_up(self, finding: Finding, link: MqttLink) -> None:
        """Read what newly announced devices publish, and no longer what those do that took their words back."""
        for device, profile in finding.finder.changes():
            routes = [] if profile is None else topics_of(profile, device, self._tz)
            topics = {topic for topic, _ in routes}
            if topics & self._of_the_file:
                continue  # it stands in devices.yaml, with a page of its own
            before = self._found.pop(device.id, set())
            for topic in before:
                self._routes[topic] = [route for route in self._routes[topic] if route.device.id != device.id]
            gone = {topic for topic in before - topics if not self._routes[topic]}
            for topic in gone:
                del self._routes[topic]
            link.ignore(gone)
            if not routes:
                if before:
                    log.warning("device %s on link %s no longer announces itself", device.id, self._ident)
                continue
            if not before:
                log.info("device %s (%s) announced itself on link %s", device.id, device.kind, self._ident)
            health = finding.known(device)
            for topic, decoder in routes:
                self._routes.setdefault(topic, []).append(_Route(decoder, device, health))
            self._found[device.id] = topics
            link.listen_to(topics)

    def _is_on_disk(self, device: str, decoded: Decoded) -> bool:
        """Whether a repeated message was kept before this start: on disk, but its acknowledgement came too late."""
        if self._kept is None:
            return False
        if self._on_disk is None:
            self._on_disk = {}
            for reading in self._kept(self._clock.now() - _LATELY):
                self._on_disk.setdefault(reading.device, set()).add(frozenset(reading.values.items()))
        return frozenset(decoded.values.items()) in self._on_disk.get(device, ())

    def _tell(self, device: str, sentence: str) -> None:
        """Once, until the device sends something sound again."""
        if device not in self._told:
            log.warning("device %s: %s", device, sentence)
            self._told[device] = sentence

    # -- the broker comes and goes ------------------------------------------------------------------------------------

    async def state_changed(self, down: LinkDown | None, publish: Publish) -> None:
        """Said once each way; while the broker is gone, its devices are silent."""
        now = self._clock.now()
        if down is None:
            self._health.connections += 1
            if self._health.down_since is not None:
                log.warning("link %s is back after %s", self._ident, format_duration(now - self._health.down_since))
            self._health.down_since = None
            return
        self._health.errors["LinkDown"] += 1
        self._health.down_since = now
        log.warning("link %s is down: %s", self._ident, down)
        for _, health in self._devices:
            health.silent_since = health.silent_since or now
        await publish([no_answer(device.id, now, str(down)) for device, _ in self._devices])


def _digest(payload: bytes) -> bytes:
    """What a long payload is remembered by: a thousand of them would be much."""
    return hashlib.sha256(payload).digest()


def _dated(route: _Route, message: Message, decoded: Decoded, arrived_at: int) -> Reading:
    """The arrival is the time of a live message; a retained one is as old as it says itself, else suspect."""
    device = route.device.id
    if not message.retained or route.decoder.trusted:
        return with_flaws(device, arrived_at, decoded.values, decoded.flaws)
    if decoded.told_at is not None and decoded.told_at <= arrived_at:
        return with_flaws(device, decoded.told_at, decoded.values, decoded.flaws)
    worst = max([_RETAINED.grade, *(flaw.grade for flaw in decoded.flaws.values())])
    flaws: dict[str, Flaw] = dict(decoded.flaws)
    return Reading(device, arrived_at, decoded.values, Quality(worst, _RETAINED.reason, flaws))
