"""The results of `board_scale.py` as a Markdown page: what the board of a large store takes."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from typing import Any

from blockzoo.results.environment import Environment

_INTRO = """\
# The board of a large store

What `blockzoo site` takes on stores of many records, and what its pages take in a browser. Stores
are those of `benchmarks/large_store.py`. Pages are opened from files, each time anew. Script time
is that of the event's handler, which draws before it returns; layout and paint come on top."""


def board_scale_page(record: Mapping[str, Any]) -> str:
    """Return the page of a record of `board_scale.py`."""
    return "\n".join(_lines(record)) + "\n"


def _lines(record: Mapping[str, Any]) -> Iterator[str]:
    sizes = {each["records"]: each["pages_mb"] for each in record["sites"]}
    yield from (_INTRO, "", "## Writing it", "")
    yield "| records | wall, s | CPU, s | peak memory, MiB | all pages, MB |"
    yield "|---:|---:|---:|---:|---:|"
    for each in record["runs"]:
        yield (
            f"| {each['records']:,} | {each['wall_s']:.1f} | {each['cpu_s']:.1f} | "
            f"{each['peak_rss_mib']:.0f} | {sizes[each['records']]:.1f} |"
        )
    yield from ("", "## Opening a page", "")
    yield "| records | page | MB | drawn after, ms: median | least | most |"
    yield "|---:|---|---:|---:|---:|---:|"
    for each in record["pages"]:
        yield (
            f"| {each['records']:,} | {each['page']} | {each['html_mb']:.2f} | "
            f"{_spread(each['drawn_ms'])} |"
        )
    yield from ("", "## Sorting and filtering", "")
    yield "| rows | action | script, ms: median | least | most | with layout, ms: median |"
    yield "|---:|---|---:|---:|---:|---:|"
    for each in record["actions"]:
        whole = statistics.median(each["with_layout_ms"])
        yield (
            f"| {each['rows']:,} | {each['action']} | {_spread(each['script_ms'])} | {whole:.0f} |"
        )
    yield ""
    yield from _origin(record)


def _spread(times_ms: list[float]) -> str:
    return f"{statistics.median(times_ms):.0f} | {min(times_ms):.0f} | {max(times_ms):.0f}"


def _origin(record: Mapping[str, Any]) -> Iterator[str]:
    environment = Environment.model_validate(record["environment"])
    loads = len(record["pages"][0]["drawn_ms"])
    turns = len(record["actions"][0]["script_ms"])
    yield from ("## How it was measured", "")
    yield (
        "`python benchmarks/board_scale.py`, record `benchmarks/results/board_scale.json`: "
        f"{environment.named_processor}, cores available: {environment.cores}, "
        f"{environment.system}; Python {environment.python}; each site written once, each page "
        f"opened {loads} times, each action {turns} times; commit {environment.commit}."
    )
