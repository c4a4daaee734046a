"""The long table of latencies: one row per position asked for and measured timing, with its costs.

`results.csv` has one latency a row, that of the usual way of running. Here every way stands: each
backend, precision, number of threads, cache and batch size, of every run and machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from blockzoo.results.records import Record
from blockzoo.results.store.database import Store
from blockzoo.results.table.columns import LATENCY_TABLE
from blockzoo.results.table.csv import CSV_NAME, LATENCIES_NAME
from blockzoo.results.table.frame import load_table, typed_frame
from blockzoo.results.table.join import timing_rows


def latencies_frame(source: Store | Iterable[Record]) -> pd.DataFrame:
    """Return one row per timing and position asked for, as `load_latencies` does."""
    return typed_frame(timing_rows(source), LATENCY_TABLE)


def load_latencies(path: str | Path) -> pd.DataFrame:
    """Return every latency of a results folder, a store (file or URL) or a CSV: one row a timing.

    The columns are `LATENCY_TABLE` and `identity`. Of a folder the store is read, or
    `latencies.csv` where there is none. A `results.csv` has but one latency a training; where it
    has a `latencies.csv` beside it that is read. Raises what `load_results` raises.

    >>> from blockzoo.results.store.database import Store
    >>> with Store("results", create=True):  # a store without records yet
    ...     frame = load_latencies("results")
    >>> len(frame), list(frame.columns)[:4]
    (0, ['timestamp', 'block', 'position', 'latency_ms'])
    """
    beside = Path(path).with_name(LATENCIES_NAME)
    if "://" not in str(path) and Path(path).name == CSV_NAME and beside.is_file():
        path = beside
    frame = load_table(path, timing_rows, LATENCY_TABLE, [LATENCIES_NAME, CSV_NAME])
    # A file of results has rows of what was only trained or counted, too.
    return frame[frame["latency_backend"] != ""].reset_index(drop=True)
