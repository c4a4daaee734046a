"""The door to ONNX: a network as the bytes of an ONNX file."""

from __future__ import annotations

import re
from importlib.util import find_spec

import torch
from torch import Tensor, nn

from blockzoo.core.errors import BlockError
from blockzoo.measure.backends.base import in_short, placed, settled
from blockzoo.measure.backends.options import CellOptions
from blockzoo.measure.backends.quiet import quiet

INSTALL = "pip install 'blockzoo[onnx]'"
_PACKAGES = ("onnx", "onnxruntime", "onnxscript")
_NO_OPERATOR = re.compile(r"No ONNX function found for <OpOverload\(op='([^']+)'")


def missing_packages() -> str | None:
    """Return which packages for ONNX are missing and how to install them, or None."""
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    return f"{', '.join(missing)} is missing: {INSTALL}" if missing else None


def export_onnx(model: nn.Module, example: Tensor, options: CellOptions) -> bytes:
    """Return `model` for inputs like `example` as an ONNX file with its weights inside.

    Raises `BlockError` where it cannot be exported.
    """
    network, ready = settled(model, options, "cpu"), placed(example, options, "cpu")
    try:
        with quiet(), torch.no_grad():
            program = torch.onnx.export(network, (ready,), dynamo=True, verbose=False)
            assert program is not None
            content: bytes = program.model_proto.SerializeToString()
    except Exception as error:
        reason = _unknown_operator(error) or in_short(error)
        raise BlockError(f"ONNX export fails: {reason}") from error
    return content


def _unknown_operator(error: BaseException | None) -> str | None:
    while error is not None:
        if found := _NO_OPERATOR.search(str(error)):
            return f"ONNX has no operator for {found.group(1)}"
        error = error.__cause__
    return None
