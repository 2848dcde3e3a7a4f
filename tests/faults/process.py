"""The real program as a process, on a site whose devices a simulated building plays."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

TOP = Path(__file__).resolve().parents[2]
PATIENCE = 90.0  # seconds; on a busy machine a process takes long to start


def write_site(
    path: Path, content: Mapping[str, Any], endpoints: Mapping[str, str], every: str | None = None
) -> dict[str, Any]:
    """``content`` as devices.yaml at ``path``, its links pointed at ``endpoints``; what was written."""
    site = {**content, "links": [dict(link) for link in content["links"]]}
    for link in site["links"]:
        protocol = "modbus" if "modbus" in link else "mqtt"
        link[protocol] = endpoints[link["id"]]
    if every is not None:
        site["devices"] = [{**device, "every": every} for device in content["devices"]]
    path.write_text(yaml.safe_dump(site, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return site


class Running:
    """``greenwarden run`` on one site file; use as an async context manager, which kills what is left."""

    def __init__(self, site: Path, environment: Mapping[str, str] | None = None) -> None:
        self._site = site
        self._environment = {**os.environ, **(environment or {}), "PYTHONPATH": str(TOP), "PYTHONUNBUFFERED": "1"}
        self.lines: list[str] = []

    async def __aenter__(self) -> Running:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.kill()
        await self.ended()

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "greenwarden", "run", str(self._site), env=self._environment, cwd=self._site.parent,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(line.decode())

    async def said(self, words: str, times: int = 1) -> None:
        """Wait until the program has said ``words`` so often."""
        async with asyncio.timeout(PATIENCE):
            while sum(words in line for line in self.lines) < times:
                assert self.process.returncode is None or self._reading.done() is False, self.output
                await asyncio.sleep(0.02)

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()

    async def ended(self) -> int:
        """Wait for the end; the exit status."""
        async with asyncio.timeout(PATIENCE):
            status = await self.process.wait()
            await self._reading
        return status
