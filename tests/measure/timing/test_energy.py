"""Energy per image, from counters and a clock that are made up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from blockzoo.core.errors import InputError
from blockzoo.measure.machine.nvml import Gpu
from blockzoo.measure.timing import energy
from blockzoo.measure.timing.energy import (
    LEAST_SECONDS,
    EnergyResult,
    Nvml,
    Rapl,
    find_counter,
    measure_energy,
    measure_network_energy,
)
from blockzoo.measure.timing.preparing import Network

IDLE_W, CALL_S = 20.0, 0.25


class World:
    """A clock and a counter: 20 W idle, `busy_w` while a call runs, which takes 0.25 s."""

    name = "made up"

    def __init__(self, busy_w: float = 50.0) -> None:
        self.busy_w, self.now_s, self.joules, self.calls = busy_w, 100.0, 7.0, 0
        self.gone_after_s = float("inf")

    def sleep(self, seconds: float) -> None:
        self._pass(seconds, IDLE_W)

    def call(self) -> None:
        self.calls += 1
        self._pass(CALL_S, self.busy_w)

    def read_j(self) -> float:
        if self.now_s > self.gone_after_s:
            raise OSError("gone")
        return self.joules

    def _pass(self, seconds: float, watts: float) -> None:
        self.now_s += seconds
        self.joules += watts * seconds


@pytest.fixture
def put(monkeypatch: pytest.MonkeyPatch) -> Callable[[World], World]:
    def replace(world: World) -> World:
        clock = SimpleNamespace(perf_counter=lambda: world.now_s, sleep=world.sleep)
        monkeypatch.setattr(energy, "time", clock)
        monkeypatch.setattr(energy, "find_counter", lambda device: world)
        return world

    return replace


def test_idle_power_is_subtracted(put: Callable[[World], World]) -> None:
    world = put(World())
    joules = (50 - 20) * 0.25 / 4
    assert measure_energy(world.call, 4, "cpu") == EnergyResult(
        joules_per_image=joules,
        interval=(joules, joules),
        repetitions=(joules,) * 3,
        counter="made up",
        power_w=50.0,
        idle_power_w=20.0,
        seconds=30.0,
        images=480,
    )
    assert world.calls == 1 + 3 * 40  # one before, so that idling is with the work loaded


def test_work_that_takes_less_than_idling_is_kept_as_it_is(put: Callable[[World], World]) -> None:
    result = measure_energy(put(World(busy_w=19.0)).call, 1, "cpu")
    assert result is not None
    assert result.joules_per_image == pytest.approx(-0.25)
    assert result.interval[0] <= 0


class Unsteady(World):
    """What else the machine does changes: each repetition has a power of its own."""

    def __init__(self, *watts: float) -> None:
        super().__init__()
        self._watts = [*watts]

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self.busy_w = self._watts.pop(0)


def test_repetitions_below_idle_count_and_the_interval_is_students(
    put: Callable[[World], World],
) -> None:
    """10, 2 and -6 W above idle, 0.25 s an image: 2.5, 0.5 and -1.5 J; t(2) = 4.303."""
    result = measure_energy(put(Unsteady(30.0, 22.0, 14.0)).call, 1, "cpu")
    assert result is not None
    assert result.repetitions == pytest.approx((2.5, 0.5, -1.5))
    assert result.joules_per_image == pytest.approx(0.5)  # dropping the last would make it 1.5
    reach = 4.302653 * 2.0 / 3**0.5
    assert result.interval == pytest.approx((0.5 - reach, 0.5 + reach), rel=1e-6)
    assert result.interval[0] <= 0


def test_more_repetitions_make_the_interval_narrower(put: Callable[[World], World]) -> None:
    few = measure_energy(put(Unsteady(50.0, 52.0, 51.0)).call, 1, "cpu")
    many = measure_energy(put(Unsteady(*(50.0, 52.0, 51.0) * 3)).call, 1, "cpu", repetitions=9)
    assert few is not None
    assert many is not None
    assert few.interval[0] > 0
    assert many.joules_per_image == pytest.approx(few.joules_per_image)
    assert few.interval[0] < many.interval[0] < many.interval[1] < few.interval[1]


@pytest.mark.parametrize("repetitions", [0, 1, 2])
def test_fewer_than_three_repetitions_are_refused(
    repetitions: int, put: Callable[[World], World]
) -> None:
    with pytest.raises(InputError, match=f"^{repetitions} repetitions given; an interval takes"):
        measure_energy(put(World()).call, 1, "cpu", repetitions=repetitions)


def test_a_counter_that_vanishes_leaves_none(put: Callable[[World], World]) -> None:
    world = put(World())
    world.gone_after_s = 105.0
    assert measure_energy(world.call, 1, "cpu") is None


@pytest.mark.parametrize(("images", "seconds", "idle"), [(0, 10, 3), (1, 9.9, 3), (1, 10, 0)])
def test_too_little_to_measure_is_refused(images: int, seconds: float, idle: float) -> None:
    with pytest.raises(InputError, match=f"^{images} images per call, {seconds:g} s of work and"):
        measure_energy(lambda: None, images, "cpu", seconds=seconds, idle_seconds=idle)


def test_a_network_runs_on_its_example_and_threads_come_back(
    put: Callable[[World], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = put(World())
    sizes = []

    def forward(module: nn.Module, images: torch.Tensor) -> torch.Tensor:
        world.call()
        sizes.append(tuple(images.shape))
        return images

    monkeypatch.setattr(nn.Identity, "forward", forward)
    result = measure_network_energy(
        Network(name="a", model=nn.Identity(), example=torch.ones(2, 3))
    )
    assert result is not None
    assert (result.images, set(sizes)) == (240, {(2, 3)})
    assert torch.get_num_threads() == 1


def zone(root: Path, folder: str, name: str, energy_uj: int, range_uj: int = 1_000_000) -> Path:
    path = root / folder
    path.mkdir(parents=True)
    (path / "name").write_text(f"{name}\n")
    (path / "max_energy_range_uj").write_text(f"{range_uj}\n")
    (path / "energy_uj").write_text(f"{energy_uj}\n")
    return path


def test_rapl_adds_packages_and_knows_that_they_start_again(tmp_path: Path) -> None:
    first = zone(tmp_path, "intel-rapl:0", "package-0", 900_000)
    second = zone(tmp_path, "intel-rapl:1", "package-1", 0)
    zone(tmp_path, "intel-rapl:0:0", "core", 1)
    zone(tmp_path, "intel-rapl:2", "psys", 1)
    zone(tmp_path, "intel-rapl-mmio:0", "package-0", 1)
    counter = Rapl.find(tmp_path)
    assert counter is not None
    assert counter.read_j() == 0
    (first / "energy_uj").write_text("100000\n")  # past the end: 0.2 J
    (second / "energy_uj").write_text("300000\n")
    assert counter.read_j() == pytest.approx(0.5)
    (first / "energy_uj").write_text("150000\n")
    assert counter.read_j() == pytest.approx(0.55)


def test_rapl_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    assert Rapl.find(tmp_path) is None
    (zone(tmp_path, "intel-rapl:0", "package-0", 1) / "energy_uj").unlink()
    assert Rapl.find(tmp_path) is None
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("")
    assert Rapl.find(tmp_path) is None


def test_the_counter_of_a_gpu_is_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Any] = [5.0, 8.5, None]
    gpu = SimpleNamespace(energy_j=lambda: answers.pop(0))
    monkeypatch.setattr(Gpu, "find", staticmethod(lambda device: gpu))
    counter = find_counter("cuda:0")
    assert isinstance(counter, Nvml)
    assert counter.read_j() == 8.5
    with pytest.raises(OSError, match="no longer"):
        counter.read_j()
    answers.append(None)  # a GPU that does not count
    assert find_counter("cuda:0") is None


@pytest.mark.gpu
def test_a_matrix_product_on_a_gpu_takes_energy() -> None:
    pytest.importorskip("pynvml")
    matrix = torch.ones(4096, 4096, device="cuda")
    result = measure_energy(lambda: matrix @ matrix, 1, "cuda")
    assert result is not None
    assert (result.counter, result.seconds >= 3 * LEAST_SECONDS) == ("nvml", True)
    assert result.interval[0] > 0
