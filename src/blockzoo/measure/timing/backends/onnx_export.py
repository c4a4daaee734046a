"""The door to ONNX: a network as the bytes of an ONNX file."""

from __future__ import annotations

import importlib
import math
import re
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from blockzoo.core.errors import ModelError
from blockzoo.core.quiet import quiet
from blockzoo.core.run_way import RunWay
from blockzoo.measure.timing.backends.base import in_short, placed, settled

INSTALL = "pip install 'blockzoo[onnx]'"
_PACKAGES = ("onnx", "onnxruntime", "onnxscript")
_NO_OPERATOR = re.compile(r"No ONNX function found for <OpOverload\(op='([^']+)'")


def missing_packages() -> str | None:
    """Return which packages for ONNX are missing and how to install them, or None."""
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    return f"{', '.join(missing)} is missing: {INSTALL}" if missing else None


def export_onnx(model: nn.Module, example: Tensor, way: RunWay) -> bytes:
    """Return `model` for inputs like `example` as an ONNX file with its weights inside.

    Raises `ModelError` where it cannot be exported.
    """
    network, ready = settled(model, way, "cpu"), placed(example, way, "cpu")
    try:
        with quiet(), torch.no_grad():
            # By `torch.export`'s graphs, as OpenVINO and `export` have them, not by tracing.
            program = torch.onnx.export(network, (ready,), dynamo=True, verbose=False)
            assert program is not None
            content: bytes = program.model_proto.SerializeToString()
    except Exception as error:
        reason = _unknown_operator(error) or in_short(error)
        raise ModelError(f"ONNX export fails: {reason}") from error
    return content


def _unknown_operator(error: BaseException | None) -> str | None:
    # The operator is named somewhere down the chain, under pages of the exporter's report.
    while error is not None:
        if match := _NO_OPERATOR.search(str(error)):
            return f"ONNX has no operator for {match.group(1)}"
        error = error.__cause__
    return None


CALIBRATION_IMAGES = 64
_SEED = 8


def quantised(content: bytes, calibration: Iterator[Tensor]) -> bytes:
    """Return an ONNX file in int8 that takes and returns float32.

    `calibration`: batches (N, ...) as the file takes them, from which ranges are read.

    Raises `ModelError` where ONNX Runtime cannot quantise it.
    """
    try:
        with quiet(), tempfile.TemporaryDirectory() as folder:
            return _quantised(content, calibration, Path(folder))
    except Exception as error:
        raise ModelError(f"ONNX Runtime cannot quantise it: {in_short(error)}") from error


def _quantised(content: bytes, calibration: Iterator[Tensor], folder: Path) -> bytes:
    tool: Any = importlib.import_module("onnxruntime.quantization")
    whole, fused, done = (folder / f"{name}.onnx" for name in ("whole", "fused", "done"))
    whole.write_bytes(content)
    # Batch normalization must be inside its convolution before ranges are measured.
    tool.shape_inference.quant_pre_process(whole, fused, skip_symbolic_shape=True)
    tool.quantize_static(
        fused,
        done,
        _reader(tool, fused, calibration),
        quant_format=tool.QuantFormat.QDQ,
        per_channel=True,  # one scale for all channels loses depthwise convolutions
        activation_type=tool.QuantType.QInt8,
        weight_type=tool.QuantType.QInt8,
        calibrate_method=tool.CalibrationMethod.MinMax,
    )
    return done.read_bytes()


def _reader(tool: Any, path: Path, calibration: Iterator[Tensor]) -> Any:
    runtime: Any = importlib.import_module("onnxruntime")
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    batches = ({name: batch.numpy()} for batch in calibration)

    class Reader(tool.CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> Any:
            return next(batches, None)

    return Reader()


def calibration_batches(example: Tensor) -> Iterator[Tensor]:
    """Yield random normal images like `example` (N, ...), batch by batch, 64 or more in all."""
    generator = torch.Generator().manual_seed(_SEED)
    for _ in range(math.ceil(CALIBRATION_IMAGES / len(example))):
        yield torch.randn(example.shape, generator=generator)
