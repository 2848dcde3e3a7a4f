"""Real parts for the tests: servers started on free loopback ports, and ended by the process that was started.

    with Mosquitto(tmp_path) as broker: ...       MQTT broker with one login
    with Influxd(tmp_path) as influx: ...         InfluxDB 1.6.7
    with VictoriaMetrics(tmp_path) as store: ...  takes influxdb-client's writes
    with HttpSink() as sink: ...                  takes every request and remembers it

The servers are context managers that can also be stopped, killed and started again on the same port and files.
Nothing here sleeps for a fixed time: ``until`` and ``eventually`` poll a condition with a deadline.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, NoReturn, Self

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]
PATIENCE: Final = 60.0  # seconds; a busy machine may be slow, a broken server never answers


# -- what may be missing ----------------------------------------------------------------------------------------------


def missing(sentence: str) -> NoReturn:
    """Skip the test with one line; in CI a missing part is a failure."""
    if os.environ.get("CI"):
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)


def need(program: str, package: str | None = None) -> str:
    """Path of ``program``, which Debian's ``package`` brings; skips the test where it is missing."""
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    return found or missing(f"{program} is missing; as root: apt-get install {package or program}")


def need_shared(*parts: str) -> Path:
    """A file or folder of the ``shared`` folder beside the checkout. Never a failure: a clone alone has none."""
    path = ROOT.parent.joinpath("shared", *parts)
    if not path.exists():
        pytest.skip(f"the folder shared with {'/'.join(parts)} is not beside the checkout")
    return path


# -- waiting ----------------------------------------------------------------------------------------------------------


