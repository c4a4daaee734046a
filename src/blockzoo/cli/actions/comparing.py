"""What `compare` does: say what it will take, run it, and show what was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import typer

from blockzoo.analysis.compare import typical_deviation
from blockzoo.analysis.trainings import trained
from blockzoo.cli.actions.apart import blocks_apart
from blockzoo.cli.actions.choices import chosen_seeds, use_threads
from blockzoo.cli.actions.keeping import csv_location, open_store, require_usable
from blockzoo.cli.actions.planning import guessed, kinds_of
from blockzoo.cli.actions.plotting import write_plot
from blockzoo.cli.actions.requests import fitted_sweep, sweep_request
from blockzoo.cli.actions.watching import say_stopped, watched
from blockzoo.cli.app import INTERRUPTED
from blockzoo.cli.compare_options import CompareOptions
from blockzoo.cli.screen.consoles import (
    load_data,
    message_console,
    output_console,
    say,
    say_data,
)
from blockzoo.cli.screen.durations import duration
from blockzoo.cli.stopping import Stop
from blockzoo.core.errors import InputError
from blockzoo.core.text import counted
from blockzoo.experiments.compare import (
    CompareRequest,
    Look,
    compare_request,
    could_find,
    plan_of,
    run_compare,
    within_time,
)
from blockzoo.experiments.execution.executors import ExecutorChoice, executor_for
from blockzoo.experiments.sweep.pace import Pace, known_trainings
from blockzoo.experiments.sweep.timed_fits import is_fitted
from blockzoo.report.figures.formats import format_of
from blockzoo.report.tables.comparison import (
    comparison_table,
    detail_lines,
    disagreement_lines,
    exploratory_line,
    sentence,
    undecided_lines,
)
from blockzoo.report.tables.fits import fits_table
from blockzoo.results.budgets import Match
from blockzoo.results.store.database import Store
from blockzoo.stats.accuracy import LEAST_SEEDS
from blockzoo.stats.spending import PLAN

_SECONDS_PER_HOUR = 3600


@blocks_apart
def compare(chosen: CompareOptions) -> None:
    """Run what is missing and show the verdicts; exits with status 1 where a trial failed."""
    use_threads(chosen.threads)
    format_of(chosen.plot)  # refused before the work and not after it
    request = _request(chosen)
    requests = _matched(request, chosen.matches)
    require_usable(chosen.results, None)
    load_data(request.sweep)
    with open_store(chosen.results, create=True) as store:
        requests = [
            replace(each, sweep=fitted_sweep(each.sweep, store, measure=not chosen.dry_run))
            for each in requests
        ]
        if not all(is_fitted(each.sweep) for each in requests):
            return  # a dry run, which has said what it takes to know more
        if chosen.time_budget_h is not None:
            share_s = chosen.time_budget_h * _SECONDS_PER_HOUR / len(requests)
            requests = [within_time(each, store, share_s) for each in requests]
        paces = [_say_plan(each, store) for each in requests]
        if chosen.dry_run:
            return
        looks = [
            _run(each, store, chosen, pace) for each, pace in zip(requests, paces, strict=True)
        ]
    for each, look in zip(requests, looks, strict=True):
        _show(look, each)
    found = [each for look in looks for each in look.comparisons]
    if chosen.plot is not None:
        from blockzoo.report.figures.comparison_plot import comparison_figure

        write_plot(chosen.plot, comparison_figure(found, request.margin))
    if any(look.failed for look in looks) or any(each.failed for each in found):
        raise typer.Exit(1)


def _matched(request: CompareRequest, matches: Sequence[str] | None) -> list[CompareRequest]:
    """Return the comparison in the track of each match; in that of its protocol without any."""
    if not matches:
        return [request]
    if request.sweep.protocol.match is not None:
        raise InputError("the protocol names a track; leave out --match")
    # By what they say: `macs` and `macs@1x` are one track.
    tracks = dict.fromkeys(map(Match.of_text, matches))
    return [request.with_protocol(request.sweep.protocol.changed(match=each)) for each in tracks]


def _request(chosen: CompareOptions) -> CompareRequest:
    """Return what the options ask for; raises `InputError` where that is nothing to compare."""
    if chosen.everything or not chosen.blocks:
        raise InputError("name your block first, then those it is compared with; --all is none")
    numbers = (chosen.seeds is not None, chosen.until_decided, chosen.time_budget_h is not None)
    if sum(numbers) > 1:
        raise InputError("give one of --seeds, --until-decided and --time-budget")
    sweep = sweep_request(
        chosen, seeds=None if chosen.seeds is None else chosen_seeds(chosen.seeds)
    )
    mine, *others = sweep.protocol.blocks
    if len(others) + 1 < len(chosen.blocks):
        raise InputError("a block is named twice; name each block once")
    looks = PLAN if chosen.until_decided else None
    return compare_request(sweep, mine, others, margin=chosen.margin_points / 100, looks=looks)


def _say_plan(request: CompareRequest, store: Store) -> Pace:
    """Say what would run and what could be found; return what trainings took so far."""
    if match := request.sweep.protocol.match:
        fits = [
            fit
            for position in request.sweep.protocol.positions
            for fit in request.sweep.fits(position)
        ]
        console = message_console()
        console.print(fits_table(fits, match))
    plan, seeds, others = plan_of(request, store), request.planned_seeds, request.others
    sweep = request.sweep
    known = list(trained(known_trainings(store, sweep.protocol, sweep.dataset.name)))
    pace = Pace.of_trainings(known)
    say(
        f"{request.block} against {', '.join(others)}: {counted(len(others), 'comparison')} at "
        f"each position, judged together; {counted(len(seeds), 'seed')}"
    )
    kinds = f" ({', '.join(kinds_of(plan).values())})" if plan.trials else ""
    say(
        f"{counted(len(plan.trials), 'trial')} to run{kinds}, {plan.done} are there; about "
        f"{duration(pace.expected_s(plan))}{guessed(pace)}"
    )
    found = could_find(request, typical_deviation(known))
    say(_what_can_be_found(len(seeds), found))
    if request.looks is not None:
        say(f"looks: {request.looks}; ends when every pair is decided")
    return pace


def _what_can_be_found(seeds: int, found: float | None) -> str:
    if seeds < LEAST_SEEDS:
        return f"{counted(seeds, 'seed')} allow no verdict on accuracy; it takes {LEAST_SEEDS}"
    if found is None:
        return (
            f"how small a difference {seeds} seeds can find is known once the store holds two "
            f"blocks of this protocol with three seeds in common"
        )
    return (
        f"{seeds} seeds find {100 * found:.2f} points with 80% power, by how blocks of this "
        f"protocol differ from seed to seed in the store"
    )


def _run(request: CompareRequest, store: Store, chosen: CompareOptions, pace: Pace) -> Look:
    with (
        Stop() as stop,
        executor_for(ExecutorChoice(workers=chosen.workers), request.sweep.device) as trainers,
        watched(
            request.sweep,
            store,
            results=chosen.results,
            at_once=trainers.capacity,
            stop=stop,
            pace=pace,
        ) as told,
    ):
        say_data(request.sweep)
        looks = []
        for look in run_compare(
            request,
            store,
            trainers=trainers,
            listener=told.listener,
            may_start=told.may_start,
            csv_path=csv_location(chosen.results),
        ):
            looks.append(look)
            if request.looks is not None:
                say(f"{look.seeds} seeds, level {look.level:g}: {_counted(look)}")
    if stop.asked:
        say_stopped()
        raise typer.Exit(INTERRUPTED)
    return looks[-1]


def _counted(look: Look) -> str:
    undecided = sum(each.verdict == "undecided" for each in look.comparisons)
    return f"{undecided} of {len(look.comparisons)} pairs undecided"


def _show(look: Look, request: CompareRequest) -> None:
    console = output_console()
    match = request.sweep.protocol.match
    if match is not None:
        console.print(f"{match.words}:", highlight=False)
    console.print(comparison_table(look.comparisons))
    lines = (
        *detail_lines(look.comparisons),
        *undecided_lines(look.comparisons),
        *disagreement_lines(look.comparisons, look.level),
        exploratory_line(look.comparisons),
    )
    for line in filter(None, lines):
        console.print(line, highlight=False)
    console.print()
    for each in look.comparisons:
        console.print(sentence(each, request.margin), highlight=False)
