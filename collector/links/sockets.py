"""Many sockets, one look: what asyncio's own loop spends on each that has something to say is a tenth of a request.

All sockets of a loop stand in one epoll of ours, which is itself one thing that the loop watches. Where the system has
no epoll, each is watched by the loop.
"""

from __future__ import annotations

import asyncio
import select
import sys
from collections.abc import Callable
from typing import Final
from weakref import WeakKeyDictionary

_AT_ONCE: Final = 256  # sockets heard before others of the loop have their turn


class _Watch:
    """The sockets of one loop that are watched together."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._epoll = select.epoll()
        self._heard: dict[int, Callable[[], None]] = {}
        loop.add_reader(self._epoll.fileno(), self._look)

    def add(self, number: int, heard: Callable[[], None]) -> None:
        self._heard[number] = heard
        self._epoll.register(number, select.EPOLLIN)

    def remove(self, loop: asyncio.AbstractEventLoop, number: int) -> bool:
        """True when it was the last; then nothing is watched any more."""
        if self._heard.pop(number, None) is not None:
            self._epoll.unregister(number)
        if self._heard:
            return False
        loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        return True

    def _look(self) -> None:
        heard = self._heard
        for number, _ in self._epoll.poll(0, _AT_ONCE):
            if number in heard:  # else one that was heard before closed it
                heard[number]()


_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, _Watch] = WeakKeyDictionary()


def watch(loop: asyncio.AbstractEventLoop, number: int, heard: Callable[[], None]) -> None:
    """Call ``heard`` whenever the socket ``number`` has bytes, or has ended; it reads once each time."""
    if sys.platform != "linux":
        loop.add_reader(number, heard)
        return
    one = _watches.get(loop)
    if one is None:
        one = _watches[loop] = _Watch(loop)
    one.add(number, heard)


def unwatch(loop: asyncio.AbstractEventLoop, number: int) -> None:
    """No more; before the socket is closed."""
    if sys.platform != "linux":
        loop.remove_reader(number)
    elif (one := _watches.get(loop)) is not None and one.remove(loop, number):
        del _watches[loop]
