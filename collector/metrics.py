"""The collector's own health for Prometheus (text) and for the store (measurement ``collector``). Pure.

Counters run from the start of the program. ``age_s`` is the age of a device's last reading, ``busy_share`` the part of
the time since the point before in which a link waited for answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple, Protocol

from collector.health import CollectorHealth, DeviceHealth, LinkHealth
from collector.storing.packing import StoredPoint

MEASUREMENT: Final = "collector"

Labels = tuple[tuple[str, str], ...]


class QueueStatus(Protocol):
    """What is asked of StoringStatus."""

    @property
    def queued(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def hours(self) -> float: ...
    @property
    def written(self) -> int: ...
    @property
    def refused(self) -> int: ...
    @property
    def dropped(self) -> int: ...
    @property
    def folded(self) -> int: ...
    @property
    def retries(self) -> int: ...
    @property
    def room_hours(self) -> float | None: ...
    @property
    def catch_up_minutes(self) -> float | None: ...


# -- for Prometheus ---------------------------------------------------------------------------------------------------


class _Family(NamedTuple):
    name: str
    kind: str
    help: str
    samples: list[tuple[Labels, float]]


def prometheus_text(site: str, health: CollectorHealth, queue: QueueStatus | None, now: int) -> str:
    """Everything in Prometheus's text format; ``now`` in ms UTC."""
    lines: list[str] = []
    families = [*_link_families(health.links), *_device_families(health.devices, now)]
    for family in [*families, *(_queue_families(queue) if queue is not None else ())]:
        name = f"greenwarden_{family.name}"
        lines += [f"# HELP {name} {family.help}", f"# TYPE {name} {family.kind}"]
        for labels, value in family.samples:
            told = ",".join(f'{key}="{_escaped(text)}"' for key, text in (("site", site), *labels))
            lines.append(f"{name}{{{told}}} {value:.16g}")
    return "\n".join(lines) + "\n"


def _link_families(links: Mapping[str, LinkHealth]) -> Iterator[_Family]:
    def family(name: str, kind: str, told: str, of: Mapping[str, float]) -> _Family:
        return _Family(name, kind, told, [((("link", link),), value) for link, value in of.items()])

    all_of = links.items()
    yield family("requests_total", "counter", "Requests sent.", {name: one.requests for name, one in all_of})
    yield family("answers_total", "counter", "Answers that came.", {name: one.answers for name, one in all_of})
    yield family("messages_total", "counter", "MQTT messages that came.", {name: one.messages for name, one in all_of})
    yield family(
        "messages_dropped_total", "counter", "MQTT messages lost by overload.", {n: one.dropped for n, one in all_of}
    )
    yield family(
        "link_busy_seconds_total",
        "counter",
        "Time spent waiting for answers.",
        {name: one.busy_ms / 1000 for name, one in all_of},
    )
    yield family(
        "link_up",
        "gauge",
        "1 while the link can be used.",
        {name: float(one.down_since is None) for name, one in all_of},
    )
    yield _Family(
        "link_errors_total",
        "counter",
        "What went wrong on a link, by kind.",
        [
            ((("link", name), ("kind", kind)), count)
            for name, one in all_of
            for kind, count in sorted(one.errors.items())
        ],
    )


def _device_families(devices: Mapping[str, DeviceHealth], now: int) -> Iterator[_Family]:
    def labels(name: str, one: DeviceHealth) -> Labels:
        return ("link", one.link), ("device", name)

    def family(name: str, kind: str, told: str, of: Iterable[tuple[str, DeviceHealth, float]]) -> _Family:
        return _Family(name, kind, told, [(labels(device, one), value) for device, one, value in of])

    all_of = devices.items()
    yield family("polls_total", "counter", "Polls whose time came.", ((n, one, one.due) for n, one in all_of))
    yield family("readings_total", "counter", "Readings that came.", ((n, one, one.answered) for n, one in all_of))
    yield family(
        "polls_missed_total", "counter", "Polls left out, the link being busy.", ((n, o, o.missed) for n, o in all_of)
    )
    yield family(
        "device_silent", "gauge", "1 while it does not answer.", ((n, o, float(_silent(o))) for n, o in all_of)
    )
    yield family(
        "reading_age_seconds",
        "gauge",
        "Age of the last reading.",
        ((name, one, age) for name, one in all_of if (age := _age_s(one, now)) is not None),
    )
    yield _Family(
        "device_errors_total",
        "counter",
        "What went wrong with a device, by kind.",
        [
            ((*labels(name, one), ("kind", kind)), count)
            for name, one in all_of
            for kind, count in sorted(one.errors.items())
        ],
    )


