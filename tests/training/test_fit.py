from __future__ import annotations

import hashlib
import logging
import random
import signal
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockzoo.blocks import user_errors
from blockzoo.core.errors import BlockError, DeviceMemoryError, DivergenceError, UnknownNameError
from blockzoo.data import ImageDataset
from blockzoo.data.batches import DeviceImages, channel_statistics
from blockzoo.data.split import split_train_validation
from blockzoo.results.answers import unpacked
from blockzoo.results.records import EpochMetrics
from blockzoo.training.fit import FitResult, fit
from blockzoo.training.log import LiveView
from blockzoo.training.recipe import Recipe
from blockzoo.training.run_options import RunOptions
from tests.training.samples import TINY_RECIPE, tiny_dataset, tiny_net, training_settings

DATA = tiny_dataset()
CPU = torch.device("cpu")


def run(
    net: nn.Module,
    recipe: Recipe = TINY_RECIPE,
    data: ImageDataset = DATA,
    options: RunOptions | None = None,
    *,
    subject: str = "the network",
    **changes: Any,
) -> FitResult:
    return fit(net, training_settings(data, recipe, **changes), options, subject=subject)


def without_times(result: FitResult) -> dict[str, Any]:
    kept = asdict(result)
    timed = {"seconds", "elapsed_seconds", "images_per_s"}
    epochs = [epoch.model_dump(exclude=timed) for epoch in result.epochs]
    volatile = {"training_seconds": 0, "images_per_s": 0, "peak_memory_bytes": 0}
    return {**kept, "epochs": epochs, **volatile}


class Recorder(nn.Module):
    """Keeps every batch it sees, by mode, before its network does."""

    def __init__(self, net: nn.Module | None = None) -> None:
        super().__init__()
        self.net = net or tiny_net()
        self.seen: dict[bool, list[Tensor]] = {True: [], False: []}

    def forward(self, images: Tensor) -> Tensor:
        self.seen[self.training].append(images.detach().clone())
        logits: Tensor = self.net(images)
        return logits


def test_it_learns() -> None:
    data = tiny_dataset(classes=3, per_class=40)
    result = run(tiny_net(3, dropout=0.0), replace(TINY_RECIPE, epochs=8, learning_rate=0.1), data)
    assert result.test_accuracy > 0.9
    assert result.epochs[-1].train_loss < result.epochs[0].train_loss
    assert [epoch.epoch for epoch in result.epochs] == list(range(1, 9))
    assert result.images_per_s > 0
    assert result.training_seconds == pytest.approx(sum(e.seconds for e in result.epochs))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_call_twice_gives_the_same_numbers(precision: Any) -> None:
    recipe = replace(TINY_RECIPE, precision=precision, channels_last="auto", epochs=3)
    first, again = (run(tiny_net(), recipe) for _ in range(2))
    assert without_times(first) == without_times(again)
    assert (first.precision, first.channels_last) == (precision, precision == "bf16")
    other = run(tiny_net(), recipe, seed=1)
    assert without_times(first)["epochs"] != without_times(other)["epochs"]


def test_the_state_of_the_caller_has_no_effect_and_is_given_back() -> None:
    before = without_times(run(tiny_net()))
    torch.manual_seed(99)
    random.seed(99)
    np.random.seed(99)
    expected = (torch.rand(1).item(), random.random(), np.random.rand())
    torch.manual_seed(99)
    random.seed(99)
    np.random.seed(99)
    assert without_times(run(tiny_net())) == before
    assert (torch.rand(1).item(), random.random(), np.random.rand()) == expected


def test_batches_are_those_of_seed_and_epoch_whatever_the_network() -> None:
    small, large = Recorder(), Recorder(nn.Sequential(nn.Dropout(0.5), tiny_net()))
    recipe = replace(TINY_RECIPE, batch_size=7)
    for net in (small, large):
        run(net, recipe, seed=5)
    train, _ = split_train_validation(DATA.y_train)
    images = DATA.x_train[train]
    statistics = channel_statistics(images)
    placed = DeviceImages(images, DATA.y_train[train], statistics, device=CPU)
    expected = [
        batch
        for epoch in range(recipe.epochs)
        for batch, _ in placed.epoch(epoch, seed=5, batch_size=7, crop_padding=1, flip=True)
    ]
    for net in (small, large):
        assert len(net.seen[True]) == len(expected) == 6
        for seen, wanted in zip(net.seen[True], expected, strict=True):
            assert torch.equal(seen, wanted)


