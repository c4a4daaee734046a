"""Files that are always whole: a new version takes the old one's place at once or not at all."""

from __future__ import annotations

import os
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
    scratch = target.with_name(f".{target.name}.{os.getpid()}.tmp")
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
