"""What `marginal`, `scaling` and `roofline` do: timings that are compared with something else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import typer

from blockzoo.analysis.scaling import SCALING_AXES, ScalingAxis
from blockzoo.cli.actions.apart import blocks_apart
from blockzoo.cli.actions.choices import (
    chosen_blocks,
    chosen_positions,
    chosen_shape,
    chosen_threads,
)
from blockzoo.cli.actions.keeping import keep, require_usable
from blockzoo.cli.actions.plotting import write_plot
from blockzoo.cli.option_groups import ScalingOptions, TimingOptions
from blockzoo.cli.screen.consoles import output_console, progress, show_written
from blockzoo.core.errors import InputError
from blockzoo.core.files import replacing
from blockzoo.core.run_way import RunWay
from blockzoo.experiments.marginal import check_additivity, marginal_latencies
from blockzoo.experiments.protocol import get_protocol
from blockzoo.experiments.roofline import RooflineResult, measure_roofline
from blockzoo.experiments.scaling import best_throughput, measure_scaling
from blockzoo.measure.timing.settings import LatencySettings
from blockzoo.report.figures.formats import format_of
from blockzoo.report.tables.roofline import peaks_line, roofline_frame, roofline_table
from blockzoo.report.tables.scaling import (
    additivity_table,
    agreement_lines,
    marginal_table,
    scaling_table,
    throughput_table,
)
from blockzoo.results.records import LatencyRecord
from blockzoo.results.table.cells import escaped_cell
from blockzoo.scaffold.net import ScaffoldConfig


@blocks_apart
def marginal(
    chosen: TimingOptions,
    *,
    processes: int,
    budget_s: float,
    additivity: bool,
    output: Path | None,
) -> None:
    """Time what blocks add and show it; exits with status 1 where one failed."""
    names = chosen_blocks(chosen.blocks, chosen.everything)
    config = _plain_scaffold(chosen.protocol)
    settings = replace(_settings(chosen, budget_s), processes=processes)
    with progress("marginal") as update:
        marginals = marginal_latencies(
            names,
            chosen_positions(chosen.positions),
            config=config,
            settings=settings,
            progress=update,
        )
    output_console().print(marginal_table(marginals))
    if output is not None:
        _write_csv(pd.DataFrame([asdict(each) for each in marginals]), output)
    if additivity:
        with progress("additivity") as update:
            sums = check_additivity(names, config=config, settings=settings, progress=update)
        output_console().print(additivity_table(sums))
    if any(each.reason for each in marginals):
        raise typer.Exit(1)


@blocks_apart
def roofline(
    chosen: TimingOptions,
    *,
    precision: str,
    budget_s: float,
    plot: Path | None,
    output: Path | None,
) -> None:
    """Measure blocks and the machine's peaks; exits with status 1 where one failed."""
    format_of(plot)  # refused before the measurement and not after it
    names = chosen_blocks(chosen.blocks, chosen.everything)
    settings = _settings(chosen, budget_s)
    settings = replace(settings, way=replace(settings.way, precision=precision))
    with progress("roofline") as update:
        result = measure_roofline(
            names,
            chosen_positions(chosen.positions),
            config=_plain_scaffold(chosen.protocol),
            settings=settings,
            progress=update,
        )
    output_console().print(peaks_line(result.peaks), highlight=False, soft_wrap=True)
    output_console().print(roofline_table(result))
    _write_roofline(result, plot, output)
    if any(row.achieved is None for row in result.rows):
        raise typer.Exit(1)


def _write_roofline(result: RooflineResult, plot: Path | None, output: Path | None) -> None:
    frame = roofline_frame(result)
    if output is not None:
        _write_csv(frame, output)
    if plot is not None:
        from blockzoo.report.figures.roofline_plot import roofline_figure

        write_plot(plot, roofline_figure(frame))


def _write_csv(frame: pd.DataFrame, output: Path) -> None:
    safe = frame.map(lambda value: escaped_cell(value) if isinstance(value, str) else value)
    with replacing(output) as scratch:
        safe.to_csv(scratch, index=False)
    show_written(output)


