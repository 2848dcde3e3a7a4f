"""``greenwarden run``: the program on a real site, until SIGTERM or Ctrl-C.

The site file is read again on SIGHUP and when it changes. A new one that is right takes over by closing the program
and opening it anew on the same data, which keeps every running duration; one that is wrong is told, and the old one
stays in force.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import signal
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from building.clock import SystemClock
from building.errors import ConfigError, GreenwardenError
from building.site import Site
from building.waiting import first_of
from greenwarden import terminal
from greenwarden.door import data_folder, open_site, profiles_folder
from greenwarden.heap import share_one_heap
from greenwarden.owning import owned
from greenwarden.program import Program
from greenwarden.replaying import with_rules
from greenwarden.systemd import ServiceManager
from rules.channels import Channel, open_channels

log = logging.getLogger(__name__)

_LOOK_AT_FILE_S: Final = 5.0
_END_WITHIN_S: Final = 4.8  # everything that was acknowledged is on disk long before

Checked = tuple[Site, Mapping[str, Channel], Site | None]


async def run_site(path: Path, shadow: Path | None = None) -> None:
    """Run the site, with the rules of ``shadow`` silently beside its own.

    Raises ConfigError before anything is opened when a file or a secret is wrong.
    """
    share_one_heap()
    checked = _checked(path, shadow)
    folder = data_folder(path, checked[0])
    with owned(folder):
        await _Runner(path, folder, shadow).run(checked)
    terminal.say("stopped; everything is on disk")


def _checked(path: Path, shadow: Path | None) -> Checked:
    """The site file, its channels and the rules on trial, or ConfigError; nothing is opened yet."""
    site = open_site(path)
    return site, open_channels(site), None if shadow is None else with_rules(path, site, shadow)


class _Runner:
    def __init__(self, path: Path, folder: Path, shadow: Path | None) -> None:
        self._path = path
        self._shadow = shadow
        self._folder = folder
        self._manager = ServiceManager()
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._seen = _digest(path)

    async def run(self, checked: Checked) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        helpers = [asyncio.create_task(work) for work in (self._stay_alive(), self._look_at_file())]
        try:
            while not self._stop.is_set():
                checked = await self._until_changed(*checked)
        finally:
            for task in helpers:
                task.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)

    def _end(self) -> None:
        """Somebody wants us to stop; perhaps while another configuration is being taken in."""
        if not self._stop.is_set():
            self._stop.set()
            self._manager.stopping()
            _end_hard_after(_END_WITHIN_S)

    async def _until_changed(self, site: Site, channels: Mapping[str, Channel], shadow: Site | None) -> Checked:
        """Run one configuration until told to stop or until another one is there; that one is returned."""
        profiles = profiles_folder(self._path)
        program = Program(site, SystemClock(), self._folder, channels, profiles_folder=profiles, shadow=shadow)
        async with program:
            status = f"{site.site.name}: {len(site.devices)} devices"
            if not self._stop.is_set():
                self._manager.ready(status)
            terminal.say(
                f"{site.site.name}：{len(site.devices)} 台设备，正在运行；按 Ctrl-C 停止"
                if site.site.language == "zh"
                else f"{status}, running; stop with Ctrl-C"
            )
            following = await self._next(program)
        if program.failed.is_set():
            raise GreenwardenError("a part of the program has failed; see the log above, and start it again")
        return following or (site, channels, shadow)

    async def _next(self, program: Program) -> Checked | None:
        while True:
            await first_of(self._stop.wait(), self._reload.wait(), program.failed.wait())
            if self._stop.is_set() or program.failed.is_set():
                return None
            self._reload.clear()
            following = self._reread()
            if following is not None:
                self._manager.reloading()
                return following

    def _reread(self) -> Checked | None:
        """The new configuration; None, and said, when it is wrong."""
        self._seen = _digest(self._path)
        try:
            following = _checked(self._path, self._shadow)
            if data_folder(self._path, following[0]) != self._folder:
                raise ConfigError(
                    f"{self._path.name}: the data folder has changed; stop and start the program for that"
                )
        except ConfigError as error:
            for problem in error.problems:
                terminal.complain(problem)
            log.error("%s is wrong; the program goes on with the configuration it has", self._path.name)
            return None
        log.warning("%s has been read again", self._path.name)
        return following

    async def _stay_alive(self) -> None:
        pause = self._manager.watchdog_s
        while pause is not None:
            self._manager.alive()
            await asyncio.sleep(pause)

    async def _look_at_file(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_AT_FILE_S)
            now = await asyncio.to_thread(_digest, self._path)
            if now and now != self._seen:
                self._reload.set()


def _digest(path: Path) -> bytes:
    """Tells one content of the file from another; empty while it cannot be read (an editor is writing it)."""
    with suppress(OSError):
        return hashlib.sha256(path.read_bytes()).digest()
    return b""


def _end_hard_after(seconds: float) -> None:
    """A database that hangs must not hold us: what was acknowledged is on disk, the rest is asked again."""

    def end() -> None:
        log.error("closing took longer than %g s; ending without the rest, which goes on at the next start", seconds)
        os._exit(0)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
