"""What `sweep status` shows, from any terminal: how far the sweeps are that write into a store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone

from blockzoo.cli.actions.keeping import csv_location, open_store
from blockzoo.cli.actions.watching import PROGRESS_FOLDER
from blockzoo.cli.screen.consoles import output_console
from blockzoo.cli.screen.durations import duration
from blockzoo.experiments.sweep.choice import KINDS, Kind
from blockzoo.experiments.sweep.progress_file import RunningTrial, SweepState, read_progress
from blockzoo.experiments.sweep.time_left import NOT_KNOWN


def show_status(results: str) -> None:
    """Show what the store holds and how far each driver is; says so of one that is gone."""
    with open_store(results, create=False) as store:
        counts: Counter[tuple[Kind, str]] = Counter(
            (each.kind, each.status) for each in store.listed()
        )
    lines = [_store_line(counts)]
    states = read_progress(csv_location(results).parent / PROGRESS_FOLDER)
    for state in states:
        lines += _lines(state, datetime.now(timezone.utc))
    if not states:
        lines.append(f"no sweep is known to have written into {results}")
    for line in lines:
        output_console().print(line, highlight=False, soft_wrap=True)


def _store_line(counts: Mapping[tuple[Kind, str], int]) -> str:
    each = [
        f"{counts.get((kind, 'ok'), 0)} {kind}"
        + (f" ({failed} failed)" if (failed := counts.get((kind, "failed"), 0)) else "")
        for kind in KINDS
    ]
    return f"in the store: {', '.join(each)}"


def _lines(state: SweepState, now: datetime) -> Iterator[str]:
    life = state.life(now)
    part = f", protocol {state.part} of {state.parts}" if state.parts > 1 else ""
    where = f"process {state.pid} on {state.host}"
    since = f"since {state.started_at:%Y-%m-%d %H:%M} UTC"
    ended = "" if state.ended_at is None else f", ended {state.ended_at:%Y-%m-%d %H:%M} UTC"
    yield f"{state.protocol} on {state.dataset}{part}: {where}, {since}{ended}"
    failed = f", {state.failed} results failed" if state.failed else ""
    yield f"  {state.done} of {state.to_run} trials done{failed}; {state.there} were there before"
    if life == "gone":
        yield (
            f"  that process is no longer alive; last heard at {state.written_at:%H:%M:%S} UTC. "
            f"What has ended is kept, and the same command goes on from there"
        )
    elif life == "running":
        left_s = state.seconds_left
        left = NOT_KNOWN if left_s is None else f"about {duration(left_s)} left"
        yield f"  {left}"
        for trial in state.running:
            yield f"  running: {_in_hand(trial, state.epochs, now)}"


def _in_hand(trial: RunningTrial, epochs: int, now: datetime) -> str:
    took = duration((now - trial.since).total_seconds())
    if trial.epoch is None:
        return f"{trial.label}, for {took}"
    accuracy = "" if trial.val_accuracy is None else f", val acc {trial.val_accuracy:.1%}"
    return f"{trial.label}, epoch {trial.epoch} of {epochs}{accuracy}, for {took}"
