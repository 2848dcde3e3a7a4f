"""How each link and device is doing, as counters; ``Collector.health()`` hands them out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class DeviceHealth:
    """One device. Moments are ms UTC; ``errors`` counts by kind (NoAnswer, BadFrame, refused, unreadable, …)."""

    link: str
    due: int = 0
    """Polls whose time came."""
    answered: int = 0
    """Polls (or messages) that brought a reading."""
    missed: int = 0
    """Polls left out because the line was still busy when their time had passed."""
    resting: int = 0
    """Polls left out because the device is silent and asked more seldom."""
    errors: Counter[str] = field(default_factory=Counter)
    last_reading_at: int | None = None
    silent_since: int | None = None
    identity: Mapping[str, float | str] = field(default_factory=dict)
    """What it said of itself last (serial number); asked once a day where its profile knows how."""
    refused: tuple[str, ...] = ()
    """Registers the device refuses, as sentences."""


@dataclass(slots=True)
class LinkHealth:
    """One link. ``busy_ms`` is the real time spent waiting for answers."""

    requests: int = 0
    answers: int = 0
    messages: int = 0
    duplicates: int = 0
    dropped: int = 0
    """Messages lost because they came faster than they could be read (MQTT QoS 0 only)."""
    connections: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    busy_ms: float = 0.0
    down_since: int | None = None


@dataclass(slots=True)
class CollectorHealth:
    """Everything, by id."""

    links: dict[str, LinkHealth] = field(default_factory=dict)
    devices: dict[str, DeviceHealth] = field(default_factory=dict)
