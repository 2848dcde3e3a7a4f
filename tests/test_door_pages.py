"""The door for a site's own profile pages: whatever stands in one, it is told, or the page works."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from building.document import parse_document
from building.errors import BadFrame, ConfigError
from building.quantities import QUANTITIES
from building.site import Device
from collector.decoding import decode_blocks
from collector.payloads import topics_of
from collector.planning import every_point, limits_of, plan
from collector.profiles import READ_ITEM, Profile, parse_profile
from tests.door_parts import Changes, changed, changes

REGISTERS: Final = yaml.safe_load("""
title: A meter
source: its manual
protocol: modbus
models: [A1]
kinds: [electricity, aircon]
table: holding
order: ABCD
max_block: 60
max_gap: 5
holes: [[500, 510]]
registers:
  - {quantity: energy_import, address: 0, type: u32, scale: 0.1, unit: Wh, none: standard, times: ct, tens: sf, plus: [t2],
     wraps_at: 1000000000, order: CDAB, offset: 0.5, stride: 100}
  - {name: ct, address: 10}
  - {name: sf, address: 11, type: s16}
  - {name: t2, address: 12, type: u32}
  - {quantity: mode, address: 20, words: {0: auto, 4: cool}, bits: [0, 4], off_by: running, group: slow}
  - {quantity: running, address: 21, words: {0: 0, 1: 1}, none: [0xffff, 3]}
  - {quantity: power_factor, address: 22, type: f32, form: four_quadrant}
  - {name: serial, address: 30, type: text12, group: identity}
  - {quantity: volume, address: 40, type: bcd32, unit: pulse}
  - {quantity: current, address: 44, type: mod10k_48}
  - {quantity: "on", address: 0, type: bit, table: coil}
""")  # noqa: E501 - one row a line, as in a page
TOPICS: Final = yaml.safe_load("""
title: A plug
source: its manual
protocol: mqtt
topics:
  - topic: tele/{topic}/SENSOR{channel1}
    root: a.b
    time: Time
    trusted: true
    values:
      - {quantity: temperature, path: [c.d, p], scale: 0.1, unit: "@TempUnit", many: sum, unless: x, beside: p, plus: [q, r],
         when: m=cool, bare: true}
      - {quantity: mode, path: m, words: {cool: cool, "off": "off"}}
      - {quantity: active_power, path: c.d, text: true, many: mean}
      - {quantity: energy_import, path: e, unit: Wh}
      - {name: firmware, path: f}
""")  # noqa: E501 - one value a line, as in a page
MORE: Final = (
    *(65535, 65536, [5, 1], [-1, 70], [0, 64], {"0": "cool"}, {"9" * 50: 1}, {"-1": 0}, "{topic}", "@x", "="),
    *(".", "*", "a..b", 5e-324, "active_power", "mode", "u16", "f64", "text16", "bit", "coil", "item", "model"),
    *("mod10k_64", "FFFFFFFF", "pulse"),
)  # fmt: skip
DEVICES: Final = [
    Device(id="d", kind="water", topic="t", channel=channel, litres_per_pulse=one, ct_ratio=one, vt_ratio=one)
    for channel, one in ((None, 1.0), (3, 1e6), (255, 0.0001))
]
PAYLOADS: Final = (
    b'{"a":{"b":{"c":{"d":[1,2,"x"]},"p":1e308,"q":1e308,"r":-1e308,"m":"cool","TempUnit":"F","e":"12","f":[[]],'
    b'"Time":"0001-01-01T00:00:00+14:00"}}}',
    b'{"Time":99999999999999999999,"p":1,"m":"cool","c":{"d":1e400},"e":' + b"9" * 5000 + b"}",
    *(b"ON", b"12.5", b"[1]", b"null", b'"x"', b"\xff\xfe", b"[" * 5000, b"9" * 5000),
)
FILLS: Final = (b"\x00", b"\xff", b"\x7f\xff", b"\x12\x34")


def _sane(values: Mapping[str, float | str], flaws: Mapping[str, object]) -> bool:
    return all(
        value in QUANTITIES[name].words
        if isinstance(value, str)
        else math.isfinite(value) and (QUANTITIES[name].plausible(value) or name in flaws)
        for name, value in values.items()
    )


def _decoded(page: Profile, device: Device) -> Iterator[bool]:
    """Whether what ``page`` makes of some bytes is something that a reading may hold."""
    blocks = plan(every_point(page, device), limits_of(page))
    for fill in FILLS:
        answers = []
        for block in blocks:
            bits, width = block.function <= 2, 1 if block.function == READ_ITEM else 2
            size = (block.length + 7) // 8 if bits else block.length * width
            answers.append((block.function, block.address, (fill * size)[:size]))
        yield _sane(*decode_blocks(page, device, answers)[:2])
    for _, reader in topics_of(page, device, ZoneInfo("Asia/Shanghai")):
        for payload in PAYLOADS:
            try:
                decoded = reader.decode_all(payload)
            except BadFrame:
                continue
            yield _sane(decoded.values, decoded.flaws)


def _right(problems: tuple[str, ...]) -> bool:
    return all(one.startswith("mine.yaml:") and "\n" not in one and len(one) < 1500 for one in problems)


@settings(max_examples=200)
@given(st.sampled_from((REGISTERS, TOPICS)).flatmap(lambda page: st.tuples(st.just(page), changes(page, *MORE))))
def test_a_page_with_anything_at_any_place_is_told_or_reads_whatever_a_device_says(case: tuple[Any, Changes]) -> None:
    text = yaml.safe_dump(changed(*case), allow_unicode=True).encode()
    try:
        page = parse_profile(parse_document(text, "mine.yaml"))
    except ConfigError as error:
        good = _right(error.problems)
    else:
        good = all(all(_decoded(page, device)) for device in DEVICES)
    assert good


@pytest.mark.parametrize("page", [REGISTERS, TOPICS], ids=["registers", "topics"])
def test_the_pages_that_are_changed_are_right_themselves(page: Any) -> None:
    read = parse_profile(parse_document(yaml.safe_dump(page).encode(), "mine.yaml"))
    assert all(all(_decoded(read, device)) for device in DEVICES)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("{quantity: current, address: 2, scale: .inf}", "scale"),
        ("{quantity: current, address: 2, scale: 0}", "a factor lies between 1e-12 and 1e12"),
        ("{quantity: current, address: 2, scale: 1e300}", "a factor lies between 1e-12 and 1e12"),
        ("{quantity: current, address: 2, bits: [-1, 4]}", "bits: -1: input should be greater than or equal to 0"),
        ("{quantity: current, address: 2, type: f32, bits: [0, 4]}", "bits: a number of type f32 has none"),
        ("{quantity: temperature, address: 2, unit: '@TempUnit'}", "points into a message"),
        ("{quantity: mode, address: 2}", "mode is a word; say with words:"),
    ],
)
def test_a_row_that_no_answer_could_be_read_with_is_told(row: str, sentence: str) -> None:
    text = f"title: T\nsource: S\nprotocol: modbus\nregisters:\n  - {row}\n"
    with pytest.raises(ConfigError) as refused:
        parse_profile(parse_document(text.encode(), "mine.yaml"))
    assert sentence in str(refused.value)


def test_an_empty_path_is_told() -> None:
    text = "title: T\nsource: S\nprotocol: mqtt\ntopics: [{topic: '{topic}', values: [{quantity: on, path: ['']}]}]\n"
    with pytest.raises(ConfigError, match="path: '': string should have at least 1 character"):
        parse_profile(parse_document(text.encode(), "mine.yaml"))
