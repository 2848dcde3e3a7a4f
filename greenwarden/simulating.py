"""``greenwarden simulate``: a building that misbehaves on purpose, served on loopback or run into the rules."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any, Final
from urllib.parse import urlsplit

from building.calendar import WorkCalendar
from building.clock import Clock, FastClock, SystemClock
from building.errors import ConfigError
from building.instants import to_iso
from building.site import Site
from building.waiting import first_of
from collector.storing.embedded import DATABASE
from collector.storing.stored import StoredReadings
from greenwarden import rehearsing, terminal
from greenwarden.books import Books
from greenwarden.door import open_site, sample_site
from greenwarden.moments import told_moment
from greenwarden.program import Program
from greenwarden.scoring import RuleScore, score, to_json
from greenwarden.witnessing import Witness
from rules.alerts import Alert
from rules.readings_file import Series
from rules.replay import replay
from simulators.building import OfficeBuilding
from simulators.days import Day
from simulators.faults import Fault
from simulators.sampling import sample
from simulators.scenario_file import read_scenario
from simulators.service import Simulation
from simulators.truth_files import TruthFiles

_FIRST_DAY: Final = "2026-07-01"
_SETTLE_S: Final = 20.0
_DAYS_TO_CHOOSE_FROM: Final = 8
_DAY_MS: Final = 86_400_000
_SPEED: Final = 960.0  # a day through the sockets in two minutes, where the computer can keep up


@dataclass(frozen=True)
class Wish:
    """What the command line asks for."""

    site: Path
    days: float | None = None
    faults: str = "none"
    seed: int = 1
    start: str | None = None
    direct: bool = False
    score: bool = False
    speed: float | None = None
    truth: Path | None = None
    plot: Path | None = None
    port: int = 0
    as_json: bool = False
    keep: Path | None = None


@dataclass
class Played:
    """What a run brought."""

    building: OfficeBuilding
    alerts: Sequence[Alert]
    readings: Mapping[str, int]
    values: int = 0
    seconds: float = 0.0
    examples: list[str] = field(default_factory=list)
    """Readings that were wrong."""
    picture: list[Day] = field(default_factory=list)


async def simulate(wish: Wish) -> bool:
    """Do what the command line asks for; True when nothing was wrong or lost. Raises ConfigError, InputError."""
    site = open_site(_site_file(wish))
    if wish.keep is not None:
        if not wish.direct:
            raise ConfigError("--keep is for readings that are made at once; write --direct too")
        rehearsing.check_empty(wish.keep)
    if not (wish.direct or wish.score or wish.plot or wish.days):
        await _serve(site, wish)
        return True
    if wish.score or wish.direct or wish.plot:
        played, end = await play(site, wish)
        return _report(site, wish, played, end)
    start, end, faults = _plan(site, wish)
    await _serve(site, wish, faults, FastClock(start, wish.speed or 1.0), end)
    return True


def _site_file(wish: Wish) -> Path:
    """What the command line names; where it names none and there is none here, the sample, and it is said."""
    if wish.site != Path("devices.yaml") or os.path.exists(wish.site):
        return wish.site
    terminal.note("there is no devices.yaml here: the sample site is simulated")
    return sample_site()


async def play(site: Site, wish: Wish) -> tuple[Played, int]:
    """Let the days pass, straight into the rules or through the whole program; what came of it, and the end (ms)."""
    start, end, faults = _plan(site, wish)
    if wish.direct or not wish.score:
        return _direct(site, wish, faults, start, end), end
    return await _through_all(site, wish, faults, start, end), end


def _plan(site: Site, wish: Wish) -> tuple[int, int, list[Fault]]:
    start = told_moment(site, wish.start or _FIRST_DAY)
    end = start + round((wish.days or 1.0) * _DAY_MS)
    return start, end, _faults(site, wish, start, end)


def _faults(site: Site, wish: Wish, start: int, end: int) -> list[Fault]:
    calendar = WorkCalendar(site)
    first: date = calendar.local_date(start)
    days = (calendar.local_date(end - 1) - first).days + 1
    return read_scenario(wish.faults, site, first, days, wish.seed)


# -- straight into the rules ------------------------------------------------------------------------------------------


def _direct(site: Site, wish: Wish, faults: Sequence[Fault], start: int, end: int) -> Played:
    began = time.perf_counter()
    building = OfficeBuilding(site, wish.seed, faults, start=start)
    with ExitStack() as stack:
        keepers = _Keepers(stack, wish)
        keepers.open(building, end)
        sampled = sample(building, end, keepers.take)
    said, due = sampled.said, sampled.due
    columns = {key: Series(times, values) for key, (times, values) in sampled.columns.items()}
    del sampled
    alerts = replay(site, columns).alerts
    if wish.keep is not None:
        rehearsing.keep(wish.keep, site, columns, alerts, end)
    readings = {"due": due, "got": said, "wrong": 0, "lost": 0}
    return Played(building, alerts, readings, said, time.perf_counter() - began, [], keepers.picture)


class _Keepers:
    """Who wants to see each day of the building once it is over: the files of the truth, and the picture."""

    def __init__(self, stack: ExitStack, wish: Wish) -> None:
        self._stack, self._wish = stack, wish
        self._files: TruthFiles | None = None
        self.picture: list[Day] = []

    def open(self, building: OfficeBuilding, until: int | None = None) -> None:
        if self._wish.truth is not None:
            self._files = self._stack.enter_context(TruthFiles(self._wish.truth, building, until))

    def take(self, day: Day) -> None:
        if self._files is not None:
            self._files.day(day)
        if self._wish.plot is not None and len(self.picture) < _DAYS_TO_CHOOSE_FROM:
            self.picture.append(day)


# -- through the whole program ----------------------------------------------------------------------------------------


async def _through_all(site: Site, wish: Wish, faults: Sequence[Fault], start: int, end: int) -> Played:
    began = time.perf_counter()
    clock = FastClock(start, wish.speed or _SPEED)
    books = Books()
    with tempfile.TemporaryDirectory(prefix="greenwarden-simulate-") as folder, ExitStack() as files:
        data = Path(folder)
        keepers = _Keepers(files, wish)
        async with AsyncExitStack() as stack:
            simulation = Simulation(site, clock, seed=wish.seed, faults=faults, told=keepers.take)
            keepers.open(simulation.building)
            await stack.enter_async_context(simulation)
            witness = Witness(simulation.building, clock.speed)
            program = Program(site, clock, data, {}, endpoints=simulation.endpoints, credentials=simulation.credentials)
            watched = program.watch("witness")
            await stack.enter_async_context(program)
            watching = asyncio.create_task(_watch(watched, books, witness), name="witness")
            await first_of(clock.sleep_until(end), program.failed.wait())
            clock.hold()  # the days are over: nothing may come due while the program ends
            await program.rules.settle()
            due = sum(health.due for health in program.collector.health().devices.values())
            due += sum(simulation.said[d.id] for d in site.devices if _is_mqtt(site, d.link))
        await asyncio.wait([watching], timeout=_SETTLE_S)
        lost = await asyncio.to_thread(_lost, data, books)
        alerts = sorted(program.rules.alerts.values(), key=lambda alert: alert.raised)
    readings = {"due": due, "got": witness.got, "wrong": witness.wrong, "lost": lost}
    values = len(books.values)
    seconds = time.perf_counter() - began
    return Played(simulation.building, alerts, readings, values, seconds, witness.examples, keepers.picture)


def _is_mqtt(site: Site, link: str | None) -> bool:
    return link is not None and site.link[link].protocol == "mqtt"


async def _watch(batches: Any, books: Books, witness: Witness) -> None:
    async for batch in batches:
        books.enter(batch)
        witness.hear(batch)


def _lost(data: Path, books: Books) -> int:
    with StoredReadings(data / DATABASE) as stored:
        return books.lost(stored, 0, 1 << 62)


# -- serving ----------------------------------------------------------------------------------------------------------


async def _serve(
    site: Site, wish: Wish, faults: Sequence[Fault] | None = None, clock: Clock | None = None, end: int | None = None
) -> None:
    """Serve the site's devices until stopped, or until ``end``."""
    if clock is None:
        start = told_moment(site, wish.start) if wish.start else SystemClock().now()
        clock = SystemClock() if wish.start is None and wish.speed is None else FastClock(start, wish.speed or 1.0)
    if faults is None:
        now = clock.now()
        faults = _faults(site, wish, now, now + 31 * _DAY_MS)
    with ExitStack() as files:
        keepers = _Keepers(files, wish)
        simulation = Simulation(site, clock, seed=wish.seed, faults=faults, first_port=wish.port, told=keepers.take)
        keepers.open(simulation.building)
        async with simulation:
            _tell_endpoints(site, wish, simulation)
            if end is None:
                await asyncio.Event().wait()
            else:
                await clock.sleep_until(end)


