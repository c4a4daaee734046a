from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from blockzoo.blocks import BlockSpec
from blockzoo.core.errors import BlockError, DeviceError, DeviceMemoryError, UnknownNameError
from blockzoo.core.position import POSITIONS, Position
from blockzoo.experiments.train import scaffold_for, train_block, train_placement
from blockzoo.experiments.trial_identity import training_trial_id
from blockzoo.results.answers import answers_of
from blockzoo.results.records import TrainingRecord
from blockzoo.scaffold.net import ScaffoldConfig, ScaffoldNet
from blockzoo.scaffold.placement import Placement
from blockzoo.training.checkpoint import checkpoint_path, remove_checkpoint
from blockzoo.training.run_options import RunOptions
from blockzoo.training.settings import TrainingSettings
from tests.training.samples import TINY_RECIPE, tiny_dataset, training_settings

DATA = tiny_dataset(classes=3, per_class=6)
CONFIG = ScaffoldConfig(context="Identity", width=4, depth=1)
RECIPE = replace(TINY_RECIPE, epochs=1)


class Plain(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, stride: int, _: Position) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.conv(features).relu()
        return out


class Nan(Plain):
    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) * float("nan")


def spec(factory: Any = Plain, **changes: Any) -> BlockSpec:
    values: dict[str, Any] = {
        "name": factory.__name__,
        "family": "test",
        "year": 2026,
        "paper": "",
        "source": "",
        "licence": "",
        "formula": "",
        "factory": factory,
    }
    return BlockSpec(**{**values, **changes})


def trial(
    block: str | BlockSpec = spec(),  # noqa: B008 - frozen
    position: str = "mid",
    config: ScaffoldConfig = CONFIG,
    **changes: Any,
) -> tuple[Placement, TrainingSettings]:
    settings = training_settings(**{"dataset": DATA, "recipe": RECIPE, **changes})
    return Placement.of(block, position, scaffold_for(config, settings.dataset)), settings


def train(*where: Any, options: RunOptions | None = None, **changes: Any) -> TrainingRecord:
    return train_placement(*trial(*where, **changes), options)


def identity(*where: Any, **changes: Any) -> str:
    return training_trial_id(*trial(*where, **changes))


def test_a_record_says_what_was_trained_and_what_it_learned() -> None:
    record = train(protocol="mine", options=RunOptions(experiment_name="first", notes="by hand"))
    assert (record.block, record.positions) == ("Plain", (Position.MID,))
    assert (record.protocol, record.dataset, record.seed) == ("mine", "tiny", 0)
    assert (record.experiment_name, record.notes) == ("first", "by hand")
    assert record.dataset_fingerprint == DATA.fingerprint
    assert (record.scaffold.classes, record.scaffold.input_shape) == (3, (3, 8, 8))
    assert (record.scaffold.width, record.scaffold.context) == (4, "Identity")
    assert record.recipe["learning_rate"] == 0.01
    assert (record.device, record.precision, record.channels_last) == ("cpu", "fp32", False)
    assert record.status == "ok"
    assert record.best_epoch == 1
    assert len(record.epochs) == 1
    assert record.epochs[0].val_accuracy == record.val_accuracy
    assert record.test_accuracy is not None
    assert 0 <= record.test_accuracy <= 1
    assert record.environment.threads == torch.get_num_threads()
    assert TrainingRecord.model_validate_json(record.model_dump_json()) == record


def test_the_identity_is_known_beforehand() -> None:
    assert train(protocol="mine").trial_id == identity(protocol="mine")


def test_the_door_by_name_trains_the_same() -> None:
    block = train_block(
        "Identity", "mid", dataset=DATA, recipe=RECIPE, seed=0, config=CONFIG, device="cpu"
    )
    placement = train("Identity")
    assert (block.trial_id, block.scaffold) == (placement.trial_id, placement.scaffold)
    assert (block.protocol, block.val_loss) == ("custom", placement.val_loss)


