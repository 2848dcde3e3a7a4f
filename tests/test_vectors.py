"""The vector files through ``greenwarden decode --vectors``, the path that people use, and what it says of bad ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from greenwarden.cli import app
from greenwarden.vectors import check_file
from greenwarden.vectors.registers import pages_for
from tests.parts import ROOT, need_shared

VECTORS = ROOT.parent / "shared" / "facts" / "vectors"
WHOLE = (
    "cjt188_frames", "counter_deltas", "dlt645_2007_frames", "mbus_wired_frames", "modbus_decode",
    "modbus_device_registers", "modbus_frames", "modbus_rtu_timing", "other_mqtt", "shelly_mqtt", "tasmota_mqtt",
    "wmbus_telegrams", "zigbee2mqtt",
)  # fmt: skip


def run(*arguments: str) -> tuple[int, str]:
    """Without a site file, on a computer that speaks English."""
    elsewhere = [] if "--site" in arguments else ["--site", "none/devices.yaml"]
    result = CliRunner().invoke(app, ["decode", *arguments, *elsewhere], env={"LC_ALL": "C"})
    return result.exit_code, result.output


def write(folder: Path, *vectors: dict[str, Any], title: str = "t") -> Path:
    path = folder / "vectors.json"
    path.write_text(json.dumps({"title": title, "vectors": vectors}), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", WHOLE)
def test_every_vector_of_a_file_passes(name: str) -> None:
    need_shared("facts", "vectors", f"{name}.json")
    code, output = run("--vectors", str(VECTORS / f"{name}.json"))
    lines = output.splitlines()
    count = len(json.loads((VECTORS / f"{name}.json").read_text("utf-8"))["vectors"])
    assert lines[-1] == f"{count} passed, 0 failed, 0 unsupported", output
    assert len(lines) == count + 1
    assert code == 0


def spoiled(vector: Any, rng: int) -> Any:
    """The same vector with its first stated number changed."""
    changed = False

    def turn(value: Any) -> Any:
        nonlocal changed
        if isinstance(value, bool) or changed:
            return value
        if isinstance(value, int | float):
            changed = True
            return value + rng
        if isinstance(value, list):
            return [turn(one) for one in value]
        if isinstance(value, dict):
            return {
                key: turn(one) if key not in ("address", "tolerance", "channel", "ts") else one
                for key, one in value.items()
            }
        return value

    stated = next(key for key in ("expected", "decoded", "expected_deltas", "t3_5_us") if key in vector)
    return {**vector, stated: turn(vector[stated])}, changed


@pytest.mark.parametrize(
    "name", ["modbus_decode", "modbus_device_registers", "counter_deltas", "modbus_rtu_timing", "shelly_mqtt",
             "tasmota_mqtt", "zigbee2mqtt", "modbus_frames", "dlt645_2007_frames"],
)  # fmt: skip
def test_a_vector_with_one_number_changed_fails(name: str, tmp_path: Path) -> None:
    """So that a pass means something. Numbers the collector has no use for are told as not read."""
    need_shared("facts", "vectors", f"{name}.json")
    content = json.loads((VECTORS / f"{name}.json").read_text("utf-8"))
    changed = [spoiled(vector, 1000) for vector in content["vectors"]]
    path = write(tmp_path, *[vector for vector, was in changed if was], title=content["title"])
    wrong = [(ident, verdict) for ident, verdict in check_file(path) if verdict.outcome != "fail"]
    assert not wrong


def test_a_total_that_does_not_stand_in_the_telegram_fails(tmp_path: Path) -> None:
    """The gateway's fields are read by its page, and the telegram itself as the standard says: both must agree."""
    need_shared("facts", "vectors", "wmbus_telegrams.json")
    content = json.loads((VECTORS / "wmbus_telegrams.json").read_text("utf-8"))
    plain = [one for one in content["vectors"] if one["driver"] in ("iperl", "waterstarm", "aquastream", "omnipower")]
    for vector in plain:
        total = next(key for key in vector["expected"] if key.startswith("total_"))
        vector["expected"][total] += 1
    told = check_file(write(tmp_path, *plain))
    assert [verdict.outcome for _, verdict in told] == ["fail"] * 4


