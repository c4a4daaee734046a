"""Is this machine fit to measure on, and what would make it fitter.

Limits are choices: what blurs an interval of 1% is a caution, what no number of samples makes up
for is unfit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import psutil
import torch

from blockzoo.measure.machine import containers, hardware, probes
from blockzoo.measure.machine.contention import BusyProcess, busy_processes, gpu_users
from blockzoo.measure.machine.environment import TorchLibraries, torch_libraries
from blockzoo.measure.machine.nvml import Gpu, GpuState

Verdict = Literal["ok", "caution", "unfit"]
_GIB = 2**30
_LISTED = 3


@dataclass(frozen=True, kw_only=True)
class Readings:
    """What was read of the machine; None is not readable, or without a limit for the quota.

    `cores` are the machine's, also where this process is bound to some of them: the load and the
    other processes are the machine's too. `thermal_events` are those since the system started,
    `new_thermal_events` those during the look. `gpu` and `gpu_users` are of the GPU that is asked
    about; `on_cuda` tells whether one is.
    """

    cores: int
    governor: str | None
    virtualised: bool | None
    load_average: float | None
    busy: tuple[BusyProcess, ...]
    cpu_quota_cores: float | None
    steal_fraction: float | None
    noise: probes.Noise
    timer_resolution_ns: int
    memory_available_bytes: int
    swap_used_bytes: int
    libraries: TorchLibraries
    boost: bool | None
    hyper_threading: bool | None
    thermal_events: int | None
    new_thermal_events: int
    on_cuda: bool = False
    gpu: GpuState | None = None
    gpu_users: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line: what was looked at, the verdict, what was read and, unless ok, what to do."""

    subject: str
    verdict: Verdict
    reading: str
    advice: str = ""


def read_machine(device: str | torch.device, *, seconds: float = 1.0) -> Readings:
    """Look at the machine, one thing after the other: others first, then steal, then noise."""
    on_cuda = torch.device(device).type == "cuda"
    gpu = Gpu.find(device) if on_cuda else None
    memory = psutil.virtual_memory()
    events = hardware.thermal_events()
    limit_bytes = containers.memory_limit_bytes() or memory.available
    # One after the other: looking at the noise is work that the other looks would see.
    readings = Readings(
        cores=psutil.cpu_count() or 1,
        governor=hardware.governor(),
        virtualised=hardware.virtualised(),
        load_average=hardware.load_average(),
        busy=busy_processes(look_s=seconds),
        cpu_quota_cores=containers.cpu_quota_cores(),
        steal_fraction=probes.steal_fraction(seconds),
        noise=probes.probe_noise(seconds),
        timer_resolution_ns=probes.timer_resolution_ns(),
        memory_available_bytes=min(memory.available, limit_bytes),
        swap_used_bytes=probes.swap_used_bytes(),
        libraries=torch_libraries(),
        boost=hardware.boost(),
        hyper_threading=hardware.hyper_threading(),
        thermal_events=events,
        new_thermal_events=0,
        on_cuda=on_cuda,
        gpu=gpu.state() if gpu else None,
        gpu_users=gpu_users(device) if on_cuda else (),
    )
    after = hardware.thermal_events()
    # Grown while nothing but the looks ran: the cores are hot now, not once upon a time.
    new = 0 if events is None or after is None else after - events
    return replace(readings, thermal_events=after, new_thermal_events=new)


def judge(readings: Readings) -> tuple[Finding, ...]:
    """Return one finding per thing looked at, the machine first, then its GPU."""
    return (
        _governor(readings),
        _boost(readings),
        _hyper_threading(readings),
        _heat(readings),
        _load(readings),
        _other_processes(readings),
        _quota(readings),
        _hypervisor(readings),
        _steal(readings),
        _noise(readings),
        _timer(readings),
        _memory(readings),
        _swap(readings),
        _libraries(readings),
        *_gpu(readings),
    )


def _governor(readings: Readings) -> Finding:
    name = readings.governor
    if name is None:
        advice = "it cannot be set here either; trust ratios more than absolute times"
        return _finding("governor", "caution", "not readable", advice)
    advice = "fix the clock with: sudo cpupower frequency-set -g performance"
    return _finding("governor", "ok" if name == "performance" else "caution", name, advice)


def _boost(readings: Readings) -> Finding:
    texts = {None: "not readable", False: "off", True: "on"}
    return _finding(
        "boost",
        "caution" if readings.boost else "ok",
        texts[readings.boost],
        "clocks fall as the cores get warm; turn it off with: sudo cpupower set --turbo-boost 0",
    )


def _hyper_threading(readings: Readings) -> Finding:
    texts = {None: "not readable", False: "off", True: "logical cores share physical ones"}
    return _finding(
        "hyper-threading",
        "caution" if readings.hyper_threading else "ok",
        texts[readings.hyper_threading],
        "keep the sibling idle, or: echo off | sudo tee /sys/devices/system/cpu/smt/control",
    )


def _heat(readings: Readings) -> Finding:
    events, new = readings.thermal_events, readings.new_thermal_events
    return _finding(
        "heat",
        "caution" if new else "ok",
        "not readable"
        if events is None
        else f"{events} thermal event(s) since the system started, {new} in the last seconds",
        "the cores are being slowed down: let them cool, see to the fans, or lower the clock",
    )


