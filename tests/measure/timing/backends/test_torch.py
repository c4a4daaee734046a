"""Eager, compile and export: equal to eager, in fresh processes, with one line for what fails."""

from __future__ import annotations

import copy
import gc
import os
import shutil
import warnings
import weakref
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from blockzoo.core.errors import ModelError, ParityError
from blockzoo.core.run_way import RunWay
from blockzoo.measure.timing.backends import get_backend, torch_backends
from tests.measure.timing.backends.networks import (
    Branching,
    images,
    run_in_fresh_process,
    run_payload,
    small_net,
)

FORMS = [
    RunWay(backend=name, precision=precision, channels_last=channels_last)
    for name in ("eager", "export")
    for precision in ("fp32", "bf16")
    for channels_last in (False, True)
]


@pytest.mark.parametrize("options", FORMS, ids=str)
def test_output_equals_eager(options: RunWay) -> None:
    net, example, backend = small_net(), images(2), get_backend(options.backend)
    before = copy.deepcopy(net.state_dict())
    loaded = backend.load(backend.prepare(net, example, options), example, options)
    difference = backend.check(net, loaded, images(6), options)
    output = loaded.output(images(2, seed=3))
    assert difference < (1e-5 if options.precision == "fp32" else 2e-2)
    assert (output.dtype, tuple(output.shape)) == (torch.float32, (2, 5))
    result = loaded.call()
    assert isinstance(result, torch.Tensor)
    assert torch.equal(result.float(), loaded.output(example))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(parameter.requires_grad for parameter in net.parameters())


def test_a_network_in_training_is_run_in_eval_and_left_in_training() -> None:
    net, example, backend = small_net().train(), images(2), get_backend("eager")
    options = RunWay()
    output = run_payload(backend.prepare(net, example, options), options, example, images(2))
    assert net.training
    with torch.no_grad():
        assert torch.equal(output[2:], small_net()(images(2)))


def test_nothing_works_after_closing() -> None:
    net, example, backend = small_net(), images(1), get_backend("eager")
    loaded = backend.load(backend.prepare(net, example, RunWay()), example, RunWay())
    loaded.close()
    with pytest.raises(ModelError, match="closed"):
        loaded.call()
    with pytest.raises(ModelError, match="closed"):
        loaded.output(example)


def test_a_recorded_graph_keeps_the_weights_it_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded: list[weakref.ref[nn.Module]] = []

    def record(graph: object, network: nn.Module, source: torch.Tensor) -> torch.Tensor:
        recorded.append(weakref.ref(network))
        return torch.zeros(2, 5)

    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: SimpleNamespace(replay=lambda: None))
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(torch_backends, "_recorded", record)
    backend, options, example = get_backend("cudagraphs"), RunWay(), images(2)
    loaded = backend.load(backend.prepare(small_net(), example, options), example, options)
    gc.collect()
    assert recorded[0]() is not None
    loaded.close()
    gc.collect()
    assert recorded[0]() is None


@pytest.mark.parametrize("name", ["eager", "export"])
def test_a_fresh_process_runs_it(name: str) -> None:
    net, example, options = small_net(), images(1), RunWay(backend=name)
    payload = get_backend(name).prepare(net, example, options)
    output = run_in_fresh_process(payload, options, example, images(2, seed=4))
    with torch.no_grad():
        expected = net(torch.cat([example, images(2, seed=4)]))
    torch.testing.assert_close(output, expected)


def test_what_cannot_be_exported_is_told_in_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModelError) as caught:
        get_backend("export").prepare(Branching(), images(1), RunWay(backend="export"))
    assert str(caught.value).startswith("torch.export cannot export it: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["eager", "export"])
def test_a_payload_that_is_none_is_told_in_one_line(name: str) -> None:
    with pytest.raises(ModelError, match=r"cannot be unpickled: |cannot load it: ") as caught:
        get_backend(name).load(b"nothing", images(1), RunWay(backend=name))
    assert "\n" not in str(caught.value)


def test_eager_runs_what_cannot_be_exported() -> None:
    options, net = RunWay(), Branching()
    payload = get_backend("eager").prepare(net, images(1), options)
    assert torch.equal(run_payload(payload, options, images(1), images(1))[1:], net(images(1)))


def test_a_wrong_export_does_not_pass_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    net, example, options = small_net(), images(1), RunWay(backend="export")
    export = torch.export.export

    def wrong(module: nn.Module, *args: object, strict: bool) -> object:
        head = module[-1]  # type: ignore[index]
        head.bias.data += 0.01
        return export(module, *args, strict=strict)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.export, "export", wrong)
    backend = get_backend("export")
    loaded = backend.load(backend.prepare(net, example, options), example, options)
    with pytest.raises(ParityError, match=r"outputs differ by .* allowed is 0\.0001"):
        backend.check(net, loaded, images(4), options)


def test_a_machine_without_a_compiler_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_: None)
    assert get_backend("compile").unavailable("cpu") == "compile needs a C++ compiler: g++"


def test_a_missing_gpu_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in ("eager", "compile", "export", "cudagraphs"):
        assert get_backend(name).unavailable("cuda") == (
            "device 'cuda' is not available; there is: cpu"
        )
    assert get_backend("eager").unavailable("cpu") is None
    assert get_backend("cudagraphs").unavailable("cpu") == "cudagraphs is for CUDA"
    assert get_backend("tensorrt").unavailable("cpu") == "tensorrt is for CUDA"


@pytest.mark.slow
def test_compiled_equals_eager_and_the_next_process_finds_it(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("inductor")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(folder))
    monkeypatch.setenv("TORCHINDUCTOR_COMPILE_THREADS", "1")
    net, example, options = small_net(), images(1), RunWay(backend="compile")
    payload = get_backend("compile").prepare(net, example, options)
    with torch.no_grad():
        expected = net(torch.cat([example, images(2, seed=4)]))
    first = run_in_fresh_process(payload, options, example, images(2, seed=4))
    made = _binaries(str(folder))
    second = run_in_fresh_process(payload, options, example, images(2, seed=4))
    torch.testing.assert_close(first, expected)
    torch.testing.assert_close(second, expected)
    assert made
    assert _binaries(str(folder)) == made


def _binaries(folder: str) -> set[str]:
    found = ((root, name) for root, _, names in os.walk(folder) for name in names)
    return {f"{root}/{name}" for root, name in found if name.endswith(".so")}


@pytest.mark.slow
def test_compile_follows_a_branch_and_warns_nobody() -> None:
    options = RunWay(backend="compile")
    payload = get_backend("compile").prepare(Branching(), images(1), options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        output = run_payload(payload, options, images(1), -images(1))
    torch.testing.assert_close(output[:1], output[1:])
