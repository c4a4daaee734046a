"""What `sweep --dry-run` says: what would run, what is there, and about how long it takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from blockzoo.cli.actions.keeping import open_store
from blockzoo.cli.actions.requests import fitted_sweep
from blockzoo.cli.screen.consoles import output_console
from blockzoo.cli.screen.durations import duration, in_hours
from blockzoo.core.text import counted
from blockzoo.experiments.protocol_settings import settings_of
from blockzoo.experiments.sweep.choice import KINDS, Kind
from blockzoo.experiments.sweep.pace import Pace
from blockzoo.experiments.sweep.plan import Plan, SweepRequest, make_plan
from blockzoo.experiments.sweep.timed_fits import is_fitted
from blockzoo.results.store.database import Store
from blockzoo.results.store.engines import is_postgres, store_path

_NAMES: dict[Kind, tuple[str, str]] = {
    "cost": ("cost", ""),
    "latency": ("session", " of latencies"),
    "training": ("training", ""),
}


@contextmanager
def store_for_reading(results: str) -> Iterator[Store]:
    """Provide the store of a dry run, which makes none: where there is none, an empty one."""
    if is_postgres(results) or store_path(results).exists():
        with open_store(results, create=False) as store:
            yield store
        return
    with TemporaryDirectory() as folder, Store(Path(folder), create=True) as store:
        yield store


def say_plans(
    requests: Sequence[SweepRequest], store: Store, *, pace_from: Pace | None, at_once: int
) -> None:
    """Say on standard output what would run of each request, and how long all of it takes.

    `pace_from`: what trainings took elsewhere, where the store does not know; `at_once`: how many
    run at a time.
    """
    wall_s = device_s = 0.0
    all_known = True
    for request, varied in zip(requests, settings_varied(requests), strict=True):
        fitted = fitted_sweep(request, store, measure=False)
        if not is_fitted(fitted):
            all_known = False
            continue  # it was said what must be timed to know more
        plan = make_plan(fitted, store)
        own = Pace.of(store, request.protocol, request.dataset.name)
        pace = pace_from if own.of_all is None and pace_from is not None else own
        trainings_s = _seconds(plan, pace, "training")
        others_s = pace.expected_s(plan) - trainings_s
        device_s += others_s + trainings_s
        wall_s += others_s + trainings_s / at_once
        for line in _lines(request, plan, pace, varied):
            output_console().print(line, highlight=False, soft_wrap=True)
    if device_s:
        total = f"about {duration(wall_s)} in all, {in_hours(device_s)} device hours"
        output_console().print(total, highlight=False)
    elif all_known:
        output_console().print("nothing is left to run", highlight=False)


def settings_varied(requests: Sequence[SweepRequest]) -> list[str]:
    """Return for each request of a grid what it has other settings of, as ` (width 8)`."""
    settings = [settings_of(request.protocol) for request in requests]
    # The data set stands beside it anyway, and blocks are many.
    names = [
        name
        for name in settings[0]
        if name not in ("dataset", "blocks") and len({each[name] for each in settings}) > 1
    ]
    texts = [", ".join(f"{name} {each[name]}" for name in names) for each in settings]
    return [f" ({text})" if text else "" for text in texts]


def _lines(request: SweepRequest, plan: Plan, pace: Pace, varied: str) -> Iterator[str]:
    protocol = request.protocol
    of = "" if request.choice.shard is None else f", shard {request.choice.shard}"
    yield (
        f"{protocol.label}{varied} on {request.dataset.name}: "
        f"{counted(len(protocol.blocks), 'block')}, "
        f"{counted(len(protocol.positions), 'position')}, "
        f"{counted(len(protocol.seeds), 'seed')}{of}"
    )
    for kind, what in kinds_of(plan).items():
        about = duration(_seconds(plan, pace, kind))
        yield f"  {what} to run, about {about}{guessed(pace) if kind == 'training' else ''}"
    failed = f", {plan.failed} failed before and are left so" if plan.failed else ""
    yield f"  {plan.done} trials are there{failed}"


def kinds_of(plan: Plan) -> dict[Kind, str]:
    """Return how many trials there are of each kind of which there is one, in words."""
    counts = Counter(trial.kind for trial in plan.trials)
    return {kind: counted(counts[kind], *_NAMES[kind]) for kind in KINDS if counts[kind]}


def guessed(pace: Pace) -> str:
    """Return what to say of a time for trainings where none is known."""
    return (
        ", by a guess: no training of this protocol is in the store" if pace.of_all is None else ""
    )


def _seconds(plan: Plan, pace: Pace, kind: str) -> float:
    return sum(pace.of_trial(trial) for trial in plan.trials if trial.kind == kind)
