"""The lines of the contract about other forms of a block, and about what it costs.

Other forms are those in which it is deployed, compiled and exported.
Compiling and exporting take seconds per block, so they try one case: the last position at which the
block is built differently, stride 2. ONNX needs packages that are an optional extra, and a compiled
block on a CPU needs a C++ compiler.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import importlib.util
import io
import re
import warnings
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from blockzoo.blocks.deploy import merges_with_arguments, to_deploy
from blockzoo.blocks.registry import BlockSpec
from blockzoo.contract.branches import unmerged_branches
from blockzoo.contract.cases import Case, at_most, cases, require_equal, run
from blockzoo.contract.findings import DoesNotApply, Line
from blockzoo.contract.parameters import some
from blockzoo.core.errors import BlockError, one_line
from blockzoo.core.position import POSITIONS
from blockzoo.experiments.profile import profile_block
from blockzoo.measure.costs.receptive_field import receptive_field
from blockzoo.scaffold.net import ScaffoldConfig

EXPORT_TOLERANCE = 1e-4
"""Other kernels add in another order, so these forms are given more than those of PyTorch."""
_FIELD_MAX = 64
"""Pixels of height and width within which the receptive field is looked for."""
_ONNX_PACKAGES = ("onnx", "onnxruntime", "onnxscript")
_NO_OPERATOR = re.compile(r"No ONNX function found for <OpOverload\(op='([^']+)'")


def _deploys(spec: BlockSpec) -> str:
    worst, merged, uncalled, unmerged = 0.0, False, dict[str, object](), list[str]()
    for case in cases(spec):
        block, images = case.trained(), case.images()
        uncalled |= merges_with_arguments(block)
        deployed = _deploy_form(block, str(case))
        # Merging takes branches away, so it shows in the names or shapes of the weights.
        merged |= _shapes(deployed) != _shapes(block)
        with torch.no_grad():
            worst = max(worst, require_equal(run(deployed, images), run(block, images), str(case)))
        unmerged = unmerged or unmerged_branches(deployed, images)
    if (spec.reparameterisable or spec.merge_methods) and not merged:
        raise BlockError("is said to be re-parameterisable, but no branch is merged anywhere")
    note = "".join(f"; {each} takes arguments, so it is not called" for each in uncalled)
    if unmerged:
        note += (
            f"; branches that could be one convolution and that nothing merges: {some(unmerged)}"
        )
    if not merged:
        raise DoesNotApply(f"the deploy form is the training form{note}")
    return at_most(worst) + note


def _shapes(block: nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in block.state_dict().items()}


def _deploy_form(block: nn.Module, where: str) -> nn.Module:
    """Return the deploy form; raises `BlockError` when merging changed the block itself."""
    before = copy.deepcopy(block.state_dict())
    deployed = to_deploy(block)
    after = block.state_dict()
    if before.keys() != after.keys() or not all(
        torch.equal(value, after[name]) for name, value in before.items()
    ):
        raise BlockError(f"{where}: merging the copy changed the block it was copied from")
    return deployed


def _compiles(spec: BlockSpec) -> str:
    case = _last_case(spec)
    block, images = case.trained(), case.images()
    with torch.no_grad(), _silence():
        expected = run(block, images)
        try:
            actual = torch.compile(block)(images)
        except Exception as error:
            if "InvalidCxxCompiler" in one_line(error):  # as torch wraps it
                raise DoesNotApply("needs a C++ compiler, such as g++") from error
            raise
    return at_most(require_equal(actual, expected, str(case), EXPORT_TOLERANCE))


def _exports(spec: BlockSpec) -> str:
    missing = [name for name in _ONNX_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise DoesNotApply(f"needs {', '.join(missing)}: pip install 'blockzoo[onnx]'")
    case = _last_case(spec)
    block, images = case.trained(), case.images()
    with torch.no_grad(), _silence():
        expected = run(block, images)
        try:
            # Without `dynamo` torch traces, and a loop or a branch on the size is frozen silently.
            program = torch.onnx.export(block, (images,), dynamo=True, verbose=False)
        except Exception as error:
            unknown = _unknown_operator(error)
            if unknown is None:
                raise
            raise DoesNotApply(f"ONNX has no operator for {unknown}") from error
    assert program is not None
    actual = _run_onnx(program.model_proto.SerializeToString(), images)
    return at_most(require_equal(actual, expected, str(case), EXPORT_TOLERANCE))


def _last_case(spec: BlockSpec) -> Case:
    *_, last = cases(spec, strides=(2,))
    return last


def _unknown_operator(error: BaseException | None) -> str | None:
    """Return the name of the operator that ONNX lacks, if an error or its cause says so."""
    while error is not None:
        operator = _NO_OPERATOR.search(str(error))
        if operator:
            return operator.group(1)
        error = error.__cause__
    return None


def _run_onnx(model: bytes, images: Tensor) -> Tensor:
    onnxruntime = importlib.import_module("onnxruntime")
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    return torch.from_numpy(output)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep the exporters' progress and warnings out of the report."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def _cost(spec: BlockSpec) -> str:
    """Say the own cost of the stage at each position; see `blockzoo profile` for the rest."""
    config = ScaffoldConfig(context="Identity")  # what surrounds the stage is not counted
    costs, uncounted = [], set[str]()
    for position in POSITIONS:
        record = profile_block(spec, position, config=config, memory=False)
        cost = record.stage_deploy
        assert cost is not None
        costs.append(f"{position} {cost.params_total:,} and {cost.macs / 1e6:,.2f} M")
        uncounted |= set(record.uncounted)
    text = f"parameters and MACs of a stage of {config.depth}, deploy form: {'; '.join(costs)}"
    return f"{text}; not counted: {', '.join(sorted(uncounted))}" if uncounted else text


def _receptive_field(spec: BlockSpec) -> str:
    """Say the theoretical field of one block; see `blockzoo blocks NAME` for stage and network."""
    fields = []
    for case in cases(spec, strides=(1,)):
        # Awake, because a branch that a zero gate hides would not show in the gradient.
        field = receptive_field(case.awake(), case.channels, lengths=(_FIELD_MAX,))
        whole = field.height is None and field.width is None
        fields.append(f"{case.position} {f'{_FIELD_MAX} or more' if whole else field}")
    return f"of one block: {'; '.join(fields)}"


FORM_LINES: tuple[Line, ...] = (
    Line(name="deploy", checks="the merged form equals the training form", run=_deploys),
    Line(name="torch.compile", checks="equals eager (one case)", run=_compiles, exports=True),
    Line(name="ONNX", checks="export equals eager (one case)", run=_exports, exports=True),
)
COST_LINES: tuple[Line, ...] = (
    Line(name="cost", checks="parameters and MACs can be counted", run=_cost),
    Line(name="receptive field", checks="the output depends on the input", run=_receptive_field),
)
