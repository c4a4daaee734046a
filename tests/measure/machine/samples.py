"""Readings of a machine on which nothing is wrong."""

from __future__ import annotations

from blockzoo.measure.machine import probes
from blockzoo.measure.machine.doctor import Readings
from blockzoo.measure.machine.environment import TorchLibraries

QUIET = Readings(
    cores=4,
    governor="performance",
    virtualised=False,
    load_average=0.1,
    busy=(),
    cpu_quota_cores=None,
    steal_fraction=0.0,
    noise=probes.Noise(iqr=0.004, worst=1.8),
    timer_resolution_ns=40,
    memory_available_bytes=8 * 2**30,
    swap_used_bytes=0,
    libraries=TorchLibraries(openmp="4.5", mkl="2024.2", onednn="3.12.0"),
    boost=False,
    hyper_threading=False,
    thermal_events=0,
    new_thermal_events=0,
)
