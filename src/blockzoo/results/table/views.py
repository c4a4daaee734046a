"""How much of a table is wanted, and as what: ten columns or all, pandas or Arrow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import pandas as pd

from blockzoo.core.errors import ResultsError, UnknownNameError

if TYPE_CHECKING:
    import pyarrow as pa

View = Literal["long", "short"]
Form = Literal["pandas", "arrow"]

SHORT_RESULTS = (
    *("block", "position", "dataset", "protocol", "seed"),
    *("test_acc", "params_total", "flops", "latency_ms", "status"),
)
"""Of a training: what it is of, how well it did, what it costs, and whether it went well."""

SHORT_LATENCIES = (
    *("block", "position", "latency_device", "latency_backend", "latency_precision"),
    *("latency_threads", "latency_ms", "latency_ratio", "latency_verdict", "latency_flags"),
)
"""Of a timing: what was run how, how long it took, and what may be said of it."""


def check_view(view: str, as_: str) -> None:
    """Raise `UnknownNameError` for a view or a form that there is not.

    >>> check_view("tiny", "pandas")
    Traceback (most recent call last):
    blockzoo.core.errors.UnknownNameError: unknown view 'tiny'; allowed: long, short
    """
    for kind, name, known in (("view", view, get_args(View)), ("as_", as_, get_args(Form))):
        if name not in known:
            raise UnknownNameError(kind, name, known)
    if as_ == "arrow":
        _arrow()  # what is missing is said before anything is read


def viewed(
    frame: pd.DataFrame, short: tuple[str, ...], view: View, as_: Form
) -> pd.DataFrame | pa.Table:
    """Return the frame, its columns `short` alone where that is the view, as pandas or Arrow.

    >>> frame = pd.DataFrame({"block": ["A"], "notes": [""]})
    >>> viewed(frame, ("block",), "short", "arrow").column_names
    ['block']
    """
    shown = frame[list(short)] if view == "short" else frame
    return shown if as_ == "pandas" else _arrow().from_pandas(shown, preserve_index=False)


def _arrow() -> type[pa.Table]:
    try:
        from pyarrow import Table
    except ImportError as error:
        raise ResultsError("Arrow needs pyarrow: pip install 'blockzoo[parquet]'") from error
    found: type[pa.Table] = Table
    return found
