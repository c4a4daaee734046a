"""Lightning, and what its loggers bring with them, kept quiet."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

_LOGGERS = (
    *("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"),
    *("mlflow", "alembic"),
)


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Silence what Lightning logs below a warning, such as the precision, which records hold."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
