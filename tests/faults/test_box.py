"""What a small box does to a program: its disk is full, its clock jumps."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.process import Running
from tests.faults.test_kill import NONE, SITE, Publisher, settled, subscribed, tally, totals
from tests.parts import Mosquitto, eventually, missing

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder ``data`` on a disk of 6 MB."""
    folder = tmp_path / "data"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("a small disk cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def test_a_full_disk_stops_nothing_and_what_the_broker_kept_is_stored_when_there_is_room(
    mosquitto: Mosquitto, small_disk: Path, tmp_path: Path
) -> None:
    site = tmp_path / "devices.yaml"
    site.write_text(SITE.format(url=mosquitto.url, username=mosquitto.username))
    async with Running(site, {"GREENWARDEN_TEST_PASSWORD": mosquitto.password}) as program:
        await program.said("running; stop with")
        await subscribed(mosquitto)
        publisher = Publisher(mosquitto)
        await eventually(lambda: len(publisher.sent) > 20, "messages under way")
        ballast = small_disk / "ballast"
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        await program.said("disk has room")
        await asyncio.sleep(3)  # it goes on with a full disk
        assert program.process.returncode is None, program.output
        ballast.unlink()
        since = len(publisher.sent)
        await eventually(lambda: len(publisher.sent) > since + 20, "messages that find room")
        sent = set(await asyncio.to_thread(publisher.stop))
        found = await settled(tmp_path, sent, totals)
    assert tally("disk full for 3 s", sent, found) == NONE, program.output
    assert len(sent) > 40


async def test_a_clock_that_jumps_an_hour_and_back_stops_nothing_and_loses_nothing(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    if not FAKETIME.exists():
        missing("faketime is missing; as root: apt-get install faketime")
    site, offset = tmp_path / "devices.yaml", tmp_path / "offset"
    site.write_text(SITE.format(url=mosquitto.url, username=mosquitto.username))
    offset.write_text("+0")
    environment = {
        "GREENWARDEN_TEST_PASSWORD": mosquitto.password,
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_NO_CACHE": "1",
    }
    async with Running(site, environment) as program:
        await program.said("running; stop with")
        await subscribed(mosquitto)
        publisher = Publisher(mosquitto)
        for step in ("+3600", "+0", "-3600", "+0"):
            await asyncio.sleep(1)
            offset.write_text(step)
        await asyncio.sleep(1)
        sent = set(await asyncio.to_thread(publisher.stop))
        found = await settled(tmp_path, sent, totals)
        assert program.process.returncode is None, program.output
        assert "Traceback" not in program.output
    assert tally("clock stepped 4 times", sent, found) == NONE, program.output
    assert len(sent) > 100
