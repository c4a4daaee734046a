"""What `ranks`, `specialisation` and `front` do: say what a store allows to; never torch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from blockzoo.analysis.fronts import CostLimits, CostName, fronts
from blockzoo.analysis.ranks import agreements, rankings
from blockzoo.analysis.specialisation import specialisations
from blockzoo.cli.actions.keeping import open_store
from blockzoo.cli.actions.plotting import write_plot
from blockzoo.cli.screen.consoles import output_console
from blockzoo.core.errors import InputError
from blockzoo.core.position import Position
from blockzoo.report.figures.accuracy_plot import format_of
from blockzoo.report.figures.front_plot import front_figure
from blockzoo.report.figures.specialisation_plot import specialisation_figure
from blockzoo.report.tables.fronts import front_lines, front_table
from blockzoo.report.tables.ranks import agreement_lines, ranking_table
from blockzoo.report.tables.specialisation import specialisation_table, undecided_line
from blockzoo.results.records import TrainingRecord


def ranks(source: str) -> None:
    """Show every ranking, and how far they agree."""
    with open_store(source, create=False) as store:
        found = rankings(r for r in store.each(kind="training") if isinstance(r, TrainingRecord))
    if not found:
        raise InputError(
            f"{source} holds no two blocks trained on the same terms at one position; ranks need "
            f"two or more"
        )
    console = output_console()
    for each in found:
        console.print(ranking_table(each, console.width))
    for line in agreement_lines(agreements(found)):
        console.print(line, highlight=False)


def specialisation(source: str, *, margin: float, plot: Path | None) -> None:
    """Show blocks by position, a table for each data set and protocol, and the heat map of all."""
    format_of(plot)  # refused before the work and not after it
    with open_store(source, create=False) as store:
        found = specialisations(store.records(), margin=margin)
    if not found:
        raise InputError(
            f"{source} holds no block trained at two positions on the same terms; train one with "
            f"--position early --position mid --position late"
        )
    console = output_console()
    for _, group in groupby(found, key=lambda each: each.terms):
        rows = list(group)
        console.print(specialisation_table(rows, console.width))
        if line := undecided_line(rows):
            console.print(line, highlight=False)
    write_plot(plot, lambda: specialisation_figure(found))


def front(
    source: str,
    cost: CostName,
    limits: CostLimits,
    *,
    positions: Sequence[str],
    plot: Path | None,
) -> None:
    """Show which blocks no other beats at that cost, and the best within the limits."""
    format_of(plot)  # refused before the work and not after it
    places = [Position.parse(position) for position in positions]
    with open_store(source, create=False) as store:
        found = fronts(store.records(), cost, limits=limits, positions=places)
    if not any(each.candidates for each in found):
        raise InputError(
            f"{source} holds no block with both accuracy and {cost}; run `blockzoo sweep` or "
            f"`blockzoo {'benchmark' if cost in ('latency', 'energy') else 'profile'}`"
        )
    console = output_console()
    for each in found:
        console.print(front_table(each, console.width))
        for line in front_lines(each, limits):
            console.print(line, highlight=False)
    write_plot(plot, lambda: front_figure(found))
