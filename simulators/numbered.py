"""A bus of meters that are asked by their number, as DL/T 645 and CJ/T 188 do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, Protocol, TypeVar

from simulators.lines import Reply

Request = TypeVar("Request")
Asked = TypeVar("Asked", contravariant=True)


class NumberedMeter(Protocol[Asked]):
    """A meter on such a bus; ``address`` is its number."""

    address: str

    def fits(self, request: Asked) -> bool:
        """Whether the request's address, wild digits and all, means this meter."""

    def answer(self, request: Asked) -> bytes:
        """The frame that it sends, behind what wakes the line."""


class NumberedTalk(Generic[Request]):
    """A bus of ``meters``: one that alone fits a request answers. ``split`` takes whole requests out of what came.

    ``silent(address)`` tells whether a meter says nothing; ``spoil`` what its line makes of an answer.
    """

    def __init__(
        self,
        meters: Iterable[NumberedMeter[Request]],
        split: Callable[[bytearray], Iterator[Request]],
        silent: Callable[[str], bool],
        spoil: Callable[[str, bytes], Reply],
        refresh: Callable[[], None],
    ) -> None:
        self._meters = list(meters)
        self._split = split
        self._silent = silent
        self._spoil = spoil
        self._refresh = refresh

    def heard(self, buffer: bytearray) -> Iterator[Reply]:
        """An answer for every request to a meter that is there."""
        for request in self._split(buffer):
            self._refresh()
            fits = [meter for meter in self._meters if meter.fits(request)]
            if len(fits) == 1 and not self._silent(fits[0].address):
                yield self._spoil(fits[0].address, fits[0].answer(request))
