"""Limits of containers, from control groups as files."""

from __future__ import annotations

from pathlib import Path

from blockzoo.measure.machine.containers import cpu_quota_cores, memory_limit_bytes, withheld_s


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_version_2_takes_the_least_limit_up_to_the_root(tmp_path: Path) -> None:
    write(
        tmp_path,
        membership="0::/outer/inner\n",
        outer__cpu_DOT_max="150000 100000\n",
        outer__inner__cpu_DOT_max="max 100000\n",
        outer__memory_DOT_max="max\n",
        outer__inner__memory_DOT_max="1048576\n",
    )
    assert cpu_quota_cores(tmp_path, tmp_path / "membership") == 1.5
    assert memory_limit_bytes(tmp_path, tmp_path / "membership") == 2**20


def test_version_1_has_a_tree_per_controller(tmp_path: Path) -> None:
    write(
        tmp_path,
        membership="5:memory:/box\n4:cpu,cpuacct:/box\n1:name=systemd:/\n0::/\n",
        cpu__box__cpu_DOT_cfs_quota_us="50000\n",
        cpu__box__cpu_DOT_cfs_period_us="100000\n",
        memory__memory_DOT_limit_in_bytes="9223372036854771712\n",
        memory__box__memory_DOT_limit_in_bytes="2147483648\n",
    )
    assert cpu_quota_cores(tmp_path, tmp_path / "membership") == 0.5
    assert memory_limit_bytes(tmp_path, tmp_path / "membership") == 2**31


def test_no_limit_is_none(tmp_path: Path) -> None:
    write(
        tmp_path,
        membership="5:memory:/gone\n4:cpu:/\n",
        cpu__cpu_DOT_cfs_quota_us="-1\n",
        cpu__cpu_DOT_cfs_period_us="100000\n",
        memory__memory_DOT_limit_in_bytes="9223372036854771712\n",
    )
    assert cpu_quota_cores(tmp_path, tmp_path / "membership") is None
    assert memory_limit_bytes(tmp_path, tmp_path / "membership") is None


def test_without_control_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert cpu_quota_cores(tmp_path, tmp_path / "absent") is None
    assert memory_limit_bytes(tmp_path, tmp_path / "absent") is None


def test_time_withheld_adds_up_to_the_root_in_version_2(tmp_path: Path) -> None:
    counts = "usage_usec 900000\nnr_periods 9\nnr_throttled 3\nthrottled_usec {}\n"
    write(
        tmp_path,
        membership="0::/outer/inner\n",
        outer__cpu_DOT_stat=counts.format(1_250_000),
        outer__inner__cpu_DOT_stat=counts.format(250_000),
        cpu_DOT_stat="usage_usec 900000\n",
    )
    assert withheld_s(tmp_path, tmp_path / "membership") == 1.5


def test_time_withheld_in_version_1_is_in_nanoseconds(tmp_path: Path) -> None:
    write(
        tmp_path,
        membership="4:cpu,cpuacct:/box\n0::/\n",
        cpu__box__cpu_DOT_stat="nr_periods 9\nnr_throttled 3\nthrottled_time 2000000000\n",
    )
    assert withheld_s(tmp_path, tmp_path / "membership") == 2.0


def test_time_withheld_is_none_where_no_group_counts_it(tmp_path: Path) -> None:
    write(tmp_path, membership="0::/box\n", box__cpu_DOT_stat="usage_usec 5\nodd line here\n")
    assert withheld_s(tmp_path, tmp_path / "membership") is None
    assert withheld_s(tmp_path, tmp_path / "gone") is None
