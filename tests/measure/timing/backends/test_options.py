"""Options that cannot be are refused in one line."""

from __future__ import annotations

from typing import Any

import pytest

from blockzoo.core.errors import InputError, UnknownNameError
from blockzoo.measure.timing.backends import Backend, CellOptions, backend_names, get_backend


def test_every_name_has_its_backend() -> None:
    backends = [get_backend(name) for name in backend_names()]
    assert all(isinstance(backend, Backend) for backend in backends)
    assert tuple(backend.name for backend in backends) == backend_names()
    assert {"eager", "compile", "export", "onnxruntime", "openvino"} < set(backend_names())


def test_an_unknown_backend_tells_near_names() -> None:
    with pytest.raises(UnknownNameError, match="'onnxruntme'; did you mean onnxruntime"):
        get_backend("onnxruntme")
    with pytest.raises(UnknownNameError, match="unknown backend 'tvm'"):
        CellOptions(backend="tvm")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"precision": "fp8"}, "precision is 'fp8'; allowed: fp32, bf16, fp16, int8"),
        ({"device": "gpu"}, "device is 'gpu'; allowed: cpu, cuda, cuda:N"),
        ({"threads": 0}, "threads is 0; it must be 1 or more"),
    ],
)
def test_values_that_cannot_be_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        CellOptions(**wrong)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (CellOptions(precision="fp16"), "fp16 is for CUDA; on a CPU take fp32 or bf16"),
        (CellOptions(precision="int8"), "int8 is for onnxruntime"),
        (CellOptions(backend="onnxruntime", precision="bf16"), "no bf16 convolution"),
        (
            CellOptions(backend="onnxruntime", precision="int8", device="cuda"),
            "int8 is for the CPU",
        ),
        (CellOptions(backend="onnxruntime", channels_last=True), "its own memory layout"),
        (CellOptions(backend="openvino", precision="fp16"), "it has fp32, bf16"),
    ],
)
def test_combinations_that_no_backend_runs_have_a_reason(options: CellOptions, reason: str) -> None:
    told = get_backend(options.backend).supports(options)
    assert told is not None
    assert reason in told
    assert "\n" not in told


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("name", ["eager", "compile", "export", "cudagraphs"])
def test_torch_runs_both_layouts(name: str, channels_last: bool, precision: str) -> None:
    options = CellOptions(backend=name, precision=precision, channels_last=channels_last)
    assert get_backend(name).supports(options) is None
