"""One row per group: what the seeds of one block in one place say together, with its cost."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from blockzoo.analysis.groups import Terms, differences, with_failures
from blockzoo.core.position import POSITIONS
from blockzoo.results.records import identity_of
from blockzoo.results.selection import counting, usual_way
from blockzoo.results.store.database import Store
from blockzoo.results.store.engines import has_whole_records
from blockzoo.results.table.columns import COLUMNS, IDENTITY
from blockzoo.results.table.frame import load_results
from blockzoo.results.table.join import result_rows
from blockzoo.results.table.values import Row
from blockzoo.stats.paired_seeds import mean_interval

TITLE = ["dataset", "protocol", "block", "position"]
"""The columns by which people know a group."""

SUMMARY_COLUMNS = (
    *TITLE,
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
    "stage_macs",
    "stage_params",
    "memory_mb",
    "latency_ms",
    "latency_low_ms",
    "latency_high_ms",
    "latency_batch_size",
    "latency_hardware",
    "latency_baseline",
    "latency_ratio",
    "latency_ratio_low",
    "latency_ratio_high",
    "latency_verdict",
    "latency_verdict_reason",
    "latency_timing",
    "latency_timed_with",
    "variant",
    *(name for name in Terms._fields if name not in TITLE),
)
"""`n` seeds that went well, `failed` ones; accuracies as fractions of 1; costs of deploy form, of
the whole network and, `stage_`, of the stage at the position alone.

`corruption_accuracy` and `shift_consistency` are means over the seeds that were tested so, NaN for
none. `latency_ratio` is to `latency_baseline`, timed in the same rounds. `latency_timing` tells
medians apart that are not comparable, see `timings`; `latency_timed_with` are versions in words.
`variant` says in words what tells a group from others of its data set and protocol; the last are
the terms that all seeds of a group share.
"""

_LATENCY_SETTINGS = [
    "latency_hardware",
    "latency_device",
    "latency_backend",
    "latency_precision",
    "latency_threads",
    "latency_cache",
    "latency_batch_size",
    "latency_channels_last",
    "latency_form",
    "latency_baseline",
]
_LATENCY_VALUES = [
    "latency_ms",
    "latency_low_ms",
    "latency_high_ms",
    "latency_ratio",
    "latency_ratio_low",
    "latency_ratio_high",
]
_LATENCY_TEXTS = [
    "latency_hardware",
    "latency_baseline",
    "latency_verdict",
    "latency_verdict_reason",
]
_LATENCY_ORIGIN = ["latency_session", "latency_environment", "latency_torch", "latency_governor"]
_TRIAL = ["timestamp", "status", "seed", "block_fingerprint", "test_acc", "val_acc"]
_STAGE = {"stage_macs": "stage_macs_deploy", "stage_params": "stage_params_deploy"}
_COSTS = ["flops", "params_deploy", "params_total", "memory_mb", *_STAGE.values()]
_ROBUSTNESS = {"corruption_accuracy": "corruption_acc", "shift_consistency": "shift_consistency"}
USED = tuple(
    dict.fromkeys(
        (
            *(*TITLE, *Terms._fields, *_TRIAL, *_ROBUSTNESS.values(), *_COSTS),
            *(*_LATENCY_VALUES, *_LATENCY_SETTINGS, *_LATENCY_TEXTS, *_LATENCY_ORIGIN),
        )
    )
)
"""The columns of results that a summary reads."""
_TEXTS = frozenset(
    {*Terms._fields, *TITLE, *_LATENCY_TEXTS, "accuracy_source", "variant"}
    | {"latency_timing", "latency_timed_with"}
)
_SOURCES = {"test": "test_acc", "validation": "val_acc"}
_Group = tuple[tuple[str, str], Terms]
"""Block and position, and on what terms the block was trained there."""
_POSITION_ORDER = {position.value: position.stage_index for position in POSITIONS}


def summarize(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row per block, position and terms of training of a frame of `load_results`.

    The terms (`analysis/groups.py`) are data set, protocol and whatever else makes seeds one group:
    the fingerprint of the data, the arithmetic, the scaffold, the kind of identity.

    The accuracy is the mean over seeds with its 95% Student-t interval (NaN for one seed, never
    beyond 0 and 1), of the test set, or of validation where fewer seeds have a test accuracy:
    `accuracy_source` says which. Which of several results counts is said in `results/selection.py`.
    A group whose seeds all failed has n = 0 and accuracy NaN. A seed that failed before it knew
    its arithmetic counts with every group that it may belong to.
    Latencies are comparable within a data set and protocol: those measured with other settings
    (hardware, batch size, baseline, ...) than most groups are left out. Rows without a data set,
    those of blocks that were not trained, do not appear.
    """
    return _summarized(_Columns({name: _array(frame[name]) for name in USED}))


