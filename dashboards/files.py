"""The dashboards as files for Grafana: one JSON for each board and language, and the provisioning beside them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from building.errors import InputError
from building.site import Site
from dashboards.boards import BOARDS
from dashboards.for_site import for_site
from dashboards.grafana_json import LANGUAGES, Json, dashboard_json

COMMITTED: Final = Path(__file__).resolve().parent / "grafana"
"""The files of the project itself: for no site in particular."""
_PROVISIONING: Final = "provisioning"


def built(language: str, site: Site | None = None) -> dict[str, Json]:
    """Every board of ``language`` by its name."""
    made = {board.name: dashboard_json(board, language) for board in BOARDS}
    return made if site is None else {name: for_site(dashboard, site) for name, dashboard in made.items()}


def as_text(dashboard: Json) -> str:
    """The text of a dashboard's file."""
    return json.dumps(dashboard, ensure_ascii=False, indent=1) + "\n"


def export(folder: Path, site: Site | None = None, languages: Sequence[str] = LANGUAGES) -> list[Path]:
    """Write ``folder``/zh/today.json and so on, and ``folder``/provisioning; returns the dashboards' files.

    Files of the same names are replaced, others left alone. Raises InputError when ``folder`` cannot be written.
    """
    written = []
    try:
        for language in languages:
            into = folder / language
            into.mkdir(parents=True, exist_ok=True)
            for name, dashboard in built(language, site).items():
                path = into / f"{name}.json"
                path.write_text(as_text(dashboard), encoding="utf-8")
                written.append(path)
        if folder.resolve() != COMMITTED:
            shutil.copytree(COMMITTED / _PROVISIONING, folder / _PROVISIONING, dirs_exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the dashboards cannot be written to {folder} ({error.strerror}); choose another folder"
        ) from None
    return written
