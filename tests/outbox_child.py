"""A sending path that is killed: tells alerts, sends them to a sink, and never stops by itself.

``python -m tests.outbox_child FOLDER URL``: for each number on standard input a process is forked that tells alerts
from that number on; it prints its pid, and each alert's number once ``tell`` has returned. When it has been killed,
``gone`` and how it ended is printed. Forked, so that fifty of them need not import everything fifty times.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from building.clock import SystemClock
from collector.storing.keeper import Keeper
from rules.channels import WebhookChannel
from tests.notify_parts import SITE, an_alert, notifier_of, over, site_of


def say(line: str) -> None:
    """In one piece: whoever is killed in the middle of saying it has not begun."""
    os.write(1, f"{line}\n".encode())


async def work(folder: Path, url: str, first: int) -> None:
    """Tell without end, now and then an end."""
    clock = SystemClock()
    with Keeper(folder / "memory.db") as keeper:
        channels = {"hook": WebhookChannel(url, timeout_s=2)}
        async with notifier_of(channels, keeper, site=site_of(SITE), clock=clock) as notifier:
            number = first
            while True:
                alert = an_alert(f"a{number}", at=clock.now(), device=f"lamp-{number}")
                await notifier.tell([alert])
                say(f"{number} firing")
                if number % 3 == 0:
                    await notifier.tell([over(alert, clock.now())])
                    say(f"{number} resolved")
                number += 1
                while notifier.waiting > 10:  # a sender that is not faster than its channel
                    await asyncio.sleep(0.002)


async def finish(folder: Path, url: str) -> None:
    """Deliver what is left."""
    with Keeper(folder / "memory.db") as keeper:
        channels = {"hook": WebhookChannel(url, timeout_s=2)}
        async with notifier_of(channels, keeper, site=site_of(SITE), clock=SystemClock()) as notifier:
            assert await notifier.drained(60)


def serve(folder: Path, url: str) -> None:
    """Fork for each number that comes."""
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            say(f"pid {os.getpid()}")
            asyncio.run(work(folder, url, int(line)))
        _, status = os.waitpid(pid, 0)
        say(f"gone {os.waitstatus_to_exitcode(status)}")


if __name__ == "__main__":
    serve(Path(sys.argv[1]), sys.argv[2])
