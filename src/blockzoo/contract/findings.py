"""What is said of a block: a line of the contract, and its finding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from blockzoo.blocks.registry import BlockSpec
from blockzoo.core.errors import BlockZooError, in_one_line, reason_of
from blockzoo.core.seeding import seeded


class DoesNotApply(Exception):  # noqa: N818 - a verdict, no error
    """Raised by a line that has nothing to say about a block; the message says why."""


class Verdict(str, Enum):
    """What a line says about a block; undecided is one that was stopped at its time limit."""

    PASSES = "passes"
    FAILS = "fails"
    DOES_NOT_APPLY = "does not apply"
    UNDECIDED = "undecided"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The verdict of one line on one block; `reason` is one line of text, empty where all is said.

    For a line that passes, `reason` holds what is worth knowing all the same.
    """

    line: str
    verdict: Verdict
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the contract; `exports` marks those that leave eager PyTorch."""

    name: str
    checks: str
    run: Callable[[BlockSpec], str]
    exports: bool = False

    def judge(self, spec: BlockSpec) -> Finding:
        """Run the line on a block, from random numbers that are the same every time.

        >>> from blockzoo.blocks import get_block
        >>> from blockzoo.contract.lines import BUILDS
        >>> BUILDS.judge(get_block("Identity")).verdict
        <Verdict.PASSES: 'passes'>
        """
        with seeded(0, gpus=False):
            try:
                verdict, reason = Verdict.PASSES, self.run(spec)
            except DoesNotApply as why:
                verdict, reason = Verdict.DOES_NOT_APPLY, str(why)
            except BlockZooError as error:
                verdict, reason = Verdict.FAILS, reason_of(error)
            except Exception as error:  # noqa: BLE001 - any error of the block is its verdict
                verdict, reason = Verdict.FAILS, spec.describe_error(error)
        return Finding(line=self.name, verdict=verdict, reason=in_one_line(reason))
