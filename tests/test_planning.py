"""The planner: fewest requests, no value split, nothing asked that may not be asked."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from building.site import Device
from collector.planning import Block, Limits, Point, line_ms, pieces, plan, plan_of, points_of, smallest
from collector.profiles import READ_ITEM, RegisterPoint, load_profile


def point(address: int, kind: str = "u16", function: int = 3) -> Point:
    row = RegisterPoint.model_validate({"quantity": "voltage", "address": address, "type": kind})
    return Point(row, function, address)


def spans(blocks: tuple[Block, ...]) -> list[tuple[int, int]]:
    return [(block.address, block.length) for block in blocks]


def test_neighbours_are_joined_and_small_gaps_bridged() -> None:
    assert spans(plan([point(0), point(1), point(10)], Limits(max_gap=8))) == [(0, 11)]
    assert spans(plan([point(0), point(1), point(10)], Limits(max_gap=7))) == [(0, 2), (10, 1)]


def test_a_value_is_never_split_at_the_longest_request() -> None:
    points = [point(2 * n, "f32") for n in range(4)]
    assert spans(plan(points, Limits(max_block=5))) == [(0, 4), (4, 4)]


def test_tables_are_asked_separately() -> None:
    assert spans(plan([point(0), point(1, function=4)], Limits())) == [(0, 1), (1, 1)]


def test_declared_holes_are_not_bridged() -> None:
    assert spans(plan([point(0), point(5)], Limits(holes=((2, 3),)))) == [(0, 1), (5, 1)]


def test_bits_are_not_bound_by_the_limit_for_registers() -> None:
    row = RegisterPoint.model_validate({"quantity": "on", "address": 0, "type": "bit", "table": "coil"})
    points = [Point(row, 1, at) for at in range(300)]
    assert spans(plan(points, Limits(max_block=10))) == [(0, 300)]


def test_an_sdm630_takes_one_request_and_an_sdm120_two() -> None:
    for name, requests in (("eastron_sdm630", 1), ("eastron_sdm120", 2)):
        device = Device(id="m", kind="electricity", profile=name)
        (told,) = plan_of(device, load_profile(name))
        assert told.requests == requests


def test_the_share_of_a_serial_line_counts_bits_and_silences() -> None:
    device = Device.model_validate({"id": "m", "kind": "electricity", "every": "1s"})
    (told,) = plan_of(device, load_profile("eastron_sdm630"), baudrate=9600)
    # 8 + 5 + 2 x 76 characters of 11 bits, and twice 3.5 characters of silence, at 9600 baud.
    assert round(told.line_ms, 1) == round((165 + 7) * 11 / 9.6, 1)
    assert told.share == told.line_ms / 1000


def test_fast_and_slow_points_are_planned_apart() -> None:
    device = Device.model_validate({"id": "m", "kind": "electricity", "every": "10s", "slow": "1m"})
    assert [(one.group, one.points) for one in plan_of(device, load_profile("eastron_sdm120"))] == [
        ("fast", 7),
        ("slow", 2),
    ]


def test_a_channel_moves_the_address() -> None:
    device = Device(id="w", kind="water", channel=3, litres_per_pulse=10)
    assert [one.address for one in points_of(load_profile("pulse_counter"), device)] == [66]


def test_a_refused_block_is_taken_apart_at_its_gaps_first_and_then_in_halves() -> None:
    (block,) = plan([point(0), point(1), point(5)], Limits())
    assert spans(pieces(block)) == [(0, 2), (5, 1)]
    (block,) = plan([point(n) for n in range(4)], Limits())
    assert spans(pieces(block)) == [(0, 2), (2, 2)]
    assert pieces(smallest([block])) == (smallest([block]),)


layouts = st.lists(
    st.tuples(st.integers(0, 60), st.sampled_from(["u16", "f32", "u64"])),
    min_size=1,
    max_size=9,
    unique_by=lambda p: p[0],
)


def _apart(layout: list[tuple[int, str]]) -> list[Point]:
    """Points of a layout that do not overlap."""
    found: list[Point] = []
    for address, kind in sorted(layout):
        if not found or found[-1].end <= address:
            found.append(point(address, kind))
    return found


@given(layouts, st.integers(4, 20), st.integers(0, 12), st.lists(st.integers(0, 64), max_size=2))
def test_no_other_way_takes_fewer_requests(
    layout: list[tuple[int, str]], max_block: int, max_gap: int, hole_starts: list[int]
) -> None:
    points = _apart(layout)
    limits = Limits(max_block, max_gap, tuple((start, start) for start in hole_starts))

    def allowed(group: list[Point]) -> bool:
        gaps = [(a.end, b.address) for a, b in pairwise(group)]
        return (
            group[-1].end - group[0].address <= max_block
            and all(end - start <= max_gap for start, end in gaps)
            and not any(start <= hole < end for start, end in gaps for hole in hole_starts)
        )

    @cache
    def fewest(start: int) -> int:
        """Fewest requests for the points from ``start`` on, by trying every cut."""
        if start == len(points):
            return 0
        ends = range(start + 1, len(points) + 1)
        return min(1 + fewest(end) for end in ends if end == start + 1 or allowed(points[start:end]))

    assert len(plan(points, limits)) == fewest(0)


@given(layouts, st.integers(4, 20), st.integers(0, 12))
def test_every_value_is_whole_in_exactly_one_request_within_the_limit(
    layout: list[tuple[int, str]], max_block: int, max_gap: int
) -> None:
    points = _apart(layout)
    blocks = plan(points, Limits(max_block, max_gap))
    assert sorted(one.address for block in blocks for one in block.points) == [one.address for one in points]
    for block in blocks:
        assert block.length <= max_block
        assert all(block.address <= one.address and one.end <= block.address + block.length for one in block.points)
        assert block.points[0].address == block.address
        assert max(one.end for one in block.points) == block.address + block.length


@given(layouts)
def test_taking_blocks_apart_ends_and_loses_no_point(layout: list[tuple[int, str]]) -> None:
    for block in plan(_apart(layout), Limits(max_gap=64)):
        parts, whole = [block], []
        while parts:
            part = parts.pop()
            smaller = pieces(part)
            if len(smaller) == 1:
                whole.append(part)
            else:
                assert all(one.length < part.length for one in smaller)
                parts += smaller
        assert sorted(one.address for part in whole for one in part.points) == [one.address for one in block.points]


@pytest.mark.parametrize(
    ("framing", "address", "length", "characters"),
    [
        # DL/T 645: 4 wake-up bytes and 16 of the question, 4 and 16 of the answer, and the energy's four
        ("dlt645", 0x00010000 << 8, 4, 44),
        # CJ/T 188: 3 and 16 bytes each way, and of item 901F as far as the page reads
        ("cjt188", 0x901F << 8, 5, 43),
        # the second value of an item: what stands before it comes too
        ("dlt645", (0x0201FF00 << 8) + 4, 2, 46),
    ],
)
def test_a_data_item_takes_the_bytes_of_its_frames_on_the_line(
    framing: str, address: int, length: int, characters: int
) -> None:
    block = Block(READ_ITEM, address, length, ())
    character = 11 / 2400 * 1000
    assert line_ms(block, 2400, framing) == pytest.approx(characters * character + 2 * 3.5 * character)
