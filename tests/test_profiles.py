"""Profiles: every page has its proof, and a wrong page or a wrong use of one is told with its place."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from building.document import Document, parse_document, read_document
from building.errors import ConfigError
from building.site import Device, build_site
from collector.decoding import decode_blocks
from collector.payloads import topics_of
from collector.planning import limits_of, plan, points_of
from collector.profiles import FOLDER, check_profiles, load_profile, parse_profile, profile_names
from collector.profiles.listing import meters_page
from collector.service import check_links

RECORDINGS = Path(__file__).parent / "recordings"


def recordings() -> list[Path]:
    return sorted(RECORDINGS.glob("*/*.yaml"))


@pytest.mark.parametrize("path", recordings(), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_recording_decodes_to_the_readings_beside_it(path: Path) -> None:
    recording = read_document(path).content
    profile = load_profile(path.parent.name)
    device = Device.model_validate({"id": "d", "kind": "electricity", **recording.get("device", {})})
    values: dict[str, float | str] = {}
    flaws: set[str] = set()
    blocks = [(one["function"], one["address"], bytes.fromhex(one["words"])) for one in recording.get("blocks", ())]
    found, wrong, _ = decode_blocks(profile, device, blocks)
    values |= found
    flaws |= set(wrong)
    readers = dict(topics_of(profile, device, ZoneInfo("Asia/Shanghai")))
    for message in recording.get("messages", ()):
        decoded = readers[message["topic"]].decode(message["payload"].encode())
        values |= decoded.values
        flaws |= set(decoded.flaws)
    expected = recording["expect"]
    assert values.keys() == expected.keys()
    for name, wanted in expected.items():
        assert values[name] == (wanted if isinstance(wanted, str) else pytest.approx(wanted, rel=1e-6)), name
    assert flaws == set(recording.get("flawed", ()))


@pytest.mark.parametrize("name", profile_names())
def test_every_page_loads_names_its_source_and_has_a_recording(name: str) -> None:
    profile = load_profile(name)
    assert profile.source
    assert profile.title
    assert list((RECORDINGS / name).glob("*.yaml")), f"put a recording into tests/recordings/{name}"
    device = Device(id="d", kind="electricity", topic="t", litres_per_pulse=1.0)
    if profile.registers:
        assert plan(points_of(profile, device), limits_of(profile))
    else:
        assert topics_of(profile, device, ZoneInfo("UTC"))


PAGE = """\
title: T
source: S
protocol: modbus
registers:
  - {quantity: voltage, address: 0, type: f32}