@pytest.mark.parametrize(
    "field", ["id", "records.1.value", "records.1.unit", "records.1.storage", "records.1.quantity"]
)
def test_a_wired_frame_with_one_word_changed_fails(field: str, tmp_path: Path) -> None:
    need_shared("facts", "vectors", "mbus_wired_frames.json")
    content = json.loads((VECTORS / "mbus_wired_frames.json").read_text("utf-8"))
    for vector in content["vectors"]:
        place = vector["expected"]
        *path, last = field.split(".")
        for step in path:
            place = place[int(step) if step.isdigit() else step]
        place[last] = f"{place[last]}9" if isinstance(place[last], str) else 2 * place[last] + 1
    assert {verdict.outcome for _, verdict in check_file(write(tmp_path, *content["vectors"]))} == {"fail"}


def test_a_device_without_a_page_is_no_profile_and_counts_as_unsupported(tmp_path: Path) -> None:
    vector = {
        "id": "x", "device": "Nobody Q1", "request": {"function": 3, "address": 0, "count": 1}, "registers": ["0001"],
        "expected": [{"address": 0, "quantity": "voltage", "value": 1, "unit": "V"}],
    }  # fmt: skip
    code, output = run("--vectors", str(write(tmp_path, vector)))
    assert "no profile   x" in output
    assert output.splitlines()[-1] == "0 passed, 0 failed, 1 unsupported"
    assert code == 0


def test_a_users_own_page_serves_vectors_too(tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "mine.yaml").write_text(
        "title: Nobody Q1\nsource: s\nprotocol: modbus\nregisters:\n  - {quantity: voltage, address: 0}\n", "utf-8"
    )
    vector = {
        "id": "x", "device": "Nobody Q1", "request": {"function": 3, "address": 0, "count": 1}, "registers": ["00E6"],
        "expected": [{"address": 0, "quantity": "voltage", "value": 230, "unit": "V", "tolerance": 0}],
    }  # fmt: skip
    site = tmp_path / "devices.yaml"
    _, output = run("--vectors", str(write(tmp_path, vector)), "--site", str(site))
    assert output.splitlines()[-1] == "1 passed, 0 failed, 0 unsupported"


def test_a_broken_vector_fails_alone(tmp_path: Path) -> None:
    good = {"id": "good", "datatype": "u16", "order": "ABCD", "registers": ["0001"], "expected": 1}
    path = write(tmp_path, {**good, "id": "bad", "registers": ["zz"]}, good, {"id": "strange", "colour": "red"})
    told = dict(check_file(path))
    assert [told[name].outcome for name in ("bad", "good", "strange")] == ["fail", "pass", "unsupported"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [("{", "is not JSON"), ('{"a": 1}', "has no list 'vectors'"), ('{"vectors": [1]}', "has no list 'vectors'")],
)
def test_a_file_that_is_none_is_told_in_a_sentence(tmp_path: Path, content: str, sentence: str) -> None:
    path = tmp_path / "v.json"
    path.write_text(content, encoding="utf-8")
    code, output = run("--vectors", str(path))
    assert code == 1
    assert sentence in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("device", "page"),
    [
        ("Schneider iEM3255", "schneider_iem3000"),
        ("Schneider PM5110", "schneider_pm5000"),
        ("Carlo Gavazzi EM24 Ethernet", "carlo_gavazzi_em340"),
        ("Carlo Gavazzi EM24 RS-485", "carlo_gavazzi_em24"),
        ("Siemens 7KT PAC1600", "siemens_pac1600"),
        ("SunSpec model 213", "sunspec_meter_float"),
        ("WB-MSW v4", "wb_msw"),
        ("Eastron SDM72D-M v2", "eastron_sdm630"),
        ("Intesis ME-AC-MBS-1", "intesis_inmbs"),
    ],
)
def test_a_device_name_leads_to_the_page_of_its_family(device: str, page: str) -> None:
    assert [name for name, _ in pages_for(device)] == [page]


