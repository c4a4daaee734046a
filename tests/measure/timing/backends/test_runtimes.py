"""ONNX Runtime and OpenVINO: equal to eager, int8 with its gate, and what is told without them."""

from __future__ import annotations

import importlib.util
import pickle
from importlib.machinery import ModuleSpec

import pytest
import torch

from blockzoo.core.errors import ModelError, ParityError
from blockzoo.core.run_way import RunWay
from blockzoo.measure.timing.backends import get_backend, onnxruntime_backends
from blockzoo.measure.timing.backends.onnx_export import calibration_batches
from tests.measure.timing.backends.networks import (
    Branching,
    images,
    run_in_fresh_process,
    small_net,
)

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("openvino")

INT8 = RunWay(backend="onnxruntime", precision="int8")
RUNTIMES = ("onnxruntime", "openvino")


@pytest.mark.parametrize("name", RUNTIMES)
def test_output_equals_eager_here_and_in_a_fresh_process(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    net, example, options = small_net(), images(2), RunWay(backend=name)
    backend, given = get_backend(name), images(4, seed=5)
    assert backend.unavailable("cpu") is None
    assert backend.supports(options) is None
    payload = backend.prepare(net, example, options)
    loaded = backend.load(payload, example, options)
    assert backend.check(net, loaded, given, options) < 1e-5
    loaded.call()
    assert capfd.readouterr() == ("", "")
    with torch.no_grad():
        expected = net(torch.cat([example, given]))
    torch.testing.assert_close(loaded.output(example), expected[:2])
    fresh = run_in_fresh_process(payload, options, example, given)
    torch.testing.assert_close(fresh, expected)
    assert net[-1].weight.requires_grad  # type: ignore[index]


@pytest.mark.parametrize("name", RUNTIMES)
def test_outputs_do_not_share_memory(name: str) -> None:
    net, example, options = small_net(), images(1), RunWay(backend=name)
    backend = get_backend(name)
    loaded = backend.load(backend.prepare(net, example, options), example, options)
    first = loaded.output(example)
    kept = first.clone()
    other = loaded.output(-example)
    assert torch.equal(first, kept)
    assert not torch.allclose(other, kept)
    # What is timed is the example again.
    assert torch.equal(loaded.output(example), kept)


def test_openvino_computes_in_bf16_only_when_told() -> None:
    net, example, backend = small_net(), images(2), get_backend("openvino")
    options = RunWay(backend="openvino", precision="bf16")
    if reason := backend.supports(options):
        pytest.skip(reason)
    loaded = backend.load(backend.prepare(net, example, options), example, options)
    assert 1e-5 < backend.check(net, loaded, images(4), options) < 5e-2


@pytest.mark.parametrize("name", RUNTIMES)
def test_what_cannot_be_exported_is_told_in_one_line(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ModelError) as caught:
        get_backend(name).prepare(Branching(), images(1), RunWay(backend=name))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", RUNTIMES)
def test_a_payload_that_is_none_is_told_in_one_line(name: str) -> None:
    payload = {"onnxruntime": b"nothing", "openvino": pickle.dumps((b"nothing", b""))}
    with pytest.raises(ModelError, match="cannot load it: ") as caught:
        get_backend(name).load(payload[name], images(1), RunWay(backend=name))
    assert "\n" not in str(caught.value)


def test_int8_of_a_convolutional_network_passes_its_gate() -> None:
    net, example, backend = small_net(), images(1), get_backend("onnxruntime")
    payload = backend.prepare(net, example, INT8)
    assert b"QuantizeLinear" in payload
    loaded = backend.load(payload, example, INT8)
    assert 1e-5 < backend.check(net, loaded, images(8), INT8) < 0.2


def test_int8_with_wrong_ranges_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    net, example, backend = small_net(), images(1), get_backend("onnxruntime")
    monkeypatch.setattr(
        onnxruntime_backends, "calibration_batches", lambda example: iter([example * 1e-3])
    )
    loaded = backend.load(backend.prepare(net, example, INT8), example, INT8)
    with pytest.raises(ParityError, match=r"^int8 "):
        backend.check(net, loaded, images(8), INT8)


def test_calibration_sees_64_images_and_always_the_same() -> None:
    batches = list(calibration_batches(images(5)))
    assert [len(batch) for batch in batches] == [5] * 13
    assert torch.equal(torch.cat(batches), torch.cat(list(calibration_batches(images(5)))))


@pytest.mark.parametrize(
    ("name", "package", "line"),
    [
        ("onnxruntime", "onnxruntime", "onnxruntime is missing: pip install 'blockzoo[onnx]'"),
        ("onnxruntime", "onnxscript", "onnxscript is missing: pip install 'blockzoo[onnx]'"),
        ("openvino", "openvino", "openvino is missing: pip install 'blockzoo[openvino]'"),
    ],
)
def test_a_missing_package_says_what_to_install(
    name: str, package: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec

    def find_others(asked: str, *rest: str) -> ModuleSpec | None:
        return None if asked == package else find(asked, *rest)

    for module in ("onnx_export", "openvino_backend"):
        monkeypatch.setattr(f"blockzoo.measure.timing.backends.{module}.find_spec", find_others)
    assert get_backend(name).unavailable("cpu") == line


def test_the_cpu_build_of_onnxruntime_says_what_cuda_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "blockzoo.measure.timing.backends.onnxruntime_backends.cuda_unavailable",
        lambda device: None,
    )
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    assert get_backend("onnxruntime").unavailable("cuda:0") == (
        "this onnxruntime has no CUDAExecutionProvider: pip install onnxruntime-gpu"
    )
    assert get_backend("openvino").unavailable("cuda:0") == "openvino is for the CPU"
