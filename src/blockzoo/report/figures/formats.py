"""The formats in which figures are written; asked before the work, so without Matplotlib."""

from __future__ import annotations

from pathlib import Path

from blockzoo.core.errors import InputError

FORMATS = ("png", "svg")


def require_format(file_format: str) -> None:
    """Raise `InputError` for a format in which figures are not written.

    >>> require_format("svg")
    """
    if file_format not in FORMATS:
        raise InputError(f"figure format is {file_format!r}; allowed: {', '.join(FORMATS)}")


def format_of(plot: Path | None) -> str:
    """Return png or svg, as the file's name ends; raises `InputError` for another.

    >>> format_of(Path("a.svg")), format_of(None)
    ('svg', 'png')
    """
    file_format = plot.suffix.lstrip(".") if plot else "png"
    require_format(file_format)
    return file_format
