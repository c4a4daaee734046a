"""What `train` and `tune` do, and the request that they and `sweep` make of their options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import typer

from blockzoo.cli.actions.apart import blocks_apart
from blockzoo.cli.actions.choices import chosen_blocks, chosen_positions, chosen_seeds
from blockzoo.cli.actions.keeping import (
    csv_location,
    fail_if_any_failed,
    open_store,
    require_usable,
)
from blockzoo.cli.option_groups import TrainingOptions
from blockzoo.cli.screen.consoles import load_data, output_console, say, say_data
from blockzoo.cli.screen.tuning_progress import TuningProgress
from blockzoo.core.errors import UnknownNameError
from blockzoo.data.residence import Residence
from blockzoo.experiments.protocol import Protocol, get_protocol
from blockzoo.experiments.sweep.plan import SweepRequest
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
from blockzoo.training.loggers import LogTo
from blockzoo.training.micro_batches import OnOom
from blockzoo.training.recipe import Recipe
from blockzoo.training.run_options import RunOptions


@blocks_apart
def train(chosen: TrainingOptions, *, seeds: int, first_seed: int, output: Path | None) -> None:
    """Train the blocks with each seed, at the position mid unless told otherwise."""
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


def sweep_request(
    chosen: TrainingOptions,
    *,
    seeds: tuple[int, ...] | None,
    latency_budget_s: float | None = None,
    protocols_blocks: bool = False,
) -> SweepRequest:
    """Return what the options ask for; what is None is as in the protocol.

    >>> chosen = TrainingOptions(blocks=["RepVGG"], positions=["mid"], device="cpu")
    >>> sweep_request(chosen, seeds=(0,)).protocol.blocks
    ('RepVGGBlock',)

    With `protocols_blocks` the protocol says which blocks where none is named. Raises `InputError`
    where none is then known, and for whatever value that is not allowed.
    """
    named = chosen.blocks or chosen.everything or not protocols_blocks
    changes = {
        **_options_named_as(chosen, Protocol, Recipe),
        # None, and not an empty tuple, leaves a protocol's field as it is.
        "blocks": tuple(chosen_blocks(chosen.blocks, chosen.everything)) if named else None,
        "positions": chosen_positions(chosen.positions) if chosen.positions else None,
        "seeds": seeds,
        "latency_budget_s": latency_budget_s,
    }
    return SweepRequest(
        protocol=get_protocol(chosen.protocol).changed(**changes),
        data_dir=chosen.data_dir,
        skip_bad_images=chosen.skip_bad_images,
        flip=chosen.mirrored,
        device=chosen.device,
        compiled=chosen.compiled,
        options=_run_options(chosen),
    )


def _run_options(chosen: TrainingOptions) -> RunOptions:
    folder = csv_location(chosen.results).parent  # all that trainings leave lies beside the store
    # One that is named twice would be opened twice and closed once.
    loggers = tuple(dict.fromkeys(chosen.log or ()))
    in_other_words: dict[str, Any] = {
        "resident": chosen_resident(chosen.resident),
        "on_oom": chosen_on_oom(chosen.on_oom),
        "checkpoints": folder / "checkpoints",
        "save_weights": folder / "weights" if chosen.save_weights else None,
        "log_to": LogTo(folder=folder / "logs", loggers=loggers) if loggers else None,
    }
    # The second goes before the first, where such an option is still text.
    return RunOptions(**{**_options_named_as(chosen, RunOptions), **in_other_words})


def _options_named_as(chosen: TrainingOptions, *settings: type) -> dict[str, Any]:
    """Return the options that have the name of a field of those settings."""
    # By name, so that a new option of training need not be listed here.
    names = {field.name for each in settings for field in fields(each)}
    return {name: getattr(chosen, name) for name in names if hasattr(chosen, name)}


def chosen_resident(name: str) -> Residence:
    """Return whether the images are to lie on the training device.

    >>> [chosen_resident(name) for name in ("auto", "yes", "no")]
    ['auto', True, False]
    """
    answers: dict[str, Residence] = {"auto": "auto", "yes": True, "no": False}
    if name not in answers:
        raise UnknownNameError("--resident", name, answers)
    return answers[name]


def chosen_on_oom(name: str) -> OnOom:
    """Return what to do where a batch does not fit into memory.

    >>> chosen_on_oom("split")
    'split'
    """
    # A look-up and no cast: its values have the type that `RunOptions` wants.
    answers: dict[str, OnOom] = {"split": "split", "fail": "fail"}
    if name not in answers:
        raise UnknownNameError("--on-oom", name, answers)
    return answers[name]
