"""`blockzoo train`: how well blocks learn, one record per seed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from blockzoo.cli import options
from blockzoo.cli.app import examples

if TYPE_CHECKING:
    from blockzoo.results.records import Record


@examples(
    "blockzoo train MobileOneBlock --position mid --dataset digits --epochs 5",
    "blockzoo train RepMixer --position late --dataset cifar10 --seeds 3",
    "blockzoo train RepMixer --position late --dataset images.npz --protocol v1 --width 32",
)
def train(
    blocks: options.Blocks = None,
    everything: options.All = False,
    positions: options.Positions = None,
    protocol: options.ProtocolName = "v1",
    dataset: options.Dataset = None,
    data_dir: options.DataDir = None,
    skip_bad_images: options.SkipBadImages = False,
    robustness: options.Robustness = False,
    seeds: options.Seeds = 1,
    first_seed: Annotated[int, typer.Option("--seed", help="The first seed.")] = 0,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    learning_rate: options.LearningRate = None,
    precision: options.Precision = None,
    channels_last: options.ChannelsLast = None,
    context: options.Context = None,
    depth: options.Depth = None,
    width: options.Width = None,
    device: options.Device = "auto",
    results: options.ResultsDir = "results",
    output: options.Output = None,
    resume: options.Resume = True,
    on_oom: options.OnOom = "split",
    save_weights: options.SaveWeights = False,
    compiled: options.Compiled = False,
    experiment_name: options.ExperimentName = "",
    notes: options.Notes = "",
) -> None:
    """Train blocks in the scaffold and read the test set once, at the end.

    The checkpoint is chosen on a validation split of the training set. For one seed all blocks see
    the same stem, context and head weights, the same batches and the same augmentation. Records go
    to the store in the results folder as each training ends.
    """
    from blockzoo.cli.choices import (
        chosen_blocks,
        chosen_on_oom,
        chosen_positions,
        csv_location,
        open_store,
    )
    from blockzoo.cli.screen import load_data, output_console
    from blockzoo.cli.tables import training_table
    from blockzoo.plan import SweepRequest
    from blockzoo.protocol import get_protocol
    from blockzoo.results.csv import write_results_csv
    from blockzoo.sweep import measure_cost, train_cell
    from blockzoo.train import remove_checkpoint

    chosen = get_protocol(protocol).changed(
        dataset=dataset,
        seeds=tuple(range(first_seed, first_seed + seeds)) if seeds > 0 else (),
        blocks=tuple(chosen_blocks(blocks, everything)),
        positions=chosen_positions(positions or ["mid"]),
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        precision=precision,
        channels_last=channels_last,
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
    records: list[Record] = []
    with open_store(results, create=True) as store:
        for seed, block, position in chosen.cells():
            trained = train_cell(request, block, position, seed, progress=True)
            records += [trained, *measure_cost(request, block, position)]
            store.put_all(records[-2:])
            remove_checkpoint(request.checkpoints, trained.trial_id)
            write_results_csv(store, csv_location(results))
    output_console().print(training_table(records))
    if output is not None:
        write_results_csv(records, output)
