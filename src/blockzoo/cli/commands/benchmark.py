"""`blockzoo benchmark`: how fast blocks run, side by side."""

from __future__ import annotations

from blockzoo.cli import shared_options
from blockzoo.cli.app import examples
from blockzoo.cli.option_groups import BenchmarkOptions, spread


@examples(
    "blockzoo benchmark ResNetBasicBlock MobileOneBlock --position mid",
    "blockzoo benchmark --all --batch-size 64 --threads 2 --results results",
    "blockzoo benchmark RepMixer MBConv --plot latencies.png",
    "blockzoo benchmark RepMixer --baseline ResNetBasicBlock --device cuda",
)
@spread
def benchmark(
    chosen: BenchmarkOptions,
    results: shared_options.SaveTo = None,
    output: shared_options.Output = None,
    plot: shared_options.Plot = None,
) -> None:
    """Time blocks side by side in the scaffold, in deploy form with batch norms folded.

    The blocks of one position are timed in interleaved random rounds until each ratio to the
    baseline is known well enough for its verdict, or the budget is spent; ratios come from samples
    of the same round. A block whose timed form does not equal its training form is not timed.
    """
    from blockzoo.cli.actions import timing

    timing.benchmark(chosen, results, output, plot)
