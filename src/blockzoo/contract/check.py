"""`blockzoo check`: the contract run on blocks that may hang, allocate without bound, or crash.

Each block has a child process of its own, which is asked line by line. A line that runs too
long or takes too much memory is stopped with its process, counts as failed, and a new process goes
on with the next line. User code is imported in the child alone.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from queue import SimpleQueue

import torch

from blockzoo.blocks import BlockSpec, get_block
from blockzoo.blocks.user_code import names_user_code
from blockzoo.contract.findings import Finding, Verdict
from blockzoo.contract.lines import BUILDS, contract_lines
from blockzoo.core.errors import InputError, reason_of
from blockzoo.core.processes import Answer, Ended, Limits, Raised, Worker

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
        """Whether no line failed."""
        return not self.count(Verdict.FAILS)


def check_blocks(
    blocks: Iterable[str | BlockSpec],
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
    if jobs < 1:
        raise InputError(f"jobs is {jobs}; it must be 1 or more")
    names = [line.name for line in contract_lines(exports=exports)]
    # Findings and reports of all threads come by one queue, and are handed on in this thread.
    arrived: SimpleQueue[tuple[str, Finding] | Future[BlockReport]] = SimpleQueue()
    checks = [_Check(_sendable(block), limits, arrived.put) for block in blocks]
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


def _sendable(block: str | BlockSpec) -> str | BlockSpec:
    """Return what a child process can make the block of: the spec, or else its name."""
    if isinstance(block, str):
        return block if names_user_code(block) else _sendable(get_block(block))
    try:
        pickle.dumps(block)
    except (pickle.PicklingError, AttributeError, TypeError):
        return block.name
    return block


class _Check:
    """One block on its way through the contract; every process that it costs is replaced."""

    def __init__(
        self,
        block: str | BlockSpec,
        limits: Limits,
        on_finding: Callable[[tuple[str, Finding]], None],
    ) -> None:
        self._name = block if isinstance(block, str) else block.name
        self._block, self._limits, self._on_finding = pickle.dumps(block), limits, on_finding
        self._stopped = False
        self._worker: Worker | None = None

    def run(self, names: Sequence[str]) -> BlockReport:
        """Judge the block by the lines of these names."""
        findings: list[Finding] = []
        while len(findings) < len(names) and not self._stopped:
            with self._start() as worker:
                # Also of one that has died already, which is then the finding.
                while len(findings) < len(names):
                    finding = self._judged(worker, names[len(findings)])
                    # Each of the others would only fail for the same reason.
                    not_built = finding.line == BUILDS.name and finding.verdict is Verdict.FAILS
                    rest = map(_not_built, names[len(findings) + 1 :]) if not_built else ()
                    for each in (finding, *rest):
                        findings.append(each)
                        self._on_finding((self._name, each))
                    if not worker.alive:
                        break
        return BlockReport(block=self._name, findings=tuple(findings))

    def stop(self) -> None:
        """End what `run` does in another thread, and begin nothing more."""
        self._stopped = True
        if self._worker is not None:
            self._worker.stop()

    def _start(self) -> Worker:
        # Quick, for PyTorch and the zoo are imported once for all processes.
        self._worker = Worker("forkserver", preload=_PRELOADED, silent=True)
        if self._stopped:  # while this one was started
            self._worker.stop()
        self._worker.ask(_settle, None)
        return self._worker

    def _judged(self, worker: Worker, name: str) -> Finding:
        match worker.ask(_judge, (self._block, name), limits=self._limits):
            case Answer(value=finding):
                return finding
            case Raised(error=error):
                reason = reason_of(error)
            case Ended(cause="died", reason=reason):
                reason = f"the process {reason}"
            case Ended(reason=reason):
                pass
        return Finding(line=name, verdict=Verdict.FAILS, reason=reason)


def _not_built(name: str) -> Finding:
    return Finding(line=name, verdict=Verdict.DOES_NOT_APPLY, reason="the block is not built")


def _settle(_: None) -> None:
    """Make the child ready; blocks are checked side by side, so each has one thread."""
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    torch.set_num_threads(1)


def _judge(task: tuple[bytes, str]) -> Finding:
    """Judge a pickled block, or name of one, by the line of that name; done in the child."""
    block, name = task
    (line,) = (line for line in contract_lines() if line.name == name)
    return line.judge(_spec_of(block))


@lru_cache(maxsize=1)
def _spec_of(block: bytes) -> BlockSpec:
    """Return the spec, the same one for all lines: some of what they find out is kept with it."""
    name_or_spec = pickle.loads(block)
    return get_block(name_or_spec) if isinstance(name_or_spec, str) else name_or_spec
