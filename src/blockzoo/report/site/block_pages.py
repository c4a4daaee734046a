"""The page of one block: what it is, how it stands, what it costs, how fast it is, its records."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from types import MappingProxyType

from blockzoo.analysis.curves import Curve
from blockzoo.analysis.standings import Standing
from blockzoo.core.names import published_name
from blockzoo.report.site.columns import group_title, ties_text
from blockzoo.report.site.commands import commands_of
from blockzoo.report.site.corrections import Correction, mark_of
from blockzoo.report.site.device_pages import device_path
from blockzoo.report.site.drawings import curve_drawing, samples_drawing
from blockzoo.report.site.facts import BlockFacts, block_facts
from blockzoo.report.site.gathering import Noted
from blockzoo.report.site.parts import Cell, Fact, Figure, Link, Table, facts_of, facts_of_json
from blockzoo.report.site.structures import Structure, structure_of
from blockzoo.report.site.wording import (
    NOTHING,
    count_text,
    date_text,
    file_stem,
    interval_text,
    megabytes_text,
    number_text,
    percent_text,
    plain,
    verdict_text,
)
from blockzoo.report.tables.summary import seeds_text
from blockzoo.results.records import CostRecord, FormCost, LatencyRecord, RobustnessMetrics
from blockzoo.results.table.values import hardware
from blockzoo.stats.accuracy import shown_interval
from blockzoo.stats.paired_seeds import mean_interval

_ARXIV = re.compile(r"\d{4}\.\d{4,5}")


@dataclass(frozen=True, kw_only=True)
class BlockPage:
    """All that the page of a block shows."""

    name: str
    facts: tuple[Fact, ...]
    tables: tuple[Table, ...]
    structure: Structure | None
    figures: tuple[Figure, ...]
    marks: tuple[str, ...]
    commands: tuple[str, ...]
    records: Table
    environments: tuple[tuple[Fact, ...], ...]

    @property
    def path(self) -> str:
        """Where the page lies within the site."""
        return f"blocks/{file_stem(self.name)}.html"


def block_page(
    name: str,
    standings: Sequence[Standing],
    *,
    noted: Sequence[Noted] = (),
    curves: Iterable[Curve] = (),
    robust: Mapping[str, RobustnessMetrics] = MappingProxyType({}),
    log: Sequence[Correction] = (),
) -> BlockPage:
    """Return the page of a block.

    Args:
        name: Of the block.
        standings: All of it, their latencies whole.
        noted: Its records, by time.
        curves: What it learned, epoch by epoch.
        robust: What trainings found on changed images, by their ids.
        log: Of corrections, the oldest first.

    Example:
        >>> block_page("RepMixer", []).facts[0]
        Fact(name='family', value='reparam')
    """
    environments = list(dict.fromkeys(each.environment for each in noted))
    numbers = {text: number for number, text in enumerate(environments, start=1)}
    known = block_facts(name)
    structure = structure_of(published_name(name))
    tables = (
        _accuracy_table([each for each in standings if each.terms is not None]),
        _cost_table(standings),
        _latency_table(standings),
        _robustness_table(standings, robust),
    )
    return BlockPage(
        name=plain(name),
        facts=_facts(known, structure),
        tables=tuple(table for table in tables if table.rows),
        structure=structure,
        figures=tuple(curve_figure(each, _place_text(each)) for each in curves if is_drawn(each)),
        marks=tuple(dict.fromkeys(_marks(standings, log))),
        commands=commands_of(standings),
        records=_records_table((each, numbers[each.environment]) for each in noted),
        environments=tuple(map(facts_of_json, environments)),
    )


def _place_text(curve: Curve) -> str:
    return f"{' · '.join(curve.terms.title)}, {curve.position}"


def _marks(standings: Iterable[Standing], log: Sequence[Correction]) -> Iterator[str]:
    """Yield what the log of corrections says of the block's results."""
    for standing in standings:
        for backend in dict.fromkeys([None, *(each.backend for each in standing.latencies)]):
            mark, reason = mark_of(log, standing, backend)
            if reason:
                where = f"{group_title(standing)}, {standing.position}"
                timed = "" if backend is None else f", {backend}"
                yield plain(f"{where}{timed}: {mark}. {reason}")


def _facts(known: BlockFacts | None, structure: Structure | None) -> tuple[Fact, ...]:
    if known is None:
        return ()
    paper: Cell = known.paper
    if _ARXIV.fullmatch(known.paper):
        paper = Link(f"arXiv:{known.paper}", f"https://arxiv.org/abs/{known.paper}")
    return facts_of(
        (
            ("family", known.family),
            ("year", known.year),
            ("paper", paper),
            ("source", known.source),
            ("licence", known.licence),
            ("formula", known.formula),
            ("receptive field", None if structure is None else f"{structure.field}, at stride 1"),
            ("merges branches", "yes" if known.reparameterisable else "no"),
            ("checked against", known.evidence),
            ("also called", ", ".join(known.aliases)),
            ("notes", known.notes),
        )
    )


