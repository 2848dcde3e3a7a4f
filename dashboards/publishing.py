"""Dashboards into a running Grafana, by its HTTP API through grafana-api.

Everything is looked at before anything is changed; what a push changed is put back when it cannot finish. A dashboard
carries the fingerprint of what was pushed, and each version our message: so a second push changes nothing, and one that
somebody has saved by hand since is left to them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import SplitResult, quote, urlsplit

from grafana_api.grafana_api import GrafanaException
from grafana_api.grafana_face import GrafanaFace

from building.errors import PublishFailed, shown
from dashboards.grafana_json import Json

_TIMEOUT_S: Final = 15.0
_FORGETS_AFTER_S: Final = 8.0
"""Grafana goes on with the old data source for some five seconds after a change."""
_MESSAGE: Final = "greenwarden "
_MARK: Final = "build"
_LONGEST_REASON: Final = 200
DATASOURCE_UID: Final = "greenwarden"
_SOURCE_PATH: Final = f"/datasources/uid/{DATASOURCE_UID}"  # grafana-api knows only numbers, which Grafana gives up


@dataclass(frozen=True)
class Folder:
    """The folder that the dashboards go to, told apart by ``uid``."""

    uid: str
    title: str


@dataclass(frozen=True)
class Source:
    """The data source, as Grafana's API writes it; ``secrets`` go in and never come back."""

    model: Mapping[str, Any]
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        return str(self.model["name"])


@dataclass
class Outcome:
    """Titles of what a push did. ``trouble`` says why Grafana cannot read the database; empty when it can."""

    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    """Edited by hand since the last push, and so left as they are."""
    trouble: str = ""


@dataclass(frozen=True)
class _Existing:
    """What Grafana has under a uid of ours; no model where it has nothing. ``message``: of the newest version."""

    model: Json | None = None
    folder: str = ""
    message: str = ""

    @property
    def fingerprint(self) -> str:
        """Of the push that made it; empty when no push has."""
        variables = (self.model or {}).get("templating", {}).get("list", [])
        return next((str(v.get("query")) for v in variables if v.get("name") == _MARK), "")

    @property
    def ours(self) -> bool:
        """Grafana keeps no message for a first version, which nobody can have edited yet."""
        first = self.model is not None and self.model.get("version") == 1
        return bool(self.fingerprint) and (first or self.message.startswith(_MESSAGE))


