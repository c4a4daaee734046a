"""Silencing libraries: what they print, warn and log while they work for us is not for the user."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep prints, warnings and log lines of what runs inside out of sight; errors still raise.

    >>> with quiet():
    ...     print("exported in 3 passes")
    """
    before = logging.root.manager.disable
    # For all loggers at once: a library may make new ones, or set their levels, as it works.
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
