"""What `train` and `tune` do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import typer

from blockzoo.cli.actions.apart import blocks_apart
from blockzoo.cli.actions.choices import chosen_seeds, use_threads
from blockzoo.cli.actions.keeping import (
    csv_location,
    fail_if_any_failed,
    open_store,
    require_usable,
)
from blockzoo.cli.actions.requests import sweep_request
from blockzoo.cli.option_groups import TrainingOptions
from blockzoo.cli.screen.consoles import load_data, output_console, say, say_data
from blockzoo.cli.screen.tuning_progress import TuningProgress
from blockzoo.experiments.sweep.run import run_trainings
from blockzoo.experiments.tuning.search import check_search
from blockzoo.experiments.tuning.track import run_tuned_track
from blockzoo.experiments.tuning.tune import TRIALS, TUNING_FILE
from blockzoo.report.tables.training import (
    robustness_tables,
    tracks_table,
    training_table,
    trials_table,
)
from blockzoo.results.records import Record
from blockzoo.results.table.csv import write_results_csv


@blocks_apart
def train(chosen: TrainingOptions, *, seeds: int, first_seed: int, output: Path | None) -> None:
    """Train the blocks with each seed, at the position mid unless told otherwise."""
    use_threads(chosen.threads)
    chosen = replace(chosen, positions=chosen.positions or ["mid"])
    request = sweep_request(chosen, seeds=chosen_seeds(seeds, first_seed))
    require_usable(chosen.results, output)
    # The data first: where they cannot be had, no store is made.
    load_data(request)
    records: list[Record] = []
    with open_store(chosen.results, create=True) as store:
        say_data(request)
        for both in run_trainings(request, store, csv_path=csv_location(chosen.results)):
            records += both
            _say_what_failed(both)
    for table in (training_table(records), *robustness_tables(records)):
        output_console().print(table)
    if output is not None:
        write_results_csv(records, output)
    fail_if_any_failed(records)


def _say_what_failed(records: Sequence[Record]) -> None:
    """Say why a training or else its costs failed; the first of `records` is the training."""
    # What fails in training is likely to fail again as costs are counted.
    for record in [record for record in records if record.status == "failed"][:1]:
        subject = f"{record.block} ({record.shown[0]})"
        what = "" if record is records[0] else f"cost of {subject}: "
        say(f"failed: {what}{record.reason}")


@blocks_apart
def tune(chosen: TrainingOptions, *, trials: int | None, seeds: int | None) -> None:
    """Search each network's own recipe, train it with fresh seeds, and compare the tracks."""
    use_threads(chosen.threads)
    request = sweep_request(chosen, seeds=None if seeds is None else chosen_seeds(seeds))
    trials = TRIALS if trials is None else trials
    check_search(trials)
    require_usable(chosen.results, None)
    load_data(request)
    csv, listener, tracks = csv_location(chosen.results), TuningProgress(), []
    with open_store(chosen.results, create=True) as store:
        say_data(request)
        for track in run_tuned_track(
            request,
            store,
            file=csv.parent / TUNING_FILE,
            csv_path=csv,
            trials=trials,
            listener=listener,
        ):
            output_console().print(trials_table(track.tuning))
            tracks.append(track)
    if tracks:
        output_console().print(tracks_table(tracks))
    if listener.failures:
        raise typer.Exit(1)
