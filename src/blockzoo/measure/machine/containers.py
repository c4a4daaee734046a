"""What a container lets its processes have, from the control groups of Linux, versions 1 and 2.

A limit may stand at any group from the process's own up to the root; the least of them holds.
Format: the kernel's Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def cpu_quota_cores(root: Path = _ROOT, membership: Path = _MEMBERSHIP) -> float | None:
    """Return how many cores' worth of time this process may use, or None without a limit.

    >>> cpu_quota_cores(root=Path("/nowhere"))  # as on a system without control groups
    """
    return _least(_cpu_limit, "cpu", root, membership)


def memory_limit_bytes(root: Path = _ROOT, membership: Path = _MEMBERSHIP) -> int | None:
    """Return how much memory this process may use, or None without a limit."""
    least = _least(_memory_limit, "memory", root, membership)
    return None if least is None else int(least)


def withheld_s(root: Path = _ROOT, membership: Path = _MEMBERSHIP) -> float | None:
    """Return how long CPU quotas have kept the process's groups waiting, in seconds.

    Summed over the groups up to the root, and over cores; None where no group counts it.
    """
    waits_s = [_withheld(_text(group / "cpu.stat")) for group in _groups("cpu", root, membership)]
    counted = [each for each in waits_s if each is not None]
    return sum(counted) if counted else None


def _least(
    limit: Callable[[Path], float | None], controller: str, root: Path, membership: Path
) -> float | None:
    limits = [limit(group) for group in _groups(controller, root, membership)]
    return min((each for each in limits if each is not None), default=None)


def _groups(controller: str, root: Path, membership: Path) -> Iterator[Path]:
    """Yield the folders of the process's groups; a path from outside the container is not there."""
    for line in _text(membership).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        mounts = (controllers, controller) if controllers else ("", "unified")
        # Version 1 mounts controllers by name, together or alone; version 2 has one tree.
        for mount in dict.fromkeys(mounts):
            group = Path(path.lstrip("/"))
            yield from (root / mount / each for each in (group, *group.parents))


def _cpu_limit(group: Path) -> float | None:
    quota, _, period = _text(group / "cpu.max").strip().partition(" ")
    if not quota:
        quota = _text(group / "cpu.cfs_quota_us").strip()
        period = _text(group / "cpu.cfs_period_us").strip()
    if not (quota.isdecimal() and period.isdecimal()):
        return None  # "max", -1 or not there
    return int(quota) / int(period)


def _withheld(stat: str) -> float | None:
    """Return the throttled time of a cpu.stat in seconds; version 1 counts nanoseconds."""
    pairs = dict(line.split() for line in stat.splitlines() if len(line.split()) == 2)
    for key, per_second in (("throttled_usec", 1e6), ("throttled_time", 1e9)):
        if pairs.get(key, "").isdecimal():
            return int(pairs[key]) / per_second
    return None


def _memory_limit(group: Path) -> float | None:
    text = _text(group / "memory.max") or _text(group / "memory.limit_in_bytes")
    limit = int(text) if text.strip().isdecimal() else _UNLIMITED_BYTES
    return limit if limit < _UNLIMITED_BYTES else None


_UNLIMITED_BYTES = 2**60
"""Version 1 says "no limit" by the largest whole page of 63 bits."""


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