def _tell_endpoints(site: Site, wish: Wish, simulation: Simulation) -> None:
    zh = site.site.language == "zh"
    links = {}
    for link in site.links:
        endpoint = simulation.endpoints.get(link.id)
        login = simulation.credentials.get(link.id)
        links[link.id] = {"endpoint": endpoint, **(login._asdict() if login else {})}
    if wish.as_json:
        terminal.emit_json({"links": links})
        return
    rows = [
        (ident, told["endpoint"] or "", told.get("username", ""), told.get("password", ""))
        for ident, told in links.items()
    ]
    columns = ("链路", "地址", "用户名", "密码") if zh else ("link", "address", "user", "password")
    terminal.out.print(terminal.table("模拟楼宇正在运行" if zh else "the simulated building is running", columns, rows))
    taken = _moved(wish, simulation)
    if taken:
        english = f"port {taken} was taken: the next free one is used"
        terminal.say(f"端口 {taken} 已被占用，用了下一个空闲端口" if zh else english)
    terminal.say("按 Ctrl-C 停止" if zh else "Ctrl-C stops it")


def _moved(wish: Wish, simulation: Simulation) -> int:
    """The first port that was asked for and not to be had; 0 if none."""
    if not wish.port:
        return 0
    ports = sorted({urlsplit(url).port or 0 for url in simulation.endpoints.values() if "127.0.0.1" in url})
    wanted = range(wish.port, wish.port + len(ports))
    return next((port for port in wanted if port not in ports), 0)


