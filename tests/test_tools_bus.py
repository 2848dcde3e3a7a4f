"""scan, doctor, read and record on real loopback sockets: what a person with a laptop is told."""

from __future__ import annotations

import asyncio
import json
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from building.clock import SystemClock
from building.endpoints import parse_endpoint
from building.readings import with_flaws
from building.site import Device
from collector.asking import Answer
from collector.decoding import decode_blocks
from collector.examining import doubt_about, examine
from collector.fitting import fits
from collector.links.opening import modbus_link
from collector.planning import Block, every_point
from collector.profiles import load_profile, profile_names
from collector.service import Collector
from collector.stream import Stream
from collector.suspecting import plausibility, suspicion
from greenwarden.cli import app
from greenwarden.recording import masked
from tests.item_parts import ItemServer, dlt645_meters
from tests.wire_parts import SDM120, Image, MeterServer, floats, image, meters

NUMBER = "202301154477"
DLT = {"02010100": "0123", "00010000": "42061200"}

INTESIS = image(3, 0, "0001 0004 0002 0000 00FF 0116 0001 0000 0000 0010 0000 0000")
SDM630 = floats(
    4,
    {0: 230.5, 2: 231.25, 4: 229.75, 6: 1.5, 8: 2.25, 10: 0.5, 12: 345.0, 14: 520.5, 16: -112.0, 0x30: 4.25}
    | {0x34: 753.5, 0x38: 800.0, 0x3C: -60.0, 0x3E: 0.9375, 0x46: 50.0, 0x48: 1234.5, 0x4A: 0.25}
    | {30: 0.9, 32: 0.9, 34: -0.9},
    0x4F,
)  # fmt: skip


