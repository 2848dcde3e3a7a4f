"""A recording stand-in for Grafana's HTTP API, which refuses what Grafana 9 to 12 refuses."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from tests.parts import Answer, HttpSink, Request

Json = dict[str, Any]
TOKEN: Final = "glsa_test"


class FakeGrafana:
    """Folders, data sources and dashboards with their versions, kept as Grafana keeps them."""

    def __init__(self) -> None:
        self.role = "Admin"
        self.folders: dict[str, str] = {}
        self.sources: dict[str, Json] = {}
        self.secrets: dict[str, Json] = {}
        self.dashboards: dict[str, Json] = {}
        self.folder_of: dict[str, str] = {}
        self.messages: dict[str, list[str]] = {}
        self.provisioned: set[str] = set()
        self.database_trouble: Callable[[Json], str] = lambda secrets: ""
        self.before_save: Callable[[Json], Answer | None] = lambda wanted: None
        self.sink = HttpSink(self._answer)

    @property
    def url(self) -> str:
        return self.sink.url

    def writes(self) -> list[tuple[str, str]]:
        """Method and path of every request that changes something."""
        return [
            (request.method, request.path)
            for request in self.sink.requests
            if request.method != "GET" and request.path != "/api/ds/query"
        ]

    def state(self) -> Json:
        """Everything there is, to be compared with later."""
        return json.loads(json.dumps([self.folders, self.sources, self.dashboards, self.folder_of, self.messages]))

    def edit(self, uid: str, **changes: Any) -> None:
        """Somebody changes a dashboard in the browser and saves it."""
        self._store({**self.dashboards[uid], **changes}, self.folder_of[uid], "")

    def _answer(self, request: Request) -> Answer:
        path = request.path.split("?")[0].removeprefix("/api")
        if path == "/health":
            return _says(200, {"database": "ok", "version": "10.4.1"})
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return _says(401, {"message": "Invalid API key"})
        if self.role != "Admin" and path.startswith("/datasources"):
            return _says(403, {"message": "You'll need additional permissions to perform this action."})
        first, _, rest = path.strip("/").partition("/")
        body = request.json() if request.body else {}
        return {"folders": self._folder, "datasources": self._source, "dashboards": self._dashboard, "ds": self._query}[
            first
        ](request.method, rest, body)

    def _folder(self, method: str, rest: str, body: Json) -> Answer:
        if method == "GET":
            return _says(200, [{"uid": uid, "title": title} for uid, title in self.folders.items()])
        if method == "DELETE":
            return _says(200, {}) if self.folders.pop(rest, None) else _says(404, {"message": "folder not found"})
        if body["title"] in self.folders.values():
            return _says(
                409, {"message": "a folder or dashboard in the general folder with the same name already exists"}
            )
        self.folders[body["uid"]] = body["title"]
        return _says(200, body)

    def _source(self, method: str, rest: str, body: Json) -> Answer:
        if method == "GET":
            return _says(200, list(self.sources.values()))
        uid = rest.removeprefix("uid/") or body["uid"]
        if method == "DELETE":
            self.sources.pop(uid)
            return _says(200, {})
        if method == "POST" and any(source["name"] == body["name"] for source in self.sources.values()):
            return _says(409, {"message": "data source with the same name already exists"})
        self.secrets.setdefault(uid, {}).update(body.pop("secureJsonData", {}))
        self.sources[uid] = {"id": len(self.sources) + 1, "isDefault": False, "readOnly": False, **body}
        return _says(200, {"datasource": self.sources[uid], "id": self.sources[uid]["id"]})

    def _dashboard(self, method: str, rest: str, body: Json) -> Answer:
        if rest == "db":
            return self._save(body)
        uid, _, what = rest.removeprefix("uid/").partition("/")
        if uid not in self.dashboards:
            return _says(404, {"message": "Dashboard not found"})
        if method == "DELETE":
            self.dashboards.pop(uid)
            return _says(200, {})
        if what == "versions":
            # Grafana shows no message of a first version.
            number = len(self.messages[uid])
            message = "Initial save" if number == 1 else self.messages[uid][-1]
            return _says(200, {"versions": [{"version": number, "message": message}]})
        meta = {"folderUid": self.folder_of[uid], "provisioned": uid in self.provisioned}
        return _says(200, {"dashboard": self.dashboards[uid], "meta": meta})

    def _save(self, body: Json) -> Answer:
        wanted = body["dashboard"]
        refused = self.before_save(wanted)
        if refused is not None:
            return refused
        if body["folderUid"] not in self.folders:
            return _says(400, {"message": "folder not found", "status": "not-found"})
        there = self.dashboards.get(wanted["uid"])
        if there is not None and not body["overwrite"] and wanted.get("version") != there["version"]:
            message = "The dashboard has been changed by someone else"
            return _says(412, {"message": message, "status": "version-mismatch"})
        self._store(wanted, body["folderUid"], body.get("message", ""))
        return _says(200, {"uid": wanted["uid"], "status": "success"})

    def _store(self, wanted: Json, folder: str, message: str) -> None:
        messages = self.messages.setdefault(wanted["uid"], [])
        messages.append(message)
        kept = {**wanted, "id": wanted.get("id") or len(self.dashboards) + 1, "version": len(messages)}
        self.dashboards[wanted["uid"]] = kept
        self.folder_of[wanted["uid"]] = folder

    def _query(self, method: str, rest: str, body: Json) -> Answer:
        trouble = self.database_trouble(self.secrets.get("greenwarden", {}))
        if trouble:
            return _says(400, {"results": {"A": {"error": trouble, "status": 400}}})
        return _says(200, {"results": {"A": {"frames": []}}})


def _says(status: int, content: object) -> Answer:
    return Answer(status, json.dumps(content).encode())


@contextmanager
def fake_grafana() -> Iterator[FakeGrafana]:
    """A stand-in that listens."""
    grafana = FakeGrafana()
    with grafana.sink:
        yield grafana
