"""One row per group: what the seeds of one block in one place say together, with its cost."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

import numpy as np
import pandas as pd

from blockzoo.core.position import POSITIONS
from blockzoo.results.selection import counting, usual_way
from blockzoo.stats.paired_seeds import mean_interval

GROUP = ["dataset", "protocol", "block", "position"]

SUMMARY_COLUMNS = (
    *GROUP,
    "n",
    "failed",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "accuracy_source",
    "corruption_accuracy",
    "shift_consistency",
    "flops",
    "params",
    "memory_mb",
    "latency_ms",
    "latency_low_ms",
    "latency_high_ms",
    "latency_batch_size",
    "latency_hardware",
)
"""`n` seeds that went well, `failed` ones; accuracies as fractions of 1; costs of deploy form.

`corruption_accuracy` and `shift_consistency` are means over the seeds that were tested so, NaN for
none.
"""

_LATENCY_SETTINGS = [
    "latency_hardware",
    "latency_device",
    "latency_backend",
    "latency_precision",
    "latency_threads",
    "latency_cache",
    "latency_batch_size",
]
_LATENCY_VALUES = ["latency_ms", "latency_low_ms", "latency_high_ms"]
_TRIAL = ["timestamp", "status", "seed", "block_fingerprint", "test_acc", "val_acc"]
_COSTS = ["flops", "params_deploy", "params_total", "memory_mb"]
_ROBUSTNESS = {"corruption_accuracy": "corruption_acc", "shift_consistency": "shift_consistency"}
_TEXTS = frozenset({*GROUP, "accuracy_source", "latency_hardware"})
_SOURCES = {"test": "test_acc", "validation": "val_acc"}
_POSITION_ORDER = {position.value: position.stage_index for position in POSITIONS}


def summarize(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row per (dataset, protocol, block, position) of a frame of `load_results`.

    The accuracy is the mean over seeds with its 95% Student-t interval (NaN for one seed, never
    beyond 0 and 1), of the test set, or of validation where fewer seeds have a test accuracy:
    `accuracy_source` says which. Which of several results counts is said in `results/selection.py`.
    A group whose seeds all failed has n = 0 and accuracy NaN.
    Latencies are comparable within a data set and protocol: those measured with other settings
    (hardware, batch size, ...) than most groups are left out. Rows without a data set, those of
    blocks that were not trained, do not appear.
    """
    used = [*GROUP, *_TRIAL, *_ROBUSTNESS.values(), *_COSTS, *_LATENCY_VALUES, *_LATENCY_SETTINGS]
    # Files from before there was a choice say nothing.
    frame = frame.assign(latency_cache=frame["latency_cache"].replace("", "hot"))
    trained = frame.loc[frame["dataset"] != "", used].sort_values("timestamp", kind="stable")
    # Without any group the empty frame itself, because `concat` refuses an empty list.
    trained = pd.concat([_one_timing(rows) for _, rows in trained.groupby(GROUP[:2])] or [trained])
    rows = [_group(key, rows) for key, rows in trained.groupby(GROUP)]
    # Grouping sorted the positions by the alphabet; a table reads early, mid, late.
    rows.sort(key=_place)
    return pd.DataFrame(
        {
            name: pd.Series([row[name] for row in rows], dtype=_dtype(name))
            for name in SUMMARY_COLUMNS
        }
    )


def _place(row: dict[str, object]) -> tuple[object, ...]:
    position = _POSITION_ORDER.get(str(row["position"]), len(POSITIONS))
    return *(row[name] for name in GROUP[:3]), position


def _dtype(column: str) -> str:
    if column in _TEXTS:
        return "str"
    return "int64" if column in ("n", "failed") else "float64"


def _one_timing(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of one data set and protocol without latencies of unusual settings."""
    timed = rows[rows["latency_ms"].notna()]
    ways = pd.Series(list(_tuples(rows, _LATENCY_SETTINGS)), index=rows.index)
    usual = usual_way(zip(_tuples(timed, GROUP), ways[timed.index], strict=True))
    kept = rows.copy()
    kept.loc[[way != usual for way in ways], _LATENCY_VALUES] = np.nan
    return kept


def _tuples(rows: pd.DataFrame, columns: list[str]) -> Iterator[tuple[object, ...]]:
    """Yield one tuple a row; what is missing equals what is missing."""
    texts = rows[columns].astype(object)
    return texts.where(texts.notna(), "").itertuples(index=False, name=None)


def _group(key: Hashable, rows: pd.DataFrame) -> dict[str, object]:
    """Return the summary of one group; its rows are sorted by time."""
    assert isinstance(key, tuple)
    kept = counting(
        list(rows["block_fingerprint"]),
        [None if np.isnan(seed) else seed for seed in rows["seed"].astype(float)],
        list(rows["status"] != "failed"),
    )
    latest = rows.iloc[kept]
    # Not "ok", for rows of the early version do not say how they ended.
    done = latest[latest["status"] != "failed"]
    timed = latest[latest["latency_ms"].notna()]
    return {
        **dict(zip(GROUP, key, strict=True)),
        "failed": len(latest) - len(done),
        **_accuracy(done),
        **{name: float(done[column].mean()) for name, column in _ROBUSTNESS.items()},
        "flops": _newest(latest["flops"]),
        "params": _newest(latest["params_deploy"].fillna(latest["params_total"])),
        "memory_mb": _newest(latest["memory_mb"]),
        **{name: _newest(timed[name].tail(1)) for name in _LATENCY_VALUES},
        "latency_batch_size": _newest(timed["latency_batch_size"].tail(1)),
        # Joined, because there is one row or none.
        "latency_hardware": "".join(timed["latency_hardware"].tail(1)),
    }


def _accuracy(done: pd.DataFrame) -> dict[str, object]:
    # Of equals the first, which is the test set.
    source = max(_SOURCES, key=lambda name: int(done[_SOURCES[name]].notna().sum()))
    values = done[_SOURCES[source]].dropna().to_numpy(dtype=float)
    if len(values) == 0:
        nothing = dict.fromkeys(("accuracy", "accuracy_low", "accuracy_high"), np.nan)
        return {"n": 0, "accuracy_source": "", **nothing}
    mean = mean_interval(values)
    return {
        "n": mean.n,
        "accuracy": mean.mean,
        "accuracy_low": np.nan if mean.low is None else max(mean.low, 0.0),
        "accuracy_high": np.nan if mean.high is None else min(mean.high, 1.0),
        "accuracy_source": source,
    }


def _newest(values: pd.Series) -> float:
    """Return the last value that is known, NaN where none is."""
    known = values.dropna()
    return float(known.iloc[-1]) if len(known) else np.nan
