"""Two simulated weeks as the store would hold them, for the tests of the dashboards; and Grafana's own substitutions.

The intervals, the alerts and the collector's health are made here, from the truth of the simulated building and by
none of the product's own sums, so that what a dashboard's query answers can be held against them.
"""

from __future__ import annotations

import re
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from building.instants import to_iso
from building.readings import Flaw, Grade, Reading, with_flaws
from building.site import Device
from collector.storing.lines import LineEncoder
from simulators.building import OfficeBuilding
from simulators.faults import Fault, Kind
from simulators.scenario import default_faults
from simulators.truth import Expected
from tests.simulators_parts import at, sample_site

MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
START: Final = at("2026-07-01 00:00")  # a Wednesday
END: Final = at("2026-07-15 19:30")  # two weeks, and the Wednesday after them until the evening
PERIODS: Final = {"15m": 15 * MINUTE, "1h": HOUR, "1d": DAY}
GAPS: Final = {
    "copier-202": ("settled", at("2026-07-10 09:00"), at("2026-07-10 14:00")),
    "light-203": ("estimated", at("2026-07-13 10:00"), at("2026-07-13 12:00")),
    "water-wc-3": ("missing", at("2026-07-12 02:00"), at("2026-07-12 04:00")),
}
"""Meters that could not be read for a while, and what is known of that time."""
SILENT: Final = "presence-203"


@dataclass
class Totals:
    """What was really used: by period that began at an instant, and by place."""

    energy: dict[tuple[str, str], list[tuple[int, float]]] = field(default_factory=lambda: defaultdict(list))
    volume: dict[tuple[str, str], list[tuple[int, float]]] = field(default_factory=lambda: defaultdict(list))

    def kwh(self, scope: str, name: str, start: int, end: int) -> float:
        """Energy of the quarter hours that began from ``start`` on and before ``end``."""
        return sum(amount for at, amount in self.energy[scope, name] if start <= at < end)

    def cubic(self, scope: str, name: str, start: int, end: int) -> float:
        return sum(amount for at, amount in self.volume[scope, name] if start <= at < end)


