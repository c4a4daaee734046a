"""`blockzoo check`: the contract run on blocks that may hang, allocate without bound, or crash.

Each block of a user has a child process of its own, which sends a finding line by line. A line that
runs too long is stopped with its process and is undecided, one that takes too much memory fails,
and a new process goes on with the next line. User code is imported in the child alone. Blocks of
the zoo share processes, unless they are exported: what the compiler keeps of one would count
against the next.
"""

from __future__ import annotations

import os
import pickle
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import NamedTuple

import cloudpickle
import torch

from blockzoo.blocks import BlockLike, BlockSpec, get_block
from blockzoo.blocks.user_code import SetsAtImportWarning, names_user_code
from blockzoo.contract.findings import Finding, Verdict
from blockzoo.contract.lines import BUILDS, contract_lines
from blockzoo.core.errors import reason_of
from blockzoo.core.processes import Answer, Ended, Limits, Raised, Send, Worker
from blockzoo.core.ranges import AT_ONCE

LINE_LIMITS = Limits(time_s=60.0, memory_bytes=4 * 2**30)
_PRELOADED = ("blockzoo.contract.check", "blockzoo.blocks.zoo")


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
        """Whether the block keeps the contract: no line failed, and none is undecided."""
        return not self.broken and not self.count(Verdict.UNDECIDED)

    @property
    def broken(self) -> bool:
        """Whether a line failed."""
        return bool(self.count(Verdict.FAILS))


def check_blocks(
    blocks: Iterable[BlockLike],
    *,
    exports: bool = True,
    limits: Limits = LINE_LIMITS,
    jobs: int = 1,
    on_finding: Callable[[str, Finding], None] | None = None,
) -> Iterator[BlockReport]:
    """Yield a report for each block as it is done, `jobs` blocks at a time.

    `limits` are those of one line, of the process it is in. A name with a file or module in it is
    looked up in the child only, so that what is wrong with it is a finding. Other names raise
    `UnknownNameError` here. `on_finding` is called with the block's name and each finding as it
    comes. Call this from a script under `if __name__ == "__main__":`, as anything that starts
    processes.
    """
    AT_ONCE.checked("jobs", jobs)
    names = [line.name for line in contract_lines(exports=exports)]
    # Findings and reports of all threads come by one queue, and are handed on in this thread.
    arrived: SimpleQueue[tuple[str, Finding] | Future[BlockReport]] = SimpleQueue()
    idle: SimpleQueue[Worker] = SimpleQueue()
    checks = [_Check(block, limits, arrived.put, None if exports else idle) for block in blocks]
    pool = ThreadPoolExecutor(jobs)
    try:
        for check in checks:
            pool.submit(check.run, names).add_done_callback(arrived.put)
        missing = len(checks)
        while missing:
            item = arrived.get()
            if isinstance(item, Future):
                missing -= 1
                yield item.result()
            elif on_finding is not None:
                on_finding(*item)
    finally:
        # Also where whoever asked reads no further: children must not outlive the check.
        for check in checks:
            check.stop()
        pool.shutdown(cancel_futures=True)


class _Packed(NamedTuple):
    """A block's name, and what a child process can make it of: its spec, or else its name."""

    name: str
    content: bytes
    from_zoo: bool


def _packed(block: BlockLike) -> _Packed:
    """Return what travels; a class of a notebook whole, for no other process could find it."""
    if isinstance(block, str) and names_user_code(block):
        return _Packed(block, pickle.dumps(block), from_zoo=False)
    spec = get_block(block)
    try:
        return _Packed(spec.name, cloudpickle.dumps(spec), spec.from_zoo)
    except Exception:  # noqa: BLE001 - whatever a user's own way of being pickled raises
        return _Packed(spec.name, pickle.dumps(spec.name), spec.from_zoo)


