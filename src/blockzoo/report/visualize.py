"""The fourth verb: figures of accuracy against latency, FLOPs and memory from results.

python -m blockzoo.visualize results/results.csv
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, count
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from blockzoo.analysis.groups import Terms
from blockzoo.analysis.summary import summarize
from blockzoo.core.errors import InputError, ResultsError, in_one_line
from blockzoo.core.files import replacing
from blockzoo.report.figures.accuracy_plot import plot_accuracy, render
from blockzoo.report.figures.formats import FORMATS, require_format
from blockzoo.report.figures.latency_plot import plot_latencies
from blockzoo.report.figures.points import COST_AXES
from blockzoo.report.figures.style import assign_looks
from blockzoo.results.table.frame import load_results
from blockzoo.results.table.latencies import load_latencies

_log = logging.getLogger(__name__)


def visualize(
    results: str | Path,
    output_dir: str | Path | None = None,
    formats: Sequence[str] = FORMATS,
) -> list[Path]:
    """Draw every figure that the results allow and return the files written.

    `results` is a store, its URL, a results CSV, or the folder of one. The files are named
    `accuracy_vs_COST_DATASET_PROTOCOL.FORMAT`, and where one name of data and protocol stands for
    results that differ in more, with what differs behind it. They are in `output_dir`, which by
    default is `plots` beside the results. Results of timings alone give a figure of latencies for
    each baseline, `latency_BASELINE.FORMAT`. A figure whose cost or accuracy is nowhere known is
    left out, with a warning.
    Raises `ResultsError` for results that cannot be read, that are empty or allow no figure, and
    for a folder that cannot be written; `InputError` for a format that is not png or svg.
    """
    if not formats:
        raise InputError(f"no figure format is given; allowed: {', '.join(FORMATS)}")
    for file_format in formats:
        require_format(file_format)
    frame = load_results(results)
    if frame.empty:
        raise ResultsError(f"{results} holds no results yet; `blockzoo sweep` makes some")
    folder = Path(output_dir) if output_dir is not None else _folder_beside(str(results))
    written = []
    drawn = _figures(frame, source=str(results))
    # Of what was timed and not trained, all that can be drawn is the timing.
    if summarize(frame).empty and not (latencies := load_latencies(results)).empty:
        drawn = _latency_figures(latencies)
    for stem, figure in drawn:
        for file_format in formats:
            path = folder / f"{stem}.{file_format}"
            with replacing(path) as scratch:
                scratch.write_bytes(render(figure, file_format))
            written.append(path)
    return written


def _figures(frame: pd.DataFrame, *, source: str) -> Iterator[tuple[str, Figure]]:
    """Yield the file stem and the figure of all that may stand in one, for each cost that has one.

    That is what was trained on the same terms: a data set, a protocol, an arithmetic, a scaffold.
    """
    summary = summarize(frame)
    if summary.empty:
        raise ResultsError(f"{source} allows no figure: no block was trained on a data set")
    # Once for all figures, so that a block looks the same in each.
    looks = assign_looks(summary["block"])
    missing: list[str] = []
    stems: set[str] = set()
    for _, results in summary.groupby(list(Terms._fields)):
        dataset, protocol, variant = (
            str(results[name].iloc[0]) for name in ("dataset", "protocol", "variant")
        )
        for cost in COST_AXES:
            try:
                figure = plot_accuracy(results, cost, looks=looks)
            except ResultsError as error:
                # Without ratios there is no latency either, or it is of before there were any.
                if not cost.relative:
                    which = f"{dataset} ({variant})" if variant else dataset
                    missing.append(f"no figure of {cost.title} on {which}: {error}")
                continue
            yield (
                _free_stem(f"accuracy_vs_{cost.name}", (dataset, protocol, variant), stems),
                figure,
            )
    if not stems:
        raise ResultsError(f"{source} allows no figure: {'; '.join(missing)}")
    # At the end, for where nothing at all could be drawn they are the error.
    for reason in missing:
        _log.warning("%s", in_one_line(reason))


def _latency_figures(latencies: pd.DataFrame) -> Iterator[tuple[str, Figure]]:
    """Yield a figure for each baseline; timings without a ratio are in none."""
    if latencies["latency_ratio"].isna().all():
        raise ResultsError("no latency has a ratio to a baseline, which is what is drawn")
    stems: set[str] = set()
    timed = latencies[latencies["latency_ratio"].notna()]
    for baseline in dict.fromkeys(timed["latency_baseline"]):
        of_baseline = latencies[latencies["latency_baseline"] == baseline]
        yield _free_stem("latency", (str(baseline),), stems), plot_latencies(of_baseline)


def _free_stem(kind: str, names: Iterable[str], taken: set[str]) -> str:
    """Return a file stem that is safe on every system and not yet taken, and take it."""
    # Names of data sets may be paths or URLs; file systems differ in what they allow, and in case.
    # Sixty letters each leave the name below the 255 bytes that file systems allow.
    safe = (re.sub(r"[^A-Za-z0-9.+-]+", "-", name).strip("-.")[:60] for name in names)
    stem = "_".join([kind, *filter(None, safe)])
    numbered = (f"{stem}-{number}" for number in count(2))
    free = next(name for name in chain([stem], numbered) if name.casefold() not in taken)
    taken.add(free.casefold())
    return free


def _folder_beside(results: str) -> Path:
    if "://" in results:
        return Path("results", "plots")
    path = Path(results)
    return (path if path.is_dir() else path.parent) / "plots"
