"""What `results verify` does with a bundle: check the file, then make some of its trials again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import typer

from blockzoo.cli.screen.consoles import output_console, say, show_written
from blockzoo.core.errors import InputError
from blockzoo.results.records import AnyRecord
from blockzoo.results.store.database import Store
from blockzoo.results.submissions.bundle import is_bundle, read_bundle
from blockzoo.results.submissions.consistency import contradictions, gaps
from blockzoo.results.submissions.verification import add_verification
from blockzoo.results.verify import faults_of

if TYPE_CHECKING:
    from blockzoo.experiments.verify import RerunRequest, Verified

_SHOWN = 20
"""Lines of one kind of fault; the number of the rest is said."""


def verify_bundle(bundle: Path) -> None:
    """Check a bundle without running anything; exits with status 1 where anything is wrong."""
    _, faults = _checked(bundle)
    _show_faults(faults)
    if faults:
        raise typer.Exit(1)
    output_console().print(f"{bundle} is whole and contradicts itself nowhere", highlight=False)
    say("whether it is true only --rerun can tell")


def rerun_bundle(bundle: Path, request: RerunRequest, *, keep: bool) -> None:
    """Check a bundle, make a sample again, and keep what came of it beside the bundle."""
    from blockzoo.experiments.verify import verify_records

    if not is_bundle(bundle):
        raise InputError(f"--rerun takes a bundle, NAME.bundle.zip; {bundle} is none")
    records, faults = _checked(bundle)
    found = verify_records(records, request, faults, progress=_say_progress)
    _show(found)
    if keep:
        show_written(add_verification(bundle, found.verification))
    if not found.verification.agrees:
        raise typer.Exit(1)


def _checked(bundle: Path) -> tuple[list[AnyRecord], list[str]]:
    """Return the records of a bundle, and what is wrong with them, a line each."""
    with TemporaryDirectory() as folder, Store(folder, create=True) as store:
        read_bundle(bundle, store)
        faults = [*faults_of(store)]
        records = list(store.each())
    faults += contradictions(records)
    faults += (gap.line for gap in gaps(records))
    return records, faults


def _say_progress(done: int, total: int, label: str) -> None:
    say(f"{done + 1} of {total}: {label}")


def _show(found: Verified) -> None:
    from blockzoo.report.tables.verification import (
        detection_line,
        detection_table,
        reruns_table,
    )

    made, console = found.verification, output_console()
    if made.reruns:
        console.print(reruns_table(made))
    if made.drawn_from:
        console.print(detection_table(made.drawn_from, len(made.reruns)))
        console.print(detection_line(made.drawn_from, len(made.reruns)), highlight=False)
    say(f"drawn by --seed {made.sample_seed} from {made.drawn_from} of {made.records} records")
    _say_counted("not made again", found.not_rerun)
    _say_counted("not identified", found.unknown)
    _show_faults(made.faults)
    differ = sum(each.result == "differs" for each in made.reruns)
    told = sum(each.result in ("equal", "within") for each in made.reruns)
    console.print(
        f"{len(made.faults)} faults; of {len(made.reruns)} made again {told} agree, "
        f"{differ} differ",
        highlight=False,
    )


def _say_counted(what: str, reasons: Counter[str]) -> None:
    for reason, count in reasons.most_common():
        say(f"{what}: {count}, because {reason}")


def _show_faults(faults: Sequence[str]) -> None:
    console = output_console()
    for fault in faults[:_SHOWN]:
        console.print(fault, highlight=False, markup=False, soft_wrap=True)
    if len(faults) > _SHOWN:
        console.print(f"and {len(faults) - _SHOWN} faults more", highlight=False)