class _Check:
    """One block on its way through the contract; every process that it costs is replaced."""

    def __init__(
        self,
        block: BlockLike,
        limits: Limits,
        on_finding: Callable[[tuple[str, Finding]], None],
        idle: SimpleQueue[Worker] | None,
    ) -> None:
        self._name, self._block, from_zoo = _packed(block)
        self._limits, self._on_finding = limits, on_finding
        self._idle = idle if from_zoo else None
        self._stopped = False
        self._worker: Worker | None = None

    def run(self, names: Sequence[str]) -> BlockReport:
        """Judge the block by the lines of these names."""
        findings: list[Finding] = []
        while len(findings) < len(names) and not self._stopped:
            worker, is_done = self._start(), False
            try:
                is_done = self._judge_rest(worker, names, findings)
            finally:
                if is_done and self._idle is not None:
                    self._idle.put(worker)
                else:
                    # Beside what comes next: all would else wait for the end of each process.
                    threading.Thread(target=worker.close).start()
        return BlockReport(block=self._name, findings=tuple(findings))

    def _judge_rest(self, worker: Worker, names: Sequence[str], findings: list[Finding]) -> bool:
        """Judge by the lines that have no finding yet; return whether the process came through."""

        def take(finding: Finding) -> None:
            # Each of the others would only fail for the same reason.
            rest = map(_not_built, names[len(findings) + 1 :]) if _ends_all(finding) else ()
            for each in (finding, *rest):
                findings.append(each)
                self._on_finding((self._name, each))

        # A finding is the sign of life, so the time from one to the next is that of a line.
        limits = replace(self._limits, time_s=None, silence_s=self._limits.time_s)
        task = (self._block, names[len(findings) :])
        verdict = Verdict.FAILS
        match worker.stream(_judge, task, listener=take, limits=limits):
            case Answer():
                return True
            case Raised(error=error):
                reason = reason_of(error)
            case Ended(cause="silence"):
                # It may only be slow, on a busy machine say: that breaks no line.
                verdict = Verdict.UNDECIDED
                reason = f"still running after {limits.silence_s:g} s, the time limit; stopped"
            case Ended(cause="died", reason=reason):
                reason = f"the process {reason}"
            case Ended(reason=reason):
                pass
        if len(findings) < len(names):  # the last one may have come before the end
            take(Finding(line=names[len(findings)], verdict=verdict, reason=reason))
        return False

    def stop(self) -> None:
        """End what `run` does in another thread, and begin nothing more."""
        self._stopped = True
        if self._worker is not None:
            self._worker.stop()

    def _start(self) -> Worker:
        # Quick, for PyTorch and the zoo are imported once for all processes.
        self._worker = self._shared() or Worker("forkserver", preload=_PRELOADED, silent=True)
        if self._stopped:  # while this one was started
            self._worker.stop()
        return self._worker

    def _shared(self) -> Worker | None:
        """Return a process that another block of the zoo has come through, if there is one."""
        with suppress(Empty):
            return None if self._idle is None else self._idle.get_nowait()
        return None


def _not_built(name: str) -> Finding:
    return Finding(line=name, verdict=Verdict.DOES_NOT_APPLY, reason="the block is not built")


def _ends_all(finding: Finding) -> bool:
    stopped = finding.verdict in (Verdict.FAILS, Verdict.UNDECIDED)
    return finding.line == BUILDS.name and stopped


def _judge(task: tuple[bytes, Sequence[str]], send: Send) -> None:
    """Judge a pickled block, or name of one, by the lines of these names; done in the child."""
    # Blocks are checked side by side, so each has one thread.
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    torch.set_num_threads(1)
    block, names = task
    spec, told = _loaded(block)
    lines = {line.name: line for line in contract_lines()}
    for name in names:
        finding = lines[name].judge(spec)
        if name == BUILDS.name and finding.verdict is Verdict.PASSES:
            finding = replace(finding, reason="; ".join(filter(None, (finding.reason, told))))
        send(finding)
        if _ends_all(finding):
            return


def _loaded(block: bytes) -> tuple[BlockSpec, str]:
    """Return the block, and what its file set for the whole process as it was imported."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SetsAtImportWarning)
        name_or_spec = pickle.loads(block)
        spec = get_block(name_or_spec) if isinstance(name_or_spec, str) else name_or_spec
    told = [str(each.message) for each in caught if issubclass(each.category, SetsAtImportWarning)]
    return spec, "; ".join(told)