def _queue_families(queue: QueueStatus) -> Iterator[_Family]:
    for name, kind, told, value in (
        ("queue_readings", "gauge", "Readings that wait for the store.", queue.queued),
        ("queue_bytes", "gauge", "Bytes of the queue on disk.", queue.bytes),
        ("queue_hours", "gauge", "Age of the oldest reading that waits, in hours.", queue.hours),
        ("stored_readings_total", "counter", "Readings the store has taken.", queue.written),
        ("refused_readings_total", "counter", "Readings the store will never take.", queue.refused),
        ("queue_room_hours", "gauge", "Hours the queue can still hold at the present rate.", queue.room_hours),
        ("queue_catch_up_minutes", "gauge", "Minutes until the queue is empty at this rate.", queue.catch_up_minutes),
        ("dropped_readings_total", "counter", "Readings lost because the queue was full.", queue.dropped),
        ("folded_readings_total", "counter", "Readings folded to means because it was full.", queue.folded),
        ("store_retries_total", "counter", "Attempts that found the store away.", queue.retries),
    ):
        if value is not None:  # not known yet, or never at this rate
            yield _Family(name, kind, told, [((), value)])


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


# -- for the store ----------------------------------------------------------------------------------------------------


class HealthPoints:
    """Makes the points of the measurement ``collector``; remembers how busy the links were before."""

    def __init__(self) -> None:
        self._before: dict[str, float] = {}
        self._at: int | None = None

    def points(
        self, health: CollectorHealth, queue: QueueStatus, now: int, *, steady: int, in_flight: Mapping[str, int]
    ) -> list[StoredPoint]:
        """Points for ``now`` (ms UTC). ``steady`` is a time that nobody sets, in real ms."""
        passed = steady - self._at if self._at is not None else 0
        points = [_queue_point(queue, now)]
        for name, link in health.links.items():
            waited = link.busy_ms - self._before.get(name, 0.0)
            self._before[name] = link.busy_ms
            fields: dict[str, float | str] = {
                "requests": float(link.requests),
                "answers": float(link.answers + link.messages),
                "errors": float(link.errors.total()),
                "silent": float(link.down_since is not None),
            }
            if passed > 0:
                fields["busy_share"] = min(1.0, waited / passed / in_flight.get(name, 1))
            points.append(StoredPoint(MEASUREMENT, {"link": name}, fields, now))
        points += [_device_point(name, device, now) for name, device in health.devices.items()]
        self._at = steady
        return points


def _queue_point(queue: QueueStatus, now: int) -> StoredPoint:
    fields = {"queue_hours": queue.hours, "queue_readings": float(queue.queued), "queue_bytes": float(queue.bytes)}
    return StoredPoint(MEASUREMENT, {}, fields, now)


def _device_point(name: str, device: DeviceHealth, now: int) -> StoredPoint:
    fields: dict[str, float | str] = {
        "requests": float(device.due),
        "answers": float(device.answered),
        "errors": float(device.errors.total()),
        "missed": float(device.missed),
        "silent": float(_silent(device)),
    }
    age = _age_s(device, now)
    if age is not None:
        fields["age_s"] = age
    return StoredPoint(MEASUREMENT, {"link": device.link, "device": name}, fields, now)


def _silent(device: DeviceHealth) -> bool:
    return device.silent_since is not None


def _age_s(device: DeviceHealth, now: int) -> float | None:
    return None if device.last_reading_at is None else max(0, now - device.last_reading_at) / 1000
