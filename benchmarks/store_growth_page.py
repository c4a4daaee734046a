"""The results of `store_scale.py` as a Markdown page: how commands grow with a store."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from blockzoo.results.environment import Environment

_INTRO = """\
# How a store grows

What commands take on stores of many records, in CPU seconds of the process and its children, and
at their peak of memory. Stores are those of `benchmarks/large_store.py`: trainings of 50 epochs
with 10,000 answers each, and latencies of 300 samples. The exponent is that of a power law through
the smallest and the largest store: 1 where ten times the records take ten times as long. What a
command takes to start is part of it."""


def store_growth_page(record: Mapping[str, Any]) -> str:
    """Return the page of a record of `store_scale.py`."""
    return "\n".join(_lines(record)) + "\n"


def exponent(small: tuple[int, float], large: tuple[int, float]) -> float | None:
    """Return the power by which a value grows from one number of records to another.

    >>> exponent((1000, 2.0), (100_000, 20.0))
    0.5
    """
    if small[0] == large[0] or min(small[1], large[1]) <= 0:
        return None
    return round(math.log(large[1] / small[1]) / math.log(large[0] / small[0]), 2)


def _lines(record: Mapping[str, Any]) -> Iterator[str]:
    counts = sorted({run["records"] for run in record["runs"]})
    yield from (_INTRO, "", "## CPU seconds", "")
    yield from _growth(record["runs"], counts, "cpu_s", "{:.2f}")
    yield from ("## Wall seconds", "")
    yield from _growth(record["runs"], counts, "wall_s", "{:.2f}")
    yield from ("## Peak memory, MiB", "")
    yield from _growth(record["runs"], counts, "peak_rss_mib", "{:.0f}")
    yield from ("## The store itself", "")
    stores = [
        {"command": words, "records": each["records"], "value": each[name]}
        for words, name in _OF_STORES.items()
        for each in record["stores"]
    ]
    yield from _growth(stores, counts, "value", "{:.2f}")
    yield from _origin(record)


_OF_STORES = {
    "one training put, CPU ms": "append_cpu_ms",
    "one training put, ms": "append_wall_ms",
    "database, MB": "database_mb",
}


def _growth(
    runs: Sequence[Mapping[str, Any]], counts: Sequence[int], value: str, form: str
) -> Iterator[str]:
    yield f"| | {' | '.join(f'{count:,}' for count in counts)} | exponent |"
    yield f"|{'|'.join(['---', *['---:'] * (len(counts) + 1)])}|"
    for name in dict.fromkeys(run["command"] for run in runs):
        found = {run["records"]: run[value] for run in runs if run["command"] == name}
        cells = [form.format(found[count]) if count in found else "-" for count in counts]
        power = exponent(*((n, found[n]) for n in (min(found), max(found))))
        yield f"| {name} | {' | '.join(cells)} | {'-' if power is None else f'{power:.2f}'} |"
    yield ""


def _origin(record: Mapping[str, Any]) -> Iterator[str]:
    environment = Environment.model_validate(record["environment"])
    yield "## How it was measured"
    yield ""
    yield (
        "`python benchmarks/store_scale.py`, record `benchmarks/results/store_scale.json`: "
        f"{environment.named_processor}, cores available: {environment.cores}, "
        f"{environment.system}; Python {environment.python}; each command once, in a process "
        f"of its own; commit {environment.commit}."
    )