@pytest.mark.parametrize(("of_recipe", "of_data"), [(True, False), (False, True), (False, False)])
def test_images_are_flipped_only_where_recipe_and_data_allow_it(
    of_recipe: bool, of_data: bool
) -> None:
    """Each image has its left half dark: none is ever seen the other way round."""
    images = DATA.x_train.clone()
    images[..., :4], images[..., 4:] = 0, 200
    data = replace(DATA, x_train=images, flip=of_data)
    recipe = replace(TINY_RECIPE, crop_padding=0, flip=of_recipe)
    net = Recorder()
    fit(net, training_settings(data, recipe))
    for batch in net.seen[True]:
        assert bool((batch[..., :4] < batch[..., 4:]).all())


def test_only_what_is_done_about_flipping_counts() -> None:
    allowed = training_settings(DATA)
    assert (allowed.recipe.flip, allowed.dataset) == (True, DATA)
    still = [
        training_settings(replace(DATA, flip=False)),
        training_settings(DATA, replace(TINY_RECIPE, flip=False)),
        training_settings(DATA.with_flip(False), replace(TINY_RECIPE, flip=False)),
    ]
    assert {(each.recipe.flip, each.dataset.flip) for each in still} == {(False, False)}
    assert len({each.dataset.fingerprint for each in (allowed, *still)}) == 2


def test_the_answers_are_those_of_the_final_weights_image_by_image() -> None:
    data, net = tiny_dataset(classes=3, per_class=6, test=7), tiny_net(3)
    result = run(net, TINY_RECIPE, data)
    statistics = channel_statistics(data.x_train[split_train_validation(data.y_train)[0]])
    with torch.no_grad():
        logits = net.eval()(statistics.normalise(data.x_test))
    correct = (logits.argmax(1) == data.y_test).tolist()
    assert result.test_images == 21
    assert unpacked(result.test_correct, 21).tolist() == correct
    assert result.test_accuracy == sum(correct) / 21
    assert result.test_logits_sha256 == hashlib.sha256(logits.numpy().tobytes()).hexdigest()


def test_the_test_set_is_read_once_and_last() -> None:
    net = Recorder()
    run(net)
    train, val = split_train_validation(DATA.y_train)
    statistics = channel_statistics(DATA.x_train[train])
    expected = [DATA.x_train[val]] * TINY_RECIPE.epochs + [DATA.x_test]
    assert len(net.seen[False]) == len(expected)
    for seen, images in zip(net.seen[False], expected, strict=True):
        assert torch.equal(seen, statistics.normalise(images))


