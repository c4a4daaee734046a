"""PyTorch as it is: the module called operation by operation."""

from __future__ import annotations

import copy
import pickle
import sys
from collections.abc import Callable
from importlib.machinery import PathFinder

import cloudpickle  # type: ignore[import-untyped]
import torch
from torch import Tensor, nn

from blockzoo.errors import InputError
from blockzoo.measure.backends.options import CellOptions

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class EagerBackend:
    """Runs a copy of the module in eval mode."""

    def unavailable(self, device: str) -> str | None:
        """Return None: whatever runs torch runs this."""
        del device
        return None

    def prepare(self, model: nn.Module, example: Tensor, options: CellOptions) -> bytes:
        """Return the pickled copy of `model`, cast; raises `InputError` for int8."""
        del example
        twin = copy.deepcopy(model).eval().to(dtype=_dtype(options))
        _pickle_unfindable_by_value(twin)
        payload: bytes = cloudpickle.dumps(twin)
        return payload

    def load(self, payload: bytes, example: Tensor, options: CellOptions) -> LoadedModule:
        """Return the module on its device, bound to `example` (N, ...)."""
        return LoadedModule(pickle.loads(payload), example, options)


class LoadedModule:
    """A module on its device."""

    def __init__(self, model: nn.Module, example: Tensor, options: CellOptions) -> None:
        # Module.to accepts a memory format, but its type stub does not.
        move: Callable[..., nn.Module] = model.to
        self._options = options
        self._model = move(device=options.device, memory_format=_memory_format(options))
        ready = self._ready(example)
        self.call: Callable[[], object] = lambda: self._model(ready)

    def output(self, images: Tensor) -> Tensor:
        """Return the float32 output on the CPU."""
        with torch.inference_mode():
            result: Tensor = self._model(self._ready(images))
        return result.float().cpu()

    def close(self) -> None:
        """Hold nothing that the collector does not free."""

    def _ready(self, images: Tensor) -> Tensor:
        moved = images.to(device=self._options.device, dtype=_dtype(self._options))
        return moved.contiguous(memory_format=_memory_format(self._options))


def _dtype(options: CellOptions) -> torch.dtype:
    if options.precision not in _DTYPES:
        allowed = ", ".join(_DTYPES)
        raise InputError(f"backend eager cannot run {options.precision}; allowed: {allowed}")
    return _DTYPES[options.precision]


def _memory_format(options: CellOptions) -> torch.memory_format:
    return torch.channels_last if options.channels_last else torch.contiguous_format


def _pickle_unfindable_by_value(model: nn.Module) -> None:
    """Have classes sent along whose module a fresh process would not find."""
    for name in {type(part).__module__ for part in model.modules()} - {"__main__"}:
        root = name.partition(".")[0]
        if name in sys.modules and PathFinder.find_spec(root) is None:
            cloudpickle.register_pickle_by_value(sys.modules[name])
