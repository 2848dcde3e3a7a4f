"""Which requests a device needs: the fewest that cover its points. Pure.

A request costs 10 to 50 ms on a serial line whatever its size, so neighbours are joined and small gaps bridged. Never:
a value split over two requests (a carry could fall between them), more than ``max_block`` registers, a start or end
inside a value, or a hole the page declares unreadable.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from building.site import Device
from collector.links.frames import answer_size
from collector.links.modbus import MOST_BITS, MOST_REGISTERS, READ_DISCRETE
from collector.profiles import FUNCTIONS, Profile, RegisterPoint, address_of


class Span(NamedTuple):
    """Function, first address, first address after."""

    function: int
    start: int
    end: int


class Point(NamedTuple):
    """One row of a page, placed for one device."""

    row: RegisterPoint
    function: int
    address: int

    @property
    def end(self) -> int:
        """First address after the value."""
        return self.address + self.row.width

    @property
    def span(self) -> Span:
        """Where the value is on the wire; values of one span are read and refused together."""
        return Span(self.function, self.address, self.end)


class Block(NamedTuple):
    """One request, and the points its answer carries."""

    function: int
    address: int
    length: int  # registers, or bits
    points: tuple[Point, ...]

    @property
    def has_gaps(self) -> bool:
        """Whether it asks for addresses that no point needs."""
        return sum(1 for _ in _runs(self.points)) > 1


class Limits(NamedTuple):
    """What one request may be."""

    max_block: int = MOST_REGISTERS
    max_gap: int = 16
    holes: tuple[tuple[int, int], ...] = ()

    def for_function(self, function: int) -> int:
        """Longest request: bits are not bound by a page's register limit."""
        return MOST_BITS if function <= READ_DISCRETE else min(self.max_block, MOST_REGISTERS)


def limits_of(profile: Profile) -> Limits:
    """The limits a page sets."""
    return Limits(profile.max_block, profile.max_gap, profile.holes)


def points_of(profile: Profile, device: Device, group: str | None = None) -> list[Point]:
    """The page's rows for ``device``; of one ``group`` only ("fast", "slow") with all that its rows need of others."""
    rows = [row for row in profile.registers if group is None or row.group == group]
    needed = {name for row in rows for name in row.helpers}
    bases = {row.off_by for row in rows if row.off_by}
    chosen = [
        row
        for row in profile.registers
        if (row in rows and row.quantity) or row.name in needed or (row.quantity in bases and row.quantity)
    ]
    return [Point(row, FUNCTIONS[row.table or profile.table], address_of(row, device)) for row in chosen]


def identity_points(profile: Profile, device: Device) -> list[Point]:
    """The page's rows that tell one device from another of its kind, such as the serial number."""
    return [point for point in every_point(profile, device) if point.row.group == "identity"]


def every_point(profile: Profile, device: Device) -> list[Point]:
    """All rows of the page for ``device``, those too that are no quantity."""
    return [Point(row, FUNCTIONS[row.table or profile.table], address_of(row, device)) for row in profile.registers]


def plan(points: Iterable[Point], limits: Limits) -> tuple[Block, ...]:
    """The fewest blocks that cover ``points`` within ``limits``."""
    blocks: list[Block] = []
    held: list[Point] = []
    end = 0
    for point in sorted(points, key=_place):
        if held and not _joins(held[0], end, point, limits):
            blocks.append(_block(held))
            held = []
        end = max(end, point.end) if held else point.end
        held.append(point)
    if held:
        blocks.append(_block(held))
    return tuple(blocks)


def _place(point: Point) -> tuple[int, int, int]:
    return point.function, point.address, point.end


def _joins(first: Point, end: int, point: Point, limits: Limits) -> bool:
    return (
        point.function == first.function
        and point.address - end <= limits.max_gap
        and max(end, point.end) - first.address <= limits.for_function(first.function)
        and not any(start < point.address and last >= end for start, last in limits.holes)
    )


def _block(points: Sequence[Point]) -> Block:
    start = points[0].address
    return Block(points[0].function, start, max(point.end for point in points) - start, tuple(points))


def pieces(block: Block) -> tuple[Block, ...]:
    """``block`` in parts, to find what a device refuses: first at its gaps, then in halves; one point stays whole."""
    runs = [_block(run) for run in _runs(block.points)]
    if len(runs) > 1:
        return tuple(runs)
    spans = sorted({(point.address, point.end) for point in block.points})
    if len(spans) < 2:
        return (block,)
    border = spans[len(spans) // 2][0]
    low = [point for point in block.points if point.address < border]
    high = [point for point in block.points if point.address >= border]
    return _block(low), _block(high)


def _runs(points: Sequence[Point]) -> Iterable[list[Point]]:
    """Stretches of points without a gap between them."""
    run: list[Point] = []
    end = 0
    for point in points:
        if run and point.address > end:
            yield run
            run = []
        end = max(end, point.end) if run else point.end
        run.append(point)
    if run:
        yield run


def smallest(blocks: Sequence[Block]) -> Block:
    """The smallest read that proves a device alive: its first value alone."""
    return _block(blocks[0].points[:1])


class DevicePlan(NamedTuple):
    """What asking one device once costs; ``line_ms`` is the time on a serial line at the given rate, 0 for TCP."""

    device: str
    group: str
    requests: int
    registers: int
    points: int
    every: int
    line_ms: float

    @property
    def share(self) -> float:
        """Part of the line's time that this takes, 0 to 1."""
        return self.line_ms / self.every


_BITS: Final = 11  # of a character, with start, parity and stop
_SHORTEST_SILENCE: Final = 1.75  # ms between two frames
_ITEM_FRAMES: Final = {
    "dlt645": 2 * (4 + 12 + 4),  # both ways: wake-up bytes, frame, item number
    "cjt188": 2 * (3 + 13 + 3),  # the same, with the running number
}
"""Characters of question and answer but for the item's own bytes."""


def line_ms(block: Block, baudrate: int, framing: str = "rtu") -> float:
    """Milliseconds that ``block`` takes on a serial line: question, answer and the silences after them.

    ``framing`` is rtu, ascii, dlt645 or cjt188. A data item comes whole, whatever part of it is wanted; of its size
    only what the page knows of it is sure. The meter's own delay is not known and not counted.
    """
    if framing in _ITEM_FRAMES:
        characters = _ITEM_FRAMES[framing] + (block.address & 0xFF) + block.length
    else:
        size = answer_size(block.function, block.length)
        characters = 13 + size if framing == "rtu" else 28 + 2 * size
    character = 1000 * _BITS / baudrate
    return characters * character + 2 * max(3.5 * character, _SHORTEST_SILENCE)


def plan_of(
    device: Device, profile: Profile, *, baudrate: int | None = None, pause: int = 0, framing: str = "rtu"
) -> list[DevicePlan]:
    """The requests ``device`` needs per cycle of each group, for ``check`` to print.

    ``baudrate`` is that of a serial line, ``pause`` (ms) the link's quiet time between two requests.
    """
    groups = [("all", device.every)] if device.slow is None else [("fast", device.every), ("slow", device.slow)]
    plans = []
    for group, every in groups:
        points = points_of(profile, device, None if group == "all" else group)
        if not points:
            continue
        blocks = plan(points, limits_of(profile))
        registers = sum(block.length for block in blocks)
        taken = sum(line_ms(block, baudrate, framing) + pause for block in blocks) if baudrate else 0.0
        plans.append(DevicePlan(device.id, group, len(blocks), registers, len(points), every, taken))
    return plans
