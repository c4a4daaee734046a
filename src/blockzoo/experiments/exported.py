"""What a trained network answers once it is exported: test accuracy in other backends, and in int8.

The weights are those that a training kept. Nothing is chosen here, so the test set may be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from blockzoo.core.errors import BlockZooError, ResultsError, reason_of
from blockzoo.core.position import Position
from blockzoo.core.processes import Send
from blockzoo.core.run_way import RunWay
from blockzoo.data import ImageDataset
from blockzoo.data.batches import channel_statistics
from blockzoo.data.split import SPLIT_SEED, VALIDATION_FRACTION, split_train_validation
from blockzoo.experiments.timed_placements import merge_into
from blockzoo.measure.timing.backends import get_backend
from blockzoo.measure.timing.backends.base import Loaded
from blockzoo.results.answers import unpacked
from blockzoo.results.records import TrainingRecord
from blockzoo.scaffold.net import ScaffoldConfig
from blockzoo.scaffold.placement import Placement

CALIBRATION_IMAGES = 256
"""Training images from which the ranges of int8 are read."""
_BATCH = 50
_SAME_ANSWERS = 0.99
"""Share of test images on which the weights must answer as the training did, bf16 and all."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """The answers of one trained network, run in `way`, to the test images.

    `accuracy`: share answered rightly. `agreement`: share answered as the network does in eager
    fp32. `exported_bytes`: of the files, where there are any. Where there is no accuracy `reason`
    says why.
    """

    block: str
    position: Position
    seed: int
    way: RunWay
    trained_accuracy: float | None
    accuracy: float | None = None
    agreement: float | None = None
    exported_bytes: int | None = None
    reason: str = ""


def exported_accuracies(
    records: Iterable[TrainingRecord], dataset: ImageDataset, ways: Sequence[RunWay]
) -> Iterator[Exported]:
    """Yield what each training's kept weights answer in each way, to the test images of `dataset`.

    Trainings on other data, that failed or kept no weights are passed over. int8 is calibrated on
    training images. What cannot be exported or run has a reason.

    >>> from blockzoo.data import load_dataset
    >>> list(exported_accuracies([], load_dataset("digits"), [RunWay()]))
    []
    """
    for record in records:
        if record.weights_path and record.dataset_fingerprint == dataset.fingerprint:
            yield from _of_record(record, dataset, ways)


def _of_record(
    record: TrainingRecord, dataset: ImageDataset, ways: Sequence[RunWay]
) -> list[Exported]:
    asked = [
        Exported(
            block=record.block,
            position=record.shown[0],
            seed=record.seed,
            way=way,
            trained_accuracy=record.test_accuracy,
        )
        for way in ways
    ]
    try:
        task, elsewhere = (record, dataset, asked), _placement(record).elsewhere
        if elsewhere is not None:
            return elsewhere(_answered, task, kind="latency")
        return _answered(task, lambda _: None)
    except Exception as error:  # noqa: BLE001 - a block is foreign code; the others go on
        return [replace(each, reason=reason_of(error)) for each in asked]


def _placement(record: TrainingRecord) -> Placement:
    scaffold = ScaffoldConfig(**record.scaffold.model_dump())
    return Placement.of(record.block, record.shown[0], scaffold)


def _answered(task: tuple[TrainingRecord, ImageDataset, list[Exported]], _: Send) -> list[Exported]:
    record, dataset, asked = task
    net = _placement(record).build(seed=record.seed).eval()
    net.load_state_dict(_weights(record))
    train, _rest = split_train_validation(
        dataset.y_train, fraction=VALIDATION_FRACTION, seed=SPLIT_SEED
    )
    statistics = channel_statistics(dataset.x_train, train)
    images = statistics.normalise(dataset.x_test)
    calibration = statistics.normalise(dataset.x_train[train[:CALIBRATION_IMAGES]])
    with torch.inference_mode():
        eager = torch.cat([net(batch) for batch in torch.split(images, _BATCH)]).argmax(1)
    _require_its_answers(record, eager == dataset.y_test)
    return [_in_way(each, net, images, calibration, eager, dataset.y_test) for each in asked]


def _weights(record: TrainingRecord) -> dict[str, Tensor]:
    path = Path(record.weights_path or "")
    if not path.is_file():
        raise ResultsError(f"the weights are not at {path} any more")
    weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return weights


def _require_its_answers(record: TrainingRecord, right: Tensor) -> None:
    """Raise `ResultsError` where the weights do not answer as the training recorded."""
    if record.test_correct is None or record.test_images is None:
        return
    recorded = torch.from_numpy(unpacked(record.test_correct, record.test_images))
    same = (right == recorded).double().mean().item()
    if same < _SAME_ANSWERS:
        raise ResultsError(
            f"the weights answer {1 - same:.1%} of the test images otherwise than the training "
            f"recorded; its split or its code was another"
        )


def _in_way(
    asked: Exported,
    net: nn.Module,
    images: Tensor,
    calibration: Tensor,
    eager: Tensor,
    right: Tensor,
) -> Exported:
    way = replace(asked.way, batch_size=_BATCH)
    backend = get_backend(way.backend)
    try:
        if reason := backend.supports(way) or backend.unavailable(way.device):
            raise BlockZooError(reason)
        example = images[:1].expand(_BATCH, -1, -1, -1).contiguous()
        with torch.no_grad():
            form = merge_into(way.form, example)(net)
        payload = backend.prepare_calibrated(form, example, way, calibration)
        loaded = backend.load(payload, example, way)
        answers = _answers(loaded, images)
        loaded.close()
    except Exception as error:  # noqa: BLE001 - exporters raise what they like
        return replace(asked, reason=reason_of(error))
    return replace(
        asked,
        accuracy=(answers == right).double().mean().item(),
        agreement=(answers == eager).double().mean().item(),
        exported_bytes=backend.exported_bytes(payload),
    )


def _answers(loaded: Loaded, images: Tensor) -> Tensor:
    """Return the classes (N,) of all images; the last batch is filled up with the last image."""
    missing = -len(images) % _BATCH
    filled = torch.cat([images, images[-1:].expand(missing, -1, -1, -1)])
    logits = [loaded.output(batch.contiguous()) for batch in torch.split(filled, _BATCH)]
    return torch.cat(logits).argmax(1)[: len(images)]
