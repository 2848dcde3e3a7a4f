"""InfluxDB of any age: 1.x by ``/write``, 1.8 with a bucket, 2.x and 3.x by influxdb-client; ``/ping`` says which.

What waits is in the durable queue, not in a client's memory: ``write`` returns when the database has everything. Within
one call a few requests are under way at a time while the next is being encoded. Every answer becomes one of the house's
errors: StoreAway (keep and try again: network, 401, 403, 404, 429, 5xx) or StoreRefused (400, 413, 422: never).
"""

from __future__ import annotations

import gzip
import json
import logging
import re
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Final, NamedTuple, Protocol, TypeVar
from urllib.parse import urlencode

import numpy as np
import urllib3
from influxdb_client.client.exceptions import InfluxDBError
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.rest import ApiException
from influxdb_client.service.write_service import WriteService

from building.errors import StoreAway, StoreRefused
from building.readings import Reading
from building.site import InfluxSettings, Site
from collector.storing.blocks import Floats, Ints
from collector.storing.lines import LineEncoder
from collector.storing.packing import StoredPoint
from collector.storing.refused import WhollyRefused

log = logging.getLogger(__name__)

_TIMEOUT: Final = urllib3.Timeout(connect=5, read=20)
_DEFAULT_NAME: Final = "greenwarden"
_LINES: Final = 5_000  # in one request; more gains nothing on 1.6.7 and costs memory
_AT_A_TIME: Final = 4  # requests; 1.6.7 takes 1.9 times as much with four as with one
_SWITCH: Final = 0.0005  # seconds
_LONGEST_REASON: Final = 300
_DAY_S: Final = 86_400

T = TypeVar("T")


class _NoOrganisations(StoreAway):
    """No organisation was named, and the server shows none."""


class Table(NamedTuple):
    """One series of an InfluxQL answer; ``time`` is among the columns, in ms since 1970 UTC."""

    tags: Mapping[str, str]
    columns: list[str]
    rows: list[list[Any]]

    def times(self) -> list[int]:
        """Instants of the rows (ms)."""
        place = self.columns.index("time")
        return [int(row[place]) for row in self.rows]


class _Writer(Protocol):
    def post(self, lines: bytes) -> None: ...
    def query(self, text: str) -> list[Table]: ...
    def close(self) -> None: ...