def _accuracy_table(standings: Iterable[Standing]) -> Table:
    return Table(
        caption="Accuracy",
        columns=(
            *(("data set and protocol", "text"), ("position", "text"), ("accuracy, %", "number")),
            *(("these images", "number"), ("new images", "number"), ("ranks", "number")),
            *(("tie group", "text"), ("seeds", "number"), ("failures", "text"), ("date", "text")),
        ),
        rows=tuple(map(_accuracy_row, standings)),
        below="Mean over seeds on the test set, and 95% intervals. Ranks and tie groups are those "
        "of the position, by paired t, Holm over all pairs.",
    )


def _accuracy_row(standing: Standing) -> tuple[Cell, ...]:
    accuracy, ranked = standing.accuracy, standing.ranked
    low, high = (accuracy.low, accuracy.high) if accuracy else (None, None)
    new_low, new_high = standing.new_images or (None, None)
    protocol = standing.terms.protocol if standing.terms else ""
    return (
        Link(plain(group_title(standing)), f"../protocols/{file_stem(protocol)}.html"),
        str(standing.position),
        percent_text(accuracy.mean if accuracy else None),
        interval_text(low, high, scale=100),
        interval_text(new_low, new_high, scale=100),
        NOTHING if ranked is None else rank_text(ranked.best, ranked.worst),
        ties_text(standing) or NOTHING,
        seeds_text(len(standing.seeds), standing.failed),
        plain("; ".join(standing.reasons)) or NOTHING,
        date_text(standing.newest_at),
    )


def rank_text(best: int, worst: int) -> str:
    """Return a rank interval.

    >>> rank_text(1, 3), rank_text(2, 2)
    ('1 to 3', '2')
    """
    return str(best) if best == worst else f"{best} to {worst}"


def _cost_table(standings: Iterable[Standing]) -> Table:
    # The cost is the same whatever a network is trained on.
    known = {
        (each.position, each.cost.trial_id): (each, each.cost)
        for each in standings
        if each.cost is not None and each.cost.deploy is not None
    }
    return Table(
        caption="Cost",
        columns=(
            *(("position", "text"), ("scaffold", "text"), ("stage MACs", "number")),
            *(("stage parameters", "number"), ("MACs", "number"), ("parameters", "number")),
            *(("training form, MACs", "number"), ("memory, MB", "number")),
            *(("training step, MB", "number"), ("not counted", "text")),
        ),
        rows=tuple(_cost_row(standing, cost) for standing, cost in known.values()),
        below="Deploy form but where it says otherwise, one image. The stage is the one that holds "
        "the block.",
    )


def _cost_row(standing: Standing, cost: CostRecord) -> tuple[Cell, ...]:
    stage = cost.stage_at(standing.position)
    return (
        str(standing.position),
        plain(scaffold_text(standing)),
        *_counted(None if stage is None else stage.deploy),
        *_counted(cost.deploy),
        _counted(cost.train)[0],
        *(
            megabytes_text(None if memory is None else memory.peak_bytes)
            for memory in (cost.memory_inference, cost.memory_training)
        ),
        plain(" ".join(cost.uncounted)) or NOTHING,
    )


def _counted(form: FormCost | None) -> tuple[str, str]:
    """Return MACs and parameters."""
    if form is None:
        return NOTHING, NOTHING
    return count_text(form.macs), count_text(form.params_total)


def scaffold_text(standing: Standing) -> str:
    """Return in words what is around the block."""
    scaffold = standing.scaffold
    size = "x".join(map(str, scaffold.input_shape))
    return f"width {scaffold.width}, depth {scaffold.depth}, {size}, in {scaffold.context}"


def _latency_table(standings: Iterable[Standing]) -> Table:
    timed = {
        (standing.position, latency.trial_id): (standing, latency)
        for standing in standings
        for latency in standing.latencies
    }
    return Table(
        caption="Latency",
        columns=(
            *(("position", "text"), ("device", "text"), ("run", "text"), ("ratio", "number")),
            *(("95%", "number"), ("baseline", "text"), ("verdict", "text"), ("ms", "number")),
            *(("95%, ms", "number"), ("p90, ms", "number"), ("samples", "text")),
            *(("flags", "text"), ("date", "text")),
        ),
        rows=tuple(_latency_row(standing, latency) for standing, latency in timed.values()),
        below="The ratio is to the baseline timed in the same rounds; it compares across sessions, "
        "milliseconds do not.",
    )