class Weeks:
    """The sample site from START to END: lines for InfluxDB, and what was really so."""

    def __init__(self, *, start: int = START, end: int = END) -> None:
        self.site = sample_site()
        self.start, self.end = start, end
        self.building = OfficeBuilding(self.site, 1, self._faults(), start=start)
        self.totals = Totals()
        self.alerts: list[dict[str, Any]] = []
        self._encoder = LineEncoder(self.site)
        self._readings: list[Reading] = []
        self._told: set[int] = set()
        self._before = self._counters()
        self._run()
        for number, expected in enumerate(self.building.truth.expected):
            if number in self._told:
                self._answer(expected, number)

    def ended(self, start: int, end: int, *rules: str) -> list[Expected]:
        """The wastes of people that had ended between two instants and lasted long enough to be told."""
        due = [expected for expected in self.building.truth.expected if expected.is_due(self.end)]
        return [e for e in due if e.ended is not None and start <= e.ended <= end and (not rules or e.rule in rules)]

    def is_over(self, expected: Expected) -> bool:
        """Whether it had ended when the two weeks were over."""
        return expected.ended is not None and expected.ended <= self.end

    def lines(self) -> Iterator[bytes]:
        """Everything as line protocol, in pieces that a server takes."""
        for first in range(0, len(self._readings), 5000):
            yield self._encoder.readings(self._readings[first : first + 5000])
        yield self._encoder.alerts(self.alerts)
        for lines in (list(self._intervals()), list(self._health())):
            for first in range(0, len(lines), 5000):
                yield "\n".join(lines[first : first + 5000]).encode()

    # -- running ------------------------------------------------------------------------------------------------------

    def _faults(self) -> list[Fault]:
        first = datetime.fromtimestamp(self.start / 1000, UTC).astimezone(self.site.site.tz).date()
        days = (self.end - self.start) // DAY + 1
        found: list[Fault] = []
        for number in range(days):
            day: date = first + timedelta(days=number)
            # The second week is better: half of what people leave on.
            faults = default_faults(self.site, day, seed=number)
            found += faults[number % 2 :: 2] if 7 <= number < 14 else faults
        evening = self.end - 23 * HOUR
        found.append(Fault(Kind.LAMP_LEFT_ON, "202", evening, evening + HOUR))  # over, within the last day
        found.append(Fault(Kind.TAP_RUNNING, "wc-3", self.end - 25 * MINUTE, self.end + HOUR))  # still going on
        return found

    def _run(self) -> None:
        building = self.building
        for now in range(self.start, self.end + 1, MINUTE):
            building.advance(now)
            for number, expected in enumerate(building.truth.expected):
                if number not in self._told and expected.is_due(now):
                    self._told.add(number)
                    self.alerts.append(self._alert(expected, number, "firing", now))
            if now % (5 * MINUTE) == 0:
                self._readings += filter(None, (self._reading(device, now) for device in self.site.devices))
            if now % (15 * MINUTE) == 0 and now > self.start:
                self._book(now - 15 * MINUTE)

    def _answer(self, expected: Expected, number: int) -> None:
        """Every third alert is acknowledged after seven minutes, if it lasts so long; what is over is resolved."""
        seen = (expected.raised or 0) + 7 * MINUTE
        if number % 3 == 0 and seen < (expected.ended or self.end):
            self.alerts.append(self._alert(expected, number, "acknowledged", seen))
        if self.is_over(expected):
            self.alerts.append(self._alert(expected, number, "resolved", expected.ended))

    def _reading(self, device: Device, now: int) -> Reading | None:
        building, day = self.building, self.building.day
        if device.id == SILENT and now >= self.end - 6 * HOUR:
            return None
        if _gap(device.id, now):
            return None
        match device.kind:
            case "electricity" | "plug" | "light":
                return Reading(device.id, now, self._electric(device, now))
            case "water":
                volume = building.zone_used(device.zone or "")[1] / 1000
                return Reading(device.id, now, {"volume": volume, "flow": day.flow[device.zone or ""].at(now)})
            case "aircon":
                on = day.switched[device.id].at(now)
                values = {"setpoint": day.setpoint[device.id].at(now), "running": on}
                values["temperature"] = building.temperature(device)
                return Reading(device.id, now, {**values, "mode": day.mode if on else "off"})
            case _:
                seen = {"occupancy": day.occupied[device.id].at(now), "illuminance": building.illuminance(device)}
                seen |= {"battery": 80.0, "temperature": building.temperature(device)}
                odd = now % (12 * HOUR) == 0
                return with_flaws(
                    device.id, now, seen, {"temperature": Flaw(Grade.SUSPECT, "frozen for 12 h")} if odd else {}
                )

    def _electric(self, device: Device, now: int) -> dict[str, float]:
        meter = self.building.meters[device.id]
        volts = meter.voltage(now)
        values = {"active_power": meter.power, "energy_import": meter.energy, "voltage": volts}
        values |= {"power_factor": meter.factor, "current": meter.power / meter.factor / volts}
        if device.circuit == "main":
            values |= {f"current_l{n}": values["current"] * share for n, share in enumerate(meter.shares, 1)}
        return values

    def _alert(self, expected: Expected, number: int, state: str, changed: int) -> dict[str, Any]:
        assert expected.since is not None
        assert expected.kwh is not None
        assert expected.litres is not None
        tz, head = self.site.site.tz, self.site.site
        device = self.site.device[expected.device]
        water = expected.litres > 0
        waste = {
            "kwh": None if water else expected.kwh,
            "litres": expected.litres if water else None,
            "cost": expected.kwh * head.tariffs.electricity + expected.litres / 1000 * head.tariffs.water,
            "kgco2": None if water else expected.kwh * head.factors.grid_co2,
        }
        place = self.site.zone[expected.zone or ""].title
        return {
            "id": f"alert-{number}",
            "rule": expected.rule,
            "site": head.name,
            "zone": expected.zone,
            "department": self.site.department_of(device),
            "device": expected.device,
            "severity": "warning",
            "state": state,
            "title": f"{place}：{device.title}",
            "since": to_iso(expected.since, tz),
            "raised": to_iso(expected.raised or changed, tz),
            "ended": to_iso(changed, tz) if state == "resolved" else None,
            "changed": to_iso(changed, tz),
            "waste": waste,
        }

    # -- intervals ----------------------------------------------------------------------------------------------------

    def _counters(self) -> dict[tuple[str, str, str], float]:
        """What every counter of energy (kWh) and water (m3) shows: by quantity, scope and name."""
        building, site = self.building, self.site
        shown: dict[tuple[str, str, str], float] = defaultdict(float)
        for device in site.devices:
            if device.id in building.meters:
                energy = building.meters[device.id].energy
                shown["energy", "device", device.id] = energy
                circuit = device.circuit or "sockets"
                shown["energy", "circuit", circuit] += energy
                if circuit == "main":
                    shown["energy", "site", site.site.name] += energy
            elif device.kind == "water":
                volume = building.zone_used(device.zone or "")[1] / 1000
                shown["volume", "device", device.id] = volume
                shown["volume", "site", site.site.name] += volume
        for zone in site.zones:
            kwh, litres = building.zone_used(zone.id)
            shown["energy", "zone", zone.id] = kwh
            shown["energy", "department", zone.department or ""] += kwh
            if any(device.kind == "water" and device.zone == zone.id for device in site.devices):
                shown["volume", "zone", zone.id] = litres / 1000
                shown["volume", "department", zone.department or ""] += litres / 1000
        return dict(shown)

    def _book(self, began: int) -> None:
        now = self._counters()
        for (quantity, scope, name), shown in now.items():
            book = self.totals.energy if quantity == "energy" else self.totals.volume
            book[scope, name].append((began, shown - self._before[quantity, scope, name]))
        self._before = now

    def _intervals(self) -> Iterator[str]:
        for scope, name in {*self.totals.energy, *self.totals.volume}:
            head = self._head(scope, name)
            for period, length in PERIODS.items():
                sums: dict[int, dict[str, float]] = defaultdict(dict)
                for quantity, book in (("energy", self.totals.energy), ("volume", self.totals.volume)):
                    for began, amount in book.get((scope, name), ()):
                        slot = self.start + (began - self.start) // length * length
                        sums[slot][quantity] = sums[slot].get(quantity, 0.0) + amount
                for began, amounts in sums.items():
                    fields = self._fields(scope, name, period, began, amounts)
                    yield f"interval,{head},period={period} {fields} {began}"

    def _head(self, scope: str, name: str) -> str:
        site = self.site
        tags: dict[str, object] = {"scope": scope, "site": site.site.name}
        if scope == "device":
            device = site.device[name]
            zone = site.zone.get(device.zone or "")
            tags |= {"device": name, "zone": device.zone, "department": site.department_of(device)}
            tags |= {"floor": zone.floor if zone else None, "circuit": device.circuit}
        elif scope == "zone":
            tags |= {"zone": name, "floor": site.zone[name].floor, "department": site.zone[name].department}
        elif scope != "site":
            tags[scope] = name
        return ",".join(f"{key}={value}" for key, value in tags.items() if value is not None)

    def _fields(self, scope: str, name: str, period: str, began: int, amounts: Mapping[str, float]) -> str:
        head = self.site.site
        state = _gap(name, began) if period != "1d" else ""
        quarters = range(began, min(began + PERIODS[period], self.end), 15 * MINUTE)
        share = sum(not _gap(name, quarter) for quarter in quarters) / len(quarters)
        values: dict[str, float] = {**({} if state == "missing" else amounts), "share_measured": share}
        energy, volume = amounts.get("energy"), amounts.get("volume")
        values["cost"] = (energy or 0.0) * head.tariffs.electricity + (volume or 0.0) * head.tariffs.water
        if energy is not None:
            values["kgco2"] = energy * head.factors.grid_co2
        if period != "1d":
            values["hour"] = float((began // HOUR + 8) % 24)
        if scope == "department":
            of = self.site.department[name]
            values |= {"headcount": float(of.headcount), "area": of.area or 0.0}
            values["quota"] = (of.quota.electricity or 0.0) * PERIODS[period] / (365 * DAY)
        known = state or "measured"
        return ",".join(f"{key}={value!r}" for key, value in values.items()) + f',state="{known}"'

    # -- the collector's own health -----------------------------------------------------------------------------------

    def _health(self) -> Iterator[str]:
        site = self.site.site.name
        for step, now in enumerate(range(self.end - 3 * DAY, self.end + 1, 5 * MINUTE)):
            yield f"collector,site={site} queue_hours={0.01 * (step % 7)},queue_readings=12.0,queue_bytes=4096.0 {now}"
            for link in self.site.links:
                busy = 0.2 + 0.1 * (len(link.id) % 3) + 0.002 * (step % 40)
                fields = f"requests={step * 90.0},errors={step // 11 * 1.0},silent=1.0,busy_share={busy}"
                yield f"collector,site={site},link={link.id} {fields} {now}"
            for device in self.site.devices:
                silent = device.id == SILENT and now >= self.end - 5 * HOUR
                age = (now - self.end + 6 * HOUR) / 1000 if silent else 20.0
                fields = f"errors={step // 50 * 1.0},missed=0.0,silent={float(silent)},age_s={age}"
                yield f"collector,site={site},link={device.link},device={device.id} {fields} {now}"


def _gap(device: str, now: int) -> str:
    """What is known of ``device`` at ``now``: settled, estimated or missing; empty when it was measured."""
    state, first, last = GAPS.get(device, ("", 0, 0))
    return state if first <= now < last else ""


# -- what Grafana does to a query ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Time:
    """The stretch a panel shows, ms since 1970 UTC."""

    start: int
    end: int

    @classmethod
    def of(cls, panel: Mapping[str, Any], dashboard: Mapping[str, Any], now: int) -> Time:
        """The dashboard's range, or the panel's own, shifted as the panel says."""
        began = panel.get("timeFrom") or dashboard["time"]["from"].removeprefix("now-")
        start = now - ((now - START) % DAY if began == "now/d" else _length(began))
        shift = _length(panel["timeShift"]) if "timeShift" in panel else 0
        return cls(start - shift, now - shift)


def _length(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([mhd])", text).groups()  # type: ignore[union-attr]
    return int(number) * {"m": MINUTE, "h": HOUR, "d": DAY}[unit]


def filled(query: str, time: Time, chosen: Mapping[str, str], *, step: str = "15m") -> str:
    """``query`` as Grafana sends it: macros and variables put in. Fails on a variable that nobody defines."""
    known = {"timeFilter": f"time >= {time.start}ms and time <= {time.end}ms", "__interval": step}
    known |= {"__from": str(time.start), "__to": str(time.end), **chosen}
    return re.sub(r"\$\{?(\w+)(?::(\w+))?\}?", lambda found: _written(known[found[1]], found[2]), query)


def _written(value: str, form: str | None) -> str:
    """As Grafana writes a variable's value in the ``form`` that is asked for; ".*", for all, is left as it is."""
    return re.sub(r"[\\^$*+?.()|\[\]{}/]", r"\\\g<0>", value) if form == "regex" and value != ".*" else value


def load(url: str, parts: Iterable[bytes], *, token: str = "") -> None:
    """Line protocol into the InfluxDB at ``url``."""
    headers = {"Authorization": f"Token {token}"} if token else {}
    for lines in parts:
        request = urllib.request.Request(f"{url}/write?db=energy&precision=ms", lines, headers)
        with urllib.request.urlopen(request, timeout=60):
            pass


def choices(dashboard: Mapping[str, Any]) -> dict[str, str]:
    """What is chosen when a dashboard is opened: all of everything, the first of fixed lists."""
    chosen = {}
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            chosen[variable["name"]] = ".*" if variable["multi"] else sample_site().site.name
        elif variable["type"] in ("custom", "constant"):
            chosen[variable["name"]] = variable["current"]["value"]
    return chosen


def columns_of(rows: Iterable[Mapping[str, Any]]) -> set[str]:
    """Names of columns that hold anything but time in any row."""
    return {name for row in rows for name, value in row.items() if value is not None and name != "time"}
