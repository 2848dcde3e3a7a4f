"""``greenwarden dashboards push`` and ``export``: the dashboards into a Grafana, or into files for one."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Final

from building.errors import ConfigError, InputError, PublishFailed, shown
from building.site import InfluxSettings, Site
from dashboards.files import built, export
from dashboards.grafana_json import LANGUAGES
from dashboards.publishing import DATASOURCE_UID, Folder, Outcome, Publisher, Source
from greenwarden import terminal
from greenwarden.door import open_site

_FOLDERS: Final = {"zh": "绿哨", "en": "Greenwarden"}
_DATABASE: Final = "greenwarden"


def push_dashboards(
    path: Path,
    url: str,
    token: str,
    *,
    language: str | None,
    folder: str | None,
    influx_url: str | None,
    replace_edited: bool,
    as_json: bool,
) -> None:
    """Bring the site's dashboards into the Grafana at ``url``. Raises PublishFailed when any was not brought."""
    if language not in (None, *LANGUAGES):
        raise ConfigError(f"--language {shown(language)} is not accepted; write {' or '.join(LANGUAGES)}")
    site = open_site(path)
    spoken = language or site.site.language
    source = _source(path, site, influx_url)
    wanted = list(built(spoken, site).values())
    place = Folder(f"greenwarden-{spoken}", folder or _FOLDERS[spoken])
    with closing(Publisher(url, token)) as grafana:
        outcome = grafana.push(wanted, place, source, replace_edited=replace_edited)
    _tell(outcome, place, as_json=as_json)
    if outcome.kept:
        raise PublishFailed(
            f"kept as they are, because somebody changed them by hand: {', '.join(outcome.kept)}; "
            "save your own under another name, or push with --replace-edited"
        )


def export_dashboards(folder: Path, path: Path | None, *, as_json: bool) -> None:
    """Write the dashboards and the provisioning beside them into ``folder``; of ``path``'s site where it is given."""
    if os.path.exists(folder) and not folder.is_dir():
        raise InputError(f"{folder} is a file; give a folder")
    site = None if path is None else open_site(path)
    written = export(folder, site)
    if as_json:
        terminal.emit_json({"folder": str(folder), "files": [str(file.relative_to(folder)) for file in written]})
    else:
        terminal.say(f"{len(written)} dashboards written to {folder}, with Grafana's provisioning beside them")


def _tell(outcome: Outcome, place: Folder, *, as_json: bool) -> None:
    done = {"created": outcome.created, "updated": outcome.updated, "unchanged": outcome.unchanged}
    if as_json:
        terminal.emit_json({**done, "kept": outcome.kept, "trouble": outcome.trouble, "folder": place.title})
        return
    for word, titles in done.items():
        if titles:
            terminal.say(f"{word}: {', '.join(titles)}")
    if outcome.trouble:
        terminal.say(f"the dashboards are there, but Grafana cannot read the database: {outcome.trouble}")


def _source(path: Path, site: Site, influx_url: str | None) -> Source:
    """The data source that the site's store asks for."""
    settings = site.store.influxdb
    if settings is None:
        raise ConfigError(
            f"{path}: Grafana needs an InfluxDB to read from, and the site keeps its readings in the embedded store; "
            "add store: {influxdb: {url: …}}"
        )
    database = settings.bucket or settings.database or _DATABASE
    model = {
        "name": "greenwarden",
        "uid": DATASOURCE_UID,
        "type": "influxdb",
        "access": "proxy",
        "url": influx_url or settings.url,
        "database": database,  # where Grafana 9 still looks for it
        "basicAuth": False,
        "jsonData": {"version": "InfluxQL", "dbName": database, "httpMode": "POST"},
    }
    return _with_login(model, settings)


def _with_login(model: dict[str, object], settings: InfluxSettings) -> Source:
    assert isinstance(model["jsonData"], dict)
    if not settings.verify_tls:
        model["jsonData"]["tlsSkipVerify"] = True
    if settings.token is not None:
        model["jsonData"]["httpHeaderName1"] = "Authorization"
        return Source(model, {"httpHeaderValue1": f"Token {settings.token.reveal()}"})
    if settings.user is not None:
        model["user"] = settings.user
        return Source(model, {"password": settings.password.reveal() if settings.password else ""})
    return Source(model)
