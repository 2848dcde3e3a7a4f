"""InfluxDB of any age: 1.x by ``/write``, 1.8 with a bucket, 2.x and 3.x by influxdb-client; ``/ping`` says which.

Synchronous on purpose: what waits is in the durable queue, not in a client's memory. Every answer becomes one of the
house's errors: StoreAway (keep and try again: network, 401, 403, 404, 429, 5xx) or StoreRefused (400: never).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Protocol
from urllib.parse import urlencode

import urllib3
from influxdb_client.client.exceptions import InfluxDBError
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException

from building.errors import StoreAway, StoreRefused
from building.readings import Reading
from building.site import InfluxSettings, Site
from collector.storing.lines import LineEncoder
from collector.storing.refused import WhollyRefused

log = logging.getLogger(__name__)

_TIMEOUT: Final = urllib3.Timeout(connect=5, read=20)
_DEFAULT_NAME: Final = "greenwarden"
_LINES: Final = 5_000  # in one request; more gains nothing on 1.6.7 and costs memory
_LONGEST_REASON: Final = 300


class _Writer(Protocol):
    def post(self, lines: bytes) -> None: ...
    def close(self) -> None: ...


class InfluxStore:
    """Readings and alert changes of ``site`` in the InfluxDB that ``settings`` name. Connects with the first write."""

    def __init__(self, site: Site, settings: InfluxSettings) -> None:
        self._settings = settings
        self._lines = LineEncoder(site)
        self._writer: _Writer | None = None
        self.version = ""
        """What ``/ping`` said; empty until the first write."""

    def __enter__(self) -> InfluxStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection; nothing waits in it."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def write(self, readings: Sequence[Reading]) -> None:
        """Have the database store ``readings``; it has them when this returns. Raises StoreAway or StoreRefused."""
        for start in range(0, len(readings), _LINES):
            self._post(self._lines.readings(readings[start : start + _LINES]))

    def write_alerts(self, alerts: Sequence[Mapping[str, object]]) -> None:
        """The same for alert changes."""
        if alerts:
            self._post(self._lines.alerts(alerts))

    def _post(self, lines: bytes) -> None:
        if self._writer is None:
            self._writer = self._connect()
        self._writer.post(lines)

    def _connect(self) -> _Writer:
        settings = self._settings
        pool = urllib3.PoolManager(
            cert_reqs="CERT_REQUIRED" if settings.verify_tls else "CERT_NONE",
            ca_certs=settings.ca,
            timeout=_TIMEOUT,
            retries=False,
        )
        answer = _asked(pool, settings, "GET", "/ping", headers=_login(settings))
        if answer.status >= 400:
            pool.clear()
            raise _error(answer.status, answer.data, settings)
        self.version = answer.headers.get("X-Influxdb-Version", "")
        if _speaks_v2(self.version, settings):
            pool.clear()
            return _ClientWriter(settings)
        return _LineWriter(settings, pool)


class _LineWriter:
    """InfluxDB 1.x: lines to ``/write``, the database made when it is missing."""

    def __init__(self, settings: InfluxSettings, pool: urllib3.PoolManager) -> None:
        self._settings = settings
        self._pool = pool
        self._database = settings.database or settings.bucket or _DEFAULT_NAME
        self._headers = _login(settings)

    def post(self, lines: bytes) -> None:
        answer = self._write(lines)
        if answer.status == 404:
            self._create()
            answer = self._write(lines)
        if answer.status >= 300:
            raise _error(answer.status, answer.data, self._settings, lines.count(b"\n") + 1)

    def close(self) -> None:
        self._pool.clear()

    def _write(self, lines: bytes) -> urllib3.BaseHTTPResponse:
        query = {"db": self._database, "precision": "ms"}
        return _asked(self._pool, self._settings, "POST", "/write", query, headers=self._headers, body=lines)

    def _create(self) -> None:
        name = self._database.replace("\\", "\\\\").replace('"', '\\"')
        query = {"q": f'CREATE DATABASE "{name}"'}
        answer = _asked(self._pool, self._settings, "POST", "/query", query, headers=self._headers)
        if answer.status >= 300:
            raise _error(answer.status, answer.data, self._settings)
        log.info("made the database %s", self._database)


class _ClientWriter:
    """InfluxDB 2.x and 3.x by influxdb-client, without its batching: that loses data when the server is away."""

    def __init__(self, settings: InfluxSettings) -> None:
        self._settings = settings
        self._bucket = settings.bucket or settings.database or _DEFAULT_NAME
        user = f"{settings.user}:{settings.password.reveal()}" if settings.user and settings.password else ""
        self._client: Any = InfluxDBClient(
            settings.url,
            settings.token.reveal() if settings.token else user,
            org=settings.org or "",
            timeout=20_000,
            verify_ssl=settings.verify_tls,
            ssl_ca_cert=settings.ca,
        )
        self._api: Any = self._client.write_api(write_options=SYNCHRONOUS)

    def post(self, lines: bytes) -> None:
        try:
            self._write(lines)
        except ApiException as error:
            if error.status != 404:
                raise _error(error.status, error.body, self._settings, lines.count(b"\n") + 1) from None
            self._create_and_write(lines)

    def close(self) -> None:
        self._client.close()

    def _write(self, lines: bytes) -> None:
        try:
            self._api.write(self._bucket, self._settings.org or "", lines, write_precision="ms")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _unreachable(self._settings, error) from error

    def _create_and_write(self, lines: bytes) -> None:
        try:
            self._client.buckets_api().create_bucket(bucket_name=self._bucket, org=self._settings.org or "")
            log.info("made the bucket %s", self._bucket)
            self._write(lines)
        except (ApiException, InfluxDBError) as error:
            raise StoreAway(
                f"the bucket {self._bucket} is missing in {self._settings.url} and cannot be made "
                f"({_said(error)}); make it by hand or use a token that may"
            ) from None
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise _unreachable(self._settings, error) from error


def _speaks_v2(version: str, settings: InfluxSettings) -> bool:
    """True from 2.0 on; 1.8 speaks both, so there the settings decide; without a version a token does."""
    match = re.match(r"v?(\d+)\.(\d+)", version)
    if match is None:
        return settings.token is not None
    major, minor = int(match[1]), int(match[2])
    return major >= 2 or (minor >= 8 and settings.token is not None and settings.bucket is not None)


def _login(settings: InfluxSettings) -> dict[str, str]:
    if settings.token is not None:
        return {"Authorization": f"Token {settings.token.reveal()}"}
    if settings.user is not None:
        password = settings.password.reveal() if settings.password else ""
        return dict(urllib3.make_headers(basic_auth=f"{settings.user}:{password}"))
    return {}


def _asked(
    pool: urllib3.PoolManager,
    settings: InfluxSettings,
    method: str,
    path: str,
    query: Mapping[str, str] | None = None,
    *,
    headers: Mapping[str, str],
    body: bytes | None = None,
) -> urllib3.BaseHTTPResponse:
    """The whole answer. Raises StoreAway when there is none."""
    url = settings.url.rstrip("/") + path
    if query:
        url += "?" + urlencode(query)
    try:
        return pool.request(method, url, headers=headers, body=body)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise _unreachable(settings, error) from error


def _unreachable(settings: InfluxSettings, error: Exception) -> StoreAway:
    said = re.sub(r"<(\S+) object at 0x[0-9a-f]+>", r"\1", str(error))  # the same trouble reads the same every time
    return StoreAway(
        f"InfluxDB at {settings.url} does not answer ({type(error).__name__}: {said}); "
        "readings are kept on disk until it does"
    )


def _error(status: int, body: bytes | str | None, settings: InfluxSettings, lines: int = 0) -> Exception:
    """What to do next after an answer that is no success."""
    reason = _reason(body)
    if status in (401, 403):
        return StoreAway(
            f"InfluxDB at {settings.url} does not let us in ({status} {reason}); "
            "see token, or user and password, under store.influxdb in devices.yaml"
        )
    if status in (400, 413, 422):
        dropped = re.search(r"dropped=(\d+)", reason)
        kind = WhollyRefused if dropped and int(dropped[1]) >= lines > 1 else StoreRefused
        return kind(f"InfluxDB refused it ({status} {reason})")
    return StoreAway(f"InfluxDB at {settings.url} cannot take it now ({status} {reason}); it is kept on disk")


def _said(error: Any) -> str:
    """influxdb-client's complaint without the headers that it prints."""
    return f"{error.status} {_reason(error.body)}" if isinstance(error, ApiException) else _reason(error.message)


def _reason(body: bytes | str | None) -> str:
    text = body.decode(errors="replace") if isinstance(body, bytes) else body or ""
    return " ".join(text.split())[:_LONGEST_REASON]
