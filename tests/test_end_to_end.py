"""One story through every room: a simulated lamp is left on, and a person is told what it cost."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

from building.clock import FastClock
from building.document import read_document
from building.site import Site, build_site
from collector.storing.embedded import DATABASE
from collector.storing.stored import StoredReadings
from greenwarden.door import open_site, sample_site
from greenwarden.program import Program
from rules.channels import open_channels
from rules.channels.message import Message
from simulators.faults import Fault, Kind
from simulators.service import Simulation
from simulators.truth import Expected
from tests.parts import HttpSink, Influxd

SPEED = 480
MINUTE = 60_000


def at(site: Site, text: str) -> int:
    """``text`` as HH:MM on the demo's day."""
    hour, minute = map(int, text.split(":"))
    return int(datetime(2026, 7, 1, hour, minute, tzinfo=site.site.tz).timestamp() * 1000)


class Told:
    """A channel that remembers."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def send(self, message: Message) -> None:
        self.messages.append(message)


async def play(
    site: Site,
    data: Path,
    faults: list[Fault],
    begin: str,
    end: str,
    channels: dict[str, Any],
    during: Callable[[Program], None] | None = None,
) -> tuple[list[dict[str, Any]], list[Expected]]:
    """The building and the whole program from ``begin`` to ``end``; alerts as JSON, and what had to be raised."""
    clock = FastClock(at(site, begin), SPEED)
    async with AsyncExitStack() as stack:
        simulation = await stack.enter_async_context(Simulation(site, clock, seed=1, faults=faults))
        program = Program(
            site, clock, data, channels, endpoints=simulation.endpoints, credentials=simulation.credentials
        )
        await stack.enter_async_context(program)
        if during is not None:
            during(program)
        await clock.sleep_until(at(site, end))
        expected = simulation.truth.expected
    return [alert.to_json() for alert in program.rules.alerts.values()], expected


async def test_a_lamp_left_on_at_1810_is_told_between_1825_and_1827_and_resolves_with_its_true_energy(
    tmp_path: Path,
) -> None:
    site = open_site(sample_site())
    channel = Told()
    lamp = Fault(Kind.LAMP_LEFT_ON, "301", at(site, "18:10"), at(site, "19:10"))
    alerts, expected = await play(site, tmp_path, [lamp], "17:55", "19:20", {"told": channel})

    (alert,) = alerts
    assert (alert["rule"], alert["zone"], alert["device"]) == ("lights_left_on", "301", "light-301")
    assert "2026-07-01T18:25:00+08:00" <= alert["raised"] <= "2026-07-01T18:27:00+08:00"
    assert alert["state"] == "resolved"
    assert "2026-07-01T19:10:00+08:00" <= alert["ended"] <= "2026-07-01T19:11:30+08:00"
    (truth,) = expected
    assert truth.kwh is not None
    assert abs(alert["waste"]["kwh"] - truth.kwh) <= 0.02 * truth.kwh
    assert [message.alert["state"] for message in channel.messages] == ["firing", "resolved"]
    with StoredReadings(tmp_path / DATABASE) as stored:
        times, watts = stored.read("light-301", "active_power", at(site, "18:15"), at(site, "19:05"))
        assert len(times) >= 95  # every 30 s for 50 minutes
        assert watts.min() > 20


async def test_with_influxdb_away_for_half_the_story_the_alert_still_goes_out_and_no_reading_is_lost(
    tmp_path: Path, influxd: Influxd, http_sink: HttpSink
) -> None:
    document = read_document(sample_site())
    document.content["store"] = {"influxdb": {"url": influxd.url, "database": "energy"}}
    document.content["channels"] = {"hook": {"type": "webhook", "url": f"{http_sink.url}/alerts"}}
    site = build_site(document)

    def stop_the_database(program: Program) -> None:
        influxd.kill()
        program.rules.watchers.append(lambda alert: influxd.start() if alert.state == "resolved" else None)

    lamp = Fault(Kind.LAMP_LEFT_ON, "301", at(site, "18:10"), at(site, "18:40"))
    alerts, _ = await play(
        site, tmp_path, [lamp], "18:00", "19:05", dict(open_channels(site)), during=stop_the_database
    )

    assert [alert["rule"] for alert in alerts] == ["lights_left_on"]
    posted = [request.json() for request in http_sink.requests]
    assert [alert["state"] for alert in posted] == ["firing", "resolved"]
    (counted,) = influxd.query('SELECT count("active_power") FROM "electricity" WHERE "device" = \'light-301\'')
    assert counted["count"] >= 125  # every 30 s for 65 minutes; the database was away for 40 of them
    told = influxd.query('SELECT "state" FROM "alert"')
    assert [row["state"] for row in told] == ["firing", "resolved"]  # one point for each change
