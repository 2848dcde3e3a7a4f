"""The Modbus TCP link against servers that behave and servers that do not."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest

from building.errors import BadFrame, LinkDown, MeterRefused, NoAnswer
from building.site import Device
from collector.decoding import decode_registers, decode_value
from collector.links.modbus_tcp import ModbusTcpLink
from collector.links.sockets import unwatch, watch
from collector.links.wires import connected
from collector.profiles import load_profile
from tests.parts import eventually, free_port, missing, need_shared, until
from tests.wire_parts import SDM120, MeterServer, frame, image

HERE = Path(__file__).parent
QUICK = 0.15  # seconds to wait for a silent meter
PATIENT = 2.0  # seconds to wait for one that answers, or says nonsense


@pytest.fixture
async def server() -> AsyncIterator[MeterServer]:
    async with MeterServer(
        {1: dict(SDM120), 2: image(3, 0, "0001 0002 0003"), 3: {(1, n): n % 3 == 0 for n in range(20)}}
    ) as one:
        yield one


@pytest.fixture
async def link(server: MeterServer) -> AsyncIterator[ModbusTcpLink]:
    one = ModbusTcpLink("127.0.0.1", server.port, timeout=PATIENT)
    yield one
    await one.close()


@pytest.fixture
async def hasty(server: MeterServer) -> AsyncIterator[ModbusTcpLink]:
    """For a meter that does not answer at first."""
    one = ModbusTcpLink("127.0.0.1", server.port, timeout=1.0)
    yield one
    await one.close()


async def test_registers_come_back_as_the_bytes_the_meter_sent(link: ModbusTcpLink) -> None:
    assert await link.read(1, 4, 0, 2) == struct.pack(">f", 230.5)
    assert await link.read(2, 3, 0, 3) == bytes.fromhex("000100020003")


async def test_bits_come_back_packed_with_the_lowest_first(link: ModbusTcpLink) -> None:
    bits = int.from_bytes(await link.read(3, 1, 0, 20), "little")
    assert [bits >> at & 1 for at in range(20)] == [int(at % 3 == 0) for at in range(20)]


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5, 6, 8, 10, 11])
async def test_an_exception_is_a_refusal_with_its_code(server: MeterServer, link: ModbusTcpLink, code: int) -> None:
    server.exceptions[1] = code
    with pytest.raises(MeterRefused) as refused:
        await link.read(1, 4, 0, 2)
    assert refused.value.code == code


async def test_silence_is_no_answer_and_keeps_the_connection(server: MeterServer, hasty: ModbusTcpLink) -> None:
    server.silent.add(1)
    for _ in range(4):
        with pytest.raises(NoAnswer):
            await hasty.read(1, 4, 0, 2)
    assert await hasty.read(2, 3, 1, 1) == b"\0\2"
    assert server.connections == 1


async def test_a_late_answer_is_dropped_and_not_taken_for_the_next_one(
    server: MeterServer, hasty: ModbusTcpLink
) -> None:
    late: list[bytes] = []

    def hold_back(request: bytes, answer: bytes) -> list[tuple[float, bytes]]:
        if not late:
            late.append(answer)
            return [(0.0, b"")]
        return [(0.0, late[0]), (0.02, answer)]

    server.misbehave = hold_back
    with pytest.raises(NoAnswer):
        await hasty.read(2, 3, 0, 1)
    assert await hasty.read(2, 3, 2, 1) == b"\0\3"


async def test_an_answer_cut_short_is_a_bad_frame_and_does_not_spoil_the_next(
    server: MeterServer, link: ModbusTcpLink
) -> None:
    server.misbehave = lambda request, answer: [(0.0, answer[:-2])]
    with pytest.raises(BadFrame):
        await link.read(1, 4, 0, 4)
    server.misbehave = lambda request, answer: None
    assert await link.read(1, 4, 0, 2) == struct.pack(">f", 230.5)


async def test_an_answer_from_another_unit_is_a_bad_frame(server: MeterServer, link: ModbusTcpLink) -> None:
    server.misbehave = lambda request, answer: [(0.0, answer[:6] + b"\x09" + answer[7:])]
    with pytest.raises(BadFrame):
        await link.read(1, 4, 0, 2)


@pytest.mark.parametrize(
    ("body", "what"),
    [("01 04 02 00 01", "fewer registers"), ("01 03 04 00 01 00 02", "another function"), ("01 04 FF 00", "no frame")],
)
async def test_an_answer_to_another_question_is_a_bad_frame(
    server: MeterServer, link: ModbusTcpLink, body: str, what: str
) -> None:
    server.misbehave = lambda request, answer: [(0.0, frame(request[:2], bytes.fromhex(body)))]
    with pytest.raises(BadFrame):
        await link.read(1, 4, 0, 2)
    server.misbehave = lambda request, answer: None
    assert await link.read(1, 4, 0, 2) == struct.pack(">f", 230.5)


async def test_an_answer_in_three_pieces_is_whole(server: MeterServer, link: ModbusTcpLink) -> None:
    server.misbehave = lambda request, answer: [(0.0, answer[:4]), (0.01, answer[4:9]), (0.01, answer[9:])]
    assert await link.read(1, 4, 0, 2) == struct.pack(">f", 230.5)


async def test_a_gateway_that_closed_an_idle_connection_costs_nothing(server: MeterServer, link: ModbusTcpLink) -> None:
    await link.read(1, 4, 0, 2)
    server.hang_up()
    assert await link.read(1, 4, 0, 2) == struct.pack(">f", 230.5)
    assert server.connections == 2


async def test_a_gateway_that_closes_at_every_request_is_a_dead_link_at_once(
    server: MeterServer,
) -> None:
    def slam(request: bytes, answer: bytes) -> list[tuple[float, bytes]]:
        server.hang_up()
        return [(0.0, b"")]

    server.misbehave = slam
    link = ModbusTcpLink("127.0.0.1", server.port, timeout=60)
    began = time.monotonic()
    with pytest.raises(LinkDown):
        await link.read(1, 4, 0, 2)
    assert time.monotonic() - began < 30
    await link.close()


async def test_nobody_listening_is_a_dead_link() -> None:
    link = ModbusTcpLink("127.0.0.1", free_port(), timeout=QUICK)
    with pytest.raises(LinkDown):
        await link.read(1, 4, 0, 2)


async def test_a_lost_first_packet_is_sent_again_however_hasty_the_meters_time_out() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.socket() as first:
        port = full.getsockname()[1]
        first.connect(("127.0.0.1", port))  # it fills the queue: the next one's first packet is not heard
        opening = asyncio.create_task(connected("127.0.0.1", port, QUICK))
        await asyncio.wait([opening], timeout=2 * QUICK)
        assert not opening.done()
        full.accept()[0].close()
        with await opening as sock:
            assert sock.getpeername() == ("127.0.0.1", port)


async def test_requests_of_many_go_one_at_a_time(server: MeterServer, link: ModbusTcpLink) -> None:
    answers = await asyncio.gather(*(link.read(2, 3, at % 3, 1) for at in range(30)))
    assert answers == [bytes([0, at % 3 + 1]) for at in range(30)]
    assert server.connections == 1


async def test_one_that_is_cancelled_while_it_waits_does_not_hold_up_the_others(
    server: MeterServer, link: ModbusTcpLink
) -> None:
    server.misbehave = lambda request, answer: [(0.02, answer)]
    asking = [asyncio.create_task(link.read(2, 3, at, 1)) for at in (0, 1, 2, 0)]
    await asyncio.sleep(0)
    asking[1].cancel()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert [answers[0], *answers[2:]] == [b"\0\1", b"\0\3", b"\0\1"]
    assert isinstance(answers[1], asyncio.CancelledError)
    asking = [asyncio.create_task(link.read(2, 3, at, 1)) for at in (0, 1)]
    await eventually(lambda: len(server.requests) == 4, "the question")
    asking[0].cancel()
    assert await asking[1] == b"\0\2"
    assert await link.read(2, 3, 2, 1) == b"\0\3"


async def test_with_four_in_flight_four_questions_are_open_at_once_and_matched_in_any_order() -> None:
    under_way: list[int] = []
    waiting: list[asyncio.StreamWriter] = []
    asked = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers only when four are open, in the wrong order."""
        nonlocal asked
        heads: list[bytes] = []
        while asked < 12:
            heads.append((await reader.readexactly(12))[:2])
            asked += 1
            under_way.append(len(heads))
            if len(heads) == 4:
                for head in reversed(heads):
                    writer.write(frame(head, b"\1\3\2" + head))
                heads.clear()
        waiting.append(writer)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as other:
        link = ModbusTcpLink("127.0.0.1", other.sockets[0].getsockname()[1], timeout=30, in_flight=4)
        answers = await asyncio.gather(*(link.read(1, 3, 0, 1) for _ in range(12)))
        await link.close()
    assert [int.from_bytes(answer, "big") for answer in answers] == list(range(1, 13))
    assert max(under_way) == 4
    for writer in waiting:
        writer.close()


