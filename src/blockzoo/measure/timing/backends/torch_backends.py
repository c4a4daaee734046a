"""The backends that are torch itself: eager, compiled, exported, and replayed CUDA graphs."""

from __future__ import annotations

import io
import os
import shutil
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from blockzoo.core.errors import ModelError
from blockzoo.core.quiet import quiet
from blockzoo.core.run_way import RunWay
from blockzoo.measure.machine.devices import resolve_device
from blockzoo.measure.timing.backends.base import (
    Backend,
    Loaded,
    cuda_unavailable,
    in_short,
    load_bound,
    load_module,
    placed,
    register_backend,
    set_up_torch,
    settle,
    settled,
)
from blockzoo.measure.timing.backends.pickled import dump_module, load_module_bytes

_COMPILERS = ("g++", "clang++", "cl")
_GRAPH_WARMUP_CALLS = 3


@register_backend
class Eager(Backend):
    """PyTorch as it is, one kernel after the other."""

    name = "eager"

    def unavailable(self, device: str) -> str | None:
        """Return why torch cannot use the device, or None."""
        return cuda_unavailable(device)

    def prepare(self, model: nn.Module, example: Tensor, way: RunWay) -> bytes:
        """Return the pickled network."""
        del example
        return dump_module(settled(model, way, "cpu"))

    def load(self, payload: bytes, example: Tensor, way: RunWay) -> Loaded:
        """Return the network on its device."""
        device = set_up_torch(way)
        return load_module(_on(device, payload, way), example, way, device)


@register_backend
class Compiled(Eager):
    """`torch.compile` with its default mode, for the one shape of the example.

    The first process compiles, which takes from seconds to minutes; the others find the result in
    inductor's cache on the disk (`TORCHINDUCTOR_CACHE_DIR`).
    """

    name = "compile"

    def unavailable(self, device: str) -> str | None:
        """Return why torch cannot use the device or has no compiler for it, or None."""
        if reason := cuda_unavailable(device):
            return reason
        if device.startswith("cuda"):
            return (
                None if find_spec("triton") else "compile on CUDA needs triton: pip install triton"
            )
        compilers = (os.environ.get("CXX", ""), *_COMPILERS)
        return None if any(map(shutil.which, compilers)) else "compile needs a C++ compiler: g++"

    def load(self, payload: bytes, example: Tensor, way: RunWay) -> Loaded:
        """Compile, by the first call, or read the cache."""
        device = set_up_torch(way)
        network = _on(device, payload, way)
        try:
            with quiet():  # importing the compiler may warn of what torch itself still uses
                # A graph break is allowed: it is how the block would run for its user.
                compiled = torch.compile(network, dynamic=False, fullgraph=False)
                loaded = load_module(compiled, example, way, device)
                loaded.call()  # compiles here, which may take minutes, and not while it is timed
        except Exception as error:
            raise ModelError(f"torch.compile cannot compile it: {in_short(error)}") from error
        return loaded


@register_backend
class Exported(Backend):
    """`torch.export`: one graph of ATen operations, run by torch without the Python of the block.

    It is exported on the device it will run on, because the graph names the device of constants.
    The module checks its input's shape in Python at each call, as it does for whoever uses it.
    """

    name = "export"

    def unavailable(self, device: str) -> str | None:
        """Return why torch cannot use the device, or None."""
        return cuda_unavailable(device)

    def prepare(self, model: nn.Module, example: Tensor, way: RunWay) -> bytes:
        """Return the saved program."""
        device = resolve_device(way.device)
        buffer = io.BytesIO()
        network = settled(model, way, device)
        try:
            with quiet(), torch.no_grad():
                program = torch.export.export(
                    network, (placed(example, way, device),), strict=False
                )
                torch.export.save(program, buffer)
        except Exception as error:
            raise ModelError(f"torch.export cannot export it: {in_short(error)}") from error
        return buffer.getvalue()

    def exported_bytes(self, payload: bytes) -> int:
        """Return the bytes of the saved program."""
        return len(payload)

    def load(self, payload: bytes, example: Tensor, way: RunWay) -> Loaded:
        """Return the program as a module."""
        device = set_up_torch(way)
        try:
            with quiet():
                module = torch.export.load(io.BytesIO(payload)).module()
        except Exception as error:
            raise ModelError(f"torch.export cannot load it: {in_short(error)}") from error
        return load_module(module.requires_grad_(False), example, way, device)


@register_backend
class CudaGraphs(Eager):
    """Eager, recorded once and replayed: what is left when launching kernels costs nothing."""

    name = "cudagraphs"

    def unavailable(self, device: str) -> str | None:
        """Return why the device is no CUDA device that can be used, or None."""
        if not device.startswith("cuda"):
            return "cudagraphs is for CUDA"
        return cuda_unavailable(device)

    def load(self, payload: bytes, example: Tensor, way: RunWay) -> Loaded:
        """Warm up on a side stream, as capturing asks for, and record one call."""
        device = set_up_torch(way)
        network, source = _on(device, payload, way), placed(example, way, device)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(device), torch.inference_mode():
            try:
                result = _recorded(graph, network, source)
            except Exception as error:
                raise ModelError(f"it cannot be recorded: {in_short(error)}") from error
        # The graph reads the weights where they lie, and does not keep them there.
        return load_bound(graph.replay, source, lambda: result, held=network)


def _recorded(graph: Any, network: nn.Module, source: Tensor) -> Tensor:
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(_GRAPH_WARMUP_CALLS):
            network(source)
    torch.cuda.current_stream().wait_stream(side)
    with torch.cuda.graph(graph):
        result = network(source)
    assert isinstance(result, Tensor)
    return result


def _on(device: torch.device, payload: bytes, way: RunWay) -> nn.Module:
    """Return the pickled network on `device`; in the way it was prepared for."""
    return settle(load_module_bytes(payload), way, device)