def until(condition: Callable[[], Any], what: str, *, within: float = PATIENCE) -> Any:
    """The first true answer of ``condition``, asked every 10 ms; fails the test naming ``what`` after ``within`` s."""
    deadline = time.monotonic() + within
    while not (answer := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited {within:g} s in vain for {what}")
        time.sleep(0.01)
    return answer


async def eventually(condition: Callable[[], Any], what: str, *, within: float = PATIENCE) -> Any:
    """``until`` for tests with an event loop."""
    deadline = time.monotonic() + within
    while not (answer := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited {within:g} s in vain for {what}")
        await asyncio.sleep(0.01)
    return answer


def free_port() -> int:
    """A loopback port that was free a moment ago, for programs that cannot bind port 0 and tell."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# -- servers ----------------------------------------------------------------------------------------------------------


class Server(ABC):
    """A program that serves ``port`` on loopback, with its files in ``folder``."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Writes what the program reads for ``self.port``, and returns its command line."""

    def ready(self) -> bool:
        """Whether the program answers."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    def prepare(self) -> None:  # noqa: B027 - most servers have nothing to prepare
        """Once after the first start: logins, databases."""

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} is not running"
        return self._process.pid

    @property
    def log(self) -> str:
        """What the program has printed so far."""
        path = self.folder / "log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def start(self) -> None:
        """Start, or start again on the same port and files, and wait until it answers."""
        if self.port:
            if not self._launch():
                pytest.fail(f"{self.name} did not come back on port {self.port}:\n{self.log[-2000:]}")
            return
        for _ in range(3):  # another process may take a free port before the program binds it
            self.port = free_port()
            if self._launch():
                self.prepare()
                return
        pytest.fail(f"{self.name} does not start:\n{self.log[-2000:]}")

    def stop(self) -> None:
        """End it as a service manager would, and wait."""
        self._end(lambda process: process.terminate())

    def kill(self) -> None:
        """End it as a power cut would, and wait."""
        self._end(lambda process: process.kill())

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _launch(self) -> bool:
        command = self.command()
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self._process = process
        try:
            until(lambda: process.poll() is not None or self.ready(), f"{self.name} to answer")
        except BaseException:
            self.kill()
            raise
        return process.poll() is None

    def _end(self, how: Callable[[subprocess.Popen[bytes]], None]) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        how(process)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Mosquitto(Server):
    """The Debian broker with one login; nobody else may connect. Sessions and retained messages survive a restart."""

    username = "collector"
    password = "loopback-only"

    def __init__(self, folder: Path, name: str = "mosquitto") -> None:
        self._program = need("mosquitto")
        super().__init__(folder, name)
        passwords = self.folder / "passwords"
        passwords.touch(mode=0o600)
        self.add_login(self.username, self.password)
        (self.folder / "data").mkdir(exist_ok=True)

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def subscriptions(self, topic: str) -> int:
        """How often anybody has subscribed to ``topic`` since the folder was made."""
        return sum(line.endswith(f" {topic}") for line in self.log.splitlines())

    def add_login(self, username: str, password: str) -> None:
        """One more name and password; known to the broker from its next start."""
        command = [need("mosquitto_passwd", "mosquitto"), "-b", "passwords", username, password]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)

    def command(self) -> Sequence[str]:
        lines = [
            "per_listener_settings false",
            "allow_anonymous false",
            f"password_file {self.folder}/passwords",
            "persistence true",
            f"persistence_location {self.folder}/data/",
            "autosave_interval 1",
            "max_queued_messages 0",
            *(f"log_type {kind}" for kind in ("error", "warning", "notice", "information", "subscribe")),
            f"listener {self.port} 127.0.0.1",
        ]
        if os.getuid() == 0:
            lines.append("user root")  # else it changes to a user who cannot read the folder
        (self.folder / "mosquitto.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return [self._program, "-c", "mosquitto.conf"]


class Influxd(Server):
    """InfluxDB 1.6.7 with the database ``energy``; with ``login`` it asks for ``username`` and ``password``."""

    username = "collector"
    password = "loopback-only"
    database = "energy"

    def __init__(self, folder: Path, name: str = "influxd", *, login: bool = False) -> None:
        self._program = need("influxd", "influxdb")
        self.login = login
        super().__init__(folder, name)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> Sequence[str]:
        files, rpc_port = self.folder, free_port()
        (files / "influxdb.conf").write_text(
            f'reporting-disabled = true\nbind-address = "127.0.0.1:{rpc_port}"\n'
            f'[meta]\n  dir = "{files}/meta"\n'
            f'[data]\n  dir = "{files}/data"\n  wal-dir = "{files}/wal"\n  query-log-enabled = false\n'
            "[monitor]\n  store-enabled = false\n"
            f'[http]\n  bind-address = "127.0.0.1:{self.port}"\n  log-enabled = false\n'
            f"  auth-enabled = {str(self.login).lower()}\n",
            encoding="utf-8",
        )
        return [self._program, "run", "-config", "influxdb.conf"]

    def ready(self) -> bool:
        return _answers(f"{self.url}/ping")

    def prepare(self) -> None:
        if self.login:
            # The very first user may be created without a login, and must be an administrator.
            self.query(f"CREATE USER \"{self.username}\" WITH PASSWORD '{self.password}' WITH ALL PRIVILEGES")
        self.query(f'CREATE DATABASE "{self.database}"')

    def query(self, text: str, *, epoch: str = "ms") -> list[dict[str, Any]]:
        """Rows of an InfluxQL query as mappings of tags and columns. Fails the test on an error of the server."""
        form = urllib.parse.urlencode({"q": text, "db": self.database, "epoch": epoch}).encode()
        request = urllib.request.Request(f"{self.url}/query", form)
        if self.login:
            pair = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
            request.add_header("Authorization", f"Basic {pair}")
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            results = json.load(answer)["results"]
        rows: list[dict[str, Any]] = []
        for result in results:
            assert "error" not in result, f"{text}: {result['error']}"
            for series in result.get("series", ()):
                head = {"measurement": series.get("name", ""), **series.get("tags", {})}
                rows += [head | dict(zip(series["columns"], row, strict=True)) for row in series.get("values", ())]
        return rows


class VictoriaMetrics(Server):
    """Takes what influxdb-client writes to InfluxDB 2.x. It answers 204 to bad lines too, and keeps no text fields."""

    def __init__(self, folder: Path, name: str = "victoria-metrics") -> None:
        self._program = need("victoria-metrics")
        super().__init__(folder, name)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> Sequence[str]:
        return [
            self._program,
            f"-httpListenAddr=127.0.0.1:{self.port}",
            f"-storageDataPath={self.folder}/data",
            "-retentionPeriod=100y",
        ]

    def ready(self) -> bool:
        return _answers(f"{self.url}/health")

    def export(self, match: str) -> list[dict[str, Any]]:
        """Every stored series that ``match`` selects: ``{"metric": {...}, "values": [...], "timestamps": [ms, ...]}``.

        The name of a series is measurement and field, joined by ``_``.
        """
        with urllib.request.urlopen(f"{self.url}/internal/force_flush", timeout=PATIENCE):
            pass  # without it a point becomes visible only after seconds
        asked = urllib.parse.urlencode({"match[]": match})
        with urllib.request.urlopen(f"{self.url}/api/v1/export?{asked}", timeout=PATIENCE) as answer:
            return [json.loads(line) for line in answer.read().splitlines()]


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except (urllib.error.URLError, OSError):
        return False


# -- a web server that remembers --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    """One request that reached the sink."""

    method: str
    path: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """What the sink says to a request."""

    status: int = 200
    body: bytes = b"{}"
    content_type: str = "application/json"
    headers: Mapping[str, str] | None = None


class HttpSink:
    """Takes every request, remembers it in ``requests``, and answers as ``answer`` says.

    ``answer`` is one Answer, or a function from a Request to an Answer; it may be exchanged at any time.
    """

    def __init__(self, answer: Answer | Callable[[Request], Answer] | None = None) -> None:
        self.answer: Answer | Callable[[Request], Answer] = answer or Answer()
        self.requests: list[Request] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="http-sink", daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.command, self.path, headers, body)
                sink.requests.append(request)
                answer = sink.answer(request) if callable(sink.answer) else sink.answer
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.content_type)
                self.send_header("Content-Length", str(len(answer.body)))
                for name, value in (answer.headers or {}).items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD" and answer.status != 204:
                    self.wfile.write(answer.body)

            do_GET = do_PUT = do_DELETE = do_HEAD = do_PATCH = do_POST

            def log_message(self, *_: object) -> None:
                """Tests print nothing of their own."""

        return Handler