def _tcp_answers() -> list[dict[str, object]]:
    path = HERE.parents[1] / "shared" / "facts" / "vectors" / "modbus_frames.json"
    if not path.exists():
        return []
    vectors = json.loads(path.read_text("utf-8"))["vectors"]
    return [one for one in vectors if one["transport"] == "tcp" and one["role"] in ("response", "exception", "invalid")]


@pytest.mark.parametrize("vector", _tcp_answers(), ids=lambda one: str(one["id"]))
async def test_published_frames_are_read_as_they_say(vector: dict[str, object], server: MeterServer) -> None:
    """Each frame is sent as the answer; what it decodes to must come out, or an error that fits."""
    decoded = vector["decoded"]
    raw = bytes.fromhex(str(vector["bytes_hex"]))
    link = ModbusTcpLink("127.0.0.1", server.port, timeout=PATIENT)
    assert decoded is None or isinstance(decoded, dict)
    unit = decoded["unit"] if decoded else 1
    function = decoded["function"] if decoded else 3
    registers = decoded.get("registers", [0]) if decoded else [0]
    server.units[unit] = {(function, at): 0 for at in range(len(registers))}
    # The stale frame keeps its number; others answer what was asked.
    stale = vector["id"] == "tcp-stale"
    server.misbehave = lambda request, answer: [(0.0, raw if stale else request[:2] + raw[2:])]
    if stale or decoded is None:
        with pytest.raises((BadFrame, NoAnswer)):
            await link.read(unit, function, 0, len(registers))
    elif "exception" in decoded:
        with pytest.raises(MeterRefused) as refused:
            await link.read(unit, function, 0, 1)
        assert refused.value.code == decoded["exception"]
    else:
        assert await link.read(unit, function, 0, len(registers)) == struct.pack(f">{len(registers)}H", *registers)
    await link.close()


