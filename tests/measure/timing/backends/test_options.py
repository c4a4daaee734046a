"""Every backend has its name, and a reason for what it cannot run."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from blockzoo import benchmark_blocks
from blockzoo.core.errors import UnknownNameError
from blockzoo.core.run_way import RunWay
from blockzoo.measure import measure
from blockzoo.measure.timing.backends import Backend, backend_names, get_backend


def test_every_name_has_its_backend() -> None:
    backends = [get_backend(name) for name in backend_names()]
    assert all(isinstance(backend, Backend) for backend in backends)
    assert tuple(backend.name for backend in backends) == backend_names()
    assert {"eager", "compile", "export", "onnxruntime", "openvino"} < set(backend_names())


def test_an_unknown_backend_tells_near_names() -> None:
    with pytest.raises(UnknownNameError, match="'onnxruntme'; did you mean onnxruntime"):
        get_backend("onnxruntme")


def test_an_unknown_backend_is_refused_before_anything_runs() -> None:
    unknown = RunWay(backend="tvm")
    with pytest.raises(UnknownNameError, match="unknown backend 'tvm'"):
        measure({"relu": nn.ReLU()}, torch.ones(1, 3), way=unknown)
    with pytest.raises(UnknownNameError, match="unknown backend 'tvm'"):
        benchmark_blocks(["Identity"], ["mid"], ways=[unknown])


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        (RunWay(precision="fp16"), "fp16 is for CUDA; on a CPU take fp32 or bf16"),
        (RunWay(precision="int8"), "int8 is for onnxruntime"),
        (RunWay(backend="onnxruntime", precision="bf16"), "no bf16 convolution"),
        (
            RunWay(backend="onnxruntime", precision="int8", device="cuda"),
            "int8 is for the CPU",
        ),
        (RunWay(backend="onnxruntime", channels_last=True), "its own memory layout"),
        (RunWay(backend="openvino", precision="fp16"), "it has fp32, bf16"),
    ],
)
def test_combinations_that_no_backend_runs_have_a_reason(way: RunWay, reason: str) -> None:
    told = get_backend(way.backend).supports(way)
    assert told is not None
    assert reason in told
    assert "\n" not in told


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("name", ["eager", "compile", "export", "cudagraphs"])
def test_torch_runs_both_layouts(name: str, channels_last: bool, precision: str) -> None:
    way = RunWay(backend=name, precision=precision, channels_last=channels_last)
    assert get_backend(name).supports(way) is None
