"""What is known of each device on a line: its plans, its silence, and the registers it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from building.clock import Clock
from building.readings import Flaw, Grade
from building.site import DAY, Device
from collector.decoding import Decoder, Flaws
from collector.health import DeviceHealth
from collector.links.modbus import READ_DISCRETE, READ_HOLDING, refusal
from collector.planning import Block, Limits, Point, Span, identity_points, limits_of, plan, points_of
from collector.profiles import Profile
from collector.schedule import Grid
from collector.stations import station_of

_SHORTEST_REST: Final = 2_000  # ms of the clock, after the first silence
_LONGEST_REST: Final = 300_000
_UNKNOWN_FUNCTION: Final = 1


class Pace(NamedTuple):
    """How long to leave the silent alone, in ms of the clock.

    A time-out costs real time: the rests grow with it, so that silent devices do not take the line from the others. A
    clock that runs fast waits while an answer is under way, so there it costs no more.
    """

    shortest: float
    longest: float
    reconnect: float

    @classmethod
    def of(cls, clock: Clock, timeout: float) -> Pace:
        """The pace for a ``timeout`` in real seconds."""
        lost = timeout * 1000
        return cls(max(_SHORTEST_REST, 2 * lost), max(_LONGEST_REST, 4 * lost), max(_SHORTEST_REST, 100 * clock.speed))

    def longer(self, rest: float) -> float:
        """The rest after one more failure; ``rest`` is 0 before the first."""
        return min(2 * rest, self.longest) if rest else self.shortest


class Target:
    """One device on the line."""

    def __init__(self, device: Device, profile: Profile, health: DeviceHealth) -> None:
        self.device = device
        self.health = health
        self.failures = 0
        """Times in a row that it said nothing."""
        self.rest = 0.0
        self.probe_due: int | None = None
        self.silent_from = 0
        """Steady moment of the first of these failures."""
        self.answered_at = 0
        """Steady moment of its last sign of life."""
        self.told = False
        """Whether "no answer" has been published since it last answered."""
        self.said = False
        """Whether people were told that this device, and not its whole line, is silent."""
        self.judged = False
        """Whether its first answer was looked at for a wrong profile or word order."""
        self.ailing_rest = 0.0
        self.ailing_until = 0
        """Steady moment until which a device that answers with a failure of its own is left alone."""
        self.station = station_of(device, profile)
        self.limits = limits_of(profile)
        self.refused: dict[Span, int] = {}  # with the exception code
        self.ask_again_at = 0
        groups = [(None, device.every)] if device.slow is None else [("fast", device.every), ("slow", device.slow)]
        jobs = [Job(self, profile, points_of(profile, device, group), period) for group, period in groups]
        self.jobs = [job for job in jobs if job.points]
        if self.jobs and (identity := identity_points(profile, device)):
            self.jobs.append(Job(self, profile, identity, DAY, identity=True))

    @property
    def refuses_all(self) -> bool:
        """Whether nothing that makes a reading is left to ask for."""
        return bool(self.refused) and not any(job.blocks for job in self.jobs if not job.identity)

    def refusals(self) -> tuple[str, ...]:
        """A sentence for the registers it refuses, for each function and reason."""
        heaps: dict[tuple[int, int], dict[str, None]] = {}
        for point in (point for job in self.jobs for point in job.points if point.span in self.refused):
            heap = heaps.setdefault((point.function, self.refused[point.span]), {})
            heap[f"{point.row.quantity or point.row.name} at {point.address}"] = None
        return tuple(
            f"{', '.join(names)} (function {function}): it {_why(function, code)}"
            for (function, code), names in heaps.items()
        )


class Job:
    """Points of one device that are asked together, every ``period`` ms; ``identity`` ones make no reading."""

    def __init__(
        self, target: Target, profile: Profile, points: Sequence[Point], period: int, *, identity: bool = False
    ) -> None:
        self.target = target
        self.identity = identity
        self.grid = Grid(0, period)
        self.started = False
        self.points = points
        self.flaws: Flaws = {}
        self._profile = profile
        self.use(plan(points, target.limits) if points else ())

    def use(self, blocks: Sequence[Block]) -> None:
        """From now on ask for ``blocks``."""
        self.blocks = tuple(blocks)
        self.decoder = Decoder(self._profile, self.target.device, self.blocks)

    def replan(self) -> None:
        """The fewest requests for what the device does not refuse."""
        refused = self.target.refused
        holes = tuple((span.start, span.end - 1) for span in refused)
        limits = self.target.limits
        wanted = [point for point in self.points if point.span not in refused]
        self.use(plan(wanted, Limits(limits.max_block, limits.max_gap, limits.holes + holes)))

    def refused_flaws(self) -> Flaws:
        """Flaws for the points that are left out because the device refuses them."""
        found: Flaws = {}
        for point in self.points if self.target.refused else ():
            if (code := self.target.refused.get(point.span)) is not None:
                found |= flaws_of([point], f"the device {refusal(code)}")
        return found


def flaws_of(points: Sequence[Point], reason: str) -> Flaws:
    """The same flaw for all quantities of ``points``."""
    return {point.row.quantity: Flaw(Grade.BAD, reason) for point in points if point.row.quantity}


def _why(function: int, code: int) -> str:
    if code != _UNKNOWN_FUNCTION or function <= READ_DISCRETE:
        return refusal(code)
    other = "input" if function == READ_HOLDING else "holding"
    return f"{refusal(code)}; the profile may not fit: try one whose table: is {other}"
