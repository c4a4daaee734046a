"""The door to ONNX Runtime: its own kernels on CPU and CUDA, and TensorRT through it.

ONNX Runtime optimises the graph fully, runs it in order, and its threads sleep between calls:
spinning ones would take the core from whichever network is timed next.
"""

from __future__ import annotations

import hashlib
import importlib
import os
from collections.abc import Iterator
from ctypes.util import find_library
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from blockzoo.core.errors import ModelError
from blockzoo.core.quiet import quiet
from blockzoo.core.run_way import RunWay
from blockzoo.measure.timing.backends.base import (
    Backend,
    Loaded,
    cuda_unavailable,
    in_short,
    load_bound,
    placed,
    register_backend,
    set_up_torch,
)
from blockzoo.measure.timing.backends.onnx_export import (
    INSTALL,
    calibration_batches,
    export_onnx,
    missing_packages,
    quantised,
)

_CPU, _CUDA, _TENSORRT = (f"{name}ExecutionProvider" for name in ("CPU", "CUDA", "Tensorrt"))
_ERRORS_ONLY = 3


@register_backend
class OnnxRuntime(Backend):
    """ONNX Runtime with its CPU or CUDA kernels."""

    name = "onnxruntime"
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "fp16", "int8")
    layouts = False

    def unavailable(self, device: str) -> str | None:
        """Return which package is missing or why the device cannot be used, or None."""
        if reason := missing_packages() or cuda_unavailable(device):
            return reason
        needed = self._providers(device, b"")[0][0]
        if needed in _module().get_available_providers():
            return None
        return f"this onnxruntime has no {needed}: {self._install(device)}"

    def supports(self, way: RunWay) -> str | None:
        """Return None where the combination can be run, else why not."""
        if way.precision == "bf16":
            return "ONNX Runtime has no bf16 convolution"
        if way.precision == "int8" and way.on_cuda:
            return "int8 is for the CPU"
        return super().supports(way)

    def prepare(self, model: nn.Module, example: Tensor, way: RunWay) -> bytes:
        """Return the ONNX file, quantised for int8."""
        return self._prepared(model, example, way, calibration_batches(example))

    def prepare_calibrated(
        self, model: nn.Module, example: Tensor, way: RunWay, images: Tensor
    ) -> bytes:
        """Return the ONNX file, quantised for int8 by the ranges that `images` (M, ...) make."""
        batches = (each for each in torch.split(images, len(example)) if len(each) == len(example))
        return self._prepared(model, example, way, batches)

    def _prepared(
        self, model: nn.Module, example: Tensor, way: RunWay, calibration: Iterator[Tensor]
    ) -> bytes:
        content = export_onnx(model, example, way)
        return quantised(content, calibration) if way.precision == "int8" else content

    def exported_bytes(self, payload: bytes) -> int:
        """Return the bytes of the ONNX file."""
        return len(payload)

    def load(self, payload: bytes, example: Tensor, way: RunWay) -> Loaded:
        """Return a session whose input and output are bound to memory on the device."""
        device = set_up_torch(way)
        session = self._session(payload, way)
        source = placed(example, way, device)
        (output,) = session.get_outputs()
        result = torch.empty(output.shape, dtype=source.dtype, device=device)
        binding = session.io_binding()
        binding.bind_input(session.get_inputs()[0].name, *_memory(source))
        binding.bind_output(output.name, *_memory(result))
        # The bound memory must live as long as the session.
        return load_bound(lambda: session.run_with_iobinding(binding), source, lambda: result)

    def _session(self, payload: bytes, way: RunWay) -> Any:
        runtime = _module()
        settings = runtime.SessionOptions()
        settings.intra_op_num_threads = way.threads
        settings.inter_op_num_threads = 1
        settings.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
        settings.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
        settings.log_severity_level = _ERRORS_ONLY
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers = self._providers(way.device, payload)
        try:
            with quiet():
                session = runtime.InferenceSession(payload, settings, providers=providers)
        except Exception as error:
            raise ModelError(f"ONNX Runtime cannot load it: {in_short(error)}") from error
        used = session.get_providers()[0]
        if used != providers[0][0]:  # it falls back to the CPU in silence
            raise ModelError(f"ONNX Runtime took {used} instead of {providers[0][0]}")
        return session

    def _providers(self, device: str, payload: bytes) -> list[tuple[str, dict[str, str]]]:
        del payload
        if not device.startswith("cuda"):
            return [(_CPU, {})]
        return [(_CUDA, {"device_id": _index(device), "use_tf32": "0"})]

    def _install(self, device: str) -> str:
        return "pip install onnxruntime-gpu" if device.startswith("cuda") else INSTALL


@register_backend
class TensorRT(OnnxRuntime):
    """TensorRT, where ONNX Runtime finds it; engines are kept in the user's cache folder."""

    name = "tensorrt"
    precisions = ("fp32", "fp16")

    def unavailable(self, device: str) -> str | None:
        """Return why the device is no CUDA device or TensorRT is missing, or None."""
        if not device.startswith("cuda"):
            return "tensorrt is for CUDA"
        if find_spec("tensorrt") is None and find_library("nvinfer") is None:
            return f"TensorRT is missing: {self._install(device)}"
        return super().unavailable(device)

    def load(self, payload: bytes, example: Tensor, way: RunWay) -> Loaded:
        """Return a session of TensorRT; the first one for a network builds its engine."""
        if find_spec("tensorrt") is not None:
            # Its libraries are found by ONNX Runtime once they are loaded.
            importlib.import_module("tensorrt")
        return super().load(payload, example, way)

    def _providers(self, device: str, payload: bytes) -> list[tuple[str, dict[str, str]]]:
        base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
        # A folder per network: the engines' own names do not depend on the weights.
        digest = hashlib.sha256(payload).hexdigest()[:16]
        settings = {
            "device_id": _index(device),
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(base / "blockzoo" / "tensorrt" / digest),
        }
        return [(_TENSORRT, settings), *super()._providers(device, payload)]

    def _install(self, device: str) -> str:
        return f"{super()._install(device)} tensorrt"


def _memory(tensor: Tensor) -> tuple[str, int, type[np.generic], list[int], int]:
    """Return what ONNX Runtime asks to use a tensor's memory as it is."""
    element = np.float16 if tensor.dtype == torch.float16 else np.float32
    device = tensor.device
    return device.type, device.index or 0, element, list(tensor.shape), tensor.data_ptr()


def _index(device: str) -> str:
    return device.partition(":")[2] or "0"


def _module() -> Any:
    return importlib.import_module("onnxruntime")
