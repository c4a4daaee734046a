"""`blockzoo marginal`: what blocks add to the scaffold's latency."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blockzoo.cli import options
from blockzoo.cli.app import examples

if TYPE_CHECKING:
    from rich.table import Table

    from blockzoo.experiments.marginal import Additivity, Marginal


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
    from blockzoo.cli.consoles import output_console, progress
    from blockzoo.experiments.marginal import check_additivity, marginal_latencies
    from blockzoo.experiments.protocol import get_protocol
    from blockzoo.measure.timing.settings import LatencySettings

    names = chosen_blocks(blocks, everything)
    config = get_protocol(protocol).scaffold(classes=10, input_shape=(3, 32, 32))
    settings = LatencySettings(
        device=device,
        batch_size=1 if batch_size is None else batch_size,
        threads=chosen_threads(threads),
        processes=processes,
        budget_s=budget,
    )
    with progress("marginal") as update:
        found = marginal_latencies(
            names, chosen_positions(positions), config=config, settings=settings, progress=update
        )
    output_console().print(_marginal_table(found))
    if output is not None:
        pd.DataFrame([asdict(each) for each in found]).to_csv(output, index=False)
    if additivity:
        with progress("additivity") as update:
            sums = check_additivity(names, config=config, settings=settings, progress=update)
        output_console().print(_additivity_table(sums))
    if any(each.reason for each in found):
        raise typer.Exit(1)


def _marginal_table(found: Sequence[Marginal]) -> Table:
    from rich.table import Table

    from blockzoo.cli.tables import failed

    table = Table(title="Latency that the block adds to the scaffold, ms", box=None)
    table.add_column("block")
    table.add_column("position")
    for title in ("adds", "95% interval", "scaffold", "with identity"):
        table.add_column(title, justify="right")
    for each in found:
        if each.marginal_ms is None or each.interval_ms is None:
            table.add_row(each.block, str(each.position), failed(each.reason))
            continue
        low, high = each.interval_ms
        table.add_row(
            each.block,
            str(each.position),
            f"{each.marginal_ms:.3f}",
            f"{low:.3f} to {high:.3f}",
            f"{each.network_ms:.3f}",
            f"{each.identity_ms:.3f}",
        )
    return table


def _additivity_table(sums: Sequence[Additivity]) -> Table:
    from rich.table import Table

    table = Table(title="Base and marginals against the block in all three stages", box=None)
    table.add_column("block")
    for title in ("predicted ms", "measured ms", "error", "95% interval"):
        table.add_column(title, justify="right")
    for each in sums:
        low, high = each.error_interval
        table.add_row(
            each.block,
            f"{each.predicted_ms:.3f}",
            f"{each.measured_ms:.3f}",
            f"{each.error:+.1%}",
            f"{low:+.1%} to {high:+.1%}",
        )
    return table
