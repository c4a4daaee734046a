"""`blockzoo roofline`: how close blocks come to what the machine can do, and what binds them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blockzoo.cli import options
from blockzoo.cli.app import examples

if TYPE_CHECKING:
    from blockzoo.experiments.roofline import RooflineResult

from blockzoo.report.tables.roofline import peaks_line, roofline_table


@examples(
    "blockzoo roofline ResNetBasicBlock MobileOneBlock --position mid",
    "blockzoo roofline --all --plot roofline.png --output roofline.csv",
    "blockzoo roofline RepMixer MBConv --device cuda --batch-size 256",
)
def roofline(
    blocks: options.Blocks = None,
    everything: options.All = False,
    positions: options.Positions = None,
    protocol: options.ProtocolName = "v1",
    batch_size: options.BatchSize = None,
    device: options.Device = "auto",
    threads: options.Threads = "1",
    precision: Annotated[str, typer.Option("--precision", help="fp32, bf16 or fp16.")] = "fp32",
    budget: Annotated[
        float,
        typer.Option("--budget", help="Seconds of timing per block and position at the most."),
    ] = 6.0,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE.png", help="Draw it, as PNG or SVG.")
    ] = None,
    output: options.Output = None,
) -> None:
    """Compare the arithmetic and the memory traffic of blocks with the machine's measured peaks.

    Networks run eagerly in deploy form. Each is bound by compute or by memory, whichever peak it
    uses more of, or by overhead where it uses less than a quarter of both.
    """
    from blockzoo.cli.choices import chosen_blocks, chosen_positions, chosen_shape, chosen_threads
    from blockzoo.cli.screen.consoles import output_console, progress
    from blockzoo.core.run_way import RunWay
    from blockzoo.experiments.protocol import get_protocol
    from blockzoo.experiments.roofline import measure_roofline
    from blockzoo.measure.timing.settings import LatencySettings
    from blockzoo.report.figures.accuracy_plot import require_format

    require_format(plot.suffix.lstrip(".") if plot else "png")
    shape, batch = chosen_shape(None, batch_size, 1)
    settings = LatencySettings(
        way=RunWay(
            device=device,
            batch_size=batch,
            threads=chosen_threads(threads),
            precision=precision,
        ),
        budget_s=budget,
    )
    names, where = chosen_blocks(blocks, everything), chosen_positions(positions)
    config = get_protocol(protocol).scaffold(classes=10, input_shape=shape)
    with progress("roofline") as update:
        result = measure_roofline(names, where, config=config, settings=settings, progress=update)
    console = output_console()
    console.print(peaks_line(result.peaks), highlight=False, soft_wrap=True)
    console.print(roofline_table(result))
    _write(result, plot, output)
    _fail_if_any_failed(result)


def _write(result: RooflineResult, plot: Path | None, output: Path | None) -> None:
    from blockzoo.cli.screen.consoles import output_console
    from blockzoo.core.files import replacing
    from blockzoo.report.figures.accuracy_plot import render
    from blockzoo.report.figures.roofline_plot import roofline_figure
    from blockzoo.report.tables.roofline import roofline_frame

    frame = roofline_frame(result)
    if output is not None:
        with replacing(output) as scratch:
            frame.to_csv(scratch, index=False)
    if plot is not None:
        with replacing(plot) as scratch:
            scratch.write_bytes(render(roofline_figure(frame), plot.suffix.lstrip(".")))
    for written in (output, plot):
        if written is not None:
            output_console().print(f"wrote {written}", highlight=False, soft_wrap=True)


def _fail_if_any_failed(result: RooflineResult) -> None:
    if any(row.achieved is None for row in result.rows):
        raise typer.Exit(1)
