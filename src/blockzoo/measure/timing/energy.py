"""Energy per image, from the counters of the hardware; nothing is estimated.

On CUDA it is the GPU's own counter, through NVML. On Intel and AMD CPUs it is RAPL, "running
average power limit" (David et al., RAPL: memory power estimation and capping, 2010), which Linux
shows as files of one integer under /sys/class/powercap. They are read here and not through a
library: the one that is kept and needs no daemon (Zeus) reads the same files, with the same rights,
but keeps a process per counter polling them while the work runs, which takes CPU time and energy
from what is measured; the other two (pyRAPL, pyJoules) have had no release since 2020.

A CPU's counter covers the whole package, whatever runs on it, so the power before the work is
subtracted; what other processes add while it runs is not told apart. DRAM and the rest of the
machine are not counted. Files that only root may read, as on most Linux systems since
CVE-2020-8694, count as unreadable.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Protocol

import torch

from blockzoo.core.errors import InputError
from blockzoo.measure.machine.nvml import Gpu
from blockzoo.measure.timing.backends import get_backend
from blockzoo.measure.timing.clocks import threads_restored
from blockzoo.measure.timing.preparing import Network
from blockzoo.stats.paired_seeds import mean_interval

LEAST_SECONDS = 10.0
"""Counters move in steps, of up to 0.1 s on a GPU: shorter work is too coarse to the last step."""
LEAST_REPETITIONS = 3
_POWERCAP = Path("/sys/class/powercap")
# Enough that waiting takes a small share, few enough that the clock is looked at in time.
_CALLS_PER_WAIT = 16
"""On CUDA: waiting for each call would leave the GPU idle between them."""


@dataclass(frozen=True, kw_only=True)
class EnergyResult:
    """Joules per image beyond idle, the mean of `repetitions`, and what they follow from.

    `interval`: its 95% interval by Student's t. A repetition that took less power than idling
    before it counts as what it is, below 0: without such readings the mean would be too high. An
    interval that holds 0 does not tell the work from idling.
    Powers are means; `seconds` and `images` are of all repetitions together.
    """

    joules_per_image: float
    interval: tuple[float, float]
    repetitions: tuple[float, ...]
    counter: str
    power_w: float
    idle_power_w: float
    seconds: float
    images: int


class Counter(Protocol):
    """A counter of energy; `read_j` never falls, its zero is anywhere."""

    name: str

    def read_j(self) -> float:
        """Return the joules so far; raises `OSError` when the counter is gone."""
        ...


def measure_energy(
    call: Callable[[], object],
    images_per_call: int,
    device: str | torch.device,
    *,
    seconds: float = LEAST_SECONDS,
    idle_seconds: float = 3.0,
    repetitions: int = LEAST_REPETITIONS,
) -> EnergyResult | None:
    """Call for at least `seconds` and return the energy per image beyond that of an idle device.

    `call()` runs a batch of `images_per_call` images, on CUDA perhaps without waiting for the end.
    The idle power is measured before, over `idle_seconds`, with the work loaded; both are repeated,
    for what else the machine does is not the same each time. None where there is no counter to
    read. Raises `InputError` for no images, too little time or fewer than three repetitions.

    >>> measure_energy(lambda: None, 1, "cpu", seconds=1.0)
    Traceback (most recent call last):
    blockzoo.core.errors.InputError: 1 images per call, 1 s of work and 3 s idle given...
    """
    if images_per_call < 1 or seconds < LEAST_SECONDS or idle_seconds <= 0:
        raise InputError(
            f"{images_per_call} images per call, {seconds:g} s of work and {idle_seconds:g} s idle "
            f"given; energy takes at least 1, {LEAST_SECONDS:g} s and some idle time"
        )
    if (counter := find_counter(device)) is None:  # before anything is loaded or waited for
        return None
    if repetitions < LEAST_REPETITIONS:
        raise InputError(
            f"{repetitions} repetitions given; an interval takes at least {LEAST_REPETITIONS}"
        )
    batch = _batched(call, torch.device(device))
    batch()  # loads what is loaded at the first call, so that idling is with it
    try:
        each = [
            _beyond_idle(counter, batch, images_per_call, seconds, idle_seconds)
            for _ in range(repetitions)
        ]
    except OSError:  # the counter is gone
        return None
    return _result(each, counter.name)


@dataclass(frozen=True, kw_only=True)
class _Repetition:
    """Idling, then the work."""

    idle_power_w: float
    power_w: float
    seconds: float
    images: int

    @property
    def joules_per_image(self) -> float:
        # Below 0 where something else stopped in between: then as often too high as too low.
        return (self.power_w - self.idle_power_w) * self.seconds / self.images


def _result(each: Sequence[_Repetition], counter: str) -> EnergyResult:
    joules = [one.joules_per_image for one in each]
    found = mean_interval(joules)
    assert found.low is not None
    assert found.high is not None
    return EnergyResult(
        joules_per_image=found.mean,
        interval=(found.low, found.high),
        repetitions=tuple(joules),
        counter=counter,
        power_w=mean(one.power_w for one in each),
        idle_power_w=mean(one.idle_power_w for one in each),
        seconds=sum(one.seconds for one in each),
        images=sum(one.images for one in each),
    )


def _beyond_idle(
    counter: Counter,
    batch: Callable[[], int],
    images_per_call: int,
    seconds: float,
    idle_seconds: float,
) -> _Repetition:
    """Measure idling, then the work."""
    idle_power_w, _ = _power(counter, lambda: time.sleep(idle_seconds))
    calls = 0

    def work() -> None:
        nonlocal calls
        calls = _keep_calling(batch, seconds)

    power_w, worked_s = _power(counter, work)
    # Per call and not per second: the clock may fall as the device gets warm.
    images = calls * images_per_call
    return _Repetition(power_w=power_w, idle_power_w=idle_power_w, seconds=worked_s, images=images)


def measure_network_energy(network: Network) -> EnergyResult | None:
    """Return the energy per image of a network in this process, which gets its threads back.

    Raises what the network's backend raises; nothing is gated here.
    """
    way = network.way
    backend = get_backend(way.backend)
    with threads_restored():  # `load` sets them to those of the way
        model = network.model
        payload = (
            model if isinstance(model, bytes) else backend.prepare(model, network.example, way)
        )
        loaded = backend.load(payload, network.example, way)
        try:
            return measure_energy(loaded.call, loaded.batch_size, way.device)
        finally:
            loaded.close()


def find_counter(device: str | torch.device) -> Counter | None:
    """Return the counter of that device's energy, or None where none can be read."""
    device = torch.device(device)
    counter: Counter | None = Nvml.find(device) if device.type == "cuda" else Rapl.find()
    return counter


