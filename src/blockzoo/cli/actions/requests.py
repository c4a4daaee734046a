"""The request that `train`, `tune`, `sweep` and `compare` make of their options."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from blockzoo.cli.actions.choices import chosen_blocks, chosen_positions
from blockzoo.cli.actions.keeping import csv_location
from blockzoo.cli.option_groups import TrainingOptions
from blockzoo.cli.screen.consoles import say
from blockzoo.core.errors import InputError, UnknownNameError
from blockzoo.core.position import Position
from blockzoo.core.text import counted
from blockzoo.data.residence import Residence
from blockzoo.experiments.protocol import Protocol, get_protocol
from blockzoo.experiments.sweep.plan import SweepRequest
from blockzoo.experiments.sweep.sweep_file import SweepFile
from blockzoo.experiments.sweep.timed_fits import SESSIONS, fitted_by_timing, is_fitted
from blockzoo.measure.machine.devices import resolve_device
from blockzoo.results.store.database import Store
from blockzoo.training.loggers import LogTo
from blockzoo.training.micro_batches import OnOom
from blockzoo.training.recipe import Recipe
from blockzoo.training.run_options import RunOptions


def fitted_sweep(request: SweepRequest, store: Store, *, measure: bool = True) -> SweepRequest:
    """Return the request with blocks fitted that are matched by latency, saying what it takes.

    Without `measure` nothing is timed, and it is only said what would be.
    """

    def say_session(position: Position, session: int, networks: int) -> None:
        say(f"fitting latencies at {position}, session {session} of up to {SESSIONS}: {networks}")

    fitted = fitted_by_timing(request, store, measure=measure, on_session=say_session)
    if not is_fitted(fitted):
        blocks, positions = len(request.protocol.blocks), len(request.protocol.positions)
        minutes = (blocks + 2) * positions * SESSIONS * request.protocol.latency_budget_s / 60
        say(
            f"{counted(blocks, 'block')} timed first at {counted(positions, 'position')}, in up to "
            f"{SESSIONS} sessions each, {minutes:.0f} min at most; what runs then depends on what "
            f"they show"
        )
    return fitted


def sweep_request(
    chosen: TrainingOptions,
    *,
    seeds: tuple[int, ...] | None,
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
    changes = _changes(chosen, named=bool(named), seeds=seeds)
    return _by_protocol(chosen, get_protocol(chosen.protocol).changed(**changes))


def grid_requests(
    chosen: TrainingOptions, file: SweepFile, *, seeds: tuple[int, ...] | None
) -> list[SweepRequest]:
    """Return a request for each protocol of a sweep file; options that are given go over its keys.

    Raises what `sweep_request` and `SweepFile.protocols` raise.
    """
    named = bool(chosen.blocks or chosen.everything)
    changes = _changes(chosen, named=named, seeds=seeds)
    over = {name for name, value in changes.items() if value is not None}
    if chosen.protocol != TrainingOptions().protocol:
        over.add("protocol")
    grid = file.protocols(protocol=chosen.protocol, without=over)
    return [_by_protocol(chosen, protocol.changed(**changes)) for protocol in grid]


def _changes(
    chosen: TrainingOptions, *, named: bool, seeds: tuple[int, ...] | None
) -> dict[str, Any]:
    """Return what the options change of a protocol, None where they say nothing."""
    return {
        **_options_named_as(chosen, Protocol, Recipe),
        # None, and not an empty tuple, leaves a protocol's field as it is.
        "blocks": tuple(chosen_blocks(chosen.blocks, chosen.everything)) if named else None,
        "positions": chosen_positions(chosen.positions) if chosen.positions else None,
        "seeds": seeds,
    }


def _by_protocol(chosen: TrainingOptions, protocol: Protocol) -> SweepRequest:
    if chosen.cuda_graphs:
        _require_graphs(chosen)
    return SweepRequest(
        protocol=protocol,
        data_dir=chosen.data_dir,
        skip_bad_images=chosen.skip_bad_images,
        flip=chosen.mirrored,
        device=chosen.device,
        compiled=chosen.compiled,
        options=_run_options(chosen),
    )


def _require_graphs(chosen: TrainingOptions) -> None:
    if chosen.compiled:
        raise InputError("give --compile or --compile cudagraphs, not both")
    device = resolve_device(chosen.device)
    if device.type != "cuda":
        raise InputError(f"--compile cudagraphs is for CUDA devices; this would train on {device}")


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
