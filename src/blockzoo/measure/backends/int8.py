"""Static quantisation to int8 through ONNX Runtime's own tool.

Weights are int8 per output channel, activations int8 per tensor, written as pairs of quantise and
dequantise operations (QDQ). The ranges of activations are the least and largest values seen on 64
random normal images, whose seed is fixed: with few images and no tails of trained features, nothing
is gained by cutting a percentile off.
"""

from __future__ import annotations

import importlib
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from blockzoo.core.errors import BlockError
from blockzoo.measure.backends.base import in_short
from blockzoo.measure.backends.quiet import quiet

CALIBRATION_IMAGES = 64
_SEED = 8


def quantised(content: bytes, example: Tensor) -> bytes:
    """Return an ONNX file in int8 that takes and returns float32; `example` (N, ...) is its input.

    Raises `BlockError` where ONNX Runtime cannot quantise it.
    """
    try:
        with quiet(), tempfile.TemporaryDirectory() as folder:
            return _quantised(content, example, Path(folder))
    except Exception as error:
        raise BlockError(f"ONNX Runtime cannot quantise it: {in_short(error)}") from error


def _quantised(content: bytes, example: Tensor, folder: Path) -> bytes:
    tool: Any = importlib.import_module("onnxruntime.quantization")
    given, fused, done = (folder / f"{name}.onnx" for name in ("given", "fused", "done"))
    given.write_bytes(content)
    # Batch normalization must be inside its convolution before ranges are measured.
    tool.shape_inference.quant_pre_process(given, fused, skip_symbolic_shape=True)
    tool.quantize_static(
        fused,
        done,
        _reader(tool, fused, example),
        quant_format=tool.QuantFormat.QDQ,
        per_channel=True,
        activation_type=tool.QuantType.QInt8,
        weight_type=tool.QuantType.QInt8,
        calibrate_method=tool.CalibrationMethod.MinMax,
    )
    return done.read_bytes()


def _reader(tool: Any, path: Path, example: Tensor) -> Any:
    runtime: Any = importlib.import_module("onnxruntime")
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    batches = ({name: batch.numpy()} for batch in calibration_batches(example))

    class Reader(tool.CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> Any:
            return next(batches, None)

    return Reader()


def calibration_batches(example: Tensor) -> Iterator[Tensor]:
    """Yield random normal images like `example` (N, ...), batch by batch, 64 or more in all."""
    generator = torch.Generator().manual_seed(_SEED)
    for _ in range(math.ceil(CALIBRATION_IMAGES / len(example))):
        yield torch.randn(example.shape, generator=generator)
