"""`blockzoo check`: the contract run on blocks that may hang, allocate without bound, or crash.

Each block has a child process of its own, which sends one finding per line. A line that runs too
long or takes too much memory is stopped with its process, counts as failed, and a new process goes
on with the next line. User code is imported in the child alone.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext

import psutil
import torch

from blockzoo.blocks import BlockSpec, get_block
from blockzoo.blocks.user_code import names_user_code
from blockzoo.contract.findings import Finding, Verdict
from blockzoo.contract.lines import BUILDS, contract_lines
from blockzoo.core.errors import BlockZooError, InputError

_MEBIBYTE, _GIBIBYTE = 2**20, 2**30
_START_LIMIT_S = 300.0
_END_LIMIT_S = 2.0
_LOOK_EVERY_S = 0.02
_PRELOADED = ["blockzoo.contract.check", "blockzoo.blocks.zoo"]


@dataclass(frozen=True, kw_only=True)
class CheckLimits:
    """What one line of the contract may take: seconds by the clock, and memory of its process.

    Raises `InputError` for a limit that is not above zero.
    """

    time_s: float = 60.0
    memory_bytes: int = 4 * _GIBIBYTE

    def __post_init__(self) -> None:
        if not (self.time_s > 0 and math.isfinite(self.time_s)):
            raise InputError(f"time limit is {self.time_s} s; it must be above 0")
        if self.memory_bytes < 1:
            raise InputError(f"memory limit is {self.memory_bytes} bytes; it must be above 0")


@dataclass(frozen=True, kw_only=True)
class BlockReport:
    """What the contract says about one block, a finding per line."""

    block: str
    findings: tuple[Finding, ...]

    def count(self, verdict: Verdict) -> int:
        """Return how many lines have that verdict."""
        return sum(finding.verdict is verdict for finding in self.findings)

    @property
    def ok(self) -> bool:
        """Whether no line failed."""
        return not self.count(Verdict.FAILS)


def check_blocks(
    blocks: Iterable[str | BlockSpec],
    *,
    exports: bool = True,
    limits: CheckLimits | None = None,
    jobs: int = 1,
    on_finding: Callable[[str, Finding], None] | None = None,
) -> Iterator[BlockReport]:
    """Yield a report for each block as it is done, `jobs` blocks at a time.

    A name with a file or module in it is looked up in the child only, so that what is wrong with it
    is a finding. Other names raise `UnknownNameError` here. `on_finding` is called with the block's
    name and each finding as it comes. Call this from a script under `if __name__ == "__main__":`,
    as anything that starts processes.
    """
    if jobs < 1:
        raise InputError(f"jobs is {jobs}; it must be 1 or more")
    waiting = [_sendable(block) for block in blocks]
    names = [line.name for line in contract_lines(exports=exports)]
    running: list[_Run] = []
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                running.append(_Run(waiting.pop(0), names, limits or CheckLimits(), on_finding))
            wait([run.connection for run in running], timeout=_LOOK_EVERY_S)
            for run in list(running):
                run.step()
                if run.done:
                    running.remove(run)
                    yield run.report
    finally:
        for run in running:
            run.stop()


def _sendable(block: str | BlockSpec) -> str | BlockSpec:
    """Return what a child process can make the block of: the spec, or else its name."""
    if isinstance(block, str):
        return block if names_user_code(block) else _sendable(get_block(block))
    try:
        pickle.dumps(block)
    except (pickle.PicklingError, AttributeError, TypeError):
        return block.name
    return block


class _Run:
    """One block on its way through the contract, with the child process that it is in."""

    def __init__(
        self,
        block: str | BlockSpec,
        names: list[str],
        limits: CheckLimits,
        on_finding: Callable[[str, Finding], None] | None,
    ) -> None:
        self._block, self._limits, self._on_finding = block, limits, on_finding
        self._name = block if isinstance(block, str) else block.name
        self._left, self._findings = list(names), list[Finding]()
        self._start()

    @property
    def done(self) -> bool:
        return not self._left

    @property
    def report(self) -> BlockReport:
        return BlockReport(block=self._name, findings=tuple(self._findings))

    def step(self) -> None:
        """Take what the child has sent; where it has sent nothing, look at its time and memory."""
        try:
            if self.connection.poll():
                self._take(self.connection.recv())
            else:
                self._enforce_limits()
        except (EOFError, OSError):
            self._process.join(_END_LIMIT_S)
            self._replace(f"the process died: {_ending(self._process.exitcode)}")

    def stop(self) -> None:
        """End the child and all it has started."""
        pid = self._process.pid
        if pid is not None and self._process.is_alive():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                # Before it is ready the child is not yet the leader of a group of its own.
                (os.killpg if self._ready else os.kill)(pid, signal.SIGKILL)
        self._process.join()
        self.connection.close()

    def _start(self) -> None:
        context = _processes()
        self.connection, theirs = context.Pipe(duplex=False)
        self._process = context.Process(
            target=_serve, args=(theirs, self._block, list(self._left)), daemon=True
        )
        self._process.start()
        theirs.close()
        self._ready, self._since = False, time.monotonic()

    def _take(self, sent: Finding | None) -> None:
        self._ready, self._since = True, time.monotonic()
        if sent is None:
            return
        self._add(sent)
        if sent.line == BUILDS.name and sent.verdict is Verdict.FAILS:
            for name in list(self._left):
                self._add(_not_built(name))
        if self.done:
            self._process.join(_END_LIMIT_S)
            self.stop()

    def _add(self, finding: Finding) -> None:
        self._left.remove(finding.line)
        self._findings.append(finding)
        if self._on_finding is not None:
            self._on_finding(self._name, finding)

    def _enforce_limits(self) -> None:
        seconds, limits = time.monotonic() - self._since, self._limits
        if seconds > (limits.time_s if self._ready else _START_LIMIT_S):
            self._replace(f"still running after {seconds:.0f} s, the time limit; stopped")
        elif self._ready and _resident_bytes(self._process.pid) > limits.memory_bytes:
            allowed = limits.memory_bytes / _MEBIBYTE
            self._replace(f"took more than {allowed:,.0f} MiB of memory, the limit; stopped")

    def _replace(self, reason: str) -> None:
        """Fail the line in hand and go on with the next one in a new process."""
        self.stop()
        self._take(Finding(line=self._left[0], verdict=Verdict.FAILS, reason=reason))
        if not self.done:
            self._start()


def _not_built(name: str) -> Finding:
    return Finding(line=name, verdict=Verdict.DOES_NOT_APPLY, reason="the block is not built")


def _processes() -> ForkServerContext | SpawnContext:
    """Return a way to start clean processes that is quick: PyTorch is imported once for all."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    return context


def _resident_bytes(pid: int | None) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def _ending(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return f"signal {signal.Signals(-exit_code).name}"
    return f"exit status {exit_code}"


def _serve(connection: Connection, block: str | BlockSpec, names: list[str]) -> None:
    """Be the child: send None once ready, then a finding for each of these lines."""
    os.setsid()
    _discard_output()
    threading.Thread(target=_die_with_parent, daemon=True).start()
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    torch.set_num_threads(1)
    connection.send(None)
    lines = {line.name: line for line in contract_lines()}
    try:
        spec = get_block(block) if isinstance(block, str) else block
    except BlockZooError as error:
        connection.send(Finding(line=names[0], verdict=Verdict.FAILS, reason=str(error)))
        return
    for name in names:
        connection.send(lines[name].judge(spec))


def _discard_output() -> None:
    """Keep what a block or a compiler prints out of the report."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.killpg(0, signal.SIGKILL)
