"""What must not move: identities, file formats, names, and results that were stored before.

A store counts as done only while these values, of identities of version 2, stand. Rewrite them with
`pytest --rewrite-golden`, in a commit that says why. The stored results are of version 1.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import blockzoo
from blockzoo.analysis.trainings import by_seeds
from blockzoo.blocks import BlockSpec, get_block, list_available_blocks
from blockzoo.cli.app import app
from blockzoo.core.position import POSITIONS, Position
from blockzoo.core.run_way import RunWay
from blockzoo.data import ImageDataset, load_dataset
from blockzoo.data.batches import plan_epoch
from blockzoo.data.split import split_train_validation
from blockzoo.experiments import trial_identity
from blockzoo.experiments.protocol import get_protocol
from blockzoo.experiments.sweep.plan import SweepRequest, make_plan
from blockzoo.experiments.sweep.run import run_trial
from blockzoo.experiments.trial_identity import cost_trial_id, latency_trial_id, training_trial_id
from blockzoo.experiments.tuning.trial import TunedNetwork
from blockzoo.experiments.tuning.tune import tuned_label
from blockzoo.measure.timing.settings import LatencySettings
from blockzoo.report.tables.summary import older_identity_line
from blockzoo.results.records import AnyRecord, TrainingRecord
from blockzoo.results.store.database import Store
from blockzoo.results.table.columns import COLUMNS
from blockzoo.results.table.csv import write_results_csv
from blockzoo.results.table.frame import load_results
from blockzoo.results.table.join import result_rows
from blockzoo.scaffold.net import ScaffoldConfig, ScaffoldNet
from blockzoo.scaffold.placement import Placement
from blockzoo.training.drop_path import DropPath
from blockzoo.training.recipe import Recipe, get_recipe
from blockzoo.training.run_options import RunOptions
from blockzoo.training.settings import TrainingSettings
from tests import record_samples
from tests.golden_files import FOLDER, golden

ROOT = Path(__file__).parents[1]
STORED = FOLDER / "stored"
SMALL = ScaffoldConfig(width=16, depth=2, classes=10, input_shape=(3, 32, 32))
SCAFFOLDS = {
    "default": ScaffoldConfig(),
    "small": SMALL,
    "large_input": ScaffoldConfig(input_shape=(3, 224, 224), classes=1000, width=32),
    "identity_context": ScaffoldConfig(context="Identity", depth=1, width=8),
    "classic": ScaffoldConfig(context="classic/ResNetBasicBlock", stem_bias=True),
    "stem_chosen": ScaffoldConfig(stem="large"),
}
IDENTIFIED = ("ResNetBasicBlock", "MobileOneBlock", "InvertedResidual", "classic/RepMixer")
ENVIRONMENT: dict[str, object] = {
    "blockzoo": "0.1.0", "commit": "abc", "python": "3.11.7", "torch": "2.14.1", "timm": "1.0.31",
    "lightning": "2.5.5", "onnxruntime": "1.23.0", "openvino": "2025.3.0", "system": "Linux",
    "processor": "A CPU", "cores": 2, "threads": 1, "memory_bytes": 8_000_000_000, "boost": None,
    "onednn": "3.9", "mkl": None, "openmp": "GOMP", "hyper_threading": True,
}  # fmt: skip


@pytest.fixture
def rewrite(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--rewrite-golden"))


@pytest.fixture(scope="module")
def digits() -> ImageDataset:
    return load_dataset("digits")


def _prints(block: str | BlockSpec, position: Position, config: ScaffoldConfig) -> list[str]:
    found = Placement.of(block, position, config).fingerprints
    return [found.network, found.block]


def test_the_fingerprint_of_every_block_at_every_position(rewrite: bool) -> None:
    blocks = list_available_blocks()
    found = {
        block: {str(position): _prints(block, position, SMALL) for position in POSITIONS}
        for block in blocks
    }

    assert len(found) >= 111
    assert all(block != "" for prints in found.values() for _, block in prints.values())
    pinned = golden("fingerprints", found, rewrite=rewrite)
    assert {block: found.get(block) for block in pinned} == pinned  # new blocks may join


def test_fingerprints_in_other_scaffolds(rewrite: bool) -> None:
    found = {
        f"{name} {block} {position}": _prints(block, position, config)
        for name, config in SCAFFOLDS.items()
        for block in IDENTIFIED
        for position in POSITIONS
    }

    assert len(found) == 6 * 4 * 3
    assert found == golden("fingerprints_in_scaffolds", found, rewrite=rewrite)


def test_the_fingerprint_of_a_block_in_a_file(rewrite: bool, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from torch import nn\n\n\nclass Mine(nn.Module):\n"
        "    def __init__(self, in_channels, out_channels, stride):\n"
        "        super().__init__()\n"
        "        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride, 1)\n\n"
        "    def forward(self, x):\n        return self.conv(x)\n"
    )
    spec = get_block(f"{file}:Mine")

    found = {
        str(position): _prints(spec, position, SMALL)
        for position in POSITIONS
    }  # fmt: skip

    assert found == golden("fingerprints_of_a_file", found, rewrite=rewrite)


def test_ids_of_costs(rewrite: bool) -> None:
    found = {
        f"{name} {block} {position} {batch} {memory}": cost_trial_id(
            Placement.of(block, position, config), training_batch_size=batch, memory=memory
        )
        for name, config in SCAFFOLDS.items()
        for block in IDENTIFIED
        for position in POSITIONS
        for batch, memory in ((64, True), (128, True), (64, False))
    }

    assert len(set(found.values())) > len(found) / 3
    assert found == golden("cost_ids", found, rewrite=rewrite)


def test_ids_of_latencies(rewrite: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_identity, "describe_environment", lambda _: dict(ENVIRONMENT))
    usual = LatencySettings(way=RunWay(device="cpu"))
    ways = {
        "usual": usual.way,
        "two_threads": RunWay(threads=2),
        "onnxruntime_int8": RunWay(backend="onnxruntime", precision="int8"),
        "openvino": RunWay(backend="openvino"),
        "compile_bf16": RunWay(backend="compile", precision="bf16"),
        "cold": RunWay(cache="cold"),
        "channels_last": RunWay(channels_last=True, batch_size=16),
    }
    settings = {
        **{name: replace(usual, way=way) for name, way in ways.items()},
        "in_process": replace(usual, processes=0, budget_s=1.0),
    }
    found = {
        f"{name} {block} {position} {baseline}": latency_trial_id(
            Placement.of(block, position, SMALL),
            settings=chosen,
            baseline=None if baseline is None else Placement.of(baseline, position, SMALL),
        )
        for name, chosen in settings.items()
        for block in IDENTIFIED
        for position in POSITIONS
        for baseline in (None, "ResNetBasicBlock")
    }
    monkeypatch.setattr(
        trial_identity, "describe_environment", lambda _: {**ENVIRONMENT, "boost": True}
    )
    found["boost"] = latency_trial_id(
        Placement.of("MobileOneBlock", "mid", SMALL),
        settings=usual,
        baseline=Placement.of("ResNetBasicBlock", "mid", SMALL),
    )

    assert found == golden("latency_ids", found, rewrite=rewrite)


def test_ids_of_trainings(rewrite: bool, digits: ImageDataset) -> None:
    recipes = {
        "v1": get_recipe("v1"),
        "classic": get_recipe("classic"),
        "quick": get_recipe("quick"),
        "changed": replace(get_recipe("v1"), epochs=7, batch_size=32, drop_path=0.1),
    }

    def id_of(block: str, position: Position | str, recipe: Recipe, **settings: Any) -> str:
        plain = replace(recipe, precision="fp32", channels_last=False)
        return training_trial_id(
            Placement.of(block, position, SMALL),
            TrainingSettings(dataset=digits, recipe=plain, device="cpu", **settings),
        )

    found = {
        f"{name} {block} {position} {seed} {protocol} {compiled}": id_of(
            block, position, recipe, seed=seed, protocol=protocol, compiled=compiled
        )
        for name, recipe in recipes.items()
        for block in IDENTIFIED
        for position in POSITIONS
        for seed, protocol, compiled in ((0, "custom", False), (7, "v1", False), (0, "v1", True))
    }
    found["split"] = id_of(
        "MobileOneBlock", "mid", recipes["v1"], seed=0, validation_fraction=0.2, split_seed=3
    )

    assert found == golden("training_ids", found, rewrite=rewrite)


def test_names_of_searches(rewrite: bool, digits: ImageDataset) -> None:
    protocol = get_protocol("quick").changed(precision="fp32", channels_last=False)
    scaffold = protocol.scaffold(classes=digits.num_classes, input_shape=digits.image_shape)
    found: dict[str, Any] = {
        block: TunedNetwork(
            placement=Placement.of(block, "mid", scaffold),
            protocol=protocol,
            blind=digits,
            device="cpu",
            compiled=False,
        ).search_name
        for block in IDENTIFIED
    }

    assert found == golden("search_names", found, rewrite=rewrite)


def test_labels_of_protocols(rewrite: bool) -> None:
    changes: dict[str, dict[str, object]] = {
        "as_published": {},
        "epochs": {"epochs": 3},
        "width": {"width": 16},
        "stem": {"stem": "large"},
        "batch": {"batch_size": 32},
        "context": {"context": "Identity"},
        "seeds": {"seeds": (0,)},
    }
    found = {
        f"{name} {what}": get_protocol(name).changed(**change).label
        for name in ("quick", "quick2", "quick3", "lite", "classic", "v1")
        for what, change in changes.items()
    }
    found["tuned"] = tuned_label(get_protocol("v1"), 16)
    found["tuned8"] = tuned_label(get_protocol("v1"), 8)

    assert found == golden("protocol_labels", found, rewrite=rewrite)


def test_records_as_json_and_the_header_of_the_csv(rewrite: bool, tmp_path: Path) -> None:
    records = [record_samples.cost(), record_samples.latency(), record_samples.training()]
    path = tmp_path / "results.csv"
    write_results_csv(records, path)
    found = {
        "columns": list(COLUMNS),
        "csv": path.read_text().splitlines(),
        "records": [record.model_dump(mode="json") for record in records],
    }

    assert found == golden("records", found, rewrite=rewrite)


def test_split_of_the_digits(rewrite: bool, digits: ImageDataset) -> None:
    _, validation = split_train_validation(digits.y_train)
    found = {"fingerprint": digits.fingerprint, "validation": validation.tolist()}

    assert found == golden("digits", found, rewrite=rewrite)


def test_numbers_drawn_for_a_seed(rewrite: bool) -> None:
    plan = plan_epoch(50, seed=3, epoch=4, crop_padding=4, flip=True)
    device = torch.device("cpu")
    drop_path = DropPath(ScaffoldNet("Identity", "mid", SMALL), 0.5, seed=3, device=device)
    drop_path.begin(4)
    net = ScaffoldNet("ResNetBasicBlock", "mid", SMALL, seed=3)
    weights = {
        name: round(float(net.get_parameter(name).detach().flatten()[0]), 5)
        for name in ("stem.0.weight", "stage_late.0.conv1.weight", "head.2.weight")
    }
    found = {
        "order": plan.order.tolist(),
        "crops": [plan.rows.tolist(), plan.columns.tolist()],
        "flips": plan.flips.tolist(),
        "skipped": drop_path.draw(8).tolist(),
        "weights": weights,
    }

    assert found == golden("drawn", found, rewrite=rewrite)


def test_public_names(rewrite: bool) -> None:
    """All that docs, examples and the README import, beside `blockzoo.__all__`."""
    texts = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    texts += sorted((ROOT / "examples").glob("*.py"))
    pattern = re.compile(r"^from (blockzoo[\w.]*) import (\([^)]*\)|[^\n#]*)", re.M)
    imported = {
        f"{module}.{name.strip()}"
        for path in texts
        for module, names in pattern.findall(path.read_text())
        for name in names.strip("()").split(",")
        if name.strip()
    }
    found = {
        "top_level": sorted(blockzoo.__all__),
        "imported": sorted(imported),
    }

    held = golden("public_names", found, rewrite=rewrite)
    assert set(held["top_level"]) <= set(found["top_level"])
    for name in {*held["imported"], *(f"blockzoo.{top}" for top in held["top_level"])}:
        module, _, attribute = name.rpartition(".")
        found_module = __import__(module, fromlist=[attribute])
        assert hasattr(found_module, attribute), f"{name} is gone"


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A copy of a results folder that version 0.1 left at commit bb92639."""
    return Path(shutil.copytree(STORED, tmp_path / "results"))


