"""What all code in a process shares, and what of that a block has changed.

A block that sets the default dtype, the threads or a flag of a backend, that patches a class of
torch or leaves gradients off, changes whatever the same process measures after it.
"""

from __future__ import annotations

import builtins
import math
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.modules import module as module_hooks

State = Mapping[str, object]
"""What is shared, by what people call it; values are compared, or shown where they are short."""


class Change(NamedTuple):
    """What has changed, in words, and whether what the process computes may change with it."""

    text: str
    is_arithmetic: bool


_MOST_SHOWN = 40
_TORCH = os.path.dirname(torch.__file__)  # noqa: PTH120 - compared with the text of file names
# What torch's compiler and scikit-learn put there as they load.
_OF_LIBRARIES = ("TORCHINDUCTOR_", "_TORCHINDUCTOR_", "TRITON_", "KMP_")
_LIBRARIES_WITH_THREADS = ("torch", "tqdm", "concurrent")
_HOOKS = ("_global_forward_hooks", "_global_forward_pre_hooks", "_global_backward_hooks")
# Private in torch, which has no public way to ask whether a mode was left on.
_MODES = ("_len_torch_function_stack", "_len_torch_dispatch_stack")


def process_state() -> State:
    """Return the state of this process as it is now; see `changes_since`."""
    return {name: read() for name, read in (_ARITHMETIC | _SURROUNDINGS).items()} | _names()


def changes_since(before: State) -> tuple[Change, ...]:
    """Return what has changed in this process since `before`; nothing where all is alike.

    >>> before = process_state()
    >>> torch.set_grad_enabled(False) and None
    >>> changes_since(before)
    (Change(text='gradients (True, now False)', is_arithmetic=True),)
    >>> torch.set_grad_enabled(True) and None
    >>> changes_since(before)
    ()
    """
    now = process_state()
    return tuple(
        Change(_in_words(name, value, now.get(name)), name not in _SURROUNDINGS)
        for name, value in before.items()
        if not value == now.get(name)  # noqa: SIM201 - names are compared with later ones
    )


def put_back(before: State) -> tuple[Change, ...]:
    """Set what can be set to what it was at `before`; return the changes that this undid.

    Patched classes, signal handlers, threads and the environment stay as they are.

    >>> before = process_state()
    >>> torch.set_grad_enabled(False) and None
    >>> put_back(before)
    (Change(text='gradients (True, now False)', is_arithmetic=True),)
    >>> torch.is_grad_enabled()
    True
    """
    undone = []
    for name, write in _SETTERS.items():
        # One after the other, for one may carry another along.
        now = (_ARITHMETIC | _SURROUNDINGS)[name]()
        if now != before[name]:
            undone.append(Change(_in_words(name, before[name], now), name not in _SURROUNDINGS))
            write(before[name])
    return tuple(undone)


def _in_words(name: str, before: object, now: object) -> str:
    if isinstance(before, _Names) and isinstance(now, _Names):
        return f"{name}.{before.first_changed(now)}"
    if isinstance(before, dict) and isinstance(now, dict):
        differing = sorted(k for k in {**before, **now} if before.get(k) != now.get(k))
        return f"{name} ({', '.join(differing)})"
    shown = f"{before}, now {now}"
    return f"{name} ({shown})" if len(shown) <= _MOST_SHOWN else name


class _Names:
    """The functions and classes in a namespace; equal to later ones that hold the same."""

    def __init__(self, owner: object) -> None:
        # The objects themselves: the address of one that is gone may be given to another.
        self._values = {
            name: value
            for name, value in vars(owner).items()
            # That one follows the default dtype.
            if callable(value) and name != "Storage"
        }
        # A class has all its names from the start; a module gets more as a library loads.
        self._complete = isinstance(owner, type)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Names) and self.first_changed(other) is None

    __hash__ = None  # type: ignore[assignment]

    def first_changed(self, later: _Names) -> str | None:
        """Return the first name that has come to stand for something else."""
        before, now = self._values, later._values
        for name in {**before, **now} if self._complete else before:
            # Torch patches itself as it loads its compiler.
            if now.get(name) is not before.get(name) and not _is_of_torch(now.get(name)):
                return name
        return None


def _is_of_torch(value: object) -> bool:
    code = getattr(value, "__code__", None)
    return code is not None and code.co_filename.startswith(_TORCH)


def _namespaces() -> dict[str, object]:
    """Return what foreign code patches when it patches: modules and the classes of layers."""
    layers = {f"nn.{name}": value for name, value in vars(nn).items() if isinstance(value, type)}
    return {
        "torch": torch,
        "torch.Tensor": torch.Tensor,
        "nn.functional": nn.functional,
        "nn.init": nn.init,
        "nn": nn,
        "torch.optim": torch.optim,
        "torch.autograd": torch.autograd,
        "builtins": builtins,
        "math": math,
        "random": random,
        "numpy": np,
        "os": os,
        "time": sys.modules["time"],
        **layers,
    }


_NAMESPACES = _namespaces()


def _names() -> dict[str, object]:
    return {name: _Names(owner) for name, owner in _NAMESPACES.items()}


def _working_folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 - a text, to be shown
    except OSError:
        return "gone"


def _environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith(_OF_LIBRARIES)}


def _threads() -> frozenset[str]:
    """Return the names of all threads but those that libraries keep."""
    return frozenset(
        thread.name
        for thread in threading.enumerate()
        if not _owner_of(thread).startswith(_LIBRARIES_WITH_THREADS)
    )


