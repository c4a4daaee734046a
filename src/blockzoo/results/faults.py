"""What a database or a file system says when it fails, turned into one clear line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from blockzoo.core.errors import ResultsError

# SQLite tells its errors apart by text; the extended codes reach Python from 3.11 on only.
_MEANINGS = (
    ("file is not a database", "is not a BlockZoo store: it is no SQLite database"),
    ("malformed", "is damaged or truncated: restore a copy, or move it away and start anew"),
    ("disk is full", "cannot be written: no space is left on the disk"),
    ("readonly", "cannot be written: the file or its folder is read-only"),
    ("locked", "is locked by another process that did not finish in time; try again later"),
    ("unable to open", "cannot be opened: check that the file and its folder can be accessed"),
    ("disk i/o error", "cannot be read or written: the disk reports an input/output error"),
)


@contextmanager
def clear_faults(location: str) -> Iterator[None]:
    """Turn errors of the database and of the file system into `ResultsError` naming `location`."""
    try:
        yield
    except SQLAlchemyError as error:
        raise ResultsError(f"{location} {_meaning(error)}") from error
    except OSError as error:
        raise ResultsError(
            f"{location} cannot be read or written: {error.strerror or error}"
        ) from error


def _meaning(error: SQLAlchemyError) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    text = " ".join(str(cause).split())
    known = (meaning for fragment, meaning in _MEANINGS if fragment in text.casefold())
    return next(known, f"fails: {text}")