class Nvml:
    """The total energy of a GPU since its driver was loaded."""

    name = "nvml"

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu

    @staticmethod
    def find(device: torch.device) -> Nvml | None:
        """Return the counter of the GPU that torch calls `device`, if it has one."""
        gpu = Gpu.find(device)
        return None if gpu is None or gpu.energy_j() is None else Nvml(gpu)

    def read_j(self) -> float:
        """Return the joules since the driver was loaded."""
        joules = self._gpu.energy_j()
        if joules is None:
            raise OSError("NVML no longer tells the energy")
        return joules


class Rapl:
    """The energy of all CPU packages; each counter starts again at its maximum.

    It must be read more than once per turn, which takes minutes at least.
    """

    name = "rapl package"

    def __init__(self, zones: Sequence[Path]) -> None:
        self._zones = {zone: _integer(zone / "max_energy_range_uj") for zone in zones}
        self._last_uj = {zone: _integer(zone / "energy_uj") for zone in zones}
        self._total_uj = 0

    @staticmethod
    def find(powercap: Path = _POWERCAP) -> Rapl | None:
        """Return the counter of the packages named under `powercap`, if all of them can be read.

        Zones in zones (cores, DRAM) are parts of a package or beside it, "psys" is the board.
        """
        zones = [
            zone
            for zone in sorted(powercap.glob("intel-rapl:*"))
            if zone.name.count(":") == 1 and _name(zone).startswith("package")
        ]
        try:
            return Rapl(zones) if zones else None
        except (OSError, ValueError):  # for root alone, or not a number
            return None

    def read_j(self) -> float:
        """Return the joules since this object was made."""
        for zone, range_uj in self._zones.items():
            now_uj = _integer(zone / "energy_uj")
            # It starts again at its maximum, every few minutes under load.
            step_uj = now_uj - self._last_uj[zone]
            # A counter that fell has passed its end and begun again at zero.
            self._total_uj += step_uj if step_uj >= 0 else step_uj + range_uj
            self._last_uj[zone] = now_uj
        return self._total_uj / 1e6


def _power(counter: Counter, work: Callable[[], None]) -> tuple[float, float]:
    """Return the mean power in watts while `work` ran, and for how many seconds it did."""
    start_s, start_j = time.perf_counter(), counter.read_j()
    work()
    used_j = counter.read_j() - start_j
    worked_s = time.perf_counter() - start_s
    return used_j / worked_s, worked_s


def _keep_calling(batch: Callable[[], int], seconds: float) -> int:
    """Run batches of calls until the time is over, and return how many calls that were."""
    end_s, calls = time.perf_counter() + seconds, 0
    while time.perf_counter() < end_s:
        calls += batch()
    return calls


def _batched(call: Callable[[], object], device: torch.device) -> Callable[[], int]:
    """Return what calls once or, on CUDA, some times, waits for the end and tells how often."""
    on_cuda = device.type == "cuda"
    count = _CALLS_PER_WAIT if on_cuda else 1

    def batch() -> int:
        for _ in range(count):
            call()
        if on_cuda:
            torch.cuda.synchronize(device)
        return count

    return batch


def _integer(path: Path) -> int:
    return int(path.read_text())


def _name(zone: Path) -> str:
    try:
        return (zone / "name").read_text()
    except OSError:
        return ""