class Publisher:
    """A Grafana at ``url``, spoken to with ``token``. Every method raises PublishFailed with one plain sentence."""

    def __init__(self, url: str, token: str) -> None:
        parts = _address(url)
        self._url = url
        path = parts.path.strip("/")
        host = parts.netloc
        prefix = f"{path}/" if path else ""
        self._grafana = GrafanaFace(token, host=host, url_path_prefix=prefix, protocol=parts.scheme, timeout=_TIMEOUT_S)
        # A redirected POST becomes a GET and would seem to succeed.
        self._grafana.api.s.max_redirects = 0
        self._undo: list[Callable[[], object]] = []

    def close(self) -> None:
        """Let go of the connection."""
        self._grafana.api.s.close()

    def push(
        self, dashboards: Sequence[Json], folder: Folder, source: Source, *, replace_edited: bool = False
    ) -> Outcome:
        """Bring ``dashboards`` into ``folder`` over ``source``, changing nothing else and nothing twice."""
        self._knock()
        found_folder = self._folder(folder)
        found_source = self._source(source)
        existing = [self._existing(dashboard["uid"]) for dashboard in dashboards]
        outcome = Outcome()
        try:
            if not found_folder:
                self._make_folder(folder)
            self._bring_source(source, found_source)
            for dashboard, known in zip(dashboards, existing, strict=True):
                self._bring(_over(dashboard, source), known, folder, outcome, replace_edited=replace_edited)
        except PublishFailed:
            self._put_back()
            raise
        outcome.trouble = self._trouble(source, found_source)
        return outcome

    # -- looking ------------------------------------------------------------------------------------------------------

    def _knock(self) -> None:
        health = self._ask("is it there", lambda: self._grafana.api.GET("/health"))
        if not isinstance(health, dict) or "database" not in health:
            raise PublishFailed(f"{self._url} answers, but not as Grafana does; give the address of Grafana itself")

    def _folder(self, wanted: Folder) -> bool:
        """Whether the folder is there; a folder of the same name that is not ours is a stop."""
        folders = self._ask("list folders", self._grafana.folder.get_all_folders)
        if any(folder["uid"] == wanted.uid for folder in folders):
            return True
        for folder in folders:
            if folder["title"] == wanted.title:
                raise PublishFailed(
                    f"Grafana has a folder named {wanted.title} already that is not from greenwarden "
                    f"(uid {shown(folder['uid'])}); rename it, or choose another name with --folder"
                )
        return False

    def _source(self, wanted: Source) -> Json | None:
        sources: list[Json] = self._ask("list data sources", self._grafana.datasource.list_datasources)
        for source in sources:
            if source["uid"] == wanted.model["uid"]:
                return source
        for source in sources:
            if source["name"] == wanted.name:
                raise PublishFailed(
                    f"Grafana has a data source named {wanted.name} already that is not from greenwarden "
                    f"(type {source['type']}); rename it, then push again"
                )
        return None

    def _existing(self, uid: str) -> _Existing:
        try:
            answer = self._grafana.dashboard.get_dashboard(uid)
            if answer["meta"].get("provisioned"):
                raise PublishFailed(
                    f"the dashboard {answer['dashboard']['title']} comes from a file of this Grafana's provisioning; "
                    "export new files there instead, or take the provisioning away"
                )
            versions = self._grafana.api.GET(f"/dashboards/uid/{quote(uid)}/versions?limit=1")
        except GrafanaException as error:
            if error.status_code == 404:
                return _Existing()
            raise self._failed("read the dashboards", error) from None
        except (OSError, ValueError) as error:
            raise self._away(error) from None
        listed = versions["versions"] if isinstance(versions, dict) else versions  # since 11 a page, before a list
        message = listed[0].get("message", "") if listed else ""
        return _Existing(answer["dashboard"], answer["meta"].get("folderUid", ""), message)

    # -- changing -----------------------------------------------------------------------------------------------------

    def _make_folder(self, folder: Folder) -> None:
        self._ask("make a folder", lambda: self._grafana.folder.create_folder(folder.title, folder.uid))
        self._undo.append(lambda: self._grafana.folder.delete_folder(folder.uid))

    def _bring_source(self, source: Source, found: Json | None) -> None:
        wanted = {**source.model, "secureJsonData": dict(source.secrets)}
        if found is None:
            self._ask("make a data source", lambda: self._grafana.datasource.create_datasource(wanted))
            self._undo.append(lambda: self._grafana.api.DELETE(_SOURCE_PATH))
        elif not found.get("readOnly") and not _agrees(source.model, found):
            self._update_source(source, found)
            self._undo.append(lambda: self._grafana.api.PUT(_SOURCE_PATH, json=found))

    def _update_source(self, source: Source, found: Json) -> None:
        wanted = {**found, **source.model, "secureJsonData": dict(source.secrets)}
        wanted["isDefault"] = found.get("isDefault", False)
        wanted["jsonData"] = {**(found.get("jsonData") or {}), **source.model["jsonData"]}
        self._ask("update the data source", lambda: self._grafana.api.PUT(_SOURCE_PATH, json=wanted))

    def _bring(
        self, dashboard: Json, known: _Existing, folder: Folder, outcome: Outcome, *, replace_edited: bool
    ) -> None:
        """One dashboard: made, updated, left as it is because it is the same, or because somebody changed it."""
        title, fingerprint = dashboard["title"], _fingerprint(dashboard)
        message, dashboard = _MESSAGE + fingerprint, _marked(dashboard, fingerprint)
        if known.model is None:
            self._save(dashboard | {"id": None}, folder.uid, message)
            self._undo.append(lambda: self._grafana.dashboard.delete_dashboard(dashboard["uid"]))
            outcome.created.append(title)
        elif known.ours and known.fingerprint == fingerprint:
            outcome.unchanged.append(title)
        elif not known.ours and not replace_edited:
            outcome.kept.append(title)
        else:
            before = known.model
            version = {"id": before["id"], "version": before["version"]}
            if not self._save(dashboard | version, known.folder or folder.uid, message):
                outcome.kept.append(title)
                return
            self._undo.append(lambda: self._restore(before, known))
            outcome.updated.append(title)

    def _save(self, dashboard: Json, folder: str, message: str) -> bool:
        """False when somebody saved it since it was looked at."""
        wanted = {"dashboard": dashboard, "folderUid": folder, "message": message, "overwrite": False}
        try:
            self._grafana.dashboard.update_dashboard(wanted)
        except GrafanaException as error:
            response = error.response if isinstance(error.response, dict) else {}
            if error.status_code == 412 and response.get("status") == "version-mismatch":
                return False
            raise self._failed(f"save {dashboard['title']}", error) from None
        except (OSError, ValueError) as error:
            raise self._away(error) from None
        return True

    def _restore(self, before: Json, known: _Existing) -> None:
        message = _MESSAGE + known.fingerprint if known.ours else known.message
        wanted = {"dashboard": before, "folderUid": known.folder, "message": message, "overwrite": True}
        self._grafana.dashboard.update_dashboard(wanted)

    def _put_back(self) -> None:
        """Undo what this push did, newest first; a Grafana that went away keeps what it has."""
        while self._undo:
            with contextlib.suppress(GrafanaException, OSError, ValueError):
                self._undo.pop()()

    def _trouble(self, source: Source, found: Json | None) -> str:
        """Why Grafana cannot read the database. Its secrets are never shown, so they are brought anew to find out."""
        trouble = self._probe()
        if not trouble or found is None or found.get("readOnly"):
            return trouble
        if source.secrets:
            self._update_source(source, found)
        deadline = time.monotonic() + _FORGETS_AFTER_S
        while trouble and time.monotonic() < deadline:
            time.sleep(0.5)
            trouble = self._probe()
        return trouble

    # -- asking -------------------------------------------------------------------------------------------------------

    def _probe(self) -> str:
        """Why Grafana cannot ask the database; empty when it can."""
        query = {
            "refId": "A",
            "datasource": {"type": "influxdb", "uid": DATASOURCE_UID},
            "rawQuery": True,
            "query": "SHOW MEASUREMENTS LIMIT 1",
            "resultFormat": "table",
        }
        asked = {"from": "now-1h", "to": "now", "queries": [query]}
        try:
            answer = self._grafana.api.POST("/ds/query", json=asked)
        except GrafanaException as error:
            return _reason(error)
        except (OSError, ValueError) as error:  # all is done by now: this is told, and fails nothing
            return f"Grafana did not answer ({type(error).__name__})"
        return str(answer.get("results", {}).get("A", {}).get("error", ""))[:_LONGEST_REASON]

    def _ask(self, what: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except GrafanaException as error:
            raise self._failed(what, error) from None
        except (OSError, ValueError) as error:  # requests' errors are OSErrors; an answer that is no JSON a ValueError
            raise self._away(error) from None

    def _failed(self, what: str, error: GrafanaException) -> PublishFailed:
        if error.status_code == 401:
            return PublishFailed(
                f"Grafana at {self._url} does not know this token; make one under Administration, Service accounts, "
                "with the role Admin"
            )
        if error.status_code == 403:
            return PublishFailed(
                f"the token may not do this in Grafana ({what}); give its service account the role Admin"
            )
        return PublishFailed(
            f"Grafana at {self._url} would not {what} ({error.status_code} {_reason(error)}); nothing stays changed"
        )

    def _away(self, error: Exception) -> PublishFailed:
        kind = type(error).__name__
        if (isinstance(error, ValueError) and not isinstance(error, OSError)) or kind == "JSONDecodeError":
            return PublishFailed(f"{self._url} answers, but not as Grafana does; give the address of Grafana itself")
        if kind == "TooManyRedirects":
            return PublishFailed(f"{self._url} sends us elsewhere; give the address that Grafana has in the end")
        if kind == "SSLError":
            return PublishFailed(
                f"the certificate of {self._url} cannot be trusted; name its authority in REQUESTS_CA_BUNDLE"
            )
        return PublishFailed(f"Grafana at {self._url} does not answer ({kind}); see that it runs, and its address")


def _address(url: str) -> SplitResult:
    """``url`` taken apart. Raises PublishFailed when it is none, or holds a password."""
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError
    except ValueError:
        raise PublishFailed(f"{shown(url)} is no address of a Grafana; write e.g. http://10.1.0.9:3000") from None
    if "@" in parts.netloc:
        raise PublishFailed("name and password do not belong into Grafana's address; use a token")
    return parts


def _over(dashboard: Json, source: Source) -> Json:
    """The dashboard with ``source`` chosen, so that it does not begin with some other InfluxDB of this Grafana."""
    chosen = {"selected": True, "text": source.name, "value": source.model["uid"]}
    variables = [
        variable | {"current": chosen} if variable["type"] == "datasource" else variable
        for variable in dashboard["templating"]["list"]
    ]
    return dashboard | {"templating": {"list": variables}}


def _marked(dashboard: Json, fingerprint: str) -> Json:
    """The dashboard with its fingerprint as a hidden constant, which survives whatever is done to it by hand."""
    option = {"selected": True, "text": fingerprint, "value": fingerprint}
    mark = {"name": _MARK, "type": "constant", "query": fingerprint, "hide": 2, "skipUrlSync": True}
    variables = [*dashboard["templating"]["list"], {**mark, "current": option, "options": [option]}]
    return dashboard | {"templating": {"list": variables}}


def _fingerprint(dashboard: Json) -> str:
    return hashlib.sha256(json.dumps(dashboard, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]


def _agrees(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """Whether all that ``wanted`` asks for is so in ``found``; what it does not speak of may be anything."""
    for key, value in wanted.items():
        there = found.get(key)
        if isinstance(value, Mapping):
            if not isinstance(there, Mapping) or not _agrees(value, there):
                return False
        elif (there or "") != (value or ""):
            return False
    return True


def _reason(error: GrafanaException) -> str:
    """What Grafana said, on one line."""
    response = error.response
    if isinstance(response, dict):
        results = response.get("results")
        told = results.get("A", {}).get("error") if isinstance(results, dict) else None
        response = told or response.get("message") or response
    return " ".join(str(response).split())[:_LONGEST_REASON]