def _latency_row(standing: Standing, latency: LatencyRecord) -> tuple[Cell, ...]:
    ratio_low, ratio_high = latency.ratio_interval or (None, None)
    low_ms, high_ms = latency.interval_ms or (None, None)
    device = hardware(latency, latency.device)
    reasons = (latency.reason, latency.verdict, latency.verdict_reason)
    return (
        str(standing.position),
        Link(plain(device), f"../{device_path(device)}"),
        plain(latency.way.label()),
        number_text(latency.ratio, 3),
        interval_text(ratio_low, ratio_high, digits=3),
        plain(latency.baseline or NOTHING),
        plain(verdict_text(latency.status, *reasons)),
        number_text(latency.median_ms, 3),
        interval_text(low_ms, high_ms, digits=3),
        number_text(latency.p90_ms, 3),
        samples_drawing(latency.samples_ms, latency.median_ms or 0.0),
        plain(", ".join(latency.flags)) or NOTHING,
        date_text(latency.created_at),
    )


def _robustness_table(
    standings: Iterable[Standing], robust: Mapping[str, RobustnessMetrics]
) -> Table:
    found = [
        (standing, [robust[trial] for trial in standing.trials if trial in robust])
        for standing in standings
    ]
    return Table(
        caption="Robustness",
        columns=(
            *(("data set and protocol", "text"), ("position", "text"), ("seeds", "number")),
            *(("corrupted, %", "number"), ("95%", "number"), ("shifted, %", "number")),
            *(("keeps its class, %", "number"), ("by corruption, %", "text")),
        ),
        rows=tuple(_robustness_row(standing, metrics) for standing, metrics in found if metrics),
        below="Mean accuracy over seeds on changed test images: 15 corruptions at five severities, "
        "moves by one pixel. The last column is the mean over severities.",
    )


def _robustness_row(standing: Standing, metrics: Sequence[RobustnessMetrics]) -> tuple[Cell, ...]:
    corrupted = mean_interval([each.mean_corruption_accuracy for each in metrics])
    low, high = shown_interval(corrupted) or (None, None)
    names = sorted({name for each in metrics for name in each.corruption_accuracy})
    by_name = (
        f"{name} {percent_text(fmean(fmean(m.corruption_accuracy[name]) for m in metrics))}"
        for name in names
        if all(name in each.corruption_accuracy for each in metrics)
    )
    return (
        plain(group_title(standing)),
        str(standing.position),
        str(len(metrics)),
        percent_text(corrupted.mean),
        interval_text(low, high, scale=100),
        percent_text(fmean(each.shift_accuracy for each in metrics)),
        percent_text(fmean(each.shift_consistency for each in metrics)),
        plain(", ".join(by_name)) or NOTHING,
    )


def is_drawn(curve: Curve) -> bool:
    """Tell whether a curve has two epochs or more; one is no line."""
    return len(curve.points) > 1


def curve_figure(curve: Curve, of: str) -> Figure:
    """Return the drawing of a curve with its numbers.

    Args:
        curve: Of validation accuracy.
        of: What it is of, in words.

    Example:
        >>> from blockzoo.analysis.groups import Terms
        >>> from blockzoo.core.position import Position
        >>> terms = Terms(**dict.fromkeys(Terms._fields, ""))
        >>> curve = Curve(block="A", position=Position.MID, terms=terms, points=())
        >>> curve_figure(curve, "A at mid").caption
        'Validation accuracy by epoch, A at mid'
    """
    title = plain(f"Validation accuracy by epoch, {of}")
    rows = tuple(
        (
            f"{point.x:g}",
            percent_text(point.y.mean),
            interval_text(point.y.low, point.y.high, scale=100),
        )
        for point in curve.points
    )
    table = Table(
        caption=title,
        columns=(("epoch", "number"), ("mean, %", "number"), ("95% interval", "number")),
        rows=rows,
    )
    return Figure(caption=title, drawing=curve_drawing(curve.points, title), table=table)


def _records_table(numbered: Iterable[tuple[Noted, int]]) -> Table:
    """Return a row for each record, with the number of its environment."""
    return Table(
        caption="Records",
        columns=(
            *(("record", "text"), ("kind", "text"), ("position", "text"), ("seed", "number")),
            *(("status", "text"), ("made", "text"), ("environment", "number"), ("notes", "text")),
        ),
        rows=tuple(_record_row(noted, number) for noted, number in numbered),
    )


def _record_row(noted: Noted, environment: int) -> tuple[Cell, ...]:
    return (
        noted.trial_id,
        noted.kind,
        noted.positions,
        NOTHING if noted.seed is None else str(noted.seed),
        noted.status,
        date_text(noted.created_at),
        str(environment),
        plain(noted.said) or NOTHING,
    )
