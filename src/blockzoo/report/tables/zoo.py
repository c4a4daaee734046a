"""The zoo as tables: one row per block, and one block in full."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from rich.text import Text

from blockzoo.blocks import BlockSpec
from blockzoo.core.errors import UnknownNameError
from blockzoo.core.position import POSITIONS, Position
from blockzoo.experiments.part_costs import stage_cost
from blockzoo.experiments.theory import StageTheory
from blockzoo.report.tables.fitting import FittedTable
from blockzoo.report.tables.layout import Kind
from blockzoo.results.records import PartCost

KILO, MEGA = 1e3, 1e6
SORTS = ("name", "family", "year", "params", "macs")
Costs = Mapping[str, Mapping[Position, PartCost]]
_ARXIV = re.compile(r"\d{4}\.\d{4,5}")


def stage_costs(
    specs: Sequence[BlockSpec], update: Callable[[float, str], None] | None = None
) -> dict[str, dict[Position, PartCost]]:
    """Return what the stage of each block costs at each position; `update` hears of each.

    >>> from blockzoo.blocks import get_block
    >>> costs = stage_costs([get_block("ResNetBasicBlock")])
    >>> costs["ResNetBasicBlock"][Position.MID].deploy.params_total
    820992
    """
    costs: dict[str, dict[Position, PartCost]] = {}
    for done, spec in enumerate(specs):
        if update is not None:
            update(done / len(specs), spec.name)
        costs[spec.name] = {position: stage_cost(spec, position) for position in POSITIONS}
    return costs


def require_sort(by: str) -> None:
    """Raise `UnknownNameError` unless blocks can be sorted by that.

    >>> require_sort("year")
    """
    if by not in SORTS:
        raise UnknownNameError("sort order", by, SORTS)


def sorted_blocks(specs: Iterable[BlockSpec], by: str, costs: Costs) -> list[BlockSpec]:
    """Return the blocks in that order, ties by name; raises `UnknownNameError` for another.

    >>> from blockzoo.blocks import get_block
    >>> specs = [get_block(name) for name in ("RepVGG", "ResNetBasicBlock")]
    >>> [spec.year for spec in sorted_blocks(specs, "year", costs={})]
    [2015, 2021]
    """
    keys: dict[str, Callable[[BlockSpec], str | int]] = {
        "name": lambda spec: "",
        "family": lambda spec: spec.family,
        "year": lambda spec: spec.year,
        "params": lambda spec: costs[spec.name][Position.MID].deploy.params_total,
        "macs": lambda spec: costs[spec.name][Position.MID].deploy.macs,
    }
    require_sort(by)
    key = keys[by]
    # Among equals, those of an older protocol, as classic/RepMixer, come last.
    return sorted(specs, key=lambda spec: (key(spec), "/" in spec.name, spec.name.casefold()))


def blocks_table(specs: Sequence[BlockSpec], costs: Costs) -> FittedTable:
    """Return one row per block; costs are of the stage of three blocks in deploy form.

    >>> from blockzoo.blocks import get_block
    >>> len(blocks_table([get_block("RepVGG")], costs={}).rows)
    1
    """
    caption = "Own cost: three blocks in deploy form, 64/128/256 channels, 32×32 images."
    numbers: dict[str, Kind] = {
        f"{position}: {what}": "number" for position in POSITIONS for what in ("K params", "MMACs")
    }
    further: dict[str, Kind] = numbers if costs else {"formula": "text"}
    # Whole, for a name here is to be copied.
    facts: dict[str, Kind] = dict.fromkeys(("block", "family", "year", "merges"), "label")
    table = FittedTable(
        title="",
        columns={**facts, **further},
        dispensable=("merges", "year", *_DISPENSABLE_COSTS, "family"),
        caption=caption if costs else "",
    )
    for spec in specs:
        cells = _cost_cells(costs[spec.name]) if costs else [spec.formula]
        merges = "yes" if spec.reparameterisable else ""
        table.add_row(spec.name, spec.family, str(spec.year), merges, *cells)
    return table


def _cost_cells(costs: Mapping[Position, PartCost]) -> list[str]:
    return [
        cell
        for cost in costs.values()
        for cell in (
            f"{cost.deploy.params_total / KILO:,.1f}",
            f"{cost.deploy.macs / MEGA:,.1f}",
        )
    ]


_DISPENSABLE_COSTS = (
    "late: K params",
    "early: K params",
    "late: MMACs",
    "early: MMACs",
    "mid: K params",
)


def facts_table(spec: BlockSpec) -> FittedTable:
    """Return what the registry knows of the block.

    >>> from blockzoo.blocks import get_block
    >>> facts_table(get_block("RepVGG")).title
    'RepVGGBlock'
    """
    table = FittedTable(title=spec.name, columns={"": "label", " ": "text"})
    paper = Text(spec.paper)
    if _ARXIV.fullmatch(spec.paper):
        paper = Text(f"arXiv:{spec.paper}", style=f"link https://arxiv.org/abs/{spec.paper}")
    facts: dict[str, str | Text] = {
        "formula": spec.formula,
        "family": f"{spec.family}, {spec.year}",
        "paper": paper,
        "licence": spec.licence,
        "source": spec.source,
        "aliases": ", ".join(spec.aliases),
        "merges": "yes: its deploy form is smaller" if spec.reparameterisable else "",
        "initialisation": "" if spec.initialisation == "policy" else "its own",
        "knob": _knob(spec),
        "notes": spec.notes,
    }
    for name, value in facts.items():
        if value:
            table.add_row(Text(name, "bold"), value)
    return table


def _knob(spec: BlockSpec) -> str:
    """Return the keyword that sets the block's capacity and its published value."""
    if not spec.knob:
        return ""
    # Of a user's class behind an adapter it is not known.
    parameter = inspect.signature(spec.factory).parameters.get(spec.knob)
    published = None if parameter is None else parameter.default
    if isinstance(published, int | float):
        return f"{spec.knob}, {published:.4g} as published"
    return f"{spec.knob}, by position as published" if spec.from_zoo else spec.knob


