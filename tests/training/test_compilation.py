"""Compiled training: once per network, whatever the seed; what cannot be compiled trains on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters

from blockzoo.results.records import EpochMetrics
from blockzoo.scaffold.net import ScaffoldConfig, ScaffoldNet
from blockzoo.training import compilation
from blockzoo.training.fit import FitResult, fit
from blockzoo.training.recipe import Recipe
from tests.training.samples import TINY_RECIPE, tiny_dataset, tiny_net, training_settings

DATA = tiny_dataset(per_class=15)  # 26 images to train on: batches of 8, 8, 8 and 2
RECIPE = replace(TINY_RECIPE, ema_decay=0.9, drop_path=0.3, gradient_clip_norm=1.0)
PLAIN = replace(TINY_RECIPE, ema_decay=0.9)
CONFIG = ScaffoldConfig(context="Identity", width=4, depth=2, classes=2, input_shape=(3, 8, 8))


@pytest.fixture(autouse=True)
def nothing_compiled() -> Iterator[None]:
    """Forget what other tests compiled, and what torch counted."""
    compilation._function.cache_clear()
    compilation._refused.clear()
    counters.clear()
    yield
    compilation._function.cache_clear()


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have graphs traced as ever, but run operation by operation: no C++ is compiled."""
    compile_ = torch.compile

    def without_inductor(function: Any, *, mode: str, **options: Any) -> Any:
        assert mode == "default"  # on the CPU
        return compile_(function, backend="aot_eager", **options)

    monkeypatch.setattr(torch, "compile", without_inductor)


def scaffold(seed: int = 0, block: str = "InvertedResidual") -> ScaffoldNet:
    return ScaffoldNet(block, "mid", CONFIG, seed=seed)


def run(
    net: nn.Module,
    recipe: Recipe = RECIPE,
    *,
    checkpoint: Path | None = None,
    on_epoch: Callable[[EpochMetrics], None] | None = None,
    **changes: Any,
) -> FitResult:
    settings = training_settings(DATA, recipe, **{"compiled": True, **changes})
    return fit(net, settings, checkpoint=checkpoint, on_epoch=on_epoch)


def learned(result: FitResult) -> dict[str, Any]:
    timed = {"seconds", "elapsed_seconds", "images_per_s"}
    volatile = {"training_seconds", "images_per_s", "peak_memory_bytes"}
    kept = {key: value for key, value in asdict(result).items() if key not in volatile}
    return {**kept, "epochs": [epoch.model_dump(exclude=timed) for epoch in result.epochs]}


def graphs() -> int:
    return counters["stats"]["unique_graphs"]


def check_that_seeds_share_one_graph(**options: Any) -> list[FitResult]:
    """Train three seeds, another network in between; assert what was compiled after each."""
    results = [run(scaffold(0), seed=0, **options)]
    assert graphs() == 1
    other = run(scaffold(0, "ResNetBottleneck"), seed=0, **options)
    assert graphs() == 2
    results += [run(scaffold(seed), seed=seed, **options) for seed in (1, 2)]
    assert graphs() == 2
    assert [result.not_compiled for result in (*results, other)] == [""] * 4
    assert all(result.compiled for result in (*results, other))
    return results


@pytest.mark.usefixtures("traced")
def test_seeds_share_one_graph_whatever_is_trained_in_between() -> None:
    first, second, _ = check_that_seeds_share_one_graph()
    assert learned(first) != learned(second)


@pytest.mark.usefixtures("traced")
def test_a_network_that_was_compiled_for_another_seed_trains_the_same() -> None:
    run(scaffold(0), seed=0)
    again = learned(run(scaffold(1), seed=1))
    compilation._function.cache_clear()
    assert again == learned(run(scaffold(1), seed=1))


@pytest.mark.usefixtures("traced")
def test_compiled_training_learns_what_training_learns() -> None:
    compiled = run(tiny_net(dropout=0.0), PLAIN)
    plain = run(tiny_net(dropout=0.0), PLAIN, compiled=False)
    assert (compiled.compiled, plain.compiled) == (True, False)
    for one, other in zip(compiled.epochs, plain.epochs, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=1e-4)
        assert one.val_loss == pytest.approx(other.val_loss, rel=1e-4)


class Uncompiled(nn.Module):
    """Keeps the sizes of training batches that run uncompiled."""

    def __init__(self) -> None:
        super().__init__()
        self.net = tiny_net()
        self.sizes: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        """Map as the network does."""
        if self.training and not torch.compiler.is_compiling():
            self.sizes.append(len(images))
        logits: Tensor = self.net(images)
        return logits


@pytest.mark.usefixtures("traced")
def test_only_whole_batches_are_compiled() -> None:
    net = Uncompiled()
    assert run(net, PLAIN).compiled
    assert graphs() == 1
    assert net.sizes == [2, 2]  # the last batch of each of two epochs
    run(net, replace(PLAIN, batch_size=100))
    assert graphs() == 2
    assert net.sizes == [2, 2]  # all images are one batch


class ReadsAValue(nn.Module):
    """Branches on a value, which a single graph cannot hold."""

    def __init__(self) -> None:
        super().__init__()
        self.net = tiny_net()

    def forward(self, images: Tensor) -> Tensor:
        """Map as the network does, whichever way."""
        logits: Tensor = self.net(images)
        return logits if logits.sum().item() > 0 else logits * 1.0


