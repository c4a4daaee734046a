"""What the operating system tells of the processor."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from blockzoo.measure.machine import hardware

CPUINFO = """\
processor : 0
model name\t: Fast CPU @ 2GHz
flags\t\t: fpu sse {flag}
model name\t: Other
"""


def test_the_model_name_is_the_first(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(CPUINFO)
    assert hardware.processor(tmp_path / "cpuinfo") == "Fast CPU @ 2GHz"
    assert hardware.processor(tmp_path / "absent") not in ("", "Fast CPU @ 2GHz")


@pytest.mark.parametrize(("flag", "told"), [("hypervisor", True), ("avx2", False)])
def test_a_hypervisor_is_a_flag_of_the_processor(flag: str, told: bool, tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(CPUINFO.format(flag=flag))
    assert hardware.virtualised(tmp_path / "cpuinfo") is told
    assert hardware.virtualised(tmp_path / "absent") is None


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16\n\nprocessor\t: 1\nflags\t\t: fpu\n", "avx512_bf16"),
        ("processor : 0\nFeatures\t: fp asimd bf16\n", "bf16"),
        ("processor : 0\n", None),
    ],
)
def test_flags_are_those_of_the_first_core(text: str, flags: str | None, tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    found = hardware.cpu_flags(tmp_path / "cpuinfo")
    assert flags in found if flags else found == frozenset()


@pytest.mark.parametrize(
    ("capability", "flags", "limit", "told"),
    [
        ("AVX2", "fma avx2", "", "AVX2"),
        ("AVX512", "avx512f", "", "AVX512"),
        ("AVX512", "avx512_bf16 amx_bf16", "", "AVX512-BF16-AMX"),
        ("SVE256", "sve bf16", "", "SVE256-BF16"),
        ("AVX2", "avx512_bf16", "AVX2", "AVX2-BF16, oneDNN up to AVX2"),
    ],
)
def test_instructions_tell_processors_of_one_name_apart(
    capability: str, flags: str, limit: str, told: str
) -> None:
    variables = {"ONEDNN_MAX_CPU_ISA": limit}
    found = hardware.instructions(capability, flags=frozenset(flags.split()), environment=variables)
    assert found == told


def test_governors_are_named_once_each(tmp_path: Path) -> None:
    assert hardware.governor(tmp_path) is None
    for core, name in enumerate(("powersave", "performance", "powersave")):
        folder = tmp_path / f"cpu{core}" / "cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text(f"{name}\n")
    assert hardware.governor(tmp_path) == "performance,powersave"


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("intel_pstate/no_turbo", "0\n", True),
        ("intel_pstate/no_turbo", "1\n", False),
        ("cpufreq/boost", "1\n", True),
        ("cpufreq/boost", "0\n", False),
        ("cpufreq/boost", "\n", None),
        ("cpufreq/other", "1\n", None),
    ],
)
def test_boost_is_told_by_either_driver(
    file: str, text: str, told: bool | None, tmp_path: Path
) -> None:
    (tmp_path / file).parent.mkdir()
    (tmp_path / file).write_text(text)
    assert hardware.boost(tmp_path) is told


@pytest.mark.parametrize(("text", "told"), [("1\n", True), ("0\n", False), ("odd", None)])
def test_hyper_threading_is_what_is_active(text: str, told: bool | None, tmp_path: Path) -> None:
    assert hardware.hyper_threading(tmp_path) is None
    (tmp_path / "smt").mkdir()
    (tmp_path / "smt" / "active").write_text(text)
    assert hardware.hyper_threading(tmp_path) is told


def test_the_last_cache_is_the_largest_of_the_first_core(tmp_path: Path) -> None:
    assert hardware.last_level_cache_bytes(tmp_path) is None
    for index, size in enumerate(("48K", "32K", "1024K", "32768K", "odd")):
        folder = tmp_path / "cpu0" / "cache" / f"index{index}"
        folder.mkdir(parents=True)
        (folder / "size").write_text(f"{size}\n")
    assert hardware.last_level_cache_bytes(tmp_path) == 32 * 2**20


def test_clocks_that_cannot_be_read_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = SimpleNamespace(current=2596.1, min=0.0, max=0.0)
    monkeypatch.setattr(psutil, "cpu_freq", lambda: clocks)
    assert (hardware.clock_range_mhz(), hardware.clock_mhz()) == ((None, None), 2596.1)
    clocks.min, clocks.max = 800.0, 4700.4
    assert hardware.clock_range_mhz() == (800, 4700)
    monkeypatch.setattr(psutil, "cpu_freq", lambda: None)
    assert (hardware.clock_range_mhz(), hardware.clock_mhz()) == ((None, None), None)
    monkeypatch.delattr(psutil, "cpu_freq")
    assert hardware.clock_mhz() is None


def test_the_load_is_of_the_last_minute_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (1.5, 2.5, 3.5))
    assert hardware.load_average() == 1.5
    monkeypatch.delattr(os, "getloadavg")
    assert hardware.load_average() is None


def test_thread_variables_are_those_that_are_set() -> None:
    environment = {"OMP_NUM_THREADS": "2", "KMP_BLOCKTIME": "0", "PATH": "/bin", "OMP_DISPLAY": "x"}
    assert hardware.thread_variables(environment) == {"KMP_BLOCKTIME": "0", "OMP_NUM_THREADS": "2"}
