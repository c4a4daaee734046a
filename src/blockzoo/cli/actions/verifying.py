"""What `results verify` does with a bundle: check it as it is, then make some of it again."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import typer

from blockzoo.cli.screen.consoles import output_console, say, show_written
from blockzoo.core.errors import InputError
from blockzoo.results.records import AnyRecord
from blockzoo.results.store.database import Store
from blockzoo.results.store.taking import take
from blockzoo.results.submissions.bundle import checked
from blockzoo.results.submissions.consistency import contradictions, gaps
from blockzoo.results.submissions.layout import Origin
from blockzoo.results.submissions.verification import (
    Verification,
    add_verification,
    read_verifications,
)
from blockzoo.results.verify import faults_of

if TYPE_CHECKING:
    from blockzoo.experiments.verification.verify import Verified, VerifyRequest


def request_of(
    sample: int | None,
    seed: int | None,
    tolerance: float | None,
    ratio_tolerance: float | None,
    data_dir: Path | None,
    device: str,
) -> VerifyRequest:
    """Return what is asked for; tolerances are given in points and percent."""
    from blockzoo.experiments.verification.rerun import Tolerance
    from blockzoo.experiments.verification.verify import VerifyRequest

    allowed = Tolerance(accuracy=None if tolerance is None else tolerance / 100)
    if ratio_tolerance is not None:
        allowed = replace(allowed, ratio=ratio_tolerance / 100)
    return VerifyRequest(
        sample=sample or 0,
        sample_seed=seed,
        data_dir=data_dir,
        device=device,
        tolerance=allowed,
    )


def verify_bundle(bundle: Path, request: VerifyRequest, *, record: bool) -> None:
    """Check a bundle, make a sample again, and print what came of it.

    Exits with status 1 where anything is wrong. With `record` what was found is kept beside it.
    """
    if not bundle.is_file():
        raise InputError(f"{bundle} is not there; give the name of a bundle, NAME.bundle.zip")
    records, faults, origin = _read(bundle)
    if record:
        read_verifications(bundle)  # a damaged file beside it is told before anything runs
    from blockzoo.experiments.verification.verify import verify_records

    say(f"{len(records)} records by {origin.by or 'nobody named'}: {origin.about or 'no title'}")
    found = verify_records(records, request, faults, progress=_say_progress)
    _show(found)
    if record:
        show_written(add_verification(bundle, found.verification))
        say(f"it is {read_verifications(bundle).tier.value}")
    if not found.verification.agrees:
        raise typer.Exit(1)


def _read(bundle: Path) -> tuple[list[AnyRecord], list[str], Origin]:
    """Return the records of a bundle, what is wrong with them, a line each, and whose it is."""
    with TemporaryDirectory() as folder, Store(folder, create=True) as store:
        with checked(bundle) as opened:
            origin = opened.origin
            take(store, opened.records())
        faults = [*faults_of(store)]
        records = list(store.each())
    faults += contradictions(records)
    faults += (gap.line for gap in gaps(records))
    return records, faults, origin


def _say_progress(done: int, total: int, label: str) -> None:
    say(f"{done + 1} of {total}: {label}")


def _show(found: Verified) -> None:
    from blockzoo.report.tables.verification import detection_table, reruns_table

    made, console = found.verification, output_console()
    if made.reruns:
        console.print(reruns_table(made))
    if made.drawn_from:
        console.print(detection_table(made.drawn_from, len(made.reruns)))
    _say_counted("not made again", found.not_rerun)
    _say_counted("not identified", found.unknown)
    of = f"the {made.drawn_from} that can be made again here"
    how = f"drawn by --seed {made.sample_seed} from" if made.reruns else "--sample N makes N of"
    say(f"{how} {of}")
    for line in made.failures:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(_summary(made), highlight=False)


def _summary(made: Verification) -> str:
    """Return in a line what was checked and what failed."""
    failed = f"{len(made.failures)} failures" if made.failures else "nothing failed"
    return (
        f"{made.records} records: {made.counted} costs counted again, {len(made.reruns)} trials "
        f"made again, {failed}"
    )


def _say_counted(what: str, reasons: Counter[str]) -> None:
    for reason, count in reasons.most_common():
        say(f"{what}: {count}, because {reason}")
