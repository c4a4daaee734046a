"""The file beside a bundle: what it keeps, when it holds no more, and the tier that follows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from blockzoo.core.errors import BundleError
from blockzoo.results.submissions.verification import (
    Rerun,
    Tier,
    Verification,
    add_verification,
    read_verifications,
    verification_path,
)


def checked(*results: str, elsewhere: bool = False, **changes: Any) -> Verification:
    reruns = tuple(
        Rerun(
            trial_id=f"t{number}",
            label="training A mid, seed 0",
            result=result,  # type: ignore[arg-type]
            same_platform=not elsewhere,
            detail="90% told, 90% here",
        )
        for number, result in enumerate(results)
    )
    values: dict[str, Any] = {
        "verified_at": "2026-01-02T03:04:05",
        "blockzoo": "1.0",
        "platform": "torch 2",
        "records": 10,
        "counted": 1,
        "drawn_from": 9,
        "sample_seed": 7,
        "reruns": reruns,
    }
    return Verification(**values | changes)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "mine.bundle.zip"
    path.write_bytes(b"any bytes")
    return path


def test_checks_are_added_and_read_as_they_were(bundle: Path) -> None:
    first, second = checked("equal"), checked("within", elsewhere=True)
    assert add_verification(bundle, first) == bundle.with_name("mine.verified.json")
    add_verification(bundle, second)
    assert read_verifications(bundle).verifications == (first, second)


def test_what_differs_is_listed_after_the_faults() -> None:
    found = checked("equal", "differs", faults=("a fault",))
    assert found.failures == (
        "a fault",
        "record t1, training A mid, seed 0: 90% told, 90% here",
    )


def test_of_a_bundle_that_was_replaced_nothing_holds(bundle: Path) -> None:
    add_verification(bundle, checked("equal"))
    assert read_verifications(bundle).tier is Tier.BIT_FOR_BIT
    bundle.write_bytes(b"other bytes")
    assert read_verifications(bundle).verifications == ()


@pytest.mark.parametrize(
    ("old", "new"),
    [('"differs"', '"equal"'), ('"records": 10', '"records": 99'), ('"found"', '"lost"')],
)
def test_an_edited_file_is_refused(bundle: Path, old: str, new: str) -> None:
    path = add_verification(bundle, checked("differs"))
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(BundleError, match=r"was changed|holds no checks"):
        read_verifications(bundle)


def test_a_file_that_is_something_else_is_refused(bundle: Path) -> None:
    verification_path(bundle).write_bytes(b"\xff not JSON")
    with pytest.raises(BundleError, match="holds no checks of a bundle"):
        read_verifications(bundle)


@pytest.mark.parametrize(
    ("checks", "tier"),
    [
        ([], Tier.SELF_REPORTED),
        ([checked()], Tier.SELF_REPORTED),
        ([checked("within")], Tier.SELF_REPORTED),  # a timing, whose bits are never equal
        ([checked(counted=10)], Tier.BIT_FOR_BIT),
        ([checked(counted=0, records=0)], Tier.SELF_REPORTED),
        ([checked("equal", elsewhere=True)], Tier.ELSEWHERE),
        ([checked("equal", "equal")], Tier.BIT_FOR_BIT),
        ([checked("equal", faults=("a fault",))], Tier.SELF_REPORTED),
        ([checked("equal", "differs")], Tier.SELF_REPORTED),
        ([checked("within", elsewhere=True)], Tier.ELSEWHERE),
        ([checked("equal"), checked("equal", blockzoo="2.0")], Tier.MAINTAINED),
        ([checked("equal"), checked("equal")], Tier.BIT_FOR_BIT),
        ([checked("equal"), checked("differs", blockzoo="2.0")], Tier.SELF_REPORTED),
    ],
)
def test_the_tier_follows_from_the_checks(
    bundle: Path, checks: list[Verification], tier: Tier
) -> None:
    for each in checks:
        add_verification(bundle, each)
    assert read_verifications(bundle).tier is tier
