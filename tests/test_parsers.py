"""Every place where a device's bytes are read: whatever comes, values are finite and named, or there is a flaw."""

from __future__ import annotations

import json
import math
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from building.errors import BadFrame
from building.quantities import QUANTITIES
from building.site import Device
from collector.decoding import Flaws, Values, decode_blocks
from collector.links.frames import AsciiFraming, RtuFraming, cut_tcp
from collector.payloads import topics_of
from collector.planning import every_point, limits_of, plan
from collector.profiles import READ_ITEM, load_profile, profile_names

PAGES = {name: load_profile(name) for name in profile_names()}
REGISTERS = [name for name, page in PAGES.items() if page.registers]
TOPICS = [name for name, page in PAGES.items() if page.topics]
TZ = ZoneInfo("Asia/Shanghai")


def odd(values: Values, flaws: Flaws) -> dict[str, float | str]:
    """Values that no rule may ever see: words nobody knows, no numbers, and what cannot be and is not named a flaw."""
    return {
        name: value
        for name, value in values.items()
        if (
            value not in QUANTITIES[name].words
            if isinstance(value, str)
            else not math.isfinite(value) or not (QUANTITIES[name].plausible(value) or name in flaws)
        )
    }


@given(st.sampled_from(REGISTERS), st.data())
def test_any_registers_of_any_page_are_sane_values_or_flaws(name: str, data: st.DataObject) -> None:
    page = PAGES[name]
    order = data.draw(st.sampled_from([None, "ABCD", "CDAB", "BADC", "DCBA"]))
    invert = data.draw(st.booleans())
    device = Device(id="d", kind="electricity", order=order, invert=invert, litres_per_pulse=10.0, ct_ratio=40.0)
    blocks = []
    for block in plan(every_point(page, device), limits_of(page)):
        size = {1: (block.length + 7) // 8, 2: (block.length + 7) // 8, READ_ITEM: block.length}.get(
            block.function, 2 * block.length
        )
        if data.draw(st.booleans()):
            blocks.append((block.function, block.address, data.draw(st.binary(min_size=size, max_size=size))))
    values, flaws, details = decode_blocks(page, device, blocks)
    assert odd(values, flaws) == {}
    assert all(isinstance(one, str) or math.isfinite(one) for one in details.values())


def words_of(name: str) -> list[str]:
    """Every name that stands in a path of a page, so that what is drawn goes deep."""
    found = {"x"}
    for topic in PAGES[name].topics:
        for path in [topic.root, topic.time, *(path for point in topic.values for path in point.path)]:
            found |= {part.replace("{channel}", "0").replace("{channel1}", "1") for part in path.split(".")} - {"", "*"}
    return sorted(found)


def payloads(name: str) -> st.SearchStrategy[Any]:
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
    leaves |= st.sampled_from(["ON", "off", "cool", "1e999", "-0", "NaN", "online", "C", "F", 10**400])
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(words_of(name)), inner, max_size=6),
        max_leaves=12,
    )


@pytest.mark.parametrize("name", TOPICS)
@settings(max_examples=60)
@given(data=st.data())
def test_any_message_of_any_page_is_sane_values_flaws_or_a_bad_frame(name: str, data: st.DataObject) -> None:
    channel = data.draw(st.sampled_from([None, 0, 1]))
    readers = topics_of(PAGES[name], Device(id="d", kind="plug", topic="t", channel=channel, litres_per_pulse=1.0), TZ)
    _, reader = data.draw(st.sampled_from(readers))
    content = data.draw(payloads(name))
    raw = json.dumps(content).encode() if data.draw(st.integers(0, 9)) else data.draw(st.binary(max_size=80))
    decoded, sentence = None, ""
    try:
        decoded = reader.decode_all(raw)
    except BadFrame as error:
        sentence = str(error)
    assert (decoded is None) == bool(sentence)
    assert decoded is None or odd(decoded.values, decoded.flaws) == {}


@given(st.binary(max_size=600), st.integers(0, 255), st.integers(1, 4), st.integers(0, 250))
def test_any_bytes_on_a_line_are_searched_without_a_fall(heard: bytes, unit: int, function: int, size: int) -> None:
    for framing in (RtuFraming(), AsciiFraming()):
        found = framing.find(heard, unit, function, size)
        assert found is None or found[0] in (function, function | 0x80)
        assert framing.puzzle(heard, unit) if heard else True
    try:
        frames, rest = cut_tcp(heard)
    except BadFrame:
        return
    assert sum(6 + 1 + len(frame[2]) for frame in frames) + len(rest) == len(heard)