class RightAtStep(nn.Module):
    """Gives right answers in evaluation only after exactly `step` training steps."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step
        self.weight = nn.Parameter(torch.zeros(2))
        self.register_buffer("done", torch.zeros((), dtype=torch.int64))
        self.done: Tensor

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            self.done += 1
            return self.weight.expand(len(images), 2)
        bright = (images.mean(dim=(1, 2, 3)) > 0).long()
        right = F.one_hot(bright, 2).float()
        return right if int(self.done) == self.step else 1 - right


def test_the_weights_of_the_best_epoch_are_kept_and_tested() -> None:
    # 18 images in batches of 8 are 3 steps per epoch, so step 6 ends epoch 2.
    net = RightAtStep(6)
    result = run(net, replace(TINY_RECIPE, epochs=4))
    assert [epoch.val_accuracy for epoch in result.epochs] == [0.0, 1.0, 0.0, 0.0]
    assert result.best_epoch == 2
    assert int(net.done) == 6
    assert (result.val_accuracy, result.test_accuracy) == (1.0, 1.0)
    assert result.test_loss == pytest.approx(np.log(1 + np.exp(-1)))


def test_ties_go_to_the_lower_loss_and_then_to_the_first() -> None:
    class Steady(RightAtStep):
        def forward(self, images: Tensor) -> Tensor:
            logits = super().forward(images)
            right = F.one_hot((images.mean(dim=(1, 2, 3)) > 0).long(), 2)
            sure = 2.0 if int(self.done) in (6, 9) else 1.0
            return logits if self.training else right * sure

    result = run(Steady(0), replace(TINY_RECIPE, epochs=4))
    assert [epoch.val_accuracy for epoch in result.epochs] == [1.0] * 4
    assert result.epochs[1].val_loss == result.epochs[2].val_loss < result.epochs[0].val_loss
    assert result.best_epoch == 2


def test_the_reported_numbers_are_those_of_the_network_left_behind() -> None:
    net = tiny_net()
    result = run(net, replace(TINY_RECIPE, epochs=5, learning_rate=0.3))
    train, _ = split_train_validation(DATA.y_train)
    images = channel_statistics(DATA.x_train[train]).normalise(DATA.x_test)
    with torch.no_grad():
        logits = net.eval()(images)
    assert result.test_loss == pytest.approx(F.cross_entropy(logits, DATA.y_test).item(), rel=1e-5)
    right = (logits.argmax(dim=1) == DATA.y_test).float().mean().item()
    assert result.test_accuracy == pytest.approx(right)


def test_learning_rates_follow_the_schedule() -> None:
    recipe = replace(TINY_RECIPE, epochs=3, warmup_epochs=1.0)
    rates = [epoch.learning_rate for epoch in run(tiny_net(), recipe).epochs]
    # The last steps of the epochs, of 3 steps each: 3 of warm-up, then half a cosine over 6.
    expected = [1.0, (1 + np.cos(np.pi * 2 / 6)) / 2, (1 + np.cos(np.pi * 5 / 6)) / 2]
    assert rates == pytest.approx([0.01 * share for share in expected])


def test_a_plateau_is_judged_on_validation() -> None:
    recipe = replace(TINY_RECIPE, epochs=9, schedule="plateau", learning_rate=0.02)
    result = run(RightAtStep(-1), recipe)
    rates = [epoch.learning_rate for epoch in result.epochs]
    assert rates == pytest.approx([0.02] * 7 + [0.002] * 2)


def test_gradients_are_clipped() -> None:
    """With plain gradient descent a step is at most rate x norm, so few steps hardly move."""
    recipe = replace(TINY_RECIPE, optimizer="sgd", momentum=0.0, epochs=1, gradient_clip_norm=1e-6)
    net, start = tiny_net(), tiny_net()
    run(net, recipe)
    for name, value in start.named_parameters():
        assert (net.get_parameter(name) - value).abs().max() < 1e-7
    run(net, replace(recipe, gradient_clip_norm=0.0))
    moved = net.get_parameter("0.weight") - start.get_parameter("0.weight")
    assert moved.abs().max() > 1e-4


def test_label_smoothing_changes_training_but_not_what_a_loss_means() -> None:
    plain = run(tiny_net(), replace(TINY_RECIPE, epochs=1))
    smooth = run(tiny_net(), replace(TINY_RECIPE, epochs=1, label_smoothing=0.3))
    assert plain.test_loss != smooth.test_loss
    frozen = replace(TINY_RECIPE, epochs=1, learning_rate=1e-30)
    losses = {
        run(tiny_net(), replace(frozen, label_smoothing=share)).epochs[0].train_loss
        for share in (0.0, 0.3)
    }
    assert len(losses) == 1


def test_a_last_batch_of_one_image_does_not_break_batch_normalisation() -> None:
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3, 2))
    result = run(net, replace(TINY_RECIPE, batch_size=17))
    assert len(result.epochs) == 2


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_nothing_is_written_or_logged(
    precision: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    level = logging.getLogger("lightning.fabric").level
    run(tiny_net(), replace(TINY_RECIPE, precision=precision))
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []
    assert logging.getLogger("lightning.fabric").level == level


def test_progress_is_shown_when_wanted(capfd: pytest.CaptureFixture[str]) -> None:
    fit(tiny_net(), training_settings(DATA), RunOptions(progress=True))
    assert "Epoch 2/2" in capfd.readouterr().out


def test_the_line_of_an_epoch_fits_into_80_columns(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    metrics = run(tiny_net()).epochs[-1]
    with LiveView(50, done=49, shown=True) as view:
        view.finished(metrics.model_copy(update={"val_accuracy": 1.0, "images_per_s": 12345.6}))
    (line,) = capfd.readouterr().out.splitlines()
    assert line.startswith("Epoch 50/50 ")
    assert "0:00:00 loss " in line
    assert line.rstrip().endswith(", val acc 100.0%, 12,346 img/s")


def test_each_epoch_is_told_of() -> None:
    heard: list[EpochMetrics] = []
    result = fit(tiny_net(), training_settings(DATA), on_epoch=heard.append)
    assert tuple(heard) == result.epochs


class Poisoned(RightAtStep):
    """Returns `value` in training from step `step` on."""

    value = float("nan")

    def forward(self, images: Tensor) -> Tensor:
        logits = super().forward(images)
        poisoned = self.training and int(self.done) >= self.step
        return logits * self.value if poisoned else logits


def test_a_network_that_starts_with_nan_is_named() -> None:
    with pytest.raises(BlockError, match=r"^block X \(mid\) returns NaN or infinite values before"):
        run(Poisoned(1), subject="block X (mid)")


def test_a_loss_that_diverges_is_named_with_epoch_step_and_rate() -> None:
    expected = r"^block X \(mid\): the loss is nan in epoch 2, step 2, at learning rate 0\.00"
    with pytest.raises(DivergenceError, match=expected):
        run(Poisoned(5), subject="block X (mid)")


class Raising(RightAtStep):
    def __init__(self, error: BaseException) -> None:
        super().__init__(0)
        self.error = error

    def forward(self, images: Tensor) -> Tensor:
        if int(self.done) == 2:
            raise self.error
        return super().forward(images)


@pytest.mark.parametrize("own", [False, True])
def test_a_network_that_raises_is_named(own: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_errors, "_own_folders", set())
    monkeypatch.setattr(user_errors, "_own_files", {Path(__file__).resolve()} if own else set())
    place = r" \(.*test_fit\.py:\d+\)" if own else ""
    expected = rf"^block X raises on a batch of \(2, 3, 8, 8\): ValueError: no such luck{place}$"
    with pytest.raises(BlockError, match=expected):
        run(Raising(ValueError("no such luck")), subject="block X")


def test_an_error_of_ours_passes_as_it_is() -> None:
    with pytest.raises(BlockError, match=r"^said already$"):
        run(Raising(BlockError("said already")))


def test_ctrl_c_passes_and_the_next_one_still_works(capfd: pytest.CaptureFixture[str]) -> None:
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(Raising(KeyboardInterrupt()))
    assert signal.getsignal(signal.SIGINT) is handler
    assert capfd.readouterr() == ("", "")


def test_a_termination_does_not_end_as_success() -> None:
    class Terminated(RightAtStep):
        def forward(self, images: Tensor) -> Tensor:
            signal.raise_signal(signal.SIGTERM)
            return super().forward(images)

    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as raised:
        run(Terminated(0))
    assert raised.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is handler


def test_an_exit_from_inside_stays_an_exit() -> None:
    with pytest.raises(SystemExit):
        run(Raising(SystemExit(3)))


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_cuda_gives_the_same_numbers_twice(precision: Any) -> None:
    recipe = replace(TINY_RECIPE, precision=precision, channels_last="auto")
    first, again = (run(tiny_net(), recipe, device="cuda") for _ in range(2))
    assert without_times(first) == without_times(again)


def test_nothing_chosen_depends_on_test_data() -> None:
    generator = torch.Generator().manual_seed(7)
    noise = torch.randint(0, 256, DATA.x_test.shape, generator=generator, dtype=torch.uint8)
    other = replace(DATA, x_test=noise, y_test=1 - DATA.y_test)
    recipe = replace(TINY_RECIPE, epochs=4, ema_decay=0.9)
    nets = tiny_net(), tiny_net()
    first, second = (run(net, recipe, data) for net, data in zip(nets, (DATA, other), strict=True))
    ours, theirs = (net.state_dict() for net in nets)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    kept = {k: v for k, v in without_times(first).items() if not k.startswith("test_")}
    assert kept == {k: v for k, v in without_times(second).items() if not k.startswith("test_")}
    assert first.test_loss != second.test_loss


class Hungry(nn.Module):
    """Runs out of memory with more than `most` images; has no batch statistics.

    In training alone, unless it is `always` hungry.
    """

    def __init__(self, most: int, *, always: bool = False) -> None:
        super().__init__()
        self.most, self.net = most, nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
        self.always = always

    def forward(self, images: Tensor) -> Tensor:
        if (self.training or self.always) and len(images) > self.most:
            raise torch.OutOfMemoryError("no memory left")
        logits: Tensor = self.net(images)
        return logits


def test_a_batch_in_parts_gives_the_gradient_of_the_whole() -> None:
    large, small = Hungry(8), Hungry(2)
    small.load_state_dict(large.state_dict())
    results = [run(net, replace(TINY_RECIPE, optimizer="sgd")) for net in (large, small)]
    assert [result.micro_batch_size for result in results] == [None, 2]
    assert torch.allclose(large.net[1].weight, small.net[1].weight, atol=1e-6)  # type: ignore[arg-type]
    assert results[0].epochs[-1].train_loss == pytest.approx(results[1].epochs[-1].train_loss)


def test_what_does_not_fit_is_also_judged_in_parts() -> None:
    small, smaller = Hungry(2), Hungry(2, always=True)
    smaller.load_state_dict(small.state_dict())
    first, second = (run(net, TINY_RECIPE) for net in (small, smaller))
    assert second.test_accuracy == first.test_accuracy
    assert second.test_loss == pytest.approx(first.test_loss)
    assert second.test_class_accuracy == first.test_class_accuracy
    assert second.val_loss == pytest.approx(first.val_loss)


def test_judging_in_parts_goes_down_to_one_image_and_no_further() -> None:
    class Judged(Hungry):
        def forward(self, images: Tensor) -> Tensor:
            if not self.training and len(images) > self.most:
                raise MemoryError
            logits: Tensor = self.net(images)
            return logits

    assert run(Judged(1)).micro_batch_size is None
    with pytest.raises(DeviceMemoryError, match="the memory of cpu with 1 images at once"):
        run(Judged(0))
    with pytest.raises(DeviceMemoryError, match="the memory of cpu with 2 images at once"):
        run(Judged(1), options=RunOptions(on_oom="fail"))


def test_what_to_do_without_memory_is_one_of_two() -> None:
    with pytest.raises(UnknownNameError, match="unknown on_oom 'halve'; allowed: split, fail"):
        run(tiny_net(), options=RunOptions(on_oom="halve"))  # type: ignore[arg-type]


@pytest.mark.parametrize(("most", "on_oom", "tried"), [(4, "fail", 8), (1, "split", 2)])
def test_what_cannot_be_split_fails_clearly(most: int, on_oom: Any, tried: int) -> None:
    with pytest.raises(DeviceMemoryError, match=f"the memory of cpu with {tried} images at once"):
        run(Hungry(most), options=RunOptions(on_oom=on_oom))


def test_blocks_are_told_how_far_training_is() -> None:
    class Listening(RightAtStep):
        def __init__(self) -> None:
            super().__init__(0)
            self.fractions: list[float] = []

        def on_training_progress(self, fraction: float) -> None:
            self.fractions.append(fraction)

    net = Listening()
    run(net, replace(TINY_RECIPE, epochs=4))
    assert net.fractions == [0.0, 0.25, 0.5, 0.75]


def test_an_absurd_loss_is_divergence() -> None:
    class Absurd(Poisoned):
        value = 0.0

        def forward(self, images: Tensor) -> Tensor:
            logits = super().forward(images)
            wrong = 1e4 * (1 - F.one_hot((images.mean(dim=(1, 2, 3)) > 0).long(), 2).float())
            return logits + wrong if self.training else logits

    expected = r"^block X: the training loss is 1e\+04 in epoch 2, above 10 x ln\(2\) = 6\.931, at"
    with pytest.raises(DivergenceError, match=expected):
        run(Absurd(1), subject="block X")


@pytest.mark.gpu
def test_the_peak_of_memory_on_cuda_is_that_of_the_training_alone() -> None:
    large = torch.zeros(2**28, dtype=torch.uint8, device="cuda")
    del large
    assert run(tiny_net(), device="cuda").peak_memory_bytes < 2**28


class Spectrum(nn.Module):
    """A kernel bank (5-d) and complex weights, neither of which has a channels-last layout."""

    def __init__(self) -> None:
        super().__init__()
        self.bank = nn.Parameter(torch.randn(2, 16, 3, 3, 3) / 5)
        self.filter = nn.Parameter(torch.randn(16, 8, 5, dtype=torch.cfloat))
        self.head = nn.Linear(16, 2)

    def forward(self, images: Tensor) -> Tensor:
        x = F.conv2d(images, self.bank.mean(0), None, 1, 1).float()
        x = torch.fft.irfft2(torch.fft.rfft2(x) * self.filter, s=x.shape[-2:])
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]


@pytest.mark.parametrize(("channels_last", "ema"), [(True, 0.9), (False, 0.0)])
def test_kernel_banks_and_complex_weights_learn(channels_last: bool, ema: float) -> None:
    net = Spectrum()
    before = {name: value.detach().clone() for name, value in net.named_parameters()}
    run(net, replace(TINY_RECIPE, channels_last=channels_last, ema_decay=ema))
    for name, value in net.named_parameters():
        assert value.dtype == before[name].dtype
        assert not torch.equal(value, before[name])