# -- the report -------------------------------------------------------------------------------------------------------


def _report(site: Site, wish: Wish, played: Played, end: int) -> bool:
    scores = score(site, played.alerts, played.building.truth, end)
    if wish.plot is not None:
        from greenwarden.plotting import draw_day

        draw_day(wish.plot, site, played.building, played.picture, played.alerts)
    if wish.as_json:
        terminal.emit_json(to_json(scores, played.readings))
    else:
        _tables(site, wish, played, scores)
    return played.readings["wrong"] == 0 and played.readings["lost"] == 0


def _tables(site: Site, wish: Wish, played: Played, scores: Mapping[str, RuleScore]) -> None:
    zh = site.site.language == "zh"
    columns = (
        ("规则", "故障", "发现", "漏报", "误报", "准确率", "召回率", "延迟中位数", "真实费用", "告警费用")
        if zh
        else ("rule", "faults", "found", "missed", "false", "precision", "recall", "median delay", "cost true", "told")
    )
    rows = [
        (
            rule, own.faults, own.found, own.missed, own.false, _share(own.precision), _share(own.recall),
            f"{median(own.delays) / 1000:.0f} s" if own.delays else "–", f"{own.cost_true:.2f}" if own.priced else "–",
            f"{own.cost_told:.2f}{'~' if _rough(own) else ''}" if own.priced else "–",
        )
        for rule, own in scores.items()
    ]  # fmt: skip
    terminal.out.print(terminal.table("", columns, rows, right=range(1, 10)))
    if any(map(_rough, scores.values())):
        terminal.say("~ 为估算值" if zh else "~ is an estimate")
    told = played.readings
    words = ("应到", "收到", "错误", "丢失") if zh else ("due", "got", "wrong", "lost")
    named = zip(words, ("due", "got", "wrong", "lost"), strict=True)
    kind = ("读数", "readings") if not wish.direct else ("数值", "values")
    line = "，" if zh else ", "
    terminal.say(f"{kind[0] if zh else kind[1]}: " + line.join(f"{word} {told[key]}" for word, key in named))
    terminal.say(f"{played.seconds:.1f} s")
    for example in played.examples:
        terminal.complain(example)
    for rule, own in scores.items():
        for one in own.missed_ones[:5]:
            assert one.since is not None
            fault, since = one.fault.name if one.fault else "?", to_iso(one.since, site.site.tz)
            terminal.say(f"{'漏报' if zh else 'missed'}: {rule} {one.device} {since} ({fault})")
        for alert in own.false_ones[:5]:
            terminal.say(f"{'误报' if zh else 'false'}: {rule} {alert.device} {to_iso(alert.raised, site.site.tz)}")


def _rough(own: RuleScore) -> bool:
    return own.estimated or own.told_roughly


def _share(share: float | None) -> str:
    return "–" if share is None else f"{share:.3f}"


__all__ = ["Wish", "simulate"]
