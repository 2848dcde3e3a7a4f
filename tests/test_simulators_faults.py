"""Every fault of devices and wires, and what the collector said of it: never a wrong value that passes for good."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from building.clock import FastClock
from building.document import parse_document
from building.readings import Grade, Reading
from building.site import Site, build_site
from collector.health import CollectorHealth
from collector.service import Collector
from collector.stream import Stream
from simulators.faults import Fault, Kind
from simulators.service import Simulation
from tests.parts import eventually
from tests.simulators_parts import HOUR, MINUTE, at

MORNING = at("2026-07-01 10:00")
SPEED = 60.0


def office() -> Site:
    """A meter that will suffer and one beside it that must not, on Modbus TCP and RTU over TCP; two plugs on MQTT."""
    meter = "kind: electricity, circuit: sockets, profile: eastron_sdm120, zone: z, rated_power: 400, every: 10s"
    plug = "kind: plug, appliance: 电脑, profile: tasmota_plug, link: broker, zone: z, every: 10s"
    text = f"""
zones: [{{id: z, headcount: 3, area: 40}}, {{id: wc, use: toilet}}]
links:
  - {{id: tcp, modbus: "tcp://127.0.0.1:502"}}
  - {{id: rtu, modbus: "rtu+tcp://127.0.0.1:503"}}
  - {{id: broker, mqtt: "mqtt://127.0.0.1:1883"}}
devices:
  - {{id: ill-tcp, link: tcp, unit: 1, {meter}}}
  - {{id: well-tcp, link: tcp, unit: 2, {meter}}}
  - {{id: ill-rtu, link: rtu, unit: 1, {meter}}}
  - {{id: well-rtu, link: rtu, unit: 2, {meter}}}
  - {{id: ill-plug, topic: ill, {plug}}}
  - {{id: well-plug, topic: well, {plug}}}