def test_the_same_trial_twice_gives_the_same_metrics() -> None:
    first, again = (train() for _ in range(2))
    volatile = {"created_at", "training_seconds", "images_per_s", "epochs", "peak_memory_bytes"}
    timed = {"seconds", "elapsed_seconds", "images_per_s"}
    assert first.model_dump(exclude=volatile) == again.model_dump(exclude=volatile)
    for one, other in zip(first.epochs, again.epochs, strict=True):
        assert one.model_dump(exclude=timed) == other.model_dump(exclude=timed)


def test_a_record_tells_the_number_of_threads_which_may_change_its_numbers() -> None:
    torch.set_num_threads(2)
    assert train().environment.threads == 2
    torch.set_num_threads(1)
    assert train().environment.threads == 1


def test_one_network_in_three_positions_is_one_trial() -> None:
    config = replace(CONFIG, context="ResNetBasicBlock")
    assert len({identity("ResNetBasicBlock", position=p, config=config) for p in POSITIONS}) == 1
    record = train("ResNetBasicBlock", position="late", config=config)
    assert record.positions == POSITIONS
    assert len({identity(position=p, config=config) for p in POSITIONS}) == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"position": "early"},
        {"recipe": replace(RECIPE, epochs=2)},
        {"recipe": replace(RECIPE, precision="bf16")},
        {"recipe": replace(RECIPE, drop_path=0.1)},
        {"recipe": replace(RECIPE, flip=False)},
        {"dataset": DATA.with_flip(False)},
        {"compiled": True},
        {"config": replace(CONFIG, width=8)},
        {"dataset": tiny_dataset(classes=3, per_class=7)},
        {"protocol": "v1"},
        {"split_seed": 1},
        {"validation_fraction": 0.2},
        {"block": spec(name="Other")},
        {"block": spec(initialisation="own")},
    ],
)
def test_what_determines_the_result_changes_the_identity(changes: dict[str, Any]) -> None:
    assert identity(**changes) != identity()


@pytest.mark.parametrize(
    "changes",
    [
        {"recipe": replace(RECIPE, name="another name")},
        {"recipe": replace(RECIPE, drop_path=0.0)},
        {"compiled": False},
        {"config": replace(CONFIG, classes=7, input_shape=(3, 64, 64))},
        {"block": spec(notes="a note", paper="a paper")},
    ],
)
def test_what_does_not_determine_the_result_leaves_the_identity(changes: dict[str, Any]) -> None:
    assert identity(**changes) == identity()


def test_however_images_come_not_to_be_flipped_it_is_one_identity() -> None:
    still = DATA.with_flip(False)
    assert identity(recipe=replace(RECIPE, flip=False)) == identity(dataset=still)
    assert identity(dataset=still, recipe=replace(RECIPE, flip=False)) == identity(dataset=still)


class Branching(Plain):
    def forward(self, features: Tensor) -> Tensor:
        out = super().forward(features)
        return out if out.sum().item() > 0 else out * 1.0


def test_a_record_says_why_a_network_was_not_compiled() -> None:
    record = train(spec(Branching), compiled=True, options=RunOptions(notes="by hand"))
    assert not record.compiled
    assert record.notes.startswith("by hand; not compiled: ")
    assert "\n" not in record.notes
    assert record.trial_id == identity(spec(Branching), compiled=True)
    plain = train(spec(Branching))
    assert (plain.compiled, plain.notes) == (False, "")
    assert record.val_loss == plain.val_loss


def test_a_record_from_before_there_was_compiling_is_read() -> None:
    stored = train().model_dump(mode="json")
    del stored["compiled"], stored["recipe"]["drop_path"]
    assert TrainingRecord.model_validate(stored).compiled is False


def test_auto_counts_as_what_it_comes_to() -> None:
    auto = replace(RECIPE, precision="auto", channels_last="auto")
    either = {
        identity(recipe=replace(RECIPE, precision=p, channels_last=False))  # its layers are narrow
        for p in ("fp32", "bf16")
    }
    assert identity(recipe=auto) in either


