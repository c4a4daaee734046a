"""The page of one block: what it is, how it stands, what it costs, how fast it is, its records."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from blockzoo.analysis.curves import Curve, learning_curves
from blockzoo.analysis.standings import Standing
from blockzoo.blocks import BlockSpec
from blockzoo.experiments.protocol import get_protocol, protocol_names
from blockzoo.report.site.columns import group_title, spec_of, ties_text
from blockzoo.report.site.drawings import curve_drawing, samples_drawing
from blockzoo.report.site.parts import Cell, Fact, Figure, Link, Table, facts_of
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
)
from blockzoo.report.tables.summary import seeds_text
from blockzoo.results.environment import PASSING
from blockzoo.results.records import CostRecord, FormCost, LatencyRecord, Record, TrainingRecord
from blockzoo.results.table.values import hardware

_ARXIV = re.compile(r"\d{4}\.\d{4,5}")


@dataclass(frozen=True, kw_only=True)
class BlockPage:
    """All that the page of a block shows."""

    name: str
    facts: tuple[Fact, ...]
    tables: tuple[Table, ...]
    figures: tuple[Figure, ...]
    commands: tuple[str, ...]
    records: Table
    environments: tuple[tuple[Fact, ...], ...]

    @property
    def path(self) -> str:
        """Where the page lies within the site."""
        return f"blocks/{file_stem(self.name)}.html"


def block_page(name: str, standings: Sequence[Standing], records: Sequence[Record]) -> BlockPage:
    """Return the page of a block.

    Args:
        name: Of the block.
        standings: All of it.
        records: All of it, whole.

    Example:
        >>> block_page("RepMixer", [], []).facts[0]
        Fact(name='family', value='reparam')
    """
    environments = [_environment_text(record) for record in records]
    numbers = {text: number for number, text in enumerate(dict.fromkeys(environments), start=1)}
    trainings = [each for each in records if isinstance(each, TrainingRecord)]
    tables = (
        _accuracy_table([each for each in standings if each.terms is not None]),
        _cost_table(standings),
        _latency_table(standings, records),
    )
    return BlockPage(
        name=plain(name),
        facts=_facts(spec_of(name)),
        tables=tuple(table for table in tables if table.rows),
        figures=tuple(map(_figure, learning_curves(trainings, "val_accuracy"))),
        commands=tuple(dict.fromkeys(filter(None, map(_command, standings)))),
        records=_records_table(
            (record, numbers[text]) for record, text in zip(records, environments, strict=True)
        ),
        environments=tuple(_environment_facts(each) for each in numbers),
    )


def _facts(spec: BlockSpec | None) -> tuple[Fact, ...]:
    if spec is None:
        return ()
    paper: Cell = spec.paper
    if _ARXIV.fullmatch(spec.paper):
        paper = Link(f"arXiv:{spec.paper}", f"https://arxiv.org/abs/{spec.paper}")
    return facts_of(
        (
            ("family", spec.family),
            ("year", spec.year),
            ("paper", paper),
            ("source", spec.source),
            ("licence", spec.licence),
            ("formula", spec.formula),
            ("merges branches", "yes" if spec.reparameterisable else "no"),
            ("checked against", spec.evidence),
            ("also called", ", ".join(spec.aliases)),
            ("notes", spec.notes),
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


def _latency_table(standings: Iterable[Standing], records: Iterable[Record]) -> Table:
    whole = {each.trial_id: each for each in records if isinstance(each, LatencyRecord)}
    timed = {
        (standing.position, latency.trial_id): (standing, whole.get(latency.trial_id, latency))
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
    failed = latency.status == "failed"
    ratio_low, ratio_high = latency.ratio_interval or (None, None)
    low_ms, high_ms = latency.interval_ms or (None, None)
    verdict = f"failed: {latency.reason}" if failed else _verdict(latency)
    return (
        str(standing.position),
        plain(hardware(latency, latency.device)),
        plain(latency.way.label()),
        number_text(latency.ratio, 3),
        interval_text(ratio_low, ratio_high, digits=3),
        plain(latency.baseline or NOTHING),
        plain(verdict),
        number_text(latency.median_ms, 3),
        interval_text(low_ms, high_ms, digits=3),
        number_text(latency.p90_ms, 3),
        samples_drawing(latency.samples_ms, latency.median_ms or 0.0),
        plain(", ".join(latency.flags)) or NOTHING,
        date_text(latency.created_at),
    )


def _verdict(latency: LatencyRecord) -> str:
    verdict = latency.verdict or NOTHING
    return f"{verdict} ({latency.verdict_reason})" if latency.verdict_reason else verdict


def _figure(curve: Curve) -> Figure:
    where = f"{' · '.join(curve.terms.title)}, {curve.position}"
    title = plain(f"Validation accuracy by epoch, {where}")
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


def _command(standing: Standing) -> str | None:
    """Return the command that runs the trainings of a standing; None where options are not known.

    Of a protocol that was changed the label does not say how.
    """
    terms, count = standing.terms, len(standing.seeds)
    if terms is None or terms.protocol not in protocol_names():
        return None
    if standing.seeds != tuple(range(count)) or not count:
        return None
    usual = get_protocol(terms.protocol).dataset == terms.dataset
    data = [] if usual else ["--dataset", terms.dataset]
    words = ["blockzoo", "sweep", standing.block, "--protocol", terms.protocol, *data]
    return plain(shlex.join([*words, "-p", str(standing.position), "--seeds", str(count)]))


def _environment_text(record: Record) -> str:
    """Return what tells an environment from others."""
    # Clocks and loads change from record to record.
    return record.environment.model_dump_json(exclude={*PASSING})


def _environment_facts(text: str) -> tuple[Fact, ...]:
    return facts_of(json.loads(text).items())


def _records_table(numbered: Iterable[tuple[Record, int]]) -> Table:
    """Return a row for each record, with the number of its environment."""
    return Table(
        caption="Records",
        columns=(
            *(("record", "text"), ("kind", "text"), ("position", "text"), ("seed", "number")),
            *(("status", "text"), ("made", "text"), ("environment", "number"), ("notes", "text")),
        ),
        rows=tuple(_record_row(record, number) for record, number in numbered),
    )


def _record_row(record: Record, environment: int) -> tuple[Cell, ...]:
    training = record if isinstance(record, TrainingRecord) else None
    said = (record.experiment_name, record.notes, record.reason, "; ".join(record.unsure))
    return (
        record.trial_id,
        str(getattr(record, "kind", "")),
        "/".join(map(str, record.shown)),
        NOTHING if training is None else str(training.seed),
        record.status,
        date_text(record.created_at),
        str(environment),
        plain("; ".join(filter(None, said))) or NOTHING,
    )