def _load(readings: Readings) -> Finding:
    load, cores = readings.load_average, readings.cores
    if load is None:
        return _finding("load", "caution", "not readable", "see that nothing else runs")
    return _finding(
        "load",
        _graded(load / cores, caution=0.25, unfit=1.0),
        f"{load:.2f} in the last minute, on {cores} core(s)",
        "end other work and wait for a minute",
    )


def _other_processes(readings: Readings) -> Finding:
    """One core must be free: a single thread is what is measured by default."""
    busy = readings.busy
    taken = sum(process.cpu_percent for process in busy) / 100
    short = taken > readings.cores - 1
    return _finding(
        "other processes",
        "ok" if not busy else "unfit" if short else "caution",
        "; ".join(map(str, busy[:_LISTED])) or "none is busy",
        "end them, or measure when they are done",
    )


def _quota(readings: Readings) -> Finding:
    quota, cores = readings.cpu_quota_cores, readings.cores
    if quota is None:
        return _finding("CPU quota", "ok", "none")
    return _finding(
        "CPU quota",
        "ok" if quota >= cores else "caution" if quota >= 1 else "unfit",
        f"{quota:g} of {cores} core(s)",
        "start the container without --cpus; pin it to whole cores with --cpuset-cpus",
    )


def _hypervisor(readings: Readings) -> Finding:
    texts = {None: "not known", False: "none", True: "the machine is virtual"}
    return _finding(
        "hypervisor",
        "caution" if readings.virtualised else "ok",
        texts[readings.virtualised],
        "measure absolute times on the metal; ratios hold better",
    )


def _steal(readings: Readings) -> Finding:
    # Stolen time is in every sample and in no counter of this process.
    share = readings.steal_fraction
    if share is None:
        return _finding("stolen time", "ok", "not readable")
    return _finding(
        "stolen time",
        _graded(share, caution=0.01, unfit=0.1),
        f"{share:.1%} of the cores' time",
        "the host is overbooked: take another machine, or another hour",
    )


def _noise(readings: Readings) -> Finding:
    noise = readings.noise
    by_iqr = _graded(noise.iqr, caution=0.03, unfit=0.25)
    # Quartiles that are near and a longest time that is not: something comes now and then.
    interrupted = by_iqr == "ok" and noise.worst > 10
    return _finding(
        "noise",
        "caution" if interrupted else by_iqr,
        f"equal products: quartiles {noise.iqr:.1%} apart, the longest {noise.worst:.1f} medians",
        "end other work; measure with --rigorous",
    )


def _timer(readings: Readings) -> Finding:
    step_ns = readings.timer_resolution_ns
    return _finding(
        "timer",
        _graded(step_ns, caution=1_000, unfit=100_000),
        f"steps of {step_ns} ns",
        "choose the processor's own counter as clock source (tsc)",
    )


def _memory(readings: Readings) -> Finding:
    free_gib = readings.memory_available_bytes / _GIB
    return _finding(
        "memory",
        "ok" if free_gib >= 2 else "caution" if free_gib >= 0.5 else "unfit",
        f"{free_gib:.1f} GiB available",
        "end what holds memory; smaller batches need less",
    )


def _swap(readings: Readings) -> Finding:
    used_gib = readings.swap_used_bytes / _GIB
    verdict: Verdict = "caution" if used_gib > 0.5 else "ok"
    return _finding("swap", verdict, f"{used_gib:.1f} GiB in use", "turn it off with: swapoff -a")


def _libraries(readings: Readings) -> Finding:
    """Nothing to judge: a line that explains why two machines with one torch differ."""
    names = (("OpenMP", "openmp"), ("MKL", "mkl"), ("oneDNN", "onednn"))
    versions = (f"{title} {getattr(readings.libraries, name) or 'none'}" for title, name in names)
    return _finding("torch's libraries", "ok", ", ".join(versions))


def _gpu(readings: Readings) -> Iterator[Finding]:
    if not readings.on_cuda:
        return
    gpu = readings.gpu
    if gpu is None:
        advice = "pip install 'blockzoo[gpu]'; a slice of a GPU cannot be asked"
        yield _finding("GPU", "caution", "NVML does not tell", advice)
        return
    limit = "unknown" if gpu.power_limit_w is None else f"{gpu.power_limit_w:g} W"
    texts = {None: "unknown", False: "off", True: "on"}
    yield _finding(
        "GPU",
        "ok",
        f"clock {gpu.clock_mhz} of at most {gpu.clock_max_mhz} MHz (default "
        f"{gpu.clock_default_mhz}), power limit {limit}, ECC {texts[gpu.ecc]}",
    )
    yield _finding(
        "GPU users",
        "caution" if readings.gpu_users else "ok",
        "; ".join(readings.gpu_users[:_LISTED]) or "none",
        "end them, or take another GPU",
    )


def _finding(subject: str, verdict: Verdict, reading: str, advice: str = "") -> Finding:
    kept = "" if verdict == "ok" else advice
    return Finding(subject=subject, verdict=verdict, reading=reading, advice=kept)


def _graded(value: float, *, caution: float, unfit: float) -> Verdict:
    """Return the verdict on a value that should be small: from which one on it is which."""
    return "unfit" if value >= unfit else "caution" if value >= caution else "ok"