def _request(results: Path) -> SweepRequest:
    protocol = get_protocol("quick").changed(
        blocks=("ResNetBasicBlock", "MobileOneBlock"),
        positions=(Position.MID, Position.LATE),
        seeds=(0, 1),
        epochs=1,
        width=8,
        depth=1,
        precision="fp32",
        channels_last=False,
        latency_budget_s=0.1,
    )
    return SweepRequest(
        protocol=protocol, device="cpu", options=RunOptions(checkpoints=results / "checkpoints")
    )


def test_results_stored_before_are_kept_and_stand_for_nothing_new(stored: Path) -> None:
    """Their identities left out code, so what they call a block may be another one by now."""
    with Store(stored) as store:
        before = store.records()
        plan = make_plan(_request(stored), store)
        done = store.ok_ids()
        (latency, *_) = (trial for trial in plan.trials if trial.kind == "latency")
        store.put(_again(before[0]))
        after = store.records()

    assert {record.identity for record in before} == {"1"}
    assert plan.done == 0
    assert not {each for trial in plan.trials for each in trial.trial_ids} & done
    assert latency.blocks == ("ResNetBasicBlock", "MobileOneBlock")
    assert [record for record in after if record.schema_version == 1] == before
    assert len(after) == len(before) + 1


def test_what_is_measured_again_does_not_mix_with_results_stored_before(stored: Path) -> None:
    with Store(stored) as store:
        before = len(load_results(stored))
        trainings = [r for r in store.records(kind="training") if r.status == "ok"]
        store.put_all(map(_again, trainings))
        rows = result_rows(store.records())
        seeds = by_seeds(r for r in store.records() if isinstance(r, TrainingRecord))
    frame = load_results(stored)

    assert len(frame) == before + sum(len(record.positions) for record in trainings)
    # The new trainings have no costs: those stored before are of blocks of another identity.
    assert all(row["flops"] is None for row in rows if row["schema_version"] == 2)
    assert frame[frame.identity == "2"].flops.isna().all()
    assert frame[frame.identity == "1"].flops.notna().all()
    assert all(len({record.schema_version for record in group.records}) == 1 for group in seeds)
    line = older_identity_line(frame)
    assert line.startswith(f"{before} of {len(frame)} rows are of an older identity")
    assert older_identity_line(frame[frame.identity == "2"]) == ""


