"""The folder of a site: what is a site's there, and that nothing else is touched."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from blockzoo.core.errors import InputError, ResultsError
from blockzoo.core.files import replacing

LISTING = "pages.txt"
"""The file that says what a site holds, so that the next one there replaces it and nothing else."""
_FOLDERS = {
    "": (".html",),
    "blocks": (".html",),
    "protocols": (".html",),
    "devices": (".html",),
    "downloads": (".csv", ".parquet", ".zip"),
}


def check_folder(folder: str | Path) -> None:
    """Raise `InputError` for a folder that holds something else than a site.

    >>> check_folder("no-such-folder")
    """
    files_of_site(Path(folder))


def files_of_site(folder: Path) -> set[str]:
    """Return the files of the site that is there; raises `InputError` where there is another.

    >>> files_of_site(Path("no-such-folder"))
    set()
    """
    if not folder.exists():
        return set()
    if not folder.is_dir():
        raise InputError(f"--out is {folder}; that is no folder")
    listing = folder / LISTING
    if not listing.is_file():
        if any(folder.iterdir()):
            raise InputError(f"--out is {folder}; it holds files that are no site")
        return set()
    try:
        lines = listing.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ResultsError(f"{listing} cannot be read: {error}") from None
    # Whoever wrote the list, nothing outside the folder is removed.
    return {line for line in lines if _is_of_site(line)}


def _is_of_site(line: str) -> bool:
    parent, _, name = line.rpartition("/")
    return name.endswith(_FOLDERS.get(parent, ("\0",))) and not name.startswith(".")


def list_files(folder: Path, files: Iterable[str]) -> None:
    """Write down what of the folder is a site's.

    Args:
        folder: Of the site.
        files: Paths within it.
    """
    write_page(folder / LISTING, "".join(f"{path}\n" for path in sorted(files)))


def write_page(path: Path, text: str) -> None:
    """Write a file of the site; it is whole at every moment.

    Args:
        path: Its folder is made where there is none.
        text: Its line ends are the same on every system.
    """
    with replacing(path) as scratch:
        scratch.write_bytes(text.encode("utf-8"))
