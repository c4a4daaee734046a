"""The door to OpenVINO, on the CPU.

One stream, tuned for latency. The precision is always told: left alone, OpenVINO computes in bf16
on CPUs that have it, whatever the network's. Its threads are not pinned, as no other backend's are.
"""

from __future__ import annotations

import importlib
import pickle
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from blockzoo.core.errors import ModelError
from blockzoo.core.quiet import quiet
from blockzoo.core.run_way import RunWay
from blockzoo.measure.timing.backends.base import (
    Backend,
    Loaded,
    in_short,
    load_bound,
    placed,
    register_backend,
    set_up_torch,
    settled,
)

_HINTS = {"fp32": "f32", "bf16": "bf16"}


@register_backend
class OpenVINO(Backend):
    """OpenVINO on the CPU, from the program of `torch.export`.

    For bf16 weights and input stay float32, and OpenVINO is told to compute in bf16.
    """

    name = "openvino"
    precisions = ("fp32", "bf16")
    layouts = False

    def unavailable(self, device: str) -> str | None:
        """Return that the package is missing or the device is not the CPU, or None."""
        if device != "cpu":
            return "openvino is for the CPU"
        if find_spec("openvino") is None:
            return "openvino is missing: pip install 'blockzoo[openvino]'"
        return None

    def supports(self, way: RunWay) -> str | None:
        """Return None where the combination can be run on this CPU, else why not."""
        if way.precision == "bf16" and self.unavailable("cpu") is None:
            can = _module().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
            if "BF16" not in can:
                return "this CPU has no bf16"
        return super().supports(way)

    def prepare(self, model: nn.Module, example: Tensor, way: RunWay) -> bytes:
        """Return the pair of OpenVINO's files, for the shape of the example."""
        way = _stored(way)
        network, ready = settled(model, way, "cpu"), placed(example, way, "cpu")
        try:
            with quiet(), torch.no_grad():
                converted = _module().convert_model(
                    torch.export.export(network, (ready,), strict=False)
                )
                # Fixed, as it is for every other backend: kernels are chosen for the shape.
                converted.reshape(list(example.shape))
                return pickle.dumps(_files(converted))
        except Exception as error:
            raise ModelError(f"OpenVINO cannot convert it: {in_short(error)}") from error

    def exported_bytes(self, payload: bytes) -> int:
        """Return the bytes of both files, structure and weights."""
        return sum(map(len, pickle.loads(payload)))

    def load(self, payload: bytes, example: Tensor, way: RunWay) -> Loaded:
        """Return a request that reads the example's memory."""
        device = set_up_torch(way)
        openvino, (structure, weights) = _module(), pickle.loads(payload)
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            # More streams are for throughput, and would run several calls side by side.
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": way.threads,
            "INFERENCE_PRECISION_HINT": _HINTS[way.precision],
            "ENABLE_CPU_PINNING": False,
        }
        core = openvino.Core()
        try:
            with quiet():
                network = core.read_model(structure, weights)
                request = core.compile_model(network, "CPU", settings).create_infer_request()
        except Exception as error:
            raise ModelError(f"OpenVINO cannot load it: {in_short(error)}") from error
        # OpenVINO reads this memory in place, so that a call copies nothing in.
        source = placed(example, _stored(way), device)
        request.set_input_tensor(openvino.Tensor(source.numpy(), shared_memory=True))
        return load_bound(
            lambda: request.infer(share_inputs=True, share_outputs=True),
            source,
            lambda: torch.from_numpy(request.get_output_tensor().data),
        )


def _stored(way: RunWay) -> RunWay:
    """Return the way that weights and input are stored with: always fp32."""
    return RunWay(backend=way.backend, threads=way.threads)


def _files(converted: Any) -> tuple[bytes, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.xml"
        _module().save_model(converted, path, compress_to_fp16=False)
        return path.read_bytes(), path.with_suffix(".bin").read_bytes()


def _module() -> Any:
    return importlib.import_module("openvino")