def _owner_of(thread: threading.Thread) -> str:
    target = getattr(thread, "_target", None)
    return str(getattr(target, "__module__", type(thread).__module__))


def _signal_handlers() -> tuple[object, ...]:
    names = ("SIGINT", "SIGTERM", "SIGALRM", "SIGCHLD", "SIGSEGV")
    return tuple(signal.getsignal(getattr(signal, name)) for name in names if hasattr(signal, name))


def _streams() -> tuple[object, ...]:
    streams = (sys.stdin, sys.stdout, sys.stderr)
    return tuple((id(stream), stream is None or stream.closed) for stream in streams)


def _affinity() -> object:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None


def _attention() -> tuple[bool, ...]:
    kinds = ("flash_sdp", "mem_efficient_sdp", "math_sdp", "cudnn_sdp")
    return tuple(getattr(torch.backends.cuda, f"{kind}_enabled")() for kind in kinds)


def _script_profiling() -> tuple[bool, bool]:
    """Return how TorchScript optimises; setting is the only way to ask, and is undone."""
    executor, mode = torch._C._jit_set_profiling_executor, torch._C._jit_set_profiling_mode
    found = executor(True), mode(True)
    _set_script_profiling(found)
    return found


_ARITHMETIC: dict[str, Callable[[], object]] = {
    "the default dtype": torch.get_default_dtype,
    "the default device": torch.get_default_device,
    "gradients": torch.is_grad_enabled,
    "inference mode": torch.is_inference_mode_enabled,
    "torch's threads": torch.get_num_threads,
    "torch's threads between operations": torch.get_num_interop_threads,
    "deterministic algorithms": torch.are_deterministic_algorithms_enabled,
    "the precision of matrix products": torch.get_float32_matmul_precision,
    "cuDNN's flags": lambda: (
        torch.backends.cudnn.enabled,
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.allow_tf32,
    ),
    "oneDNN": lambda: torch.backends.mkldnn.enabled,
    "attention kernels": _attention,
    # 2**-149 is the smallest of all; it becomes 0 where such numbers are flushed.
    "denormal numbers": lambda: bool((torch.tensor([2.0**-149], device="cpu") * 1.0).item()),
    "anomaly detection": torch.is_anomaly_enabled,
    "autocast": lambda: (torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")),
    "hooks on all modules": lambda: tuple(len(getattr(module_hooks, name)) for name in _HOOKS),
    "modes of torch": lambda: tuple(getattr(torch._C, name)() for name in _MODES),
    "TorchScript's profiling": _script_profiling,
}
_SURROUNDINGS: dict[str, Callable[[], object]] = {
    "numpy's error handling": lambda: tuple(sorted(np.geterr().items())),
    "the working folder": _working_folder,
    "the environment": _environment,
    "signal handlers": _signal_handlers,
    "standard streams": _streams,
    "sys.excepthook": lambda: id(sys.excepthook),
    "tracing": lambda: (sys.gettrace(), sys.getprofile()),
    "threads of Python": _threads,
    "the cores it may use": _affinity,
}


def _set_default_device(device: torch.device) -> None:
    # None is what stands at the start; the CPU by name would be a mode that slows every call.
    torch.set_default_device(None if device == torch.device("cpu") else device)


def _set_cudnn(flags: tuple[bool, bool, bool, bool]) -> None:
    cudnn = torch.backends.cudnn
    cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32 = flags


def _set_onednn(enabled: bool) -> None:
    torch.backends.mkldnn.enabled = enabled  # type: ignore[assignment]


def _set_attention(enabled: tuple[bool, bool, bool, bool]) -> None:
    kinds = ("flash_sdp", "mem_efficient_sdp", "math_sdp", "cudnn_sdp")
    for kind, value in zip(kinds, enabled, strict=True):
        getattr(torch.backends.cuda, f"enable_{kind}")(value)


def _set_autocast(enabled: tuple[bool, bool]) -> None:
    for device, value in zip(("cpu", "cuda"), enabled, strict=True):
        torch.set_autocast_enabled(device, value)


def _set_script_profiling(found: tuple[bool, bool]) -> None:
    torch._C._jit_set_profiling_executor(found[0])
    torch._C._jit_set_profiling_mode(found[1])


def _set_denormals(smallest: float) -> None:
    torch.set_flush_denormal(smallest == 0)


def _set_numpy_errors(errors: tuple[tuple[str, Any], ...]) -> None:
    np.seterr(**dict(errors))


def _set_working_folder(folder: str) -> None:
    with suppress(OSError):  # it is gone
        os.chdir(folder)


_SETTERS: dict[str, Callable[[Any], object]] = {
    "the default dtype": torch.set_default_dtype,
    "the default device": _set_default_device,
    "gradients": torch.set_grad_enabled,
    "torch's threads": torch.set_num_threads,
    "deterministic algorithms": torch.use_deterministic_algorithms,
    "the precision of matrix products": torch.set_float32_matmul_precision,
    "cuDNN's flags": _set_cudnn,
    "oneDNN": _set_onednn,
    "attention kernels": _set_attention,
    "denormal numbers": _set_denormals,
    "anomaly detection": torch.autograd.set_detect_anomaly,
    "autocast": _set_autocast,
    "TorchScript's profiling": _set_script_profiling,
    "numpy's error handling": _set_numpy_errors,
    "the working folder": _set_working_folder,
}
"""How to set what is read above under the same name, where it can be set."""