@contextmanager
def served(make: Callable[[], Any]) -> Iterator[Any]:
    """A server in a loop of its own, so that the command under test can have one too."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def wait(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(10)

    server = make()
    wait(server.__aenter__())
    try:
        yield server
    finally:
        wait(server.__aexit__(None, None, None))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def site_file(
    folder: Path, url: str, *devices: dict[str, Any], protocol: str = "modbus", language: str = "en", **link: Any
) -> Path:
    path = folder / "devices.yaml"
    common = {"kind": "electricity", "link": "line"}
    content = {
        "version": 1,
        "site": {"language": language},
        "links": [{"id": "line", protocol: url, "timeout": "1s", **link}],
        "devices": [{**common, **device} for device in devices],
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


# -- scan -------------------------------------------------------------------------------------------------------------


def test_scan_names_the_units_the_profiles_and_the_lines_to_write(tmp_path: Path) -> None:
    with served(lambda: MeterServer({3: SDM120, 5: INTESIS})) as server:
        site = tmp_path / "devices.yaml"
        code, output = run("scan", server.url, "--units", "2-6", "--timeout", "1", "--site", str(site), "--json")
        found = {one["where"]: one for one in json.loads(output)["found"]}
        assert code == 0
        assert set(found) == {"unit 3", "unit 5"}
        assert found["unit 3"]["profile"] == "eastron_sdm120"
        assert found["unit 3"]["values"]["voltage"] == 230.5
        assert found["unit 5"]["profile"] == "intesis_inmbs"
        assert "profile: eastron_sdm120, link: link, unit: 3" in found["unit 3"]["line"]
        _, output = run("scan", server.url, "--units", "3", "--timeout", "1", "--site", str(site))
    assert "For devices.yaml" in output
    assert "eastron_sdm120" in output


def test_scan_takes_a_link_of_the_site_file(tmp_path: Path) -> None:
    with served(lambda: MeterServer({1: SDM630})) as server:
        site = site_file(tmp_path, server.url, {"id": "m", "profile": "eastron_sdm120", "unit": 1})
        _, output = run("scan", "line", "--units", "1", "--timeout", "1", "--site", str(site), "--json")
    assert json.loads(output)["found"][0]["profile"] == "eastron_sdm630"


def test_scan_of_nobody_says_what_to_look_at(tmp_path: Path) -> None:
    with served(lambda: MeterServer({})) as server:
        _, output = run("scan", server.url, "--units", "1-2", "--timeout", "0.05", "--site", str(tmp_path / "d.yaml"))
    assert "Nobody answers" in output


def test_scan_finds_meters_by_number(tmp_path: Path) -> None:
    with served(lambda: ItemServer(dlt645_meters((NUMBER, DLT)))) as server:
        site = tmp_path / "devices.yaml"
        _, output = run("scan", f"dlt645={server.url}", "--timeout", "1", "--site", str(site), "--json")
    (found,) = json.loads(output)["found"]
    assert found["where"] == f"number {NUMBER}"
    assert found["values"]["voltage"] == 230.1
    assert f'address: "{NUMBER}"' in found["line"]


@pytest.mark.parametrize(
    ("link", "sentence"),
    [
        ("nobody", "cannot"),
        ("http://x", "not accepted"),
        ("bacnet=tcp://x:1", "is no protocol"),
        ("tcp://127.0.0.1:502", "units"),
    ],
)
def test_wrong_use_of_scan_is_a_sentence(tmp_path: Path, link: str, sentence: str) -> None:
    code, output = run("scan", link, "--units", "x", "--site", str(tmp_path / "none.yaml"))
    assert code == 2
    assert "Traceback" not in output


@pytest.mark.parametrize("units", ["x", "1-99999999999", "300", "5-1", "", "1-2-3"])
def test_wrong_units_are_a_sentence_at_once(tmp_path: Path, units: str) -> None:
    code, output = run("scan", "tcp://127.0.0.1:1", "--units", units, "--site", str(tmp_path / "none.yaml"))
    assert code == 2
    assert f"--units '{units}'" in output


async def test_only_the_right_page_fits_each_meter() -> None:
    pages = {name: load_profile(name) for name in profile_names()}
    for held, name in ((SDM120, "eastron_sdm120"), (SDM630, "eastron_sdm630")):
        async with MeterServer({1: held}) as server:
            link = modbus_link(parse_endpoint("modbus", server.url), timeout=10.0)
            try:
                found = await fits(link, 1, pages, SystemClock())
            finally:
                await link.close()
        assert found[0].name == name, [(fit.name, fit.score) for fit in found]


async def test_a_meter_of_a_known_map_in_another_word_order_is_known() -> None:
    async with MeterServer({1: swapped(SDM120)}) as server:
        link = modbus_link(parse_endpoint("modbus", server.url), timeout=10.0)
        try:
            found = await fits(link, 1, {"eastron_sdm120": load_profile("eastron_sdm120")}, SystemClock())
        finally:
            await link.close()
    assert [(fit.name, fit.order, fit.answer.reading.values["voltage"]) for fit in found] == [
        ("eastron_sdm120", "CDAB", 230.5)
    ]


async def test_the_running_collector_tells_a_wrong_profile_once(caplog: pytest.LogCaptureFixture) -> None:
    async with MeterServer({1: swapped(SDM120)}) as server:
        stream = Stream()
        subscription = stream.subscribe("test")
        site = meters({"id": "m", "unit": 1}, every="100ms")
        async with Collector(site, SystemClock(), stream, endpoints={"line": server.url}), asyncio.timeout(30):
            batches = aiter(subscription)
            for _ in range(3):
                await anext(batches)
    assert sum("wrong word order" in record.getMessage() for record in caplog.records) == 1


# -- doctor -----------------------------------------------------------------------------------------------------------


def swapped(held: Image) -> Image:
    """The same floats with their words changed round."""
    turned = dict(held)
    for function, address in held:
        turned[function, address] = held.get((function, address ^ 1), 0)
    return turned


async def advice(server: MeterServer, rounds: int = 3, patience: float = 5.0, waits: int = 200) -> str:
    device = Device(id="m", kind="electricity", unit=1)
    link = modbus_link(parse_endpoint("modbus", server.url), timeout=patience)
    try:
        found = await examine(link, device, load_profile("eastron_sdm120"), SystemClock(), rounds=rounds, waits=waits)
    finally:
        await link.close()
    return "; ".join(found.advice)


async def test_doctor_has_nothing_to_say_of_a_good_meter() -> None:
    async with MeterServer({1: SDM120}) as server:
        assert await advice(server) == ""


async def test_doctor_sees_a_wrong_word_order_and_names_the_right_one() -> None:
    async with MeterServer({1: swapped(SDM120)}) as server:
        assert "order: CDAB" in await advice(server)


def said_by(name: str, blocks: list[tuple[int, int, str]], order: str | None = None) -> str:
    """The doubt about a device of page ``name`` that answers with these words."""
    page, device = load_profile(name), Device.model_validate({"id": "m", "kind": "electricity", "order": order})
    words = [(function, address, bytes.fromhex(text)) for function, address, text in blocks]
    decoded = decode_blocks(page, device, words)
    points = every_point(page, device)
    heard = []
    for function, address, data in words:
        end = address + len(data) // 2
        inside = tuple(p for p in points if p.function == function and address <= p.address and p.end <= end)
        heard.append((Block(function, address, len(data) // 2, inside), data))
    return doubt_about(device, page, Answer(with_flaws("m", 0, decoded.values, decoded.flaws), tuple(heard)))


def test_numbers_changed_round_are_seen_though_each_could_be_true() -> None:
    """Energies of a DTSD1352, u32 in hundredths: 123.45 and 6.78 kWh, low word first, are 8090.419 and 444.334 MWh."""
    told = said_by("acrel_dtsd1352", [(3, 0x0A, "3039 0000"), (3, 0x14, "02A6 0000")])
    assert "order: CDAB" in told


def test_negative_numbers_changed_round_are_seen() -> None:
    """Powers in 0.01 W of a B23: -5.00, -4.11 and -3.00 W with the low word first."""
    assert "order: CDAB" in said_by("abb_b23", [(3, 0x5B14, "FE0C FFFF FE65 FFFF FED4 FFFF")])


def test_one_number_that_looks_changed_round_proves_nothing() -> None:
    assert said_by("acrel_dtsd1352", [(3, 0x0A, "0001 0000")]) == ""


def test_numbers_as_they_should_be_raise_no_doubt() -> None:
    assert said_by("acrel_dtsd1352", [(3, 0x0A, "0000 3039"), (3, 0x14, "0001 0000")]) == ""
    assert said_by("carlo_gavazzi_em340", [(3, 0, "08FD 0000 0902 0000 08F8 0000")]) == ""


def test_a_single_voltage_or_frequency_is_enough() -> None:
    """230.1 V in tenths, u32, changed round is 15 MV; a frequency of 50 Hz as a float is nearly nothing."""
    assert "order: CDAB" in said_by("abb_b23", [(3, 0x5B00, "08FD 0000")])
    assert "order: CDAB" in said_by("eastron_sdm120", [(4, 0x46, "0000 4248")])


async def test_doctor_sees_a_silent_meter() -> None:
    async with MeterServer({2: SDM120}) as server:
        assert "never answers" in await advice(server, rounds=1, patience=0.05)


async def test_doctor_sees_answers_that_come_later_than_the_link_waits() -> None:
    async with MeterServer({1: SDM120}) as server:
        server.misbehave = lambda request, answer: [(0.06, answer)]
        told = await advice(server, rounds=1, patience=1.0, waits=20)
    assert "longer than the link waits: set timeout:" in told


async def test_doctor_sees_garbled_answers() -> None:
    async with MeterServer({1: SDM120}) as server:
        turn = iter(range(1000))

        def every_other(request: bytes, answer: bytes) -> Sequence[tuple[float, bytes]] | None:
            return [(0.0, answer[:6] + bytes([answer[6] ^ 0x55]) + answer[7:])] if next(turn) % 2 else None

        server.misbehave = every_other  # type: ignore[assignment]
        told = await advice(server, rounds=4, patience=1.0)
    assert "garbled" in told or "without answer" in told


def test_doctor_prints_a_row_per_device_and_fails_when_something_is_wrong(tmp_path: Path) -> None:
    with served(lambda: MeterServer({1: SDM120})) as server:
        one, two = ({"id": f"m{unit}", "profile": "eastron_sdm120", "unit": unit} for unit in (1, 2))
        path = site_file(tmp_path, server.url, one, two)
        code, output = run("doctor", "--site", str(path), "--rounds", "1")
        assert code == 1
        assert "never answers" in output
        code, output = run("doctor", "m1", "--site", str(path), "--json")
        assert code == 0, output
        assert json.loads(output)["devices"][0]["errors"] == {}


@pytest.mark.parametrize(
    ("language", "well"), [("en", "well; timeout: 200ms would do"), ("zh", "正常；该通信设 timeout: 200ms 即可")]
)
def test_advice_about_a_good_meter_is_no_fault(tmp_path: Path, language: str, well: str) -> None:
    with served(lambda: MeterServer({1: SDM120})) as server:
        meter = {"id": "m1", "profile": "eastron_sdm120", "unit": 1}
        path = site_file(tmp_path, server.url, meter, language=language, timeout="2s")
        code, output = run("doctor", "--site", str(path), "--rounds", "2")
        assert well in output.replace("\n", "")
        assert code == 0
        code, output = run("doctor", "--site", str(path), "--rounds", "2", "--json")
        (device,) = json.loads(output)["devices"]
        assert (code, device["well"], device["errors"]) == (0, True, {})
        assert device["advice"] == ["timeout: 200ms would do for the link (it is 2000 ms)"]


def test_a_chinese_site_is_spoken_to_in_chinese(tmp_path: Path) -> None:
    with served(lambda: MeterServer({1: swapped(SDM120), 2: SDM120})) as server:
        one, two, three = ({"id": f"m{unit}", "profile": "eastron_sdm120", "unit": unit} for unit in (1, 2, 3))
        path = site_file(tmp_path, server.url, one, two, three, language="zh")
        asked = ("--site", str(path))
        _, output = run("doctor", *asked, "--rounds", "1")
        assert "从不应答：是否通电" in output.replace("\n", "")
        assert "像是字序不对" in output
        assert "建议" in output
        assert "looks like a wrong word order" in run("doctor", *asked, "--rounds", "1", "--json")[1]
        assert "原始字" in run("read", "m2", *asked)[1]
        assert "已写入" in run("record", "m2", *asked)[1]
        output = run("scan", "line", "--units", "2", "--timeout", "1", *asked)[1]
        assert "单元 2" in output
        assert "写入 devices.yaml 的 devices: 之下" in output
        (written,) = (tmp_path / "recordings").rglob("*.yaml")
        assert "各值均与文件所写一致。" in run("decode", "eastron_sdm120", str(written), *asked)[1]


# -- read and record --------------------------------------------------------------------------------------------------


def test_read_shows_raw_words_beside_values(tmp_path: Path) -> None:
    with served(lambda: MeterServer({1: SDM120})) as server:
        path = site_file(tmp_path, server.url, {"id": "m", "profile": "eastron_sdm120", "unit": 1})
        _, output = run("read", "m", "--site", str(path))
    row = next(line for line in output.splitlines() if "voltage" in line)
    assert "230.5" in row
    assert "4366 8000" in row


def test_read_tells_that_a_profile_does_not_fit(tmp_path: Path) -> None:
    with served(lambda: MeterServer({1: swapped(SDM120)})) as server:
        path = site_file(tmp_path, server.url, {"id": "m", "profile": "eastron_sdm120", "unit": 1})
        _, output = run("read", "m", "--site", str(path))
    assert "wrong word order" in output.replace("\n", " ")


def test_a_recording_decodes_to_itself_and_its_serial_number_is_gone(tmp_path: Path) -> None:
    held = {(3, at): 0 for at in range(0x5000, 0x5008)} | {(3, at): 0 for at in range(0x5B00, 0x5B3E)}
    held |= image(3, 0x5B00, "0000 0901") | image(3, 0x5B2C, "138A") | image(3, 0x8900, "DEAD BEEF")
    with served(lambda: MeterServer({1: held})) as server:
        path = site_file(tmp_path, server.url, {"id": "m", "profile": "abb_b23", "unit": 1})
        code, output = run("record", "m", "--site", str(path))
    assert code == 0, output
    (written,) = (tmp_path / "recordings").rglob("*.yaml")
    text = written.read_text("utf-8")
    assert "DEAD" not in text
    assert yaml.safe_load(text)["expect"]["voltage_l1"] == 230.5
    code, output = run("decode", "abb_b23", str(written))
    assert code == 0, output


def test_names_and_numbers_in_payloads_are_masked() -> None:
    payload = b'{"Id":"030597946B04","Wifi":{"SSId":"office","RSSI":84},"Temperature":25.5,"id":0,"mac":"AABB"}'
    assert json.loads(masked(payload)) == {
        "Id": "masked", "Wifi": {"SSId": "masked", "RSSI": 84}, "Temperature": 25.5, "id": 0, "mac": "masked",
    }  # fmt: skip


# -- what gives a wrong set-up away -----------------------------------------------------------------------------------


def test_values_that_no_mains_have_are_suspected() -> None:
    assert suspicion({"voltage": 230.5, "frequency": 50.0, "current": 0.0}) == ""
    assert "word order" in suspicion({"voltage": struct.unpack(">f", bytes.fromhex("00004366"))[0]})
    assert "wrong profile" in suspicion({"voltage_l1": 2.3})
    assert suspicion({"voltage": 0.0}) == ""
    assert plausibility({"voltage": 230.0, "frequency": 50.0}) == 1.0
    assert plausibility({"voltage": 1e-41}) == 0.0
    assert plausibility({}) == 0.0
