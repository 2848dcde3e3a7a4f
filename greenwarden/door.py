"""The door: a site file becomes objects here, checked by the building and by every wing at once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from building.document import Document, Where
from building.site import Site, load_site
from collector.profiles import check_profiles
from collector.service import check_links
from rules.catalogue import check_rules
from rules.channels import check_channels
from rules.routing import check_routes


def open_site(path: Path) -> Site:
    """The site in ``path``; raises ConfigError telling every mistake that the building and the wings see."""

    def check_own_profiles(document: Document) -> Iterable[tuple[Where, str]]:
        return check_profiles(document, profiles_folder(path))

    return load_site(path, (check_own_profiles, check_links, check_rules, check_channels, check_routes))


def profiles_folder(path: Path) -> Path:
    """Where the user's own profiles are: ``profiles`` beside the site file."""
    return path.resolve().parent / "profiles"


def data_folder(path: Path, site: Site) -> Path:
    """Where queue, store and memory are: relative paths count from the site file."""
    return path.resolve().parent / site.store.data


def sample_site() -> Path:
    """The sample devices.yaml: in a checkout at its top, in an installed package beside this module."""
    here = Path(__file__).resolve().parent
    beside = here.parent / "devices.yaml"
    return beside if beside.exists() else here / "sample" / "devices.yaml"