class _Senders:
    """A few threads that run jobs. Daemons, because a server that hangs must not hold the end of the program."""

    def __init__(self, count: int) -> None:
        self._jobs: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        self._open: set[Future[Any]] = set()
        self._lock = threading.Lock()
        # A sender needs Python for moments only; it must not wait 5 ms for each while the next request is encoded.
        sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH))
        self._threads = [threading.Thread(target=self._run, name="influx sender", daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def start(self, job: Callable[[], T]) -> Future[T]:
        """Have ``job`` done; its result or exception is the future's."""
        future: Future[T] = Future()
        with self._lock:
            self._open.add(future)
        self._jobs.put((job, future))
        return future

    def close(self) -> None:
        """Whoever waits for a result is told that there is none; the threads end when they can."""
        with self._lock:
            for future in self._open:
                _settle(future, StoreAway("the store is being closed; what was not acknowledged is sent again"))
            self._open.clear()
        for _ in self._threads:
            self._jobs.put(None)

    def _run(self) -> None:
        while (item := self._jobs.get()) is not None:
            job, future = item
            if not future.done():
                try:
                    _settle(future, None, job())
                except Exception as error:  # noqa: BLE001 - it is raised where the future is asked
                    _settle(future, error)
            with self._lock:
                self._open.discard(future)


def _settle(future: Future[Any], error: Exception | None, result: Any = None) -> None:
    try:
        future.set_result(result) if error is None else future.set_exception(error)
    except InvalidStateError:
        return  # closed meanwhile


class InfluxStore:
    """Readings and alert changes of ``site`` in the InfluxDB that ``settings`` name. Connects with the first write."""

    def __init__(self, site: Site, settings: InfluxSettings) -> None:
        self._settings = settings
        self._lines = LineEncoder(site)
        self._writer: _Writer | None = None
        self._senders: _Senders | None = None
        self._connecting = threading.Lock()
        self.version = ""
        """What ``/ping`` said; empty until the first write."""

    def __enter__(self) -> InfluxStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections; a write under way raises StoreAway at once, even when the server hangs."""
        if self._senders is not None:
            self._senders.close()
            self._senders = None
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def write(self, readings: Sequence[Reading]) -> None:
        """Have the database store ``readings``; it has them when this returns. Raises StoreAway or StoreRefused."""
        encode = self._lines.readings
        self._post(encode(readings[start : start + _LINES]) for start in range(0, len(readings), _LINES))

    def write_alerts(self, alerts: Sequence[Mapping[str, object]]) -> None:
        """The same for alert changes."""
        if alerts:
            self._post([self._lines.alerts(alerts)])

    def write_points(self, points: Sequence[StoredPoint]) -> None:
        """The same for points that are no readings."""
        encode = self._lines.points
        self._post(encode(points[start : start + _LINES]) for start in range(0, len(points), _LINES))

    def read(self, device: str, quantity: str, start: int, end: int) -> tuple[Ints, Floats]:
        """Instants and values of one series in [start, end), in order. Raises StoreAway or StoreRefused."""
        text = self._lines.query(device, quantity, start, end)
        rows = [dict(zip(table.columns, row, strict=True)) for table in self._tables(text) for row in table.rows]
        found = [(row["time"], row[quantity]) for row in rows if isinstance(row.get(quantity), int | float)]
        return np.array([at for at, _ in found], np.int64), np.array([value for _, value in found], np.float64)

    def first(self, device: str, quantity: str, start: int) -> int | None:
        """The instant of the first value from ``start`` on; None for no value. Raises StoreAway or StoreRefused."""
        text = self._lines.query(device, quantity, start, None)
        times = [at for table in self._tables(text) for at in table.times()]
        return times[0] if times else None

    def _tables(self, text: str | None) -> list[Table]:
        return self.tables(text) if text else []

    def tables(self, text: str) -> list[Table]:
        """What the database answers to InfluxQL. Raises StoreAway or StoreRefused."""
        return self._do(lambda: self._connected().query(text)).result()

    def _post(self, bodies: Iterable[bytes]) -> None:
        """All ``bodies``, a few at a time; a refusal is raised once the others have arrived."""
        waiting: deque[Future[None]] = deque()
        refused: StoreRefused | None = None
        try:
            for body in _and_none_after(bodies, _AT_A_TIME):
                if body is not None:
                    waiting.append(self._do(lambda body=body: self._connected().post(body)))  # type: ignore[misc]
                if waiting and (body is None or len(waiting) >= _AT_A_TIME):
                    try:
                        waiting.popleft().result()
                    except StoreRefused as error:
                        refused = error
        finally:
            for future in waiting:
                future.exception()
        if refused is not None:
            raise refused

    def _do(self, job: Callable[[], T]) -> Future[T]:
        if self._senders is None:
            self._senders = _Senders(_AT_A_TIME)
        return self._senders.start(job)

    def _connected(self) -> _Writer:
        with self._connecting:
            if self._writer is None:
                self._writer = self._connect()
            return self._writer

    def _connect(self) -> _Writer:
        settings = self._settings
        pool = urllib3.PoolManager(
            cert_reqs="CERT_REQUIRED" if settings.verify_tls else "CERT_NONE",
            ca_certs=settings.ca,
            timeout=_TIMEOUT,
            retries=False,
            maxsize=_AT_A_TIME,
        )
        answer = _asked(pool, settings, "GET", "/ping", headers=_login(settings))
        if answer.status >= 400:
            pool.clear()
            raise _error(answer.status, answer.data, settings)
        if _is_page(answer.headers):
            pool.clear()
            raise _no_influxdb(settings)
        self.version = answer.headers.get("X-Influxdb-Version", "")
        if _speaks_v2(self.version, settings):
            return _ClientWriter(settings, pool, organised=not _is_third(self.version))
        return _LineWriter(settings, pool)


def _and_none_after(bodies: Iterable[bytes], count: int) -> Iterator[bytes | None]:
    yield from bodies
    for _ in range(count):
        yield None


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
        if _is_page(answer.headers):
            raise _no_influxdb(self._settings)

    def query(self, text: str) -> list[Table]:
        return _tables(self._pool, self._settings, self._database, text)

    def close(self) -> None:
        self._pool.clear()

    def _write(self, lines: bytes) -> urllib3.BaseHTTPResponse:
        query = {"db": self._database, "precision": "ms"}
        headers = self._headers
        if self._settings.gzip:
            lines, headers = gzip.compress(lines, 1), {**headers, "Content-Encoding": "gzip"}
        return _asked(self._pool, self._settings, "POST", "/write", query, headers=headers, body=lines)

    def _create(self) -> None:
        name = self._database.replace("\\", "\\\\").replace('"', '\\"')
        days = self._settings.retention_days
        duration = f" WITH DURATION {round(days * 24)}h" if days is not None else ""
        query = {"q": f'CREATE DATABASE "{name}"{duration}'}
        answer = _asked(self._pool, self._settings, "POST", "/query", query, headers=self._headers)
        if answer.status >= 300:
            raise _error(answer.status, answer.data, self._settings)
        log.info("made the database %s", self._database)


class _ClientWriter:
    """InfluxDB 2.x and 3.x by influxdb-client, without its batching: that loses data when the server is away.

    ``organised``: the server may have organisations; those of 3.x have none.
    """

    def __init__(self, settings: InfluxSettings, pool: urllib3.PoolManager, *, organised: bool) -> None:
        self._settings = settings
        self._pool = pool  # for queries: the client has no InfluxQL
        self._organised = organised
        self._making = threading.Lock()
        self._org = settings.org or ""
        self._bucket = settings.bucket or settings.database or _DEFAULT_NAME
        user = f"{settings.user}:{settings.password.reveal()}" if settings.user and settings.password else ""
        self._client: Any = InfluxDBClient(
            settings.url,
            settings.token.reveal() if settings.token else user,
            org=self._org,
            timeout=20_000,
            verify_ssl=settings.verify_tls,
            ssl_ca_cert=settings.ca,
            enable_gzip=settings.gzip,
            connection_pool_maxsize=_AT_A_TIME,
        )
        self._api: Any = WriteService(self._client.api_client)  # type: ignore[no-untyped-call]  # it has no types

    def post(self, lines: bytes) -> None:
        try:
            self._write(lines)
        except ApiException as error:
            refusal = _error(error.status, error.body, self._settings, lines.count(b"\n") + 1)
            perhaps_no_org = error.status == 400 and not self._org and self._organised
            if error.status != 404 and not perhaps_no_org:
                raise refusal from None
            with self._making:
                try:
                    self._make_bucket()
                except _NoOrganisations:
                    # A server without organisations misses none: then it is the batch that it will never take.
                    if perhaps_no_org and not _asks_for_org(error.body):
                        raise refusal from None
                    raise
            self._write_again(lines)

    def query(self, text: str) -> list[Table]:
        return _tables(self._pool, self._settings, self._bucket, text)

    def close(self) -> None:
        self._client.close()
        self._pool.clear()

    def _write(self, lines: bytes) -> None:
        try:
            _, _, headers = self._api.post_write_with_http_info(
                self._org, self._bucket, lines, precision="ms", content_type="text/plain; charset=utf-8"
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _unreachable(self._settings, error) from error
        if _is_page(headers):
            raise _no_influxdb(self._settings)

    def _write_again(self, lines: bytes) -> None:
        try:
            self._write(lines)
        except ApiException as error:
            raise _error(error.status, error.body, self._settings, lines.count(b"\n") + 1) from None

    def _make_bucket(self) -> None:
        """The organisation and the bucket, as far as they are missing; another sender may have made them just now."""
        try:
            organisation = self._organisation()
            if not organisation.name:  # influxdb-client makes an empty one of a page
                raise _no_influxdb(self._settings)
            self._org = organisation.name
            buckets = self._client.buckets_api()
            if buckets.find_bucket_by_name(self._bucket) is None:
                days = self._settings.retention_days
                rules = [{"type": "expire", "everySeconds": round(days * _DAY_S)}] if days is not None else []
                buckets.create_bucket(bucket_name=self._bucket, org=organisation.id, retention_rules=rules)
                log.info("made the bucket %s", self._bucket)
        except (ApiException, InfluxDBError) as error:
            raise StoreAway(
                f"the bucket {self._bucket} is missing in {self._settings.url} and cannot be made "
                f"({_said(error)}); make it by hand or use a token that may"
            ) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _unreachable(self._settings, error) from error
        except (ValueError, TypeError, AttributeError):  # what influxdb-client makes of an answer that is no JSON
            raise _no_influxdb(self._settings) from None

    def _organisation(self) -> Any:
        """That of the settings, made when it is missing; without one, the first that the token sees."""
        organisations = self._client.organizations_api()
        try:
            seen = organisations.find_organizations() or ()
        except ApiException as error:
            if self._settings.org or error.status == 429 or error.status >= 500:
                raise
            raise _NoOrganisations(
                f"InfluxDB at {self._settings.url} shows us no organisation ({_said(error)}); name one with org:"
            ) from None
        wanted = self._settings.org
        found = next((one for one in seen if wanted in (None, one.name, one.id)), None)
        if found is None and wanted:
            found = organisations.create_organization(wanted)
            log.info("made the organisation %s", wanted)
        if found is None:
            raise _NoOrganisations(f"the token sees no organisation in {self._settings.url}; name one with org:")
        return found


def _tables(pool: urllib3.PoolManager, settings: InfluxSettings, database: str, text: str) -> list[Table]:
    """The answer to an InfluxQL query; empty of a database that is not there yet."""
    query = {"db": database, "epoch": "ms", "q": text}
    answer = _asked(pool, settings, "GET", "/query", query, headers=_login(settings))
    if answer.status == 404:
        return []
    if answer.status >= 300:
        raise _error(answer.status, answer.data, settings)
    tables: list[Table] = []
    try:
        for result in json.loads(answer.data)["results"]:
            if "error" in result and "not found" not in result["error"]:
                raise StoreAway(f"InfluxDB at {settings.url} cannot answer now ({result['error'][:_LONGEST_REASON]})")
            for series in result.get("series", ()):
                if series.get("partial"):
                    raise StoreAway(f"InfluxDB at {settings.url} answers in part only; raise its max-row-limit")
                columns, rows = list(series["columns"]), list(series.get("values", ()))
                if "time" not in columns or any(len(row) != len(columns) for row in rows):
                    raise ValueError("no table of points")
                tables.append(Table(dict(series.get("tags", {})), columns, rows))
    except (ValueError, LookupError, TypeError, AttributeError):  # no JSON, or none of the form that InfluxQL has
        raise _no_influxdb(settings) from None
    return tables


def _is_page(headers: Mapping[str, str]) -> bool:
    """Whether an answer is a page for people, as proxies and log-in portals give it with status 200."""
    return headers.get("Content-Type", "").lower().startswith("text/html")


def _no_influxdb(settings: InfluxSettings) -> StoreAway:
    return StoreAway(
        f"what answers at {settings.url} is not InfluxDB, perhaps a proxy's page; "
        "see url under store.influxdb in devices.yaml; readings are kept on disk"
    )


def _is_third(version: str) -> bool:
    match = re.match(r"v?(\d+)\.", version)
    return match is not None and int(match[1]) >= 3


def _asks_for_org(body: bytes | str | None) -> bool:
    """Whether a refusal is about the organisation that was not named."""
    return re.search(r"\borg(ID|anization)?\b", _reason(body)) is not None


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