# -- an independent peer ----------------------------------------------------------------------------------------------


@pytest.fixture
def libmodbus(tmp_path: Path) -> Iterator[int]:
    """The port of a server written in C with libmodbus (tests/peers)."""
    compiler = shutil.which("gcc") or missing("gcc is missing; as root: apt-get install gcc libmodbus-dev")
    program = tmp_path / "server"
    source = HERE / "peers" / "libmodbus_server.c"
    built = subprocess.run([compiler, "-o", program, source, "-lmodbus"], capture_output=True, text=True, check=False)
    if built.returncode:
        missing("libmodbus is missing; as root: apt-get install libmodbus-dev")
    process = subprocess.Popen([program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    port = int(until(process.stdout.readline, "the port of the libmodbus server"))
    yield port
    process.kill()
    process.wait()
    process.stdout.close()


async def test_floats_of_a_libmodbus_server_are_read_in_all_four_orders(libmodbus: int) -> None:
    link = ModbusTcpLink("127.0.0.1", libmodbus, timeout=10)
    for at, order in enumerate(("ABCD", "BADC", "CDAB", "DCBA")):
        data = await link.read(1, 3, 2 * at, 2)
        assert decode_value("f32", order, data) == 230.5
    with pytest.raises(MeterRefused) as refused:
        await link.read(1, 3, 60, 10)
    assert refused.value.code == 2
    await link.close()


async def test_a_byte_swapped_meter_is_read_with_the_order_of_its_device(libmodbus: int) -> None:
    """libmodbus' own set_float_abcd puts 230.5 on the wire as BADC: registers 2 and 3, and the input registers."""
    link = ModbusTcpLink("127.0.0.1", libmodbus, timeout=10)
    data = await link.read(1, 4, 0, 32)
    await link.close()
    device = Device(id="m", kind="electricity", profile="eastron_sdm120", order="BADC")
    values, flaws = decode_registers(load_profile("eastron_sdm120"), device, 4, 0, data)
    assert values["voltage"] == 230.5
    assert values["active_power"] == 1187.25
    assert not flaws


def test_the_vectors_are_there() -> None:
    need_shared("facts", "vectors", "modbus_frames.json")
    assert len(_tcp_answers()) > 5


async def test_a_socket_closed_by_the_one_heard_before_it_is_left_alone() -> None:
    """Both have bytes in the same look; the first closes the second, whose number may be anybody's by then."""
    loop = asyncio.get_running_loop()
    pairs = [socket.socketpair() for _ in range(2)]
    heard: list[int] = []

    def close_other(number: int) -> None:
        heard.append(number)
        other = pairs[1 - number][0]
        unwatch(loop, other.fileno())
        other.close()

    for number, (here, there) in enumerate(pairs):
        watch(loop, here.fileno(), partial(close_other, number))
        there.send(b"x")
    await eventually(lambda: heard, "one of the two to be heard")
    assert len(set(heard)) == 1
    unwatch(loop, pairs[heard[0]][0].fileno())
    for pair in pairs:
        for one in pair:
            one.close()