@pytest.mark.parametrize("command", [["results"], ["results", "--time-to", "0.01"], ["visualize"]])
def test_results_stored_before_are_shown_and_marked(stored: Path, command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, str(stored)])
    assert result.exit_code == 0, result.stderr
    (line,) = (line for line in result.stderr.splitlines() if "identity" in line)
    assert line.startswith("10 of 10 rows are of an older identity (no schema version, or 1)")
    if "--time-to" in command:
        assert "digits, quick~" in result.stdout
        assert "(older identity)" in result.stdout


def test_a_store_that_holds_new_records_is_closed_to_an_older_version(stored: Path) -> None:
    def version() -> str:
        with closing(sqlite3.connect(stored / "blockzoo.db")) as base:
            ((value,),) = base.execute("select value from meta")
            return str(value)

    with Store(stored) as store:
        (first, *_) = store.records()
        assert version() == "1"  # reading changes nothing
        store.put(_again(first))
    assert version() == "2"


def _again(record: AnyRecord) -> AnyRecord:
    """The record as the present version would leave it, without any fingerprint."""
    changes = {"schema_version": 2, "trial_id": f"again {record.trial_id}"}
    return record.model_copy(update={**changes, "block_fingerprint": ""})


def test_a_csv_written_before_is_read(stored: Path) -> None:
    with Store(stored) as store:
        trainings = {
            record.trial_id: record.test_accuracy
            for record in store.records(kind="training")
            if isinstance(record, TrainingRecord)
        }
    frame = load_results(stored / "results.csv")

    assert len(trainings) == 6
    assert len(frame) == 10
    assert set(frame.trial_id) <= {*trainings}
    assert [trainings[row] for row in frame.trial_id] == pytest.approx(list(frame.test_acc))


def test_a_checkpoint_made_before_is_not_gone_on_from(
    stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (checkpoint,) = (stored / "checkpoints").glob("*.ckpt")
    # A checkpoint is of one version of torch; that of this one is made known as today's.
    version = (STORED / "torch_version.txt").read_text().strip()
    monkeypatch.setattr(torch, "__version__", torch.torch_version.TorchVersion(version))
    request = replace(_request(stored), protocol=_request(stored).protocol.changed(epochs=3))
    with Store(stored) as store:
        trials = [trial for trial in make_plan(request, store).trials if trial.kind == "training"]
        (record,) = run_trial(request, trials[0]).records

    assert len(trials) == 6
    assert not any(checkpoint.stem in trial.trial_ids for trial in trials)
    assert isinstance(record, TrainingRecord)
    assert [metrics.epoch for metrics in record.epochs] == [1, 2, 3]
    assert checkpoint.exists()