def summary_of(source: str | Path) -> tuple[pd.DataFrame, tuple[int, int]]:
    """Return the summary of results wherever they lie, and how many rows are of an older identity.

    Of a store the rows never are a frame, which would take longer than all else.

    Args:
        source: As of `load_results`.

    Returns:
        What `summarize` returns; how many rows are of an older identity, and how many there are.

    Raises:
        ResultsError: For what `load_results` does not read.

    Example:
        >>> with Store("results", create=True):
        ...     summary, older = summary_of("results")
        >>> len(summary), older
        (0, (0, 0))
    """
    if "://" in str(source) or has_whole_records(source):
        with Store(source) as store:
            columns = _Columns.of_rows(result_rows(store))
    else:
        frame = load_results(source)
        columns = _Columns({name: _array(frame[name]) for name in USED})
    identities = columns.all(IDENTITY)
    return _summarized(columns), (int((identities == "1").sum()), len(identities))


def _summarized(columns: _Columns) -> pd.DataFrame:
    # Files from before there was a choice say nothing.
    cache = columns.all("latency_cache")
    cache[cache == ""] = "hot"
    trained = np.flatnonzero(columns.all("dataset") != "")
    times = columns.all("timestamp")[trained].astype(str)
    columns = columns.taken(trained[np.argsort(times, kind="stable")])
    _leave_out_unusual(columns)
    groups = with_failures(
        list(_groups_of_rows(columns)),
        # Not "ok", for rows of the early version do not say how they ended.
        [status != "failed" for status in columns.all("status")],
    )
    ordered = sorted(groups, key=_place)
    variants = differences([terms for _, terms in ordered])
    rows = [
        _group(group, columns, groups[group]) | {"variant": variant}
        for group, variant in zip(ordered, variants, strict=True)
    ]
    return pd.DataFrame(
        {
            name: pd.Series([row[name] for row in rows], dtype=_dtype(name))
            for name in SUMMARY_COLUMNS
        }
    )


def timings(summary: pd.DataFrame) -> list[str]:
    """Return the timings of a summary whose medians are not comparable, [] where all are.

    Blocks that were timed at one position in several runs, or with several environments, compare by
    their ratios to the baseline that was timed beside them, and by nothing else.
    """
    timed = summary[summary["latency_ms"].notna() & (summary["latency_timing"] != "")]
    environments = {timing.partition("/")[0] for timing in timed["latency_timing"]}
    together = all(rows["latency_timing"].nunique() == 1 for _, rows in timed.groupby(["position"]))
    if len(environments) <= 1 and together:
        return []
    return list(dict.fromkeys(timed["latency_timing"]))


def _subject(row: Mapping[Hashable, object]) -> tuple[str, str]:
    return str(row["block"]), str(row["position"])


def _groups_of_rows(columns: _Columns) -> Iterator[_Group]:
    """Yield the group of each row."""
    names = list(dict.fromkeys([*TITLE, *Terms._fields]))
    known: dict[tuple[object, ...], _Group] = {}
    for values in columns.tuples(names):
        if values not in known:
            row: dict[Hashable, object] = dict(zip(names, values, strict=True))
            known[values] = _subject(row), Terms.of_row(row)
        yield known[values]


def _place(group: _Group) -> tuple[object, ...]:
    """Return what sorts: data set, protocol, block, position in the order early, mid, late."""
    (block, position), terms = group
    return terms.title, block, _POSITION_ORDER.get(position, len(POSITIONS)), terms


def _dtype(column: str) -> str:
    if column in _TEXTS:
        return "str"
    return "int64" if column in ("n", "failed") else "float64"


def _leave_out_unusual(columns: _Columns) -> None:
    """Take latencies away that were not measured as most of their data set and protocol were."""
    ways = list(columns.tuples(_LATENCY_SETTINGS))
    titles = list(columns.tuples(TITLE))
    timed: dict[tuple[object, ...], list[int]] = {}
    for row in np.flatnonzero(~np.isnan(columns.all("latency_ms"))).tolist():
        timed.setdefault(titles[row][:2], []).append(row)
    unusual: list[int] = []
    for rows in timed.values():
        usual = usual_way((titles[row], ways[row]) for row in rows)
        unusual += [row for row in rows if ways[row] != usual]
    for name in _LATENCY_VALUES:
        columns.all(name)[unusual] = np.nan


