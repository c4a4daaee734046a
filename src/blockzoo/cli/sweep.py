"""`blockzoo sweep`: the main job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from blockzoo.cli import options
from blockzoo.cli.app import examples

if TYPE_CHECKING:
    from blockzoo.protocol import Protocol
    from blockzoo.results.store import Store


@examples(
    "blockzoo sweep --quick",
    "blockzoo sweep --protocol v1 --dataset cifar100 --seeds 5",
    "blockzoo sweep RepMixer MBConvLNBlock -p mid --dataset images.npz --width 32 --epochs 20",
)
def sweep(
    blocks: options.Blocks = None,
    everything: options.All = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Short for --protocol quick: three blocks on digits.")
    ] = False,
    positions: options.Positions = None,
    protocol: options.ProtocolName = "v1",
    dataset: options.Dataset = None,
    data_dir: options.DataDir = None,
    skip_bad_images: options.SkipBadImages = False,
    robustness: options.Robustness = False,
    seeds: Annotated[
        int | None, typer.Option("--seeds", help="How many seeds. (default: the protocol's)")
    ] = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    learning_rate: options.LearningRate = None,
    precision: options.Precision = None,
    channels_last: options.ChannelsLast = None,
    latency_budget: Annotated[
        float | None,
        typer.Option(
            "--latency-budget",
            help="Seconds of timing per block and position at the most. (default: the protocol's)",
        ),
    ] = None,
    context: options.Context = None,
    depth: options.Depth = None,
    width: options.Width = None,
    device: options.Device = "auto",
    results: options.ResultsDir = "results",
    plots: Annotated[
        bool, typer.Option("--plots/--no-plots", help="Draw the plots at the end.")
    ] = True,
    side_by_side: Annotated[
        int, typer.Option("--side-by-side", help="Trainings at once, each in its own process.")
    ] = 1,
    resume: options.Resume = True,
    on_oom: options.OnOom = "split",
    save_weights: options.SaveWeights = False,
    compiled: options.Compiled = False,
    experiment_name: options.ExperimentName = "",
    notes: options.Notes = "",
) -> None:
    """Measure blocks at all positions over seeds: cost, latency, training; then table and plots.

    What the store in the results folder already holds is not run again. A trial that fails is
    recorded with its reason and the sweep goes on. Stop it at any time and run it again.
    """
    from blockzoo.cli.choices import (
        chosen_blocks,
        chosen_on_oom,
        chosen_positions,
        csv_location,
        open_store,
    )
    from blockzoo.cli.progress import SweepProgress
    from blockzoo.cli.screen import load_data, message_console
    from blockzoo.executors import trainers_side_by_side
    from blockzoo.plan import SweepRequest
    from blockzoo.protocol import get_protocol
    from blockzoo.sweep import run_sweep

    chosen = get_protocol("quick" if quick else protocol).changed(
        blocks=tuple(chosen_blocks(blocks, everything)) if blocks or everything else None,
        positions=chosen_positions(positions) if positions else None,
        dataset=dataset,
        seeds=None if seeds is None else tuple(range(seeds)),
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        precision=precision,
        channels_last=channels_last,
        latency_budget_s=latency_budget,
        context=context,
        depth=depth,
        width=width,
    )
    request = SweepRequest(
        protocol=chosen,
        data_dir=data_dir,
        skip_bad_images=skip_bad_images,
        robustness=robustness,
        device=device,
        experiment_name=experiment_name,
        notes=notes,
        checkpoints=csv_location(results).parent / "checkpoints",
        resume=resume,
        on_oom=chosen_on_oom(on_oom),
        save_weights=csv_location(results).parent / "weights" if save_weights else None,
        compiled=compiled,
    )
    load_data(request)
    messages = message_console()
    with open_store(results, create=True) as store:
        with SweepProgress(messages) as listener, trainers_side_by_side(side_by_side) as trainers:
            result = run_sweep(
                request,
                store,
                csv_path=csv_location(results),
                trainers=trainers,
                listener=listener,
            )
        _show(store, chosen, results, plots)
    if result.failed:
        messages.print(f"{result.failed} failed; their reasons are in {csv_location(results)}")
        raise typer.Exit(1)


def _show(store: Store, protocol: Protocol, results: str, plots: bool) -> None:
    from blockzoo.analysis.summary import summarize
    from blockzoo.cli.choices import csv_location
    from blockzoo.cli.screen import message_console, output_console
    from blockzoo.cli.summary import summary_table
    from blockzoo.results.frame import load_results
    from blockzoo.visualize import visualize

    summary = summarize(load_results(csv_location(results)))
    output_console().print(summary_table(summary[summary.protocol == protocol.label]))
    written = [csv_location(results)]
    if plots and not summary.empty:
        written += visualize(csv_location(results), csv_location(results).parent / "plots")
    for path in written:
        message_console().print(f"wrote {path}", highlight=False, soft_wrap=True)
