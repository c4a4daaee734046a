"""Training steps replayed as CUDA graphs: what is recorded, when it is replayed, what it leaves."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from blockzoo.scaffold.net import ScaffoldConfig, ScaffoldNet
from blockzoo.training import cuda_graphs
from blockzoo.training.compilation import BatchKind
from blockzoo.training.cuda_graphs import Forward, GraphedForward
from blockzoo.training.fit import FitResult, fit
from blockzoo.training.run_options import RunOptions
from tests.training.samples import TINY_RECIPE, tiny_dataset, tiny_net, training_settings

DATA = tiny_dataset(per_class=15)  # 26 images to train on: batches of 8, 8, 8 and 2
RECIPE = replace(TINY_RECIPE, ema_decay=0.9, gradient_clip_norm=1.0)
KIND = BatchKind(
    shape=(8, 3, 8, 8),
    paths=(),
    device=torch.device("cpu"),
    layout=torch.contiguous_format,
    precision="fp32",
)


def learned(result: FitResult) -> list[tuple[float, float]]:
    return [(epoch.train_loss, epoch.val_loss) for epoch in result.epochs]


def warmed_up(sizes: list[int]) -> Any:
    """Return what records as CUDA does: it runs the network before, and replays the rest."""

    def record(module: nn.Module, example: tuple[Tensor, ...]) -> Forward:
        for _ in range(3):
            module(*example)

        def replay(*inputs: Tensor) -> Tensor:
            sizes.append(len(inputs[0]))
            logits: Tensor = module(*inputs)
            return logits

        return replay

    return record


def test_whole_batches_are_replayed_and_learn_what_they_learn_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = fit(tiny_net(), training_settings(DATA, RECIPE))
    assert not plain.in_graphs
    sizes: list[int] = []
    monkeypatch.setattr(cuda_graphs, "_recorded", warmed_up(sizes))
    graphed = fit(tiny_net(), training_settings(DATA, RECIPE), RunOptions(cuda_graphs=True))
    assert learned(graphed) == learned(plain)
    assert (graphed.in_graphs, graphed.compiled, graphed.not_compiled) == (True, False, "")
    assert sizes == [8] * 3 * RECIPE.epochs


def test_recording_leaves_nothing_in_the_network() -> None:
    net = tiny_net()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.get_rng_state()
    graphed = GraphedForward(net, KIND, nullcontext, warmed_up([]))
    assert graphed.given_up == ""
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_what_cannot_be_recorded_trains_as_it_is_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuses(module: nn.Module, example: tuple[Tensor, ...]) -> Forward:
        raise RuntimeError("operation not permitted when stream is capturing")

    plain = fit(tiny_net(), training_settings(DATA, RECIPE))
    monkeypatch.setattr(cuda_graphs, "_recorded", refuses)
    result = fit(tiny_net(), training_settings(DATA, RECIPE), RunOptions(cuda_graphs=True))
    assert learned(result) == learned(plain)
    assert not result.in_graphs
    assert result.not_compiled == ("RuntimeError: operation not permitted when stream is capturing")


@pytest.mark.gpu
@pytest.mark.timeout(300)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_on_cuda_graphs_learn_what_eager_steps_learn(precision: Any) -> None:
    recipe = replace(RECIPE, precision=precision, drop_path=0.3, epochs=4)
    config = ScaffoldConfig(context="Identity", width=4, depth=2, classes=2, input_shape=(3, 8, 8))
    settings = training_settings(DATA, recipe, device="cuda")

    def run(cuda_graphs: bool) -> FitResult:
        net = ScaffoldNet("InvertedResidual", "mid", config, seed=0)
        return fit(net, settings, RunOptions(cuda_graphs=cuda_graphs))

    graphed = run(True)
    assert (graphed.in_graphs, graphed.not_compiled) == (True, "")
    assert learned(graphed) == learned(run(False))