def test_a_recording_is_shown_and_compared(tmp_path: Path) -> None:
    path = ROOT / "tests" / "recordings" / "eastron_sdm120" / "voltage.yaml"
    code, output = run("eastron_sdm120", str(path))
    assert code == 0
    assert "All values are as the file expects." in output
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(path.read_text("utf-8").replace("230.2}", "231}"), encoding="utf-8")
    code, output = run("eastron_sdm120", str(wrong))
    assert code == 1
    assert "expected 231" in output


def test_words_and_messages_are_read_from_plain_lines(tmp_path: Path) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_text("# from a bus monitor\n4 0x0000: 4366 3334\n", encoding="utf-8")
    code, output = run("eastron_sdm120", str(lines), "--json")
    assert json.loads(output)["values"]["voltage"] == pytest.approx(230.2, abs=0.001)
    lines.write_text('tele/p1/SENSOR {"ENERGY":{"Power":12}}\n', encoding="utf-8")
    code, output = run("tasmota_plug", str(lines), "--json")
    assert (code, json.loads(output)["values"]) == (0, {"active_power": 12})


def test_a_wrong_word_order_is_told_as_such(tmp_path: Path) -> None:
    """230 V with its words changed round is 2.4e-41 V."""
    lines = tmp_path / "lines.txt"
    lines.write_text("4 0: 0000 4366\n", encoding="utf-8")
    _, output = run("eastron_sdm120", str(lines))
    assert "wrong word order" in output


@pytest.mark.parametrize(
    "arguments", [["eastron_sdm120"], [], ["--vectors", "x", "eastron_sdm120"], ["nobody", "pyproject.toml"]]
)
def test_wrong_use_is_a_sentence_and_status_2(arguments: list[str]) -> None:
    code, output = run(*arguments)
    assert code == 2
    assert "Traceback" not in output


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00", b"hello", b"4 0: 43", b"4 0: 4", b"blocks: 3\n", b"messages: [1]\n"]
)
def test_a_file_that_is_no_recording_is_told_in_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    code, output = run("eastron_sdm120", str(path))
    assert code in (0, 1)
    assert "Traceback" not in output


FRAME = "68 1B 1B 68 08 01 72 07 20 18 00 E6 1E 35 07 4C 00 00 00 0C 78 07 20 18 00 0C 16 69 02 00 00 96 16"
"""A water meter of GWF: 269 m3 (libmbus' own test frame)."""


def test_an_mbus_frame_is_told_in_words(tmp_path: Path) -> None:
    lines = tmp_path / "frame.txt"
    lines.write_text(f"# from the line\n{FRAME}\n", encoding="utf-8")
    code, output = run("mbus", str(lines))
    assert code == 0
    assert "GWF 00182007  Water" in output
    assert "269" in next(line for line in output.splitlines() if "Volume" in line)
    told = json.loads(run("mbus", str(lines), "--json")[1])
    assert [(one["quantity"], one["value"], one["unit"]) for one in told["records"]][1] == ("Volume", 269.0, "m^3")


@pytest.mark.parametrize(("content", "told"), [("68 00", "too few"), ("nothing", "no row of bytes"), ("", "")])
def test_what_is_no_mbus_frame_is_told_in_a_sentence(tmp_path: Path, content: str, told: str) -> None:
    lines = tmp_path / "frame.txt"
    lines.write_text(content, encoding="utf-8")
    code, output = run("mbus", str(lines))
    assert told in output
    assert code == (1 if told else 0)
    assert "Traceback" not in output