def test_what_cannot_be_compiled_is_trained_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result, plain = run(ReadsAValue(), PLAIN), run(ReadsAValue(), PLAIN, compiled=False)
    assert not result.compiled
    assert result.not_compiled
    assert "\n" not in result.not_compiled
    assert {**learned(result), "not_compiled": ""} == learned(plain)
    # It is not tried again for the next seed.
    monkeypatch.setattr(compilation, "seeded", None)
    assert run(ReadsAValue(), PLAIN, seed=1).not_compiled == result.not_compiled


class Counting(nn.Module):
    """Holds a number that changes with every call, so that compiled code never fits again."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.calls = tiny_net(), 0

    def forward(self, images: Tensor) -> Tensor:
        """Map as the network does, times 1."""
        self.calls += 1
        logits: Tensor = self.net(images)
        return logits * (1.0 if self.calls else 2.0) + 0.0 * self.calls


@pytest.mark.usefixtures("traced")
def test_code_that_would_be_compiled_at_every_turn_is_given_up() -> None:
    result = run(Counting(), PLAIN)
    assert not result.compiled
    assert "fail_on_recompile" in result.not_compiled
    assert graphs() == 1
    plain = run(Counting(), PLAIN, compiled=False)
    assert result.epochs[-1].val_loss == pytest.approx(plain.epochs[-1].val_loss, rel=1e-4)


def test_a_compiler_that_breaks_is_named_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        def call(*_: Any) -> Tensor:
            raise RuntimeError("no compiler\nin a long story")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    result = run(tiny_net(), PLAIN)
    assert (result.compiled, result.not_compiled) == (False, "RuntimeError: no compiler")


@pytest.mark.usefixtures("traced")
def test_batches_in_parts_run_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Any, images: Tensor, *paths: Tensor) -> Tensor:
        if len(images) == 8:
            raise torch.OutOfMemoryError("no room")
        return call(self, images, *paths)

    call = compilation.CompiledForward.__call__
    monkeypatch.setattr(compilation.CompiledForward, "__call__", full)
    result = run(tiny_net(), PLAIN)
    assert result.micro_batch_size == 4
    assert (result.compiled, result.not_compiled) == (False, "batches were computed in parts")


def check_that_a_stopped_training_goes_on_to_the_same_weights(folder: Path) -> None:
    def stop(metrics: EpochMetrics) -> None:
        if metrics.epoch == 1:
            raise KeyboardInterrupt

    whole, resumed = scaffold(), scaffold()
    run(whole, checkpoint=folder / "whole.ckpt")
    with pytest.raises(KeyboardInterrupt):
        run(scaffold(), checkpoint=folder / "a.ckpt", on_epoch=stop)
    trained: list[int] = []
    compilation._function.cache_clear()
    run(
        resumed,
        checkpoint=folder / "a.ckpt",
        on_epoch=lambda metrics: trained.append(metrics.epoch),
    )
    assert trained == [2]
    weights = resumed.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in whole.state_dict().items())


@pytest.mark.usefixtures("traced")
def test_a_stopped_training_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    check_that_a_stopped_training_goes_on_to_the_same_weights(tmp_path)


@pytest.mark.usefixtures("traced")
def test_a_checkpoint_of_a_training_that_was_not_compiled_is_not_gone_on_from(
    tmp_path: Path,
) -> None:
    run(tiny_net(), PLAIN, compiled=False, checkpoint=tmp_path / "a.ckpt")
    with pytest.warns(UserWarning, match="is of another training; training starts afresh"):
        run(tiny_net(), PLAIN, checkpoint=tmp_path / "a.ckpt")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_compiled_by_inductor_seeds_share_one_graph(precision: Any, tmp_path: Path) -> None:
    recipe = replace(RECIPE, precision=precision, channels_last="auto")
    first, *_ = check_that_seeds_share_one_graph(recipe=recipe)
    plain = run(scaffold(), recipe, compiled=False)
    close = 1e-3 if precision == "fp32" else 0.1
    assert first.epochs[0].train_loss == pytest.approx(plain.epochs[0].train_loss, rel=close)
    check_that_a_stopped_training_goes_on_to_the_same_weights(tmp_path)


@pytest.mark.gpu
@pytest.mark.timeout(300)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_compiled_on_cuda_seeds_share_one_graph(precision: Any) -> None:
    recipe = replace(RECIPE, precision=precision, channels_last="auto")
    first, *_ = check_that_seeds_share_one_graph(recipe=recipe, device="cuda")
    assert counters["inductor"]["cudagraph_skips"] == 0
    plain = run(scaffold(), recipe, compiled=False, device="cuda")
    close = 1e-3 if precision == "fp32" else 0.1
    assert first.epochs[0].train_loss == pytest.approx(plain.epochs[0].train_loss, rel=close)


@pytest.mark.gpu
@pytest.mark.timeout(300)
def test_cuda_graphs_train_as_the_compiled_code_that_they_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = replace(RECIPE, precision="bf16", epochs=4)
    in_graphs = run(scaffold(), recipe, device="cuda")
    compilation._function.cache_clear()
    monkeypatch.setattr(compilation, "MODES", {})
    launched = run(scaffold(), recipe, device="cuda")
    assert learned(in_graphs) == learned(launched)
