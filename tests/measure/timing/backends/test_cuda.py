"""Backends on a GPU; run with -m gpu."""

from __future__ import annotations

import pytest
import torch

from blockzoo.core.run_way import RunWay
from blockzoo.measure.timing.backends import get_backend
from tests.measure.timing.backends.networks import images, small_net

pytestmark = pytest.mark.gpu

CELLS = [
    RunWay(backend=name, device="cuda", precision=precision, channels_last=channels_last)
    for name, precisions in {
        "eager": ("fp32", "bf16", "fp16"),
        "export": ("fp32", "fp16"),
        "compile": ("fp32", "fp16"),
        "cudagraphs": ("fp32", "bf16", "fp16"),
        "onnxruntime": ("fp32", "fp16"),
        "tensorrt": ("fp32", "fp16"),
    }.items()
    for precision in precisions
    for channels_last in (False, True)
]


@pytest.mark.parametrize("options", CELLS, ids=str)
def test_output_equals_eager_on_the_cpu(options: RunWay) -> None:
    backend, net, example = get_backend(options.backend), small_net(), images(2)
    if reason := backend.unavailable("cuda") or backend.supports(options):
        pytest.skip(reason)
    loaded = backend.load(backend.prepare(net, example, options), example, options)
    before = loaded.output(example)
    backend.check(net, loaded, images(8), options)
    loaded.call()
    torch.cuda.synchronize()
    assert before.device.type == "cpu"
    torch.testing.assert_close(loaded.output(example), before, rtol=1e-3, atol=1e-4)
    loaded.close()


def test_a_replayed_graph_follows_its_input() -> None:
    backend, options = get_backend("cudagraphs"), RunWay(backend="cudagraphs", device="cuda")
    net, example = small_net(), images(2)
    loaded = backend.load(backend.prepare(net, example, options), example, options)
    with torch.no_grad():
        expected = net(-example)
    torch.testing.assert_close(loaded.output(-example), expected, rtol=1e-4, atol=1e-5)
