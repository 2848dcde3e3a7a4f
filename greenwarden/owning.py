"""One program for one data folder: two would write into each other's queue."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from building.errors import ConfigError


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for this process; made if need be. Raises ConfigError when another process holds it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("a+", encoding="ascii")
    except OSError as error:
        raise ConfigError(
            f"{folder}: cannot be used ({error.strerror}); give this user the right to write there"
        ) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise ConfigError(
                f"{folder}: another greenwarden (process {holder}) works there; stop it, or use another data folder"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
