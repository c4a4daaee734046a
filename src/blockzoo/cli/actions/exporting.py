"""What `exported` does: run the kept weights of a store as backends export them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from blockzoo.cli.actions.keeping import open_store
from blockzoo.cli.actions.timing import possible_ways
from blockzoo.cli.screen.consoles import output_console, progress, say
from blockzoo.core.errors import InputError
from blockzoo.core.run_way import RunWay
from blockzoo.data import load_dataset
from blockzoo.experiments.execution.user_blocks import run_apart
from blockzoo.experiments.exported import Exported, exported_accuracies
from blockzoo.report.tables.exported import exported_table, reason_lines
from blockzoo.results.records import TrainingRecord


def exported(
    source: str,
    dataset: str | None,
    data_dir: Path | None,
    *,
    backends: Sequence[str],
    precisions: Sequence[str],
) -> None:
    """Show what trained networks answer in each way; exits with status 1 where one cannot run."""
    if dataset is None:
        raise InputError("--dataset is missing; name the data that the blocks were trained on")
    ways = RunWay().crossed(backends=backends, precisions=precisions)
    ways = possible_ways(ways)
    with open_store(source, create=False) as store:
        every = (r for r in store.each(kind="training", status="ok"))
        kept = [r for r in every if isinstance(r, TrainingRecord) and r.weights_path]
    if not kept:
        raise InputError(f"{source} holds no training with its weights; run it with --save-weights")
    data = load_dataset(dataset, data_dir=data_dir)
    matching = [record for record in kept if record.dataset_fingerprint == data.fingerprint]
    if not matching:
        trained_on = ", ".join(sorted({record.dataset for record in kept}))
        raise InputError(f"no training with weights is on {data.name} as it is; on: {trained_on}")
    found: list[Exported] = []
    with run_apart({record.block for record in matching}, tell=say), progress("export") as update:
        for done, record in enumerate(matching, start=1):
            found += exported_accuracies([record], data, ways)
            update(done / len(matching), f"{record.block} ({record.shown[0]}), seed {record.seed}")
    console = output_console()
    console.print(exported_table(found))
    for line in reason_lines(found):
        console.print(line, highlight=False)
    if any(each.reason for each in found):
        raise typer.Exit(1)
