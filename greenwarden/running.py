"""``greenwarden run``: the program on a real site, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from building.clock import SystemClock
from building.errors import GreenwardenError
from greenwarden import terminal
from greenwarden.door import data_folder, open_site, profiles_folder
from greenwarden.program import Program
from rules.channels import open_channels


async def run_site(path: Path) -> None:
    """Run the site; raises ConfigError before anything is opened when the file or a secret is wrong."""
    site = open_site(path)
    channels = open_channels(site)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    program = Program(site, SystemClock(), data_folder(path, site), channels, profiles_folder=profiles_folder(path))
    async with program:
        terminal.say(f"{site.site.name}: {len(site.devices)} devices, running; stop with Ctrl-C")
        waits = {asyncio.create_task(stop.wait()), asyncio.create_task(program.failed.wait())}
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in waits:
            task.cancel()
    if program.failed.is_set():
        raise GreenwardenError("a part of the program has failed; see the log above, and start it again")
    terminal.say("stopped; everything is on disk")
