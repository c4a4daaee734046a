"""`blockzoo train`: how well blocks learn, one record per seed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from blockzoo.cli import options
from blockzoo.cli.app import examples
from blockzoo.cli.requests import TrainingOptions, spread
from blockzoo.cli.timing import fail_if_any_failed

if TYPE_CHECKING:
    from blockzoo.results.records import Record


@examples(
    "blockzoo train MobileOneBlock --position mid --dataset digits --epochs 5",
    "blockzoo train RepMixer --position late --dataset cifar10 --seeds 3",
    "blockzoo train RepMixer --position late --dataset images.npz --protocol v1 --width 32",
)
@spread
def train(
    given: TrainingOptions,
    seeds: options.Seeds = 1,
    first_seed: Annotated[int, typer.Option("--seed", help="The first seed.")] = 0,
    output: options.Output = None,
) -> None:
    """Train blocks in the scaffold and read the test set once, at the end.

    The checkpoint is chosen on a validation split of the training set. For one seed all blocks see
    the same stem, context and head weights, the same batches and the same augmentation. Records go
    to the store in the results folder as each training ends. One that fails is recorded with its
    reason, and the others go on.
    """
    from blockzoo.cli.choices import chosen_seeds, csv_location, open_store
    from blockzoo.cli.screen.consoles import load_data, message_console, output_console
    from blockzoo.experiments.sweep.run import run_trainings
    from blockzoo.report.tables.training import robustness_tables, training_table
    from blockzoo.results.table.csv import write_results_csv

    request = replace(given, positions=given.positions or ["mid"]).request(
        seeds=chosen_seeds(seeds, first_seed)
    )
    load_data(request)
    records: list[Record] = []
    with open_store(given.results, create=True) as store:
        for both in run_trainings(request, store, csv_path=csv_location(given.results)):
            records += both
            # What fails in training is likely to fail again as costs are counted.
            for record in [record for record in both if record.status == "failed"][:1]:
                subject = f"{record.block} ({record.positions[0]})"
                what = "" if record is both[0] else f"cost of {subject}: "
                message_console().print(
                    f"failed: {what}{record.reason}", highlight=False, soft_wrap=True
                )
    for table in (training_table(records), *robustness_tables(records)):
        output_console().print(table)
    if output is not None:
        write_results_csv(records, output)
    fail_if_any_failed(records)
