"""`blockzoo front`: accuracy against a cost, and the best block within limits."""

from __future__ import annotations

from typing import Annotated

import typer

from blockzoo.cli import shared_options
from blockzoo.cli.app import examples
from blockzoo.core import ranges


@examples(
    "blockzoo front",
    "blockzoo front --cost macs -p late",
    "blockzoo front --max-latency-ms 2 --max-params 1e6 --plot front.png",
)
def front(
    source: shared_options.Whole = "results",
    cost: Annotated[
        str, typer.Option("--cost", help="latency, macs, params, memory or energy.")
    ] = "latency",
    position: shared_options.ShownPositions = None,
    max_latency_ms: Annotated[
        float | None,
        typer.Option("--max-latency-ms", help="Milliseconds of a forward pass at the most."),
        ranges.LIMIT,
    ] = None,
    max_macs: Annotated[
        float | None,
        typer.Option("--max-macs", help="MACs of the deploy form at the most."),
        ranges.LIMIT,
    ] = None,
    max_params: Annotated[
        float | None,
        typer.Option("--max-params", help="Parameters of the deploy form at the most."),
        ranges.LIMIT,
    ] = None,
    max_memory_mb: Annotated[
        float | None,
        typer.Option("--max-memory-mb", help="Megabytes of inference at batch 1 at the most."),
        ranges.LIMIT,
    ] = None,
    plot: shared_options.Plot = None,
) -> None:
    """Show which blocks no other beats in accuracy and cost, and how sure that is.

    How sure: the share of draws of all seeds together, and of latencies within their intervals, in
    which the block is on the front. With limits it is also said which block is best within them.
    """
    from blockzoo.analysis.fronts import CostLimits, as_cost
    from blockzoo.cli.actions import deciding

    limits = CostLimits(
        max_latency_ms=max_latency_ms,
        max_macs=max_macs,
        max_params=max_params,
        max_memory_mb=max_memory_mb,
    )
    deciding.front(source, as_cost(cost), limits, positions=position or [], plot=plot)