@blocks_apart
def scaling(
    chosen: ScalingOptions,
    *,
    budget_s: float,
    processes: int,
    plot: Path | None,
    results: str | None,
    output: Path | None,
) -> None:
    """Time blocks over the values of one axis, or search each one's best batch size."""
    names = chosen_blocks(chosen.blocks, chosen.everything)
    config = _plain_scaffold(chosen.protocol)
    settings = LatencySettings(
        way=RunWay(device=chosen.device), budget_s=budget_s, processes=processes
    )
    require_usable(results, output)
    if chosen.throughput:
        records = _throughputs(names, chosen, config, settings, plot)
    else:
        axis, values = _one_axis(chosen)
        format_of(plot)
        with progress("scaling") as update:
            records = measure_scaling(
                names,
                chosen.position,
                axis,
                values,
                config=config,
                settings=settings,
                progress=update,
            )
        _show_scaling(records, axis, plot)
    keep(records, results, output)


def _values_by_axis(chosen: ScalingOptions) -> dict[ScalingAxis, str]:
    texts: dict[ScalingAxis, str | None] = {
        "batch_size": chosen.batch_sizes,
        "resolution": chosen.resolutions,
        "threads": chosen.threads,
    }
    return {axis: text for axis in SCALING_AXES if (text := texts[axis]) is not None}


def _one_axis(chosen: ScalingOptions) -> tuple[ScalingAxis, list[int]]:
    """Return the axis and its values; raises `InputError` unless one is given, in whole numbers."""
    by_axis = _values_by_axis(chosen)
    # Of two that change together, neither could be held to explain a change of rank.
    if len(by_axis) != 1:
        raise InputError(
            f"{len(by_axis)} of --batch-sizes, --resolutions and --threads given; give one of them"
        )
    ((axis, text),) = by_axis.items()
    try:
        return axis, [int(value) for value in text.split(",")]
    except ValueError:
        raise InputError(f"{axis} is {text!r}; write whole numbers like 1,16,256") from None


def _show_scaling(records: Sequence[LatencyRecord], axis: ScalingAxis, plot: Path | None) -> None:
    console = output_console()
    console.print(scaling_table(records, axis))
    for line in agreement_lines(records, axis):
        console.print(line, highlight=False)
    if plot is not None:
        from blockzoo.report.figures.scaling_plot import scaling_figure

        write_plot(plot, scaling_figure(records, axis))


def _throughputs(
    names: Sequence[str],
    chosen: ScalingOptions,
    config: ScaffoldConfig,
    settings: LatencySettings,
    plot: Path | None,
) -> list[LatencyRecord]:
    # Refused and not ignored: who gives batch sizes expects to see each of them timed.
    if _values_by_axis(chosen):
        raise InputError("--throughput chooses the batch size itself; give no values with it")
    if plot is not None:
        raise InputError("--throughput has no plot; leave out --plot")
    searches = []
    with progress("throughput") as update:
        for done, name in enumerate(names):
            update(done / len(names), name)
            searches.append(
                best_throughput(
                    name,
                    chosen.position,
                    config=config,
                    settings=replace(settings, min_seconds=0.0),
                    largest_batch=chosen.largest_batch,
                )
            )
    output_console().print(throughput_table(searches))
    return [search.record for search in searches]


def _settings(chosen: TimingOptions, budget_s: float) -> LatencySettings:
    _, batch = chosen_shape(None, chosen.batch_size, 1)
    way = RunWay(device=chosen.device, batch_size=batch, threads=chosen_threads(chosen.threads))
    return LatencySettings(way=way, budget_s=budget_s)


def _plain_scaffold(protocol: str) -> ScaffoldConfig:
    """Return the protocol's own scaffold, for images of 32x32 pixels and ten classes."""
    return get_protocol(protocol).scaffold(classes=10, input_shape=(3, 32, 32))