"""


def document(text: str, name: str = "mine.yaml") -> Document:
    return parse_document(text.encode(), name)


@pytest.mark.parametrize(
    ("row", "line", "sentence"),
    [
        ("{quantity: volts, address: 2}", 6, "'volts' is no quantity"),
        ("{quantity: current, address: 1}", 6, "overlap"),
        ("{quantity: current, address: 2, type: float}", 6, "'float' is not accepted"),
        ("{quantity: current, address: 2, unit: W}", 6, "cannot be counted in 'W'; known are A, mA, kA"),
        ("{quantity: current, address: 65535, type: f32}", 6, "runs over the last address"),
        ("{quantity: current, address: 70000}", 6, "address"),
        ("{quantity: current, adress: 2}", 6, "unknown key 'adress'"),
        ("{quantity: mode, address: 2, words: {0: cold}}", 6, "mode cannot be 'cold'"),
        ("{quantity: mode, address: 2, words: {zero: cool}}", 6, "must be numbers"),
        ("{quantity: current, address: 2, tens: sf}", 6, "'sf' is no helper row"),
        (
            "{quantity: current, address: 2, times: a}\n  - {name: a, address: 3, times: b}\n  - {name: b, address: 4}",
            6,
            "'a' needs a helper itself; name all of them here: b",
        ),
        ("{quantity: current, name: x, address: 2}", 6, "either quantity: or name:"),
        ("{quantity: current, address: 2, type: bit}", 6, "type bit belongs to table coil"),
        ("{quantity: mode, address: 2, words: {0: cool}, off_by: switch}", 6, "'switch' is no quantity of this page"),
    ],
)
def test_a_mistake_in_a_page_is_named_with_its_line(row: str, line: int, sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_profile(document(f"{PAGE}  - {row}\n"))
    assert sentence in str(refused.value)
    assert f"mine.yaml:{line}:" in str(refused.value)


def test_a_value_in_a_declared_hole_or_wider_than_a_block_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match="lies in the hole 1 to 3"):
        parse_profile(document(PAGE + "holes: [[1, 3]]\n"))
    with pytest.raises(ConfigError, match="wider than max_block"):
        parse_profile(document(PAGE + "max_block: 1\n"))


def test_a_page_is_for_registers_or_for_topics() -> None:
    with pytest.raises(ConfigError, match="has topics:"):
        parse_profile(document(PAGE.replace("modbus", "mqtt")))
    with pytest.raises(ConfigError, match="must contain"):
        parse_profile(
            document("title: T\nsource: S\nprotocol: mqtt\ntopics:\n  - {topic: a/b, values: [{quantity: online}]}\n")
        )


def test_a_page_of_the_users_own_goes_before_ours(tmp_path: Path) -> None:
    (tmp_path / "my_meter.yaml").write_text(PAGE, encoding="utf-8")
    (tmp_path / "eastron_sdm120.yaml").write_text(PAGE, encoding="utf-8")
    assert load_profile("my_meter", tmp_path).quantities == ("voltage",)
    assert load_profile("eastron_sdm120", tmp_path).title == "T"
    assert {"my_meter", "eastron_sdm630"} <= set(profile_names(tmp_path))


def test_a_name_cannot_lead_out_of_the_folder() -> None:
    with pytest.raises(ConfigError, match="there is no profile"):
        load_profile("../profiles/eastron_sdm120")


SITE = """\
version: 1
links:
  - {id: gateway, modbus: "tcp://127.0.0.1:502"}
  - {id: broker, mqtt: "mqtt://127.0.0.1"}
  - {id: bus, modbus: "rtu:///dev/ttyUSB0", in_flight: 4}
  - {id: five, mqtt: "mqtt://127.0.0.2", version: "5", ca: ca.pem}
  - {id: fast, mqtt: "mqtts://127.0.0.3", certificate: own.pem}
devices:
  - {id: a, kind: electricity, profile: eastron_sdm999, link: gateway, unit: 1}
  - {id: b, kind: electricity, profile: eastron_sdm120, link: broker, topic: b}
  - {id: c, kind: water, profile: pulse_counter, link: gateway, unit: 2}
  - {id: d, kind: water, profile: eastron_sdm120, link: gateway, unit: 3}
  - {id: e, kind: electricity, profile: eastron_sdm120, link: gateway, unit: 4, channel: 2}
  - {id: f, kind: plug, profile: tasmota_plug, link: broker, topic: "+/x"}
"""


def test_every_wrong_use_of_a_profile_in_a_site_is_told_with_line_and_device() -> None:
    with pytest.raises(ConfigError) as refused:
        build_site(document(SITE, "devices.yaml"), [check_profiles, check_links])
    problems = refused.value.problems
    for line, device, sentence in (
        (9, "a", "there is no profile 'eastron_sdm999'; did you mean eastron_sdm"),
        (10, "b", "needs a link with modbus:"),
        (11, "c", "add litres_per_pulse"),
        (12, "d", "is for electricity"),
        (13, "e", "has no channels"),
        (14, "f", "'+' and '#' are not allowed"),
    ):
        assert any(f":{line}: device '{device}': " in one and sentence in one for one in problems), (sentence, problems)
    assert any(":5: link 'bus': several requests at once" in one for one in problems)
    assert any(":6: link 'five': ca: is for mqtts://" in one for one in problems)
    assert any(":7: link 'fast': certificate: needs key:" in one for one in problems)
    assert len(problems) == 9


def test_pages_hold_what_a_person_can_read_in_a_minute() -> None:
    for path in FOLDER.glob("*.yaml"):
        assert len(path.read_text("utf-8").splitlines()) < 80, path.name


def test_the_list_of_devices_is_as_the_pages_are() -> None:
    told = (Path(__file__).parents[1] / "docs" / "meters.md").read_text("utf-8")
    assert told == meters_page(), "make it anew: python -m collector.profiles.listing > docs/meters.md"


def test_the_page_of_the_guide_is_right(tmp_path: Path) -> None:
    guide = (Path(__file__).parents[1] / "docs" / "new-meter.md").read_text("utf-8")
    page = guide.split("```yaml\n")[1].split("```")[0]
    (tmp_path / "my_meter.yaml").write_text(page, encoding="utf-8")
    assert load_profile("my_meter", tmp_path).quantities == ("voltage", "active_power", "energy_import")
