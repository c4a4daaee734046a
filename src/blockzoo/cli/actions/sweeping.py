"""What `sweep` does: run what the store lacks, then show the summary and the plots."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path

import typer

from blockzoo.analysis.compare import typical_deviation
from blockzoo.analysis.summary import summarize
from blockzoo.analysis.trainings import trained
from blockzoo.cli.actions.apart import apart, chosen_limits
from blockzoo.cli.actions.choices import chosen_seeds, use_threads
from blockzoo.cli.actions.keeping import csv_location, open_store, require_usable
from blockzoo.cli.actions.planning import say_plans, settings_varied, store_for_reading
from blockzoo.cli.actions.requests import fitted_sweep, grid_requests, sweep_request
from blockzoo.cli.actions.watching import say_stopped, watched
from blockzoo.cli.app import INTERRUPTED
from blockzoo.cli.option_groups import TrainingOptions, as_arguments
from blockzoo.cli.screen.consoles import load_data, output_console, say, say_data
from blockzoo.cli.screen.next_steps import next_steps, unfound_line
from blockzoo.cli.stopping import Stop
from blockzoo.cli.sweep_options import SweepOptions
from blockzoo.core.errors import InputError, ResultsError
from blockzoo.core.names import published_name
from blockzoo.core.position import Position
from blockzoo.experiments.compare import detectable_by
from blockzoo.experiments.execution.executors import ExecutorChoice, executor_for
from blockzoo.experiments.protocol import QUICK, Protocol
from blockzoo.experiments.sweep.choice import Choice, Shard
from blockzoo.experiments.sweep.pace import Pace
from blockzoo.experiments.sweep.plan import SweepRequest
from blockzoo.experiments.sweep.run import SweepResult, run_sweep
from blockzoo.experiments.sweep.sweep_file import SUFFIX, SweepFile
from blockzoo.report.tables.summary import older_identity_line, summary_table, untrained_line
from blockzoo.report.visualize import visualize
from blockzoo.results.records import TrainingRecord
from blockzoo.results.store.database import Store
from blockzoo.results.table.frame import load_results

_SECONDS_PER_HOUR = 3600


def sweep(chosen: SweepOptions) -> None:
    """Run what the store does not hold yet of the sweep, then show its summary and plots.

    Exits with status 1 where a trial failed, and as after an interruption where Ctrl-C ended it.
    """
    use_threads(chosen.threads)
    chosen = replace(chosen, protocol=QUICK) if chosen.quick else chosen
    file = _sweep_file(chosen)
    if file is None:
        with apart(chosen):
            _sweep(chosen, [_request(chosen)])
        return
    chosen = replace(chosen, blocks=None)
    with apart(chosen, also=(*file.blocks, *file.contexts)):
        requests = grid_requests(chosen, file, seeds=_seeds(chosen))
        _sweep(chosen, requests, next_steps_too=False)


def _sweep_file(chosen: SweepOptions) -> SweepFile | None:
    """Return the sweep file that is named in the place of blocks; None where there is none."""
    names = chosen.blocks or []
    if not any(name.endswith(SUFFIX) for name in names):
        return None
    if len(names) > 1:
        raise InputError("name a sweep file alone; the blocks stand in it, as `blocks`")
    return SweepFile.read(names[0])


def _request(chosen: SweepOptions) -> SweepRequest:
    return sweep_request(chosen, seeds=_seeds(chosen), protocols_blocks=True)


def _seeds(chosen: SweepOptions) -> tuple[int, ...] | None:
    return None if chosen.seeds is None else chosen_seeds(chosen.seeds)


def _sweep(
    chosen: SweepOptions, requests: Sequence[SweepRequest], *, next_steps_too: bool = True
) -> None:
    choice = Choice(
        only=tuple(dict.fromkeys(chosen.only or ())),  # type: ignore[arg-type]  # it is checked there
        retry_failed=chosen.retry_failed,
        shard=None if chosen.shard is None else Shard.of_text(chosen.shard),
    )
    require_usable(chosen.results, None)
    _executor(chosen)  # what it cannot be is said before any work
    pace = _pace_from(chosen, requests[0])
    by_block = {} if pace is None else pace.by_block
    choice = replace(choice, seconds_of_training=by_block)
    requests = [replace(each, trust_unsure=chosen.trust_unsure, choice=choice) for each in requests]
    for request in requests:
        load_data(request)
    if chosen.dry_run:
        with store_for_reading(chosen.results) as store:
            say_plans(requests, store, pace_from=pace, at_once=_executor(chosen).at_once)
        return
    with open_store(chosen.results, create=True) as store, Stop() as stop:
        ended = list(_run(requests, store, chosen, stop))
        labels = [request.protocol.label for request, _ in ended]
        unfound = _unfound(ended[0][0].protocol, store) if len(ended) == 1 else ""
    csv = csv_location(chosen.results)
    if stop.asked:
        say_stopped()
        raise typer.Exit(INTERRUPTED)
    _show_sweep(labels, csv, chosen.plots, unfound)
    if next_steps_too:
        _show_next_steps(chosen, requests[0].protocol)
    if failed := sum(result.failed for _, result in ended):
        say(f"{failed} failed; their reasons are in {csv}")
        raise typer.Exit(1)


def _pace_from(chosen: SweepOptions, request: SweepRequest) -> Pace | None:
    if chosen.pace_from is None:
        return None
    with open_store(chosen.pace_from, create=False) as store:
        return Pace.of(store, request.protocol)


def _run(
    requests: Sequence[SweepRequest], store: Store, chosen: SweepOptions, stop: Stop
) -> Iterator[tuple[SweepRequest, SweepResult]]:
    """Run one request after the other and yield how each ended; none after a stop."""
    budget_h, csv = chosen.time_budget_h, csv_location(chosen.results)
    end_s = None if budget_h is None else time.monotonic() + budget_h * _SECONDS_PER_HOUR
    with executor_for(_executor(chosen), requests[0].device) as trainers:
        for number, (request, varied) in enumerate(
            zip(requests, settings_varied(requests), strict=True), start=1
        ):
            if len(requests) > 1:
                say(f"protocol {number} of {len(requests)}: {request.protocol.label}{varied}")
            say_data(request)
            fitted = fitted_sweep(request, store)
            with watched(
                fitted,
                store,
                results=chosen.results,
                at_once=trainers.capacity,
                stop=stop,
                end_s=end_s,
                part=(number, len(requests)),
            ) as told:
                result = run_sweep(
                    fitted,
                    store,
                    csv_path=csv,
                    trainers=trainers,
                    listener=told.listener,
                    may_start=told.may_start,
                )
            yield fitted, result
            if stop.asked:
                return


def _executor(chosen: SweepOptions) -> ExecutorChoice:
    return ExecutorChoice(
        name=chosen.executor,
        workers=chosen.workers,
        address=chosen.address,
        limits=chosen_limits(chosen),
    )


def _unfound(protocol: Protocol, store: Store) -> str:
    """Return the line on what the seeds cannot find, by how these blocks differ over them."""
    known = store.listed("training", status="ok", protocol=protocol.label)
    deviation = typical_deviation(
        trained(
            record
            for record in known
            if isinstance(record, TrainingRecord)
            # In a track of matched budgets blocks go by names that say how they were fitted.
            and {record.block, published_name(record.block)} & {*protocol.blocks}
        )
    )
    comparisons = len(protocol.blocks) - 1
    return unfound_line(
        len(protocol.seeds), detectable_by(deviation, len(protocol.seeds), comparisons)
    )


def _show_next_steps(chosen: SweepOptions, protocol: Protocol) -> None:
    # What `sweep` alone takes is nothing for a comparison.
    of_sweep = {each.name for each in fields(SweepOptions)}
    of_sweep -= {each.name for each in fields(TrainingOptions)}
    own = {"blocks", "everything", "positions", *of_sweep}
    steps = next_steps(
        protocol.blocks,
        protocol.context,
        position=str(Position.MID if Position.MID in protocol.positions else protocol.positions[0]),
        options=as_arguments(chosen, without=own),
        results=chosen.results,
    )
    for line in steps:
        # On standard output, for they are of what was found; never wrapped, for they are copied.
        output_console().print(line, highlight=False, soft_wrap=True)


def _show_sweep(labels: Sequence[str], csv: Path, plots: bool, unfound: str) -> None:
    frame = load_results(csv)
    summary = summarize(frame)
    # The file holds all that was ever run into this folder; shown are this sweep's protocols.
    shown = summary[summary.protocol.isin(labels)]
    if shown.empty:
        say(untrained_line(str(csv.parent)))
    else:
        output_console().print(summary_table(shown))
    if unfound:
        output_console().print(unfound, highlight=False, soft_wrap=True)
    if line := older_identity_line(frame[frame.protocol.isin(labels)]):
        say(line)
    written = [csv]
    if plots and not summary.empty:
        try:
            written += visualize(csv, csv.parent / "plots")
        except ResultsError as error:
            # A sweep of trainings alone has no cost yet to draw them against.
            say(f"no plots: {error}")
    for path in written:
        say(f"wrote {path}")
