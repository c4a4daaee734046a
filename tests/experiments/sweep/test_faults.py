"""Several drivers of one store, and drivers, workers and nodes that are killed: nothing is lost.

At the end every trial is there once and equals that of a run that nothing disturbed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from blockzoo.experiments.execution.executors import ExecutorChoice, executor_for
from blockzoo.experiments.execution.user_blocks import TrialLimits
from blockzoo.experiments.sweep.run import run_sweep
from blockzoo.results.store.database import Store
from tests.experiments.sweep.drivers import (
    SEEDS,
    STUCK_S,
    TRIALS,
    ended,
    faulted,
    kill_a_child,
    killed,
    learned,
    started,
    wait_for,
)
from tests.results.store.test_postgres import server, url  # noqa: F401 - fixtures

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not hasattr(os, "killpg"), reason="signals of POSIX"),
]

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="no Ray")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, tiny_npz: Path) -> Path:
    return Path(shutil.copy(tiny_npz, tmp_path_factory.mktemp("faults")))


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, dataset: Path
) -> dict[str, tuple[float | None, list[float]]]:
    """What a run learns that nothing disturbs."""
    folder = tmp_path_factory.mktemp("undisturbed")
    torch.set_num_threads(1)
    with Store(folder, create=True) as store:
        assert run_sweep(faulted(dataset, folder), store).ran == TRIALS
    found = learned(folder)
    assert len(found) == SEEDS
    return found


@pytest.fixture(params=["sqlite", "postgres"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty store in a file or in a server."""
    where = str(tmp_path / "blockzoo.db")
    if request.param == "postgres":
        where = request.getfixturevalue("url")
    Store(where, create=True).close()
    return where


Learned = dict[str, tuple[float | None, list[float]]]


@pytest.mark.parametrize("count", [2, 4])
def test_several_drivers_do_no_trial_twice(
    count: int, location: str, dataset: Path, undisturbed: Learned
) -> None:
    drivers = [started(location, dataset, "in-process") for _ in range(count)]
    counts = [ended(driver) for driver in drivers]
    assert sum(ran for ran, _ in counts) == TRIALS
    assert learned(location) == undisturbed


@pytest.mark.parametrize("count", [2, 4])
def test_what_a_killed_driver_had_in_hand_is_done_by_another(
    count: int, location: str, dataset: Path, undisturbed: Learned
) -> None:
    first = started(location, dataset, "in-process", 1, "", STUCK_S)
    wait_for(first, "epoch 1")
    others = [started(location, dataset, "in-process") for _ in range(count - 1)]
    wait_for(others[0], "started training")
    killed(first, with_group=True)
    counts = [ended(driver) for driver in others]
    # All but the cost, which the killed one had recorded.
    assert sum(ran for ran, _ in counts) == TRIALS - 1
    assert learned(location) == undisturbed


def test_a_killed_driver_goes_on_by_the_same_command(
    tmp_path: Path, dataset: Path, undisturbed: Learned
) -> None:
    Store(tmp_path, create=True).close()
    first = started(tmp_path, dataset, "pool", 2)
    wait_for(first, "epoch 2")
    killed(first)
    ran, elsewhere = ended(started(tmp_path, dataset, "pool", 2))
    assert (1 <= ran <= TRIALS - 1, elsewhere) == (True, 0)
    assert learned(tmp_path) == undisturbed


def test_the_trial_of_a_killed_worker_is_tried_again(
    tmp_path: Path, dataset: Path, undisturbed: Learned
) -> None:
    Store(tmp_path, create=True).close()
    driver = started(tmp_path, dataset, "pool", 2)
    wait_for(driver, "epoch 1")
    kill_a_child(driver.pid)
    assert ended(driver) == (TRIALS, 0)
    assert learned(tmp_path) == undisturbed


def test_a_training_over_its_time_limit_fails_alone_and_is_repeated(
    tmp_path: Path, dataset: Path, undisturbed: Learned
) -> None:
    # A limit that none can keep stands for a worker that hangs.
    limits = TrialLimits(time_s={"training": 1e-3})
    choice = ExecutorChoice(name="pool", workers=2, limits=limits)
    with Store(tmp_path, create=True) as store, executor_for(choice, "cpu") as trainers:
        result = run_sweep(faulted(dataset, tmp_path), store, trainers=trainers)
        assert result.failed == SEEDS
        failed = store.records(status="failed")
        assert all("time limit" in (each.reason or "") for each in failed)
    assert ended(started(tmp_path, dataset, "pool", 2)) == (SEEDS, 0)
    assert learned(tmp_path) == undisturbed


@pytest.fixture
def nodes() -> Iterator[Any]:
    """A Ray cluster of this machine: a node of the driver without a core, to which others come."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    # Ray notes there which cluster is the newest, wherever else that keeps its files.
    Path("/tmp/ray").mkdir(exist_ok=True)
    folder = tempfile.mkdtemp(prefix="bz", dir="/tmp")
    head = {"num_cpus": 0, "include_dashboard": False, "temp_dir": folder}
    cluster: Any = Cluster(initialize_head=True, head_node_args=head)
    yield cluster
    cluster.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


@needs_ray
def test_the_trials_of_a_killed_node_are_run_by_the_other(
    nodes: Any, tmp_path: Path, dataset: Path, undisturbed: Learned
) -> None:
    Store(tmp_path, create=True).close()
    one = nodes.add_node(num_cpus=1)
    nodes.add_node(num_cpus=1)
    driver = started(tmp_path, dataset, "ray", 2, nodes.address)
    wait_for(driver, "epoch 1")
    nodes.remove_node(one, allow_graceful=False)
    assert ended(driver) == (TRIALS, 0)
    assert learned(tmp_path) == undisturbed


@needs_ray
def test_what_a_killed_driver_of_a_cluster_had_in_hand_is_done_by_another(
    nodes: Any, tmp_path: Path, dataset: Path, undisturbed: Learned
) -> None:
    Store(tmp_path, create=True).close()
    nodes.add_node(num_cpus=2)
    first = started(tmp_path, dataset, "ray", 1, nodes.address)
    wait_for(first, "epoch 1")
    killed(first)
    ran, elsewhere = ended(started(tmp_path, dataset, "ray", 1, nodes.address))
    assert (1 <= ran < TRIALS, elsewhere) == (True, 0)
    assert learned(tmp_path) == undisturbed


@needs_ray
def test_the_trial_of_a_killed_worker_of_ray_is_tried_again(
    tmp_path: Path, dataset: Path, undisturbed: Learned
) -> None:
    Store(tmp_path, create=True).close()
    driver = started(tmp_path, dataset, "ray", 1)
    wait_for(driver, "epoch 1")
    (actor,) = [
        each
        for each in psutil.process_iter(["cmdline"])
        if "ray::RayWorker" in " ".join(each.info["cmdline"] or ())
        and driver.pid in {parent.pid for parent in each.parents()}
    ]
    actor.kill()
    assert ended(driver) == (TRIALS, 0)
    assert learned(tmp_path) == undisturbed
