"""Fixtures that several tests share: the real parts, one of each for every test that asks."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from building.clock import ManualClock
from tests.parts import HttpSink, Influxd, Mosquitto, VictoriaMetrics

# Machines under load are slow now and then; that is no fault of the code, so no deadline per example.
# In CI every change is judged on the same examples (Hypothesis' own rule there); `make hunt` looks for new ones.
settings.register_profile(
    "greenwarden",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=bool(os.environ.get("CI")),
    print_blob=True,
)
settings.load_profile("greenwarden")

os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost,::1"


def _loopback_only(event: str, arguments: tuple[object, ...]) -> None:
    """No test may reach beyond this machine, by accident or by a default."""
    if event == "socket.connect":
        address = arguments[1]
        if isinstance(address, tuple) and not str(address[0]).startswith(("127.", "::1", "localhost")):
            raise AssertionError(f"a test tried to connect to {address[0]}; tests speak to loopback only")


sys.addaudithook(_loopback_only)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of a file go to one worker, because they share what they started; those marked ``apart`` go singly,
    and first, because they are long."""
    for item in items:
        apart = item.get_closest_marker("apart") is not None
        item.add_marker(pytest.mark.xdist_group(item.nodeid if apart else str(item.path)))
    items.sort(key=lambda item: item.get_closest_marker("apart") is None)


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands at 2026-07-01 00:00 in Shanghai (a Wednesday, a workday) until it is advanced."""
    return ManualClock(1_782_835_200_000)


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker with one login."""
    with Mosquitto(tmp_path) as broker:
        yield broker


@pytest.fixture
def influxd(tmp_path: Path) -> Iterator[Influxd]:
    """An empty InfluxDB 1.6.7 with the database ``energy``."""
    with Influxd(tmp_path) as server:
        yield server


@pytest.fixture
def influxd_with_login(tmp_path: Path) -> Iterator[Influxd]:
    """The same, for whoever gives name and password."""
    with Influxd(tmp_path, login=True) as server:
        yield server


@pytest.fixture
def victoria_metrics(tmp_path: Path) -> Iterator[VictoriaMetrics]:
    """An empty store that takes influxdb-client's writes."""
    with VictoriaMetrics(tmp_path) as server:
        yield server


@pytest.fixture
def http_sink() -> Iterator[HttpSink]:
    """A web server that remembers every request."""
    with HttpSink() as sink:
        yield sink
