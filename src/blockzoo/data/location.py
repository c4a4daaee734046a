"""Where data sets are kept when nobody says where."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def default_data_dir() -> Path:
    """Return the folder of `BLOCKZOO_DATA` if that is set, else one in the user's cache."""
    chosen = os.environ.get("BLOCKZOO_DATA")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        cache = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        cache = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    else:
        # Empty counts as not set, as the XDG specification has it.
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "blockzoo" / "data"


def cache_dir(data_dir: Path | None) -> Path:
    """Return where decoded images are kept, in `data_dir` or in the default data folder.

    >>> cache_dir(Path("images")).as_posix()
    'images/cache'
    """
    return (data_dir or default_data_dir()) / "cache"
