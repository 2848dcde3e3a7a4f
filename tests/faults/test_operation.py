"""Clean operation: the real program as a process, told to stop, to read its file again, and watched by systemd."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from building.clock import SystemClock
from building.site import Site
from collector.storing.embedded import DATABASE
from collector.storing.stored import StoredReadings
from simulators.service import Simulation
from tests.faults.process import PATIENCE, Running, write_site

CONTENT: Mapping[str, Any] = {
    "version": 1,
    "site": {"name": "Town hall", "timezone": "Asia/Shanghai", "language": "en"},
    "links": [{"id": "gateway", "modbus": "tcp://127.0.0.1:502"}],
    "devices": [
        {"id": "main", "kind": "electricity", "circuit": "main", "profile": "eastron_sdm630", "link": "gateway",
         "unit": 1, "every": "200ms"},
    ],
}  # fmt: skip


@pytest.fixture
async def site_file(tmp_path: Path) -> AsyncIterator[Path]:
    """devices.yaml of a site with one meter, which answers."""
    site = Site.model_validate({**CONTENT, "links": tuple(CONTENT["links"]), "devices": tuple(CONTENT["devices"])})
    async with Simulation(site, SystemClock()) as served:
        write_site(tmp_path / "devices.yaml", CONTENT, served.endpoints)
        yield tmp_path / "devices.yaml"


def stored(site_file: Path) -> int:
    path = site_file.parent / "data" / DATABASE
    if not path.exists():
        return 0
    with StoredReadings(path) as readings:
        return readings.count("main")


async def some_readings(site_file: Path, more_than: int = 3) -> int:
    async with asyncio.timeout(PATIENCE):
        while (count := await asyncio.to_thread(stored, site_file)) <= more_than:
            await asyncio.sleep(0.05)
    return count


async def test_sigterm_ends_the_program_within_five_seconds_with_everything_on_disk(site_file: Path) -> None:
    async with Running(site_file) as program:
        await program.said("running; stop with")
        before = await some_readings(site_file)
        began = time.monotonic()
        program.send(signal.SIGTERM)
        assert await program.ended() == 0, program.output
        assert time.monotonic() - began < 5
    assert stored(site_file) >= before
    assert "everything is on disk" in program.output
    assert "Traceback" not in program.output


async def test_a_wrong_file_on_sighup_is_told_and_the_program_goes_on_as_it_was(site_file: Path) -> None:
    async with Running(site_file) as program:
        await program.said("running; stop with")
        site_file.write_text(site_file.read_text().replace("unit: 1", "unit: 1\n  colour: red"))
        program.send(signal.SIGHUP)
        await program.said("unknown key 'colour'")
        await some_readings(site_file, stored(site_file) + 3)
        assert sum("running; stop with" in line for line in program.lines) == 1


async def test_a_right_file_on_sighup_takes_over_and_no_poll_is_forgotten(site_file: Path) -> None:
    async with Running(site_file) as program:
        await program.said("running; stop with")
        before = await some_readings(site_file)
        site_file.write_text(site_file.read_text().replace("Town hall", "City hall"))
        program.send(signal.SIGHUP)
        await program.said("City hall: 1 devices, running")
        assert await some_readings(site_file, before + 3) >= before + 3


async def test_a_changed_file_is_read_without_being_told_to(site_file: Path) -> None:
    async with Running(site_file) as program:
        await program.said("running; stop with")
        site_file.write_text(site_file.read_text().replace("Town hall", "City hall"))
        await program.said("City hall: 1 devices, running")
        started = [line.split(":")[0] for line in program.lines if "devices, running" in line]
        assert started == ["Town hall", "City hall"]
        assert program.process.returncode is None
        count = await asyncio.to_thread(stored, site_file)
        assert await some_readings(site_file, count) > count


async def test_a_second_program_on_the_same_data_is_refused_in_one_sentence(site_file: Path) -> None:
    async with Running(site_file) as first:
        await first.said("running; stop with")
        async with Running(site_file) as second:
            assert await second.ended() == 2
            assert second.output.count("\n") == 1
            assert f"(process {first.process.pid})" in second.output


async def test_systemd_is_told_when_we_are_ready_alive_reloading_and_stopping(site_file: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        told: list[str] = []
        listening = asyncio.create_task(_listen(manager, told))
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}
        async with Running(site_file, environment) as program:
            await program.said("running; stop with")
            await some_readings(site_file)
            program.send(signal.SIGHUP)
            await program.said("running; stop with", times=2)
            program.send(signal.SIGTERM)
            assert await program.ended() == 0
        async with asyncio.timeout(PATIENCE):
            while "STOPPING=1" not in told:
                await asyncio.sleep(0.02)
        listening.cancel()
    assert told.count("WATCHDOG=1") >= 5
    assert [word for word in told if word != "WATCHDOG=1"] == ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]


async def _listen(manager: socket.socket, told: list[str]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        told.append((await loop.sock_recv(manager, 4096)).decode().splitlines()[0])


async def test_a_missing_secret_stops_the_start_and_names_the_variable(site_file: Path) -> None:
    with site_file.open("a") as file:
        file.write(
            "channels: {hook: {type: webhook, url: 'http://127.0.0.1:9/', secret: '${GREENWARDEN_TEST_HOOK}'}}\n"
        )
    assert "GREENWARDEN_TEST_HOOK" not in os.environ
    async with Running(site_file) as program:
        assert await program.ended() == 2
    assert "set the environment variable GREENWARDEN_TEST_HOOK" in program.output


async def test_a_chinese_site_is_greeted_in_chinese(site_file: Path) -> None:
    site_file.write_text(site_file.read_text().replace("language: en", "language: zh"))
    async with Running(site_file) as program:
        await program.said("Town hall：1 台设备，正在运行；按 Ctrl-C 停止")
        assert any("正在运行" in line for line in program.lines)
