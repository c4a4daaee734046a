"""What a network's own code raises, told as a `BlockError` in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from blockzoo.blocks.blame import describe_error
from blockzoo.errors import BlockError, BlockZooError
from blockzoo.measure.out_of_memory import is_out_of_memory


@contextmanager
def block_errors(what: str) -> Iterator[None]:
    """Raise `BlockError` for what is raised within: `what`, a colon and the error.

    What is raised on purpose passes, and so does memory that is exhausted.
    """
    try:
        yield
    except BlockZooError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise BlockError(f"{what}: {describe_error(error)}") from error
