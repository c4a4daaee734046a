"""What executes a network, each behind one interface: torch itself, ONNX Runtime, OpenVINO."""

from __future__ import annotations

from blockzoo.core.errors import UnknownNameError
from blockzoo.core.run_way import BACKENDS
from blockzoo.measure.timing.backends.base import Backend, Loaded
from blockzoo.measure.timing.backends.onnxruntime_backends import OnnxRuntime, TensorRT
from blockzoo.measure.timing.backends.openvino_backend import OpenVINO
from blockzoo.measure.timing.backends.torch_backends import Compiled, CudaGraphs, Eager, Exported

__all__ = ["Backend", "Loaded", "backend_names", "get_backend"]

# One instance of each: a backend has no state.
_ALL: tuple[Backend, ...] = (
    Eager(),
    Compiled(),
    Exported(),
    OnnxRuntime(),
    OpenVINO(),
    CudaGraphs(),
    TensorRT(),
)
_BY_NAME = {backend.name: backend for backend in _ALL}


def backend_names() -> tuple[str, ...]:
    """Return the names of all backends, whether or not they can be used here."""
    return BACKENDS


def get_backend(name: str) -> Backend:
    """Return the backend of that name; raises `UnknownNameError`."""
    if name not in _BY_NAME:
        raise UnknownNameError("backend", name, BACKENDS)
    return _BY_NAME[name]
