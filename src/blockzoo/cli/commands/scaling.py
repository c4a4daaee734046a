"""`blockzoo scaling`: how fast blocks are, and how they rank, over batch, resolution or threads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blockzoo.cli import options
from blockzoo.cli.app import examples

if TYPE_CHECKING:
    from blockzoo.analysis.scaling import ScalingAxis
    from blockzoo.measure.timing.settings import LatencySettings
    from blockzoo.results.records import LatencyRecord
    from blockzoo.scaffold.net import ScaffoldConfig


@examples(
    "blockzoo scaling ResNetBasicBlock MobileOneBlock --batch-sizes 1,16,256 --plot scaling.png",
    "blockzoo scaling RepMixer MBConv --resolutions 32,64,128",
    "blockzoo scaling RepMixer --threads 1,2,4",
    "blockzoo scaling RepMixer MBConv --throughput --device cuda",
)
def scaling(
    blocks: options.Blocks = None,
    everything: options.All = False,
    position: Annotated[str, typer.Option("--position", "-p", help="early, mid or late.")] = "mid",
    batch_sizes: Annotated[
        str | None, typer.Option("--batch-sizes", metavar="N,N...", help="Images per batch.")
    ] = None,
    resolutions: Annotated[
        str | None,
        typer.Option("--resolutions", metavar="N,N...", help="Height and width of the input."),
    ] = None,
    threads: Annotated[
        str | None, typer.Option("--threads", metavar="N,N...", help="CPU threads.")
    ] = None,
    throughput: Annotated[
        bool, typer.Option("--throughput", help="Search the batch of most images per second.")
    ] = False,
    largest_batch: Annotated[
        int, typer.Option("--largest-batch", help="Where that search ends at the latest.")
    ] = 1024,
    protocol: options.ProtocolName = "v1",
    device: options.Device = "auto",
    budget: Annotated[
        float, typer.Option("--budget", help="Seconds of timing per block and value at the most.")
    ] = 10.0,
    processes: Annotated[int, typer.Option("--processes", help="Fresh processes per value.")] = 3,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE.png", help="Draw it, as PNG or SVG.")
    ] = None,
    results: options.SaveTo = None,
    output: options.Output = None,
) -> None:
    """Time blocks over batch sizes, resolutions or threads, and rank them at each value.

    A ranking at batch 1 need not hold at batch 256: the table ends with how far the first and the
    last value agree (Kendall's tau), which blocks change places, and which pairs do so beyond their
    intervals.
    """
    from blockzoo.cli.choices import chosen_blocks, keep
    from blockzoo.core.run_way import RunWay
    from blockzoo.experiments.protocol import get_protocol
    from blockzoo.measure.timing.settings import LatencySettings

    names = chosen_blocks(blocks, everything)
    config = get_protocol(protocol).scaffold(classes=10, input_shape=(3, 32, 32))
    settings = LatencySettings(way=RunWay(device=device), budget_s=budget, processes=processes)
    given = {"batch_size": batch_sizes, "resolution": resolutions, "threads": threads}
    if throughput:
        _refuse_values(given)
        records = _throughputs(names, position, config, settings, largest_batch)
    else:
        axis, values = _one_axis(given)
        records = _over_values(names, position, axis, values, config, settings, plot)
    keep(records, results, output)


def _refuse_values(given: dict[str, str | None]) -> None:
    from blockzoo.core.errors import InputError

    if any(text is not None for text in given.values()):
        raise InputError("--throughput chooses the batch size itself; give no values with it")


def _one_axis(given: dict[str, str | None]) -> tuple[ScalingAxis, list[int]]:
    from blockzoo.analysis.scaling import SCALING_AXES
    from blockzoo.core.errors import InputError

    chosen = [(axis, text) for axis in SCALING_AXES if (text := given[axis]) is not None]
    if len(chosen) != 1:
        raise InputError(
            f"{len(chosen)} of --batch-sizes, --resolutions and --threads given; give one of them"
        )
    axis, text = chosen[0]
    try:
        return axis, [int(value) for value in text.split(",")]
    except ValueError:
        raise InputError(f"{axis} is {text!r}; write whole numbers like 1,16,256") from None


def _over_values(
    names: list[str],
    position: str,
    axis: ScalingAxis,
    values: list[int],
    config: ScaffoldConfig,
    settings: LatencySettings,
    plot: Path | None,
) -> list[LatencyRecord]:
    from blockzoo.cli.screen.consoles import output_console, progress
    from blockzoo.experiments.scaling import measure_scaling
    from blockzoo.report.figures.accuracy_plot import render, require_format
    from blockzoo.report.figures.scaling_plot import scaling_figure
    from blockzoo.report.tables.scaling import agreement_lines, scaling_table

    file_format = plot.suffix.lstrip(".") if plot else "png"
    require_format(file_format)
    with progress("scaling") as update:
        records = measure_scaling(
            names, position, axis, values, config=config, settings=settings, progress=update
        )
    console = output_console()
    console.print(scaling_table(records, axis))
    for line in agreement_lines(records, axis):
        console.print(line, highlight=False)
    if plot is not None:
        plot.write_bytes(render(scaling_figure(records, axis), file_format))
        console.print(f"wrote {plot}", highlight=False)
    return records


def _throughputs(
    names: list[str],
    position: str,
    config: ScaffoldConfig,
    settings: LatencySettings,
    largest_batch: int,
) -> list[LatencyRecord]:
    from blockzoo.cli.screen.consoles import output_console, progress
    from blockzoo.experiments.scaling import best_throughput
    from blockzoo.report.tables.scaling import throughput_table

    found = []
    with progress("throughput") as update:
        for done, name in enumerate(names):
            update(done / len(names), name)
            found.append(
                best_throughput(
                    name,
                    position,
                    config=config,
                    settings=replace(settings, min_seconds=0.0),
                    largest_batch=largest_batch,
                )
            )
    output_console().print(throughput_table(found))
    return [each.record for each in found]
