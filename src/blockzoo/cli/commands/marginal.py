"""`blockzoo marginal`: what blocks add to the scaffold's latency."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blockzoo.cli import options
from blockzoo.cli.app import examples
from blockzoo.report.tables.scaling import additivity_table, marginal_table


@examples(
    "blockzoo marginal ResNetBasicBlock MobileOneBlock --position mid",
    "blockzoo marginal RepMixer --additivity",
)
def marginal(
    blocks: options.Blocks = None,
    everything: options.All = False,
    positions: options.Positions = None,
    additivity: Annotated[
        bool,
        typer.Option("--additivity", help="Also: do the marginals add up to the whole network?"),
    ] = False,
    protocol: options.ProtocolName = "v1",
    batch_size: options.BatchSize = None,
    device: options.Device = "auto",
    threads: options.Threads = "1",
    processes: Annotated[int, typer.Option("--processes", help="Fresh processes.")] = 3,
    budget: Annotated[
        float, typer.Option("--budget", help="Seconds of timing per network at the most.")
    ] = 6.0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE.csv", help="Also write a file.")
    ] = None,
) -> None:
    """Time what each block adds: the scaffold with it less the scaffold with an identity stage.

    Both are timed in the same rounds, so that the difference has an interval of its own.
    """
    from dataclasses import asdict

    import pandas as pd

    from blockzoo.cli.choices import chosen_blocks, chosen_positions, chosen_threads
    from blockzoo.cli.screen.consoles import output_console, progress
    from blockzoo.core.run_way import RunWay
    from blockzoo.experiments.marginal import check_additivity, marginal_latencies
    from blockzoo.experiments.protocol import get_protocol
    from blockzoo.measure.timing.settings import LatencySettings

    names = chosen_blocks(blocks, everything)
    config = get_protocol(protocol).scaffold(classes=10, input_shape=(3, 32, 32))
    settings = LatencySettings(
        way=RunWay(
            device=device,
            batch_size=1 if batch_size is None else batch_size,
            threads=chosen_threads(threads),
        ),
        processes=processes,
        budget_s=budget,
    )
    with progress("marginal") as update:
        found = marginal_latencies(
            names, chosen_positions(positions), config=config, settings=settings, progress=update
        )
    output_console().print(marginal_table(found))
    if output is not None:
        pd.DataFrame([asdict(each) for each in found]).to_csv(output, index=False)
    if additivity:
        with progress("additivity") as update:
            sums = check_additivity(names, config=config, settings=settings, progress=update)
        output_console().print(additivity_table(sums))
    if any(each.reason for each in found):
        raise typer.Exit(1)
