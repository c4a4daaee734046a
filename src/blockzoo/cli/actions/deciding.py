"""What `ranks`, `specialisation`, `front` and `curves` do: say what a store allows; never torch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from blockzoo.analysis.curves import EpochMeasure, as_measure, budget_curves, learning_curves
from blockzoo.analysis.fronts import CostLimits, CostName, fronts
from blockzoo.analysis.ranks import agreements, rankings
from blockzoo.analysis.specialisation import specialisations
from blockzoo.cli.actions.keeping import open_store
from blockzoo.cli.actions.plotting import write_plot
from blockzoo.cli.screen.consoles import output_console
from blockzoo.core.errors import InputError, UnknownNameError
from blockzoo.core.position import POSITIONS, Position
from blockzoo.report.figures.formats import format_of
from blockzoo.report.tables.curves import curves_table
from blockzoo.report.tables.fronts import front_lines, front_table
from blockzoo.report.tables.ranks import agreement_lines, ranking_table
from blockzoo.report.tables.specialisation import specialisation_table, undecided_line
from blockzoo.results.records import TrainingRecord
from blockzoo.results.table.join import parted

_OVER = ("epochs", "budget")
_MISSING = {
    "epochs": "no training with epochs; run `blockzoo train` or `blockzoo sweep`",
    "budget": "no block at two budgets; run `blockzoo compare --match macs --match macs@2x`",
}
_EPOCH_TITLES: dict[EpochMeasure, tuple[str, float]] = {
    "val_accuracy": ("validation accuracy, %", 100.0),
    "val_loss": ("validation loss, nats", 1.0),
    "train_accuracy": ("training accuracy, %", 100.0),
    "train_loss": ("training loss, nats", 1.0),
}


def ranks(source: str) -> None:
    """Show every ranking, and how far they agree."""
    with open_store(source, create=False) as store:
        found = rankings(parted(store)[1])
    if not found:
        raise InputError(
            f"{source} holds no two blocks trained on the same terms at one position; ranks need "
            f"two or more"
        )
    console = output_console()
    for each in found:
        console.print(ranking_table(each))
    for line in agreement_lines(agreements(found)):
        console.print(line, highlight=False)


def specialisation(source: str, *, margin: float, plot: Path | None) -> None:
    """Show blocks by position, a table for each data set and protocol, and the heat map of all."""
    format_of(plot)  # refused before the work and not after it
    with open_store(source, create=False) as store:
        found = specialisations(store, margin=margin)
    if not found:
        raise InputError(
            f"{source} holds no block trained at two positions on the same terms; train one with "
            f"--position early --position mid --position late"
        )
    console = output_console()
    for _, group in groupby(found, key=lambda each: each.terms):
        rows = list(group)
        console.print(specialisation_table(rows))
        if line := undecided_line(rows):
            console.print(line, highlight=False)
    if plot is not None:
        from blockzoo.report.figures.specialisation_plot import specialisation_figure

        write_plot(plot, specialisation_figure(found))


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
        found = fronts(store, cost, limits=limits, positions=places)
    if not any(each.candidates for each in found):
        raise InputError(
            f"{source} holds no block with both accuracy and {cost}; `blockzoo sweep` trains, and "
            f"`blockzoo {'benchmark' if cost in ('latency', 'energy') else 'profile'}` measures"
        )
    console = output_console()
    for each in found:
        console.print(front_table(each))
        for line in front_lines(each, limits):
            console.print(line, highlight=False)
    if plot is not None:
        from blockzoo.report.figures.front_plot import front_figure

        write_plot(plot, front_figure(found))


def curves(source: str, *, over: str, of: str, positions: Sequence[str], plot: Path | None) -> None:
    """Show curves over epochs, or over the budgets to which blocks were fitted."""
    format_of(plot)  # refused before the work and not after it
    if over not in _OVER:
        raise UnknownNameError("axis", over, _OVER)
    measure = as_measure(of)
    places = [Position.parse(position) for position in positions] or POSITIONS
    with open_store(source, create=False) as store:
        every = (r for r in store.each(kind="training") if isinstance(r, TrainingRecord))
        trained = [r for r in every if set(places) & set(r.shown)]
    if over == "epochs":
        drawn = {"epoch": learning_curves(trained, measure)}
        title, scale = _EPOCH_TITLES[measure]
    else:
        drawn = {f"{cost} budget": found for cost, found in budget_curves(trained).items()}
        title, scale = "test accuracy, %", 100.0
    here = {x: [c for c in found if c.position in places] for x, found in drawn.items()}
    shown = {x: found for x, found in here.items() if found}
    if not shown:
        raise InputError(f"{source} holds {_MISSING[over]}")
    console = output_console()
    for x_title, found in shown.items():
        for terms, group in groupby(found, key=lambda curve: curve.terms):
            name = f"{', '.join(terms.title)}: {title}"
            console.print(curves_table(list(group), name, x_title, scale=scale))
        if plot is not None:
            from blockzoo.report.figures.curves_plot import curves_figure

            # One figure for each cost that budgets are of.
            one_of_several = plot.with_stem(f"{plot.stem}_{x_title.split()[0]}")
            write_plot(
                one_of_several if len(shown) > 1 else plot,
                curves_figure(found, x_title=x_title, y_title=title, scale=scale),
            )
