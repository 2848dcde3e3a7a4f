"""The door: a site file becomes objects here, checked by the building and by every wing at once."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from building.document import Document, Where
from building.errors import ConfigError
from building.site import Site, load_site
from collector.profiles import check_profiles
from collector.service import check_links
from collector.storing.keeper import Keeper
from rules.catalogue import check_rules
from rules.channels import check_channels
from rules.overtime import with_bookings
from rules.routing import check_routes


def open_site(path: Path) -> Site:
    """The site in ``path``; raises ConfigError telling every mistake that the building and the wings see."""

    def check_own_profiles(document: Document) -> Iterable[tuple[Where, str]]:
        return check_profiles(document, profiles_folder(path))

    return load_site(path, (check_own_profiles, check_links, check_rules, check_channels, check_routes))


def language_of(path: Path) -> str:
    """The language of the site in ``path``; where there is none that can be read, what this computer speaks."""
    try:
        return open_site(path).site.language
    except ConfigError:
        pass  # whoever needs the file says what is wrong with it
    spoken = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    return "zh" if spoken.startswith("zh") else "en"


def handed_in(path: Path) -> Path:
    """``path`` of a file that a command was given. Raises ConfigError where it is none: a slip of the pen."""
    if not os.path.exists(path):  # never an error, also where a link leads to itself
        raise ConfigError(f"{path} does not exist; give the path of a file")
    if os.path.isdir(path):
        raise ConfigError(f"{path} is a folder; give the path of a file")
    return path


def profiles_folder(path: Path) -> Path:
    """Where the user's own profiles are: ``profiles`` beside the site file."""
    return Path(os.path.realpath(path)).parent / "profiles"  # never an error, also where a link leads to itself


def data_folder(path: Path, site: Site) -> Path:
    """Where queue, store and memory are: relative paths count from the site file."""
    return path.resolve().parent / site.store.data


def with_overtime_told(path: Path, site: Site) -> Site:
    """``site`` with the overtime that was booked over MQTT, as the running program has kept it."""
    file = data_folder(path, site) / "memory.db"
    if not file.exists():
        return site
    with Keeper(file) as keeper:
        return with_bookings(site, keeper.records("overtime"))


def sample_site() -> Path:
    """The sample devices.yaml: in a checkout at its top, in an installed package beside this module."""
    here = Path(__file__).resolve().parent
    beside = here.parent / "devices.yaml"
    return beside if beside.exists() else here / "sample" / "devices.yaml"
