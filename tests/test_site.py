"""devices.yaml at the door: what is accepted, and what is told about what is not."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from building.document import Document, Where
from building.endpoints import parse_endpoint
from building.errors import ConfigError, SecretMissing
from building.fields import Secret
from building.site import Department, Device, InfluxSettings, Link, Overtime, Site, SiteInfo, Zone, load_site
from tests.site_parts import SITES, site_of, told_about

GOOD = sorted((SITES / "good").glob("*.yaml"))
BAD = sorted((SITES / "bad").glob("*.yaml"))


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_good_sample_is_accepted(path: Path) -> None:
    assert load_site(path).site.name


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_sample_is_told_as_its_own_first_lines_say(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    expected = [line.removeprefix("# told: ") for line in lines if line.startswith("# told: ")]
    with pytest.raises(ConfigError) as caught:
        load_site(path)
    assert [problem.removeprefix(f"{path.name}:") for problem in caught.value.problems] == expected


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_no_sentence_repeats_a_secret_or_runs_over_lines(path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_site(path)
    for problem in caught.value.problems:
        assert "hunter2" not in problem
        assert "\n" not in problem


def test_the_office_sample_becomes_what_it_says() -> None:
    site = load_site(SITES / "good" / "office.yaml")
    light = site.device["light-301"]
    assert (light.zone, light.unit, light.parent, light.every) == ("301", 11, "main", 60_000)
    assert site.device["main"].every == 10_000
    assert site.department_of(light) == "finance"
    assert site.link["bus-1"].endpoint.options == {"baudrate": "9600", "parity": "E"}
    assert (site.link["gateway-1"].endpoint.host, site.link["gateway-1"].endpoint.port) == ("10.1.0.5", 502)
    assert site.device["plate"].address == "000012345678"
    assert site.device["presence-301"].stale_after == 86_400_000
    assert light.stale_after == 180_000
    assert site.zone["garage"].floor == "B1"
    assert repr(site.link["broker"].password) == "Secret(${MQTT_PASSWORD})"


def test_ids_that_look_like_numbers_or_switches_stay_names() -> None:
    site = load_site(SITES / "good" / "numbers_for_names.yaml")
    assert (list(site.zone), list(site.device), list(site.department)) == (["301", "0302"], ["1e5", "on"], ["7"])


def test_windows_line_ends_and_a_byte_order_mark_change_nothing(tmp_path: Path) -> None:
    plain = (SITES / "good" / "office.yaml").read_text(encoding="utf-8")
    marked = tmp_path / "devices.yaml"
    marked.write_bytes(b"\xef\xbb\xbf" + plain.replace("\n", "\r\n").encode())
    again = load_site(marked)
    assert again.devices == load_site(SITES / "good" / "office.yaml").devices


def test_a_site_cannot_be_changed_once_it_is_read() -> None:
    site = site_of("devices: [{id: a, kind: plug}]")
    with pytest.raises(ValueError, match="frozen"):
        site.devices[0].unit = 5


def test_an_empty_file_is_told() -> None:
    assert told_about("") == ["1: the file is empty; start from the sample devices.yaml"]


def test_text_that_is_not_utf8_is_told_with_its_line() -> None:
    assert told_about("site:\n  name: 市民\n".encode("gb18030")) == ["2: not UTF-8 text; save the file as UTF-8"]


def test_a_control_character_is_told_with_its_line() -> None:
    told = told_about("site:\n  name: a\x00b\n")
    assert told == ["2: holds a character that text may not have; save the file as text"]


def test_a_huge_file_is_refused_before_it_is_read_whole(tmp_path: Path) -> None:
    huge = tmp_path / "devices.yaml"
    with huge.open("wb") as file:
        file.truncate(10**12)  # sparse: reading it all would never end
    with pytest.raises(ConfigError, match="larger than the 4000000 bytes"):
        load_site(huge)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.yaml: cannot be read \(No such file or directory\)"):
        load_site(tmp_path / "nothing.yaml")
    with pytest.raises(ConfigError, match=r"cannot be read \(Is a directory\)"):
        load_site(tmp_path)


def test_a_file_name_with_a_colon_is_no_trouble(tmp_path: Path) -> None:
    path = tmp_path / "a:b.yaml"
    path.write_text("devices: [{id: a, kind: pluk}, {id: a, kind: plug}]", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_site(path)
    assert len(caught.value.problems) == 2


def test_what_a_wing_finds_is_told_among_the_rest_in_the_order_of_the_file(tmp_path: Path) -> None:
    def profiles_exist(document: Document) -> Iterable[tuple[Where, str]]:
        for where, item in document.entries("devices"):
            if item.get("profile") not in (None, "tasmota_plug"):
                yield (*where, "profile"), f"profile '{item['profile']}' does not exist; known are tasmota_plug"

    path = tmp_path / "devices.yaml"
    path.write_text(
        "devices:\n"
        "  - {id: a, kind: plug, every: never}\n"
        "  - {id: b, kind: plug, profile: tasmato}\n"
        "  - {id: c, kind: plug, unit: 1000}\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError) as caught:
        load_site(path, [profiles_exist])
    assert list(caught.value.problems) == [
        "devices.yaml:2: device 'a': every: 'never' is not a duration such as 10s, 15m, 1h30m or 2d",
        "devices.yaml:3: device 'b': profile 'tasmato' does not exist; known are tasmota_plug",
        "devices.yaml:4: device 'c': unit: 1000 is not accepted; write at most 255",
    ]


@pytest.mark.parametrize(
    ("protocol", "text", "scheme", "wire"),
    [
        ("modbus", "tcp://10.1.0.5", "tcp", ("10.1.0.5", 502, "")),
        ("modbus", "rtu+tcp://[fe80::1]:4001", "rtu+tcp", ("fe80::1", 4001, "")),
        ("modbus", "ascii:///dev/ttyS0", "ascii", ("", 0, "/dev/ttyS0")),
        ("modbus", "rtu://COM3?baudrate=19200", "rtu", ("", 0, "COM3")),
        ("mqtt", "mqtts://broker.example", "mqtts", ("broker.example", 8883, "")),
        ("dlt645", "tcp://10.1.0.7:8001", "tcp", ("10.1.0.7", 8001, "")),
    ],
)
def test_an_address_is_taken_apart(protocol: str, text: str, scheme: str, wire: tuple[str, int, str]) -> None:
    endpoint = parse_endpoint(protocol, text)
    assert (endpoint.scheme, (endpoint.host, endpoint.port, endpoint.path)) == (scheme, wire)


def test_one_broker_may_serve_two_logins() -> None:
    links = '{id: a, mqtt: "mqtt://h", username: a}, {id: b, mqtt: "mqtt://h:1883", username: b}'
    assert len(site_of(f"links: [{links}]").links) == 2


def test_a_secret_is_found_in_the_environment_or_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OFFICE_SECRET", "hunter2")
    (tmp_path / "secret").write_text("hunter3\n", encoding="utf-8")
    assert Secret("${OFFICE_SECRET}").reveal() == "hunter2"
    assert Secret(f"file:{tmp_path}/secret").reveal() == "hunter3"


def test_a_missing_secret_is_told_with_the_way_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("OFFICE_SECRET", raising=False)
    with pytest.raises(SecretMissing, match="set the environment variable OFFICE_SECRET"):
        Secret("${OFFICE_SECRET}").reveal()
    with pytest.raises(SecretMissing, match=r"the secret file .*none cannot be read"):
        Secret(f"file:{tmp_path}/none").reveal()


# -- whatever is in the file: a site, or a ConfigError ----------------------------------------------------------------

_SAMPLES = [path.read_bytes() for path in (*GOOD, *BAD) if path.stem != "alias_bomb"]
_SCRAPS = [
    b"[",
    b"]",
    b"{",
    b"}",
    b": ",
    b"- ",
    b"\n",
    b"\n  ",
    b"\t",
    b"'",
    b'"',
    b"#",
    b"&a ",
    b"*a",
    b"<<: ",
    b"!!str ",
]
_SCRAPS += [
    b"? ",
    b"| ",
    b"> ",
    b"~",
    b"1e999",
    b"-0",
    b"0x1F",
    b"9" * 5000,
    b"\xff",
    b"\x00",
    b"\\UFFFFFFFF",
    b"%YAML 9.9\n",
]
_SCRAPS += [
    b"null",
    b"true",
    b".nan",
    b"../..",
    "调休".encode(),
    b"@",
    b"://",
    b"${",
    b"2026-02-30",
    b"24:00-25:00",
    b"---\n",
]


def _mutated(sample: bytes, seed: int, count: int) -> bytes:
    """``sample`` with ``count`` pieces cut out, doubled, replaced, or put elsewhere."""
    chance = random.Random(seed)
    raw = sample
    for _ in range(count):
        at, size = chance.randint(0, len(raw)), chance.randint(0, 12)
        piece = chance.choice((b"", raw[at : at + size] * 2, chance.choice(_SCRAPS), chance.choice(_SCRAPS)))
        raw = raw[:at] + piece + raw[at + chance.choice((0, size)) :]
    return raw


def _site_or_told(path: Path, raw: bytes) -> Site | tuple[str, ...]:
    """The site that a file of these bytes makes, or what is told about it."""
    path.write_bytes(raw)
    try:
        return load_site(path)
    except ConfigError as error:
        return error.problems


def _is_sentence(problem: str, path: Path) -> bool:
    return problem.startswith(f"{path.name}:") and "\n" not in problem and len(problem) > len(path.name) + 10


@settings(max_examples=400)
@given(st.sampled_from(_SAMPLES), st.integers(0, 2**32), st.integers(1, 6))
def test_a_damaged_file_is_read_or_told_and_never_crashes(
    tmp_path_factory: pytest.TempPathFactory, sample: bytes, seed: int, count: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.yaml"
    found = _site_or_told(path, _mutated(sample, seed, count))
    assert found, "neither a site nor a word"
    assert isinstance(found, Site) or all(_is_sentence(problem, path) for problem in found), found


_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["a", "10s"])
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_models = (Department, Device, InfluxSettings, Link, Overtime, SiteInfo, Zone)
_keys = st.sampled_from(sorted({key for model in _models for key in model.model_fields}))
_entries = st.lists(st.dictionaries(_keys, _values, max_size=6) | _values, max_size=4)
_sections = st.sampled_from(sorted(Site.model_fields))


@settings(max_examples=300)
@given(st.dictionaries(_sections, _entries | st.dictionaries(_keys, _values, max_size=5) | _values, max_size=5))
def test_any_value_anywhere_is_accepted_or_told(tmp_path_factory: pytest.TempPathFactory, content: object) -> None:
    path = tmp_path_factory.getbasetemp() / "odd.yaml"
    found = _site_or_told(path, yaml.safe_dump(content).encode())
    assert found, "neither a site nor a word"
    assert isinstance(found, Site) or all(_is_sentence(problem, path) for problem in found), found
