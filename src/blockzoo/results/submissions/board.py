"""A board: a folder of bundles, and beside each what checks of it found.

The site of a board is made from a store of all its bundles. From here it has whose a record is, and
how far that is to be trusted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from blockzoo.core.errors import InputError
from blockzoo.results.records import AnyRecord
from blockzoo.results.store.database import Store
from blockzoo.results.store.taking import take
from blockzoo.results.submissions.bundle import checked
from blockzoo.results.submissions.layout import Origin
from blockzoo.results.submissions.verification import Tier, Verifications, read_verifications

PATTERN = "*.bundle.zip"


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A bundle of a board.

    Args:
        name: Of its file, without the endings.
        origin: Who handed it in, and what it is.
        tier: How far it is to be trusted.
        verified_at: When it was checked last, in UTC; None where it never was.
        trial_ids: Of its records, but for those that count as another bundle's.
    """

    name: str
    origin: Origin
    tier: Tier
    verified_at: str | None
    trial_ids: frozenset[str]


def read_board(folder: str | Path, store: Store) -> tuple[Submission, ...]:
    """Put all bundles of a board into a store, and return what they are, by name.

    Each trial is of one bundle: of several that have it, of the one that is trusted most, then of
    the one that was verified first. So nobody replaces a result by a later file.

    Args:
        folder: That holds files `NAME.bundle.zip`, and `NAME.verified.json` of those checked.
        store: What their records are put into; each bundle whole.

    Returns:
        The bundles, in the order of their names.

    Raises:
        InputError: For a folder without bundles.
        BundleError: For a bundle, or checks of it, that are not as they must be.
        ResultsError: Where a file or the store cannot be read or written.

    Example:
        >>> from blockzoo.results.submissions.bundle import write_bundle
        >>> with Store("mine", create=True) as mine:
        ...     written = write_bundle(mine, "mine.bundle.zip", Origin(by="Ada"))
        ...     [(each.name, each.origin.by, each.tier.value) for each in read_board(".", mine)]
        [('mine', 'Ada', 'self-reported')]
    """
    found = [(path, read_verifications(path)) for path in Path(folder).glob(PATTERN)]
    if not found:
        raise InputError(f"{folder} holds no bundles, {PATTERN}")
    taken: set[str] = set()
    submissions = [
        _put(path, checks, store, taken)
        for path, checks in sorted(found, key=lambda each: _precedence(*each))
    ]
    return tuple(sorted(submissions, key=lambda each: each.name))


def _precedence(path: Path, checks: Verifications) -> tuple[int, str, str]:
    """Return what sorts the most trusted first, then those that were verified first."""
    first = checks.verifications[0].verified_at if checks.verifications else ""
    return -[*Tier].index(checks.tier), first, path.name


def _put(path: Path, checks: Verifications, store: Store, taken: set[str]) -> Submission:
    """Put into the store what of a bundle no other had, and add these trials to `taken`."""
    own: set[str] = set()

    def unseen(records: Iterator[AnyRecord]) -> Iterator[AnyRecord]:
        for record in records:
            if record.trial_id not in taken:
                own.add(record.trial_id)
                yield record

    with checked(path) as bundle:
        take(store, unseen(bundle.records()))
        origin = bundle.origin
    taken |= own
    return Submission(
        name=path.name.removesuffix(PATTERN[1:]),
        origin=origin,
        tier=checks.tier,
        verified_at=checks.verified_at,
        trial_ids=frozenset(own),
    )
