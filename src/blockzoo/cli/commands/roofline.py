"""`blockzoo roofline`: how close blocks come to what the machine can do, and what binds them."""

from __future__ import annotations

from typing import Annotated

import typer

from blockzoo.cli import shared_options
from blockzoo.cli.app import examples
from blockzoo.cli.option_groups import TimingOptions, spread
from blockzoo.core import ranges


@examples(
    "blockzoo roofline ResNetBasicBlock MobileOneBlock --position mid",
    "blockzoo roofline --all --plot roofline.png --output roofline.csv",
    "blockzoo roofline RepMixer MBConv --device cuda --batch-size 256",
)
@spread
def roofline(
    chosen: TimingOptions,
    precision: Annotated[str, typer.Option("--precision", help="fp32, bf16 or fp16.")] = "fp32",
    budget: Annotated[
        float,
        typer.Option("--budget", help="Seconds of timing per block and position at the most."),
        ranges.SECONDS,
    ] = 6.0,
    plot: shared_options.Plot = None,
    output: shared_options.Output = None,
) -> None:
    """Compare the arithmetic and the memory traffic of blocks with the machine's measured peaks.

    Networks run eagerly in deploy form. Each is bound by compute or by memory, whichever peak it
    uses more of, or by overhead where it uses less than a quarter of both.
    """
    from blockzoo.cli.actions import studies

    studies.roofline(chosen, precision=precision, budget_s=budget, plot=plot, output=output)