def test_for_one_seed_all_but_the_block_starts_the_same() -> None:
    first = ScaffoldNet(spec(), "mid", CONFIG, seed=3)
    other = ScaffoldNet("ResNetBottleneck", "mid", replace(CONFIG, width=4), seed=3)
    for part in ("stem", "stage_early", "stage_late", "head"):
        ours, theirs = (net.get_submodule(part).state_dict() for net in (first, other))
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_block_that_returns_nan_is_named() -> None:
    with pytest.raises(BlockError, match=r"^block Nan \(mid\) returns NaN or infinite values"):
        train(spec(Nan))


def test_names_and_devices_that_are_not_there() -> None:
    with pytest.raises(UnknownNameError, match="unknown block 'ResNetBasicBlok'; did you mean"):
        train("ResNetBasicBlok")
    with pytest.raises(UnknownNameError, match="unknown position 'middle'"):
        train(position="middle")
    with pytest.raises(DeviceError, match="'cuda:99'"):
        train(device="cuda:99")


def test_robustness_is_recorded_and_changes_nothing_else() -> None:
    plain, tested = train(), train(options=RunOptions(robustness=True))
    assert plain.robustness is None
    assert tested.robustness is not None
    assert tested.trial_id == plain.trial_id
    assert tested.test_accuracy == plain.test_accuracy
    assert [len(values) for values in tested.robustness.corruption_accuracy.values()] == [5] * 4
    assert None not in tested.robustness.resolution_accuracy.values()
    assert TrainingRecord.model_validate_json(tested.model_dump_json()) == tested


def test_a_checkpoint_is_there_until_it_is_removed(tmp_path: Path) -> None:
    record = train(options=RunOptions(checkpoints=tmp_path))
    path = checkpoint_path(tmp_path, record.trial_id)
    assert path is not None
    assert path.exists()
    remove_checkpoint(tmp_path, record.trial_id)
    remove_checkpoint(None, record.trial_id)
    assert list(tmp_path.iterdir()) == []


def test_the_final_weights_are_kept_when_wanted(tmp_path: Path) -> None:
    assert train().weights_path is None
    record = train(options=RunOptions(save_weights=tmp_path))
    assert record.weights_path is not None
    state = torch.load(record.weights_path, weights_only=True)
    assert (
        state.keys() == ScaffoldNet(spec(), "mid", replace(CONFIG, classes=3)).state_dict().keys()
    )


class Greedy(Plain):
    def forward(self, features: Tensor) -> Tensor:
        if len(features) > 4 and self.training and features.device.type != "meta":
            raise torch.OutOfMemoryError("too many")
        return super().forward(features)


def test_a_batch_that_does_not_fit_is_computed_in_parts_and_the_record_says_so() -> None:
    record = train(spec(Greedy), options=RunOptions(notes="mine"))
    assert record.micro_batch_size == 4
    assert record.notes == (
        "mine; for lack of memory, batches of 8 were computed in parts of 4; "
        "batch statistics are of the parts"
    )
    expected = r"^block Greedy \(mid\) does not fit into the memory of cpu with 8 images at once$"
    with pytest.raises(DeviceMemoryError, match=expected):
        train(spec(Greedy), options=RunOptions(on_oom="fail"))


def test_a_record_tells_gradients_by_stage_and_memory() -> None:
    record = train()
    parts = {"stem", "stage_mid", "head"}  # the context has no weights but where it changes shape
    assert parts <= record.epochs[0].gradient_norms.keys()
    assert min(record.epochs[0].gradient_norms[name] for name in parts) > 0
    assert record.peak_memory_bytes is not None
    assert record.peak_memory_bytes > 10_000_000
    assert record.test_top5_accuracy is None
    answers = answers_of(record)
    assert answers is not None
    assert (len(answers), answers.mean()) == (record.test_images, record.test_accuracy)
    assert record.test_accuracy == pytest.approx(sum(map(float, record.test_class_accuracy)) / 3)  # type: ignore[arg-type]


def test_a_seed_of_numpy_is_the_same_seed() -> None:
    record = train(seed=np.int64(1))
    assert (record.seed, record.trial_id) == (1, identity(seed=1))
    assert identity(seed=np.int64(1)) == identity(seed=1)
