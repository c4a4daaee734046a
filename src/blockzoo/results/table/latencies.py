"""The long table of latencies: one row per position asked for and measured timing, with its costs.

`results.csv` has one latency a row, that of the usual way of running. Here every way stands: each
backend, precision, number of threads, cache and batch size, of every run and machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from blockzoo.core.files import replacing
from blockzoo.results.records import Record
from blockzoo.results.store.database import Store
from blockzoo.results.table.columns import (
    COLUMNS,
    COMPARABILITY_COLUMNS,
    COST_COLUMNS,
    LATENCY_COLUMNS,
    PROVENANCE_COLUMNS,
    ColumnType,
)
from blockzoo.results.table.csv import CSV_NAME, write_results_csv, write_rows
from blockzoo.results.table.frame import load_table, typed_frame
from blockzoo.results.table.join import timing_rows

LATENCIES_NAME = "latencies.csv"
_NAMES = (
    *("timestamp", "block", "position", "latency_ms", "latency_std", "throughput"),
    *LATENCY_COLUMNS,
    *(name for name in COMPARABILITY_COLUMNS if name.startswith("latency_")),
    *("params_total", "params_trainable", "flops", "memory_mb"),
    *COST_COLUMNS,
    *("context", "input_shape", "out_dim", "num_blocks", "base_channels", "stem", "stem_bias"),
    *("experiment_name", "notes"),
    *PROVENANCE_COLUMNS,
)
LATENCY_TABLE: dict[str, ColumnType] = {name: COLUMNS[name] for name in _NAMES}
"""The columns of `latencies.csv`, which mean what they mean in `results.csv`."""


def latencies_frame(records: Iterable[Record]) -> pd.DataFrame:
    """Return one row per timing and position asked for, as `load_latencies` does."""
    return typed_frame(timing_rows(records), LATENCY_TABLE)


def load_latencies(path: str | Path) -> pd.DataFrame:
    """Return every latency of a results folder, a store (file or URL) or a CSV: one row a timing.

    The columns are `LATENCY_TABLE` and `identity`. Of a folder the store is read, or
    `latencies.csv` where there is none. A `results.csv` has but one latency a training; where it
    has a `latencies.csv` beside it that is read. Raises what `load_results` raises.

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


def write_latencies_csv(source: Store | Iterable[Record], path: str | Path) -> None:
    """Write the table of all latencies to `path`; the file is whole at every moment.

    Raises `ResultsError` when it cannot be written.

    >>> write_latencies_csv([], "latencies.csv")
    >>> len(load_latencies("latencies.csv"))
    0
    """
    rows = timing_rows(source.records() if isinstance(source, Store) else source)
    with replacing(path) as scratch:
        write_rows(rows, scratch, LATENCY_TABLE)


def write_csv_files(store: Store, path: str | Path) -> None:
    """Write `path`, which is results.csv, and latencies.csv beside it once anything was timed.

    Raises what `write_results_csv` raises.
    """
    records = store.records()
    write_results_csv(records, path)
    beside = Path(path).with_name(LATENCIES_NAME)
    if beside.is_file() or any(record.kind == "latency" for record in records):
        write_latencies_csv(records, beside)
