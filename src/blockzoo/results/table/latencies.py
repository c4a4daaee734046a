"""The long table of latencies: one row per position asked for and measured timing, with its costs.

`results.csv` has one latency a row, that of the usual way of running. Here every way stands: each
backend, precision, number of threads, cache and batch size, of every run and machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

import pandas as pd

from blockzoo.results.records import Record
from blockzoo.results.store.database import Store
from blockzoo.results.table.columns import LATENCY_TABLE
from blockzoo.results.table.csv import CSV_NAME, LATENCIES_NAME
from blockzoo.results.table.frame import load_table, typed_frame
from blockzoo.results.table.join import timing_rows
from blockzoo.results.table.views import SHORT_LATENCIES, Form, View, check_view, viewed

if TYPE_CHECKING:
    import pyarrow


def latencies_frame(source: Store | Iterable[Record]) -> pd.DataFrame:
    """Return one row per timing and position asked for, as `load_latencies` does.

    Args:
        source: An open store, or records, as `benchmark_blocks` returns them.

    Returns:
        The long table of `load_latencies`.

    Example:
        >>> list(latencies_frame([]).columns)[:4]
        ['timestamp', 'block', 'position', 'latency_ms']
    """
    return typed_frame(timing_rows(source), LATENCY_TABLE)


@overload
def load_latencies(
    path: str | Path, *, view: View = "long", as_: Literal["pandas"] = "pandas"
) -> pd.DataFrame: ...
@overload
def load_latencies(
    path: str | Path, *, view: View = "long", as_: Literal["arrow"]
) -> pyarrow.Table: ...
def load_latencies(
    path: str | Path, *, view: View = "long", as_: Form = "pandas"
) -> pd.DataFrame | pyarrow.Table:
    """Return every latency of a results folder, a store or a CSV: one row a timing.

    `load_results` has one latency a training, that of the usual way of running. Here every way
    stands. Times are in ms per call; only ratios to one baseline compare across sessions.

    Args:
        path: A folder, of which the store is read, or `latencies.csv` where there is none; a store,
            as a file or URL; or a CSV file. A `results.csv` has but one latency a training; where
            it has a `latencies.csv` beside it that is read.
        view: "long" has all columns and `identity`. "short" has ten: block,
            position, latency_device, latency_backend, latency_precision, latency_threads,
            latency_ms, latency_ratio, latency_verdict and latency_flags.
        as_: "pandas" for a DataFrame, "arrow" for a `pyarrow.Table` (`blockzoo[parquet]`).

    Returns:
        The table, in the order of the store or file.

    Raises:
        UnknownNameError: For another view or form.
        ResultsError: For what is missing, damaged or no results file, and without pyarrow.
        SchemaError: For results of a newer version.

    Example:
        >>> from blockzoo.results.store.database import Store
        >>> with Store("results", create=True):  # a store without records yet
        ...     frame = load_latencies("results")
        >>> len(frame), list(frame.columns)[:4]
        (0, ['timestamp', 'block', 'position', 'latency_ms'])
    """
    check_view(view, as_)
    beside = Path(path).with_name(LATENCIES_NAME)
    if "://" not in str(path) and Path(path).name == CSV_NAME and beside.is_file():
        path = beside
    frame = load_table(path, timing_rows, LATENCY_TABLE, [LATENCIES_NAME, CSV_NAME])
    # A file of results has rows of what was only trained or counted, too.
    timed = frame[frame["latency_backend"] != ""].reset_index(drop=True)
    return viewed(timed, SHORT_LATENCIES, view, as_)