"""
    return build_site(parse_document(text.encode(), "devices.yaml"))


@dataclass
class Heard:
    """What came out of the collector."""

    readings: dict[str, list[Reading]] = field(default_factory=lambda: defaultdict(list))
    health: CollectorHealth = field(default_factory=CollectorHealth)

    def good(self, device: str, quantity: str, start: int = 0, end: int = 1 << 62) -> list[float]:
        """Values that pass for good."""
        return [
            float(reading.values[quantity])
            for reading in self.readings[device]
            if quantity in reading.values
            and reading.quality.of(quantity) is Grade.GOOD
            and start <= reading.taken_at < end
        ]

    def silent(self, device: str) -> list[str]:
        """Reasons of the readings that say that there was no answer."""
        return [reading.quality.reason for reading in self.readings[device] if not reading.values]

    def reasons(self, device: str) -> str:
        """Every flaw that was told."""
        flaws = [flaw.reason for reading in self.readings[device] for flaw in reading.quality.flaws.values()]
        return " | ".join(dict.fromkeys([*flaws, *self.silent(device)]))


async def listen(faults: Sequence[Fault], minutes: float = 6.0, speed: float = SPEED) -> Heard:
    """The collector on the office with ``faults``, for some minutes of building time."""
    site, heard, stream = office(), Heard(), Stream()
    clock = FastClock(MORNING, speed)
    least = 10 if speed == SPEED else 3
    taken = stream.subscribe("test")

    async def keep() -> None:
        async for batch in taken:
            for reading in batch:
                heard.readings[reading.device].append(reading)

    async with Simulation(site, clock, seed=1, faults=faults) as served:
        collector = Collector(site, clock, stream, endpoints=served.endpoints, credentials=served.credentials)
        keeping = asyncio.create_task(keep())
        async with collector:
            await clock.sleep_until(MORNING + round(minutes * MINUTE))
            await eventually(lambda: len(heard.good("well-tcp", "active_power")) >= least, "the meter beside it")
            await eventually(lambda: len(heard.good("well-rtu", "active_power")) >= least // 2, "the meter beside it")
            heard.health = collector.health()
        stream.close()
        await keeping
    for device in ("well-tcp", "well-rtu"):
        assert all(power == pytest.approx(400, rel=0.01) for power in heard.good(device, "active_power"))
    return heard


def all_along(kind: Kind, *places: str, amount: float | None = None, register: int | None = None) -> list[Fault]:
    return [Fault(kind, place, MORNING - HOUR, MORNING + 12 * HOUR, amount, register) for place in places]


async def test_silence_is_told_as_no_answer_and_never_as_a_value() -> None:
    heard = await listen(all_along(Kind.SILENCE, "ill-tcp", "ill-rtu", "ill-plug"))
    for device in ("ill-tcp", "ill-rtu"):
        assert heard.silent(device), device
        assert not heard.good(device, "active_power")
        assert heard.health.devices[device].errors["NoAnswer"] >= 1
        assert heard.health.devices[device].silent_since is not None
    assert not heard.good("ill-plug", "active_power")


@pytest.mark.parametrize("code", [1, 2, 3, 4, 6, 10, 11])
async def test_exceptions_are_told_by_what_they_mean(code: int) -> None:
    heard = await listen(all_along(Kind.EXCEPTION, "ill-tcp", "ill-rtu", amount=float(code)), 4)
    for device in ("ill-tcp", "ill-rtu"):
        health = heard.health.devices[device]
        assert not heard.good(device, "active_power")
        assert health.errors[f"exception {code}"] >= 1, dict(health.errors)
        if code in (10, 11):
            assert heard.silent(device), "nobody is there behind the gateway"
        else:
            assert heard.reasons(device), "the refusal is told with the reading"


async def test_one_refused_register_leaves_the_others_alone() -> None:
    heard = await listen(all_along(Kind.EXCEPTION, "ill-tcp", amount=2.0, register=0x48), 4)
    assert heard.good("ill-tcp", "active_power")
    assert not heard.good("ill-tcp", "energy_import")
    assert "refuses" in heard.reasons("ill-tcp") or heard.health.devices["ill-tcp"].refused


@pytest.mark.parametrize(
    ("kind", "amount", "minutes", "speed"),
    [
        (Kind.CUT_FRAME, None, 8, SPEED),
        (Kind.WRONG_CRC, None, 8, SPEED),
        (Kind.WRONG_UNIT, None, 8, SPEED),
        (
            Kind.LATE,
            1.3,
            0.5,
            3.0,
        ),  # time-outs and rests nearly as long as in a real building: it meets the next request
    ],
)
async def test_broken_foreign_and_late_frames_never_become_values(
    kind: Kind, amount: float | None, minutes: float, speed: float
) -> None:
    heard = await listen(all_along(kind, "ill-tcp", "ill-rtu", amount=amount), minutes, speed)
    for device in ("ill-tcp", "ill-rtu"):
        assert not heard.good(device, "active_power"), kind
        errors = heard.health.devices[device].errors
        assert errors["NoAnswer"] + errors["BadFrame"] >= 1, dict(errors)


async def test_swapped_words_are_told_as_a_wrong_order(caplog: pytest.LogCaptureFixture) -> None:
    heard = await listen(all_along(Kind.SWAPPED_WORDS, "ill-tcp", "ill-rtu"), 4)
    for device in ("ill-tcp", "ill-rtu"):
        assert f"device {device}" in caplog.text
        assert heard.readings[device]
        assert not heard.good(device, "frequency")
        assert not [power for power in heard.good(device, "active_power") if abs(power) > 1e-3]
    assert "wrong word order" in caplog.text


async def test_marks_of_no_value_are_no_numbers() -> None:
    heard = await listen(all_along(Kind.NO_VALUE, "ill-tcp", "ill-rtu", "ill-plug"), 4)
    for device in ("ill-tcp", "ill-rtu", "ill-plug"):
        assert heard.readings[device]
        assert not heard.good(device, "active_power")
        assert not heard.good(device, "voltage")


async def test_a_frozen_meter_repeats_itself_and_a_drifting_one_tells_too_much() -> None:
    heard = await listen([*all_along(Kind.FROZEN, "ill-tcp"), *all_along(Kind.DRIFT, "ill-rtu", amount=0.25)])
    assert len(set(heard.good("ill-tcp", "voltage"))) <= 1  # further on the quality says that it is frozen
    assert all(power == pytest.approx(500, rel=0.01) for power in heard.good("ill-rtu", "active_power"))


async def test_counters_that_fall_are_passed_on_as_they_are_told() -> None:
    turn = MORNING + 3 * MINUTE
    faults = [
        Fault(Kind.COUNTER_RESET, "ill-tcp", turn, turn + HOUR),
        Fault(Kind.METER_EXCHANGE, "ill-rtu", turn, turn + HOUR, 17.25),
        Fault(Kind.COUNTER_STEP_BACK, "ill-plug", turn, turn + MINUTE, 0.5),
    ]
    heard = await listen(faults)
    for device, base in (("ill-tcp", 0.0), ("ill-rtu", 17.25)):
        after = heard.good(device, "energy_import", turn + 30_000)
        assert after
        assert all(base <= energy < base + 1 for energy in after)
        assert min(heard.good(device, "energy_import", 0, turn)) > 18
    energies = heard.good("ill-plug", "energy_import")
    assert min(energies) < energies[0] <= energies[-1]


async def test_garbage_duplicates_and_overtaken_messages_alter_nothing() -> None:
    heard = await listen(all_along(Kind.GARBAGE, "ill-plug"), 4)
    assert not heard.good("ill-plug", "active_power")
    assert heard.health.devices["ill-plug"].errors["unreadable"] >= 1
    for kind in (Kind.DUPLICATE, Kind.OUT_OF_ORDER, Kind.CLOCK_WRONG):
        heard = await listen(all_along(kind, "ill-plug"), 4)
        powers = heard.good("ill-plug", "active_power")
        assert powers, kind
        assert all(60 <= power <= 115 for power in powers)
        stamps = [reading.taken_at for reading in heard.readings["ill-plug"]]
        assert all(MORNING <= stamp <= MORNING + 30 * MINUTE for stamp in stamps), kind


async def test_a_last_will_makes_the_plug_offline_and_a_stale_retained_message_is_not_taken_for_today() -> None:
    gone = [Fault(Kind.LAST_WILL, "ill-plug", MORNING + 2 * MINUTE, MORNING + HOUR)]
    heard = await listen(gone, 5)
    assert heard.good("ill-plug", "online")[-1] == 0
    assert not heard.good("ill-plug", "active_power", MORNING + 2 * MINUTE + 20_000)
    stale = [Fault(Kind.RETAINED_STALE, "ill-plug", MORNING + MINUTE, MORNING + HOUR)]
    heard = await listen(stale, 5)
    assert not heard.good("ill-plug", "active_power", MORNING + 2 * MINUTE)


async def test_a_gateway_without_power_and_a_broker_that_restarts_come_back_by_themselves() -> None:
    cut = Fault(Kind.GATEWAY_POWER_CUT, "tcp", MORNING + 2 * MINUTE, MORNING + 4 * MINUTE)
    restart = Fault(Kind.BROKER_RESTART, "broker", MORNING + 2 * MINUTE, MORNING + 4 * MINUTE)
    heard = await listen([cut, restart], 14)
    assert heard.health.links["tcp"].errors["LinkDown"] >= 1
    assert heard.silent("ill-tcp")
    for device in ("ill-tcp", "ill-plug"):
        assert not heard.good(device, "active_power", MORNING + 3 * MINUTE, MORNING + 4 * MINUTE)
        assert heard.good(device, "active_power", MORNING + 5 * MINUTE), device


async def test_five_hundred_meters_that_fall_silent_at_once_are_each_told_once() -> None:
    count = 500
    meter = "kind: electricity, circuit: sockets, profile: eastron_sdm120, zone: z, every: 60s"
    text = "zones: [{id: z, headcount: 3}]\nlinks:\n"
    text += "".join(f'  - {{id: g{n}, modbus: "tcp://127.0.0.1:{5020 + n}", timeout: 1s}}\n' for n in range(50))
    text += "devices:\n"
    text += "".join(f"  - {{id: m{n}, link: g{n % 50}, unit: {1 + n // 50}, {meter}}}\n" for n in range(count))
    site = build_site(parse_document(text.encode(), "devices.yaml"))
    dark = [Fault(Kind.ALL_SILENT, f"g{n}", MORNING + 2 * MINUTE, MORNING + HOUR) for n in range(50)]
    clock, stream, silent = FastClock(MORNING, 30.0), Stream(), defaultdict[str, int](int)
    taken = stream.subscribe("test")

    async def keep() -> None:
        async for batch in taken:
            for reading in batch:
                silent[reading.device] += not reading.values

    async with Simulation(site, clock, faults=dark) as served:
        keeping = asyncio.create_task(keep())
        async with Collector(site, clock, stream, endpoints=served.endpoints):
            await eventually(
                lambda: sum(count > 0 for count in silent.values()) == 500, "500 silent meters", within=120
            )
        stream.close()
        await keeping
    assert max(silent.values()) == 1
