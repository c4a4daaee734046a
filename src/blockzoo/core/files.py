"""Files that are always whole: a new version takes the old one's place at once or not at all.

What is being written is a scratch file beside the target, `.NAME.HOST-PID.tmp`. A process that is
killed leaves it behind; whichever writes into that folder next removes it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from blockzoo.core.errors import ResultsError


def make_folder(folder: Path) -> None:
    """Create the folder and its parents where missing; raises `ResultsError` when it cannot.

    >>> make_folder(Path("results/plots"))
    >>> Path("results/plots").is_dir()
    True
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResultsError(
            f"folder {folder} cannot be created: {error.strerror or error}"
        ) from error


# The second form is that of versions which did not name the host; it is another program's as well,
# so only names count that no other has.
_SCRATCH = re.compile(r"\..+\.(?P<host>[0-9a-f]{8})-(?P<pid>\d+)\.tmp")
_OLD_SCRATCH = re.compile(r"\.(?:[0-9a-f]{32}\.ckpt|results\.csv)\.(?P<pid>\d+)\.tmp")
_cleared: set[Path] = set()


def remove_scraps(folder: Path) -> None:
    """Remove the scratch files in `folder` that processes of this machine left which are gone.

    >>> remove_scraps(Path("results"))
    """
    if folder.is_dir():
        # Where they cannot be removed they do no harm.
        with contextlib.suppress(OSError):
            for path in filter(_is_scrap, folder.glob(".*.tmp")):
                path.unlink(missing_ok=True)


def _is_scrap(path: Path) -> bool:
    match = _SCRATCH.fullmatch(path.name) or _OLD_SCRATCH.fullmatch(path.name)
    # Of processes of another machine, which may share the folder, nothing is known here.
    if match is None or match.groupdict().get("host", _host()) != _host():
        return False
    import psutil  # only where there is a scrap

    return not psutil.pid_exists(int(match["pid"]))


def _host() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield the path of a scratch file beside `path` that becomes `path` when the body succeeds.

    The content is on the disk before the name changes. When the body fails, `path` is as it was.
    Raises `ResultsError` for a folder or file that cannot be written and for a full disk.

    >>> with replacing("table.csv") as scratch:
    ...     _ = scratch.write_text("a,b")
    >>> Path("table.csv").read_text()
    'a,b'
    """
    target = Path(path).resolve()  # through a link, so that the link stays
    make_folder(target.parent)
    if target.exists() and not target.is_file():
        raise ResultsError(f"{path} cannot be written: it is not a file")
    # Beside the target, for a rename is only atomic within one file system.
    scratch = target.with_name(f".{target.name}.{_host()}-{os.getpid()}.tmp")
    if target.parent not in _cleared:  # once, for a folder may hold very many files
        _cleared.add(target.parent)
        remove_scraps(target.parent)
    try:
        yield scratch
        _sync(scratch)
        scratch.replace(target)
        _sync(target.parent)  # the new name is an entry of the folder
    except OSError as error:
        raise ResultsError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        scratch.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Wait until the file or folder is on the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open folders and needs no such thing
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