def costs_in_full_table(costs: Mapping[Position, PartCost]) -> FittedTable:
    """Return parameters and MACs of one block's stage at all positions in both forms."""
    titles = ("params train", "params deploy", "MACs train", "MACs deploy")
    kinds: dict[str, Kind] = dict.fromkeys(titles, "number")
    table = FittedTable(
        title="\nOwn cost: stage of three blocks, one 32×32 image",
        columns={"position": "label", **kinds},
        dispensable=("MACs train", "params train"),
    )
    for position, cost in costs.items():
        numbers = (
            cost.train.params_total,
            cost.deploy.params_total,
            cost.train.macs,
            cost.deploy.macs,
        )
        table.add_row(str(position), *(f"{number:,}" for number in numbers))
    return table


def theory_table(theories: Sequence[StageTheory]) -> FittedTable:
    """Return receptive fields, intensity and memory by position."""
    fields = ("field: stage", "network", "effective")
    costs = ("FLOPs/byte", "if fused", "weights MB", "kept for backward MB")
    kinds: dict[str, Kind] = dict.fromkeys((*fields, *costs), "number")
    table = FittedTable(
        title="\nTheory (explained in docs/reference/zoo.md)",
        columns={"position": "label", **kinds},
        dispensable=("weights MB", "network", "if fused", "kept for backward MB"),
    )
    for theory in theories:
        traffic = theory.traffic
        table.add_row(
            str(theory.position),
            str(theory.stage_field),
            str(theory.network_field),
            f"{theory.effective.width:.1f}",
            f"{traffic.intensity_flops_per_byte:.2f}",
            f"{traffic.fused_intensity_flops_per_byte:.1f}",
            f"{traffic.parameters_bytes / MEGA:.3f}",
            f"{theory.saved_bytes / MEGA:.3f}",
        )
    return table
