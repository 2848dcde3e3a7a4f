"""One device, once: what ``greenwarden read`` asks for. The running collector is not disturbed."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from building.clock import Clock
from building.errors import ConfigError, LinkDown, MeterRefused, NoAnswer
from building.readings import Flaw, Grade, Quality, Reading, with_flaws
from building.site import Device, Link, Site
from collector.decoding import Decoder, Flaws, Values
from collector.health import DeviceHealth, LinkHealth
from collector.links.modbus import ModbusLink
from collector.links.mqtt import Message, MqttLink
from collector.listening import MqttListener
from collector.planning import Block, every_point, limits_of, pieces, plan
from collector.profiles import Profile, load_profile
from collector.service import Credentials, access_of, endpoint_of, timeout_of
from collector.stations import line_for, station_of

_TOGETHER: Final = 0.3  # real seconds for the other messages of a device that tells its values one by one
_WRONG_QUESTION: Final = (2, 3)  # exception codes: no such register, not so many at once


class Answer(NamedTuple):
    """What one device said: the reading and the rows that are no quantity, and what they were made of.

    ``blocks`` holds each request with the raw registers it brought, ``messages`` what an MQTT device published.
    """

    reading: Reading
    blocks: tuple[tuple[Block, bytes], ...] = ()
    details: Values = {}  # noqa: RUF012  # of a NamedTuple, never written to
    messages: tuple[Message, ...] = ()


async def read_once(
    site: Site,
    device_id: str,
    clock: Clock,
    *,
    endpoints: Mapping[str, str] | None = None,
    credentials: Credentials | None = None,
    profiles_folder: Path | None = None,
    patience: float = 30.0,
) -> Answer:
    """Ask a Modbus device for all its points now, or wait ``patience`` real seconds for an MQTT device to speak.

    Raises ConfigError when it cannot be asked; NoAnswer, BadFrame, LinkDown as the line does; MeterRefused when it
    refuses all of its registers (those it refuses singly become flaws).
    """
    device = site.device.get(device_id)
    if device is None:
        raise ConfigError(f"there is no device '{device_id}'; known are {', '.join(sorted(site.device))}")
    link = site.link.get(device.link or "")
    if link is None or device.profile is None:
        raise ConfigError(f"device '{device_id}' has no link and cannot be asked; it is fed by replay or by hand")
    profile = load_profile(device.profile, profiles_folder)
    if link.mqtt is None:
        return await _ask(device, profile, link, clock, endpoints or {})
    return await _wait(site, device, profile, link, clock, endpoints or {}, credentials or {}, patience)


async def _ask(device: Device, profile: Profile, link: Link, clock: Clock, endpoints: Mapping[str, str]) -> Answer:
    endpoint = endpoint_of(link, endpoints)
    line = line_for(link.protocol, endpoint, [profile], timeout=timeout_of(link, clock), pause=link.pause / 1000)
    try:
        return await ask_device(line, device, profile, clock)
    finally:
        await line.close()


async def ask_device(line: ModbusLink, device: Device, profile: Profile, clock: Clock) -> Answer:
    """All rows of ``profile`` from ``device`` on ``line``; what it refuses is found in parts and becomes flaws.

    Raises NoAnswer, BadFrame, LinkDown as the line does, and MeterRefused when the device refuses everything.
    """
    station = station_of(device, profile)
    suspects = list(reversed(plan(every_point(profile, device), limits_of(profile))))
    heard: list[tuple[Block, bytes]] = []
    flaws: Flaws = {}
    refusal: MeterRefused | None = None
    while suspects:
        block = suspects.pop()
        try:
            heard.append((block, await line.read(station, block.function, block.address, block.length)))
        except MeterRefused as refused:
            refusal = refused
            parts = pieces(block)
            if len(parts) > 1 and refused.code in _WRONG_QUESTION:
                suspects += reversed(parts)
                continue
            names = [point.row.quantity for point in block.points if point.row.quantity]
            flaws |= dict.fromkeys(names, Flaw(Grade.BAD, f"the device {refused}"))
    if refusal is not None and not heard:
        raise refusal
    values, found, details = Decoder(profile, device, [block for block, _ in heard]).decode_all(
        [raw for _, raw in heard]
    )
    return Answer(with_flaws(device.id, clock.now(), values, flaws | found), tuple(heard), details)


async def _wait(
    site: Site,
    device: Device,
    profile: Profile,
    link: Link,
    clock: Clock,
    endpoints: Mapping[str, str],
    credentials: Credentials,
    patience: float,
) -> Answer:
    endpoint = endpoint_of(link, endpoints)
    listener = MqttListener(link.id, [(device, profile, DeviceHealth(link.id))], clock, site.site.tz, LinkHealth())
    down: asyncio.Future[LinkDown] = asyncio.get_running_loop().create_future()

    def on_state(state: LinkDown | None) -> None:
        if state is not None and not down.done():
            down.set_result(state)

    line = MqttLink(
        endpoint.host,
        endpoint.port,
        listener.topics,
        client_id=f"greenwarden-{secrets.token_hex(4)}",  # the collector's own id would end its session
        access=access_of(link, endpoint, credentials),
        now=clock.now,
        on_state=on_state,
        persistent=False,
        version=link.version,
    )

    heard: list[Reading] = []
    messages: dict[tuple[str, bytes], Message] = {}  # each once: a broker may send what it keeps for every topic
    topics = frozenset(listener.topics)
    wanted = set(profile.quantities) - {"online"}  # a last will alone says that the device is there, and no more
    telling = asyncio.Event()

    async def listen() -> None:
        async for batch in line.batches():
            readings = listener.readings(batch)
            batch.acknowledge()
            heard.extend(readings)
            for message in batch.messages:
                if message.topic in topics:  # some brokers send what they keep of others along
                    messages.setdefault((message.topic, message.payload), message)
            if any(wanted & {*reading.values, *reading.quality.flaws} for reading in readings):
                telling.set()

    async with line:
        listening = asyncio.create_task(listen(), name=f"read {device.id}")
        told = asyncio.create_task(telling.wait(), name=f"read {device.id}: the first")
        either: list[asyncio.Future[Any]] = [listening, told, down]
        try:
            await asyncio.wait(either, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            if telling.is_set():
                await asyncio.sleep(_TOGETHER)
        finally:
            told.cancel()
            listening.cancel()
    if listening.done() and not listening.cancelled():
        listening.result()  # a fault of ours
    if heard:
        return Answer(_together(heard), messages=tuple(messages.values()))
    if down.done():
        raise down.result()
    raise NoAnswer(f"device '{device.id}' has published nothing within {patience:g} s; check topic: {device.topic}")


def _together(readings: Sequence[Reading]) -> Reading:
    """What messages that came together say as one: the last word on each quantity, and the worst of their grades."""
    values: Values = {}
    flaws: Flaws = {}
    for reading in readings:
        for name in reading.values:
            flaws.pop(name, None)
        for name in reading.quality.flaws:
            values.pop(name, None)
        values |= reading.values
        flaws |= reading.quality.flaws
    worst = max((reading.quality for reading in readings), key=lambda quality: (quality.grade, quality.reason))
    last = max(reading.taken_at for reading in readings)
    return Reading(readings[0].device, last, values, Quality(worst.grade, worst.reason, flaws))
