"""All lines of the contract: those of a block alone, and those that need the scaffold."""

from __future__ import annotations

from blockzoo.blocks import BlockSpec
from blockzoo.contract.cases import cases
from blockzoo.contract.findings import Line
from blockzoo.contract.forms import FORM_LINES
from blockzoo.contract.lines import BUILDS, LINES
from blockzoo.core.position import POSITIONS
from blockzoo.experiments.profile import profile_block
from blockzoo.measure.costs.receptive_field import receptive_field
from blockzoo.scaffold.net import ScaffoldConfig

_FIELD_MAX = 64


def contract_lines(*, exports: bool = True) -> tuple[Line, ...]:
    """Return the lines in the order of the report; without `exports`, no compiling and no ONNX."""
    lines = (BUILDS, *LINES, *FORM_LINES, COST, RECEPTIVE_FIELD)
    return tuple(line for line in lines if exports or not line.exports)


def _cost(spec: BlockSpec) -> str:
    """Say the own cost of the stage at each position; see `blockzoo profile` for the rest."""
    config = ScaffoldConfig(context="Identity")
    told, uncounted = [], set[str]()
    for position in POSITIONS:
        record = profile_block(spec, position, config=config, memory=False)
        cost = record.stage_deploy
        assert cost is not None
        told.append(f"{position} {cost.params_total:,} and {cost.macs / 1e6:,.2f} M")
        uncounted |= set(record.uncounted)
    text = f"parameters and MACs of a stage of {config.depth}, deploy form: {'; '.join(told)}"
    return f"{text}; not counted: {', '.join(sorted(uncounted))}" if uncounted else text


def _receptive_field(spec: BlockSpec) -> str:
    """Say the theoretical field of one block; see `blockzoo blocks NAME` for stage and network."""
    told = []
    for case in cases(spec, strides=(1,)):
        field = receptive_field(case.awake(), case.channels, lengths=(_FIELD_MAX,))
        whole = field.height is None and field.width is None
        told.append(f"{case.position} {f'{_FIELD_MAX} or more' if whole else field}")
    return f"of one block: {'; '.join(told)}"


COST = Line(name="cost", checks="parameters and MACs can be counted", run=_cost)
RECEPTIVE_FIELD = Line(
    name="receptive field", checks="the output depends on the input", run=_receptive_field
)