class _Columns:
    """Columns of a results table: text as objects, numbers as floats, NaN where not known."""

    def __init__(self, columns: Mapping[str, NDArray[Any]]) -> None:
        self._columns = dict(columns)

    @classmethod
    def of_rows(cls, rows: Iterable[Row]) -> _Columns:
        """Return the columns of rows as they are made of records."""
        of_row = [name for name in USED if name != IDENTITY]
        cells = list(map(itemgetter("schema_version", *of_row), rows))
        versions, *columns = zip(*cells, strict=True) if cells else [()] * (1 + len(of_row))
        found = {n: _typed(n, column) for n, column in zip(of_row, columns, strict=True)}
        return cls({**found, IDENTITY: np.array([*map(identity_of, versions)], dtype=object)})

    def all(self, name: str) -> NDArray[Any]:
        """Return a whole column, which may be changed."""
        return self._columns[name]

    def of(self, name: str, rows: Sequence[int]) -> NDArray[Any]:
        """Return those cells."""
        return self._columns[name][list(rows)]

    def cell(self, name: str, row: int) -> Any:
        """Return one cell."""
        return self._columns[name][row]

    def taken(self, rows: NDArray[Any]) -> _Columns:
        """Return those rows, in that order."""
        return _Columns({name: column[rows] for name, column in self._columns.items()})

    def tuples(self, names: Sequence[str]) -> Iterator[tuple[object, ...]]:
        """Yield one tuple a row; what is missing equals what is missing."""
        return zip(*(self._known(name) for name in names), strict=True)

    def _known(self, name: str) -> list[object]:
        """Return the values of a column, None for NaN."""
        column = self._columns[name]
        if column.dtype == object:
            texts: list[object] = column.tolist()
            return texts
        kind = int if COLUMNS[name] == "integer" else float
        numbers = zip(column.tolist(), np.isnan(column).tolist(), strict=True)
        return [None if missing else kind(value) for value, missing in numbers]


def _typed(name: str, cells: Sequence[object]) -> NDArray[Any]:
    if COLUMNS[name] == "text":
        return np.array(["" if cell is None else cell for cell in cells], dtype=object)
    return np.array(cells, dtype=float)


def _array(column: pd.Series) -> NDArray[Any]:
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.to_numpy(dtype=float, na_value=np.nan).copy()
    return column.to_numpy(dtype=object).copy()


def _group(group: _Group, columns: _Columns, rows: Sequence[int]) -> dict[str, object]:
    """Return the summary of one group; its rows are sorted by time."""
    (block, position), terms = group
    kept = counting(
        list(columns.of("block_fingerprint", rows)),
        [None if np.isnan(seed) else seed for seed in columns.of("seed", rows)],
        list(columns.of("status", rows) != "failed"),
    )
    latest = [rows[index] for index in kept]
    done = [row for row in latest if columns.cell("status", row) != "failed"]
    timed = [row for row in latest if not np.isnan(columns.cell("latency_ms", row))][-1:]
    return {
        **terms._asdict(),
        "block": block,
        "position": position,
        "failed": len(latest) - len(done),
        **_accuracy(columns, done),
        **{name: _mean(columns.of(column, done)) for name, column in _ROBUSTNESS.items()},
        "flops": _newest(columns.of("flops", latest)),
        "params": _newest(_deploy_params(columns, latest)),
        **{name: _newest(columns.of(column, latest)) for name, column in _STAGE.items()},
        "memory_mb": _newest(columns.of("memory_mb", latest)),
        **{name: _newest(columns.of(name, timed)) for name in _LATENCY_VALUES},
        "latency_batch_size": _newest(columns.of("latency_batch_size", timed)),
        # Joined, because there is one row or none.
        **{name: "".join(columns.of(name, timed)) for name in _LATENCY_TEXTS},
        "latency_timing": "".join(_timing(columns, row) for row in timed),
        "latency_timed_with": "".join(_timed_with(columns, row) for row in timed),
    }


def _deploy_params(columns: _Columns, rows: Sequence[int]) -> NDArray[Any]:
    """Return the parameters of the deploy form; all there is of the early version is a total."""
    deploy = columns.of("params_deploy", rows)
    return np.where(np.isnan(deploy), columns.of("params_total", rows), deploy)


def _timing(columns: _Columns, row: int) -> str:
    """Return environment and run of a latency, "" where neither was kept."""
    environment, session = (
        columns.cell(name, row) for name in ("latency_environment", "latency_session")
    )
    return f"{environment}/{session}" if environment or session else ""


def _timed_with(columns: _Columns, row: int) -> str:
    words = {
        "torch": columns.cell("latency_torch", row),
        "governor": columns.cell("latency_governor", row),
    }
    return ", ".join(f"{name} {value}" for name, value in words.items() if value)


def _accuracy(columns: _Columns, done: Sequence[int]) -> dict[str, object]:
    known = {
        name: values[~np.isnan(values)]
        for name, values in ((name, columns.of(_SOURCES[name], done)) for name in _SOURCES)
    }
    # Of equals the first, which is the test set.
    source = max(known, key=lambda name: len(known[name]))
    values = known[source]
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


def _mean(values: NDArray[Any]) -> float:
    """Return the mean of what is known, NaN of nothing."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan


def _newest(values: NDArray[Any]) -> float:
    """Return the last value that is known, NaN where none is."""
    known = values[~np.isnan(values)]
    return float(known[-1]) if len(known) else np.nan
