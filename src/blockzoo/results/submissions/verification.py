"""What checks of a bundle found, in a file beside it, and how far it is to be trusted by that.

A bundle never says itself how far it is to be trusted: the tier follows from these files, which
those who check write. Each names the bundle by the checksum of its bytes, so of a bundle that was
changed nothing holds. Its own checksum finds damage and careless edits. Who may put such a file
beside a bundle is for the board's repository to say.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from blockzoo.core.errors import BundleError, ResultsError
from blockzoo.core.files import replacing
from blockzoo.results.submissions.layout import require_plain_text

_SUFFIX = ".verified.json"
_LARGEST_BYTES = 2**24
_PART_BYTES = 2**20
Result = Literal["equal", "within", "differs"]
"""Of a trial made again: the same bits, within what chance allows, or neither."""


class Tier(str, Enum):
    """How far a bundle is to be trusted, the least first.

    `SELF_REPORTED`: nobody made any of it again, but for timings on the same platform, which are
    never equal. `BIT_FOR_BIT`: a sample was made again with equal bits, or all of it are costs that
    were counted again. `ELSEWHERE`: on another platform, with results that agree. `MAINTAINED`:
    once more since, by another version of BlockZoo.
    """

    SELF_REPORTED = "self-reported"
    BIT_FOR_BIT = "reproduced bit for bit"
    ELSEWHERE = "reproduced elsewhere"
    MAINTAINED = "maintained"


class _Checked(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Rerun(_Checked):
    """A trial that was made again and what came of it; `there`: on the platform it was made on."""

    trial_id: str = Field(max_length=100)
    label: str = Field(max_length=10_000)
    result: Result
    same_platform: bool
    detail: str = Field(max_length=10_000)


class Verification(_Checked):
    """One check of a bundle.

    Attributes:
        verified_at: When, in UTC, as ISO 8601.
        blockzoo: Version that checked.
        commit: Of it, where it is known.
        platform: What it ran on.
        records: How many the bundle has.
        counted: How many of them are costs that were counted again, and are exactly the same.
        drawn_from: Of how many the sample was drawn: those that could be made again there.
        sample_seed: What it was drawn by.
        faults: What was found wrong without making anything again.
        reruns: The sample.
    """

    verified_at: str = Field(max_length=40)
    blockzoo: str = Field(max_length=100)
    commit: str | None = Field(default=None, max_length=100)
    platform: str = Field(max_length=1000)
    records: int = Field(ge=0)
    counted: int = Field(ge=0)
    drawn_from: int = Field(ge=0)
    sample_seed: int = Field(ge=0)
    faults: tuple[str, ...] = Field(default=(), strict=False)
    reruns: tuple[Rerun, ...] = Field(default=(), strict=False)

    @property
    def failures(self) -> tuple[str, ...]:
        """All that is wrong, a line each: faults, and what differs though it was made again."""
        differing = (each for each in self.reruns if each.result == "differs")
        return (*self.faults, *(f"record {r.trial_id}, {r.label}: {r.detail}" for r in differing))

    @property
    def agrees(self) -> bool:
        """Whether nothing was found wrong."""
        return not self.failures

    @property
    def is_bit_for_bit(self) -> bool:
        """Whether it agrees, and what was made again has equal bits somewhere."""
        counted = 0 < self.records == self.counted
        return self.agrees and (counted or any(each.result == "equal" for each in self.reruns))

    @property
    def is_elsewhere(self) -> bool:
        """Whether it agrees, and some was made again on another platform than the bundle's."""
        return self.agrees and any(not each.same_platform for each in self.reruns)

    @property
    def reproduces(self) -> bool:
        """Whether some was made again and agrees."""
        return self.is_bit_for_bit or self.is_elsewhere


class Verifications(_Checked):
    """All checks of one bundle, the oldest first."""

    blockzoo_verification: Literal[1] = 1
    bundle_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    verifications: tuple[Verification, ...] = Field(strict=False)

    @property
    def tier(self) -> Tier:
        """How far the bundle is to be trusted; the newest check counts where it does not agree."""
        newest = self.verifications[-1] if self.verifications else None
        if newest is None or not newest.agrees:
            return Tier.SELF_REPORTED
        good = [each for each in self.verifications if each.reproduces]
        if len({each.blockzoo for each in good}) > 1 and newest.reproduces:
            return Tier.MAINTAINED
        if any(each.is_elsewhere for each in good):
            return Tier.ELSEWHERE
        return Tier.BIT_FOR_BIT if good else Tier.SELF_REPORTED

    @property
    def verified_at(self) -> str | None:
        """When it was checked last; None where it never was."""
        return self.verifications[-1].verified_at if self.verifications else None


class _Sealed(_Checked):
    """The file: what was found, and the SHA-256 of that as JSON."""

    found: Verifications
    sha256: str


def verification_path(bundle: str | Path) -> Path:
    """Return where the checks of a bundle are kept.

    >>> verification_path("board/mine.bundle.zip").as_posix()
    'board/mine.verified.json'
    """
    path = Path(bundle)
    return path.with_name(path.name.removesuffix(".zip").removesuffix(".bundle") + _SUFFIX)


def digest_of(bundle: str | Path) -> str:
    """Return the SHA-256 of a file; raises `ResultsError` where it cannot be read.

    >>> len(digest_of(__file__))
    64
    """
    digest = hashlib.sha256()
    try:
        with Path(bundle).open("rb") as file:
            while part := file.read(_PART_BYTES):
                digest.update(part)
    except OSError as error:
        raise ResultsError(f"{bundle} cannot be read: {error.strerror or error}") from error
    return digest.hexdigest()


def read_verifications(bundle: str | Path) -> Verifications:
    """Return the checks of a bundle as it is now; none where the file beside it is missing.

    Args:
        bundle: Its path.

    Returns:
        Those of exactly these bytes.

    Raises:
        BundleError: For a file that is damaged or was edited.
        ResultsError: Where a file cannot be read.

    Example:
        >>> read_verifications(__file__).tier.value
        'self-reported'
    """
    path, digest = verification_path(bundle), digest_of(bundle)
    none = Verifications(bundle_sha256=digest, verifications=())
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST_BYTES + 1)
    except FileNotFoundError:
        return none
    except OSError as error:
        raise ResultsError(f"{path} cannot be read: {error.strerror or error}") from error
    found = _unsealed(text, path)
    # Of a bundle that was replaced since, nothing that was checked holds.
    return found if found.bundle_sha256 == digest else none


def _unsealed(text: bytes, path: Path) -> Verifications:
    try:
        sealed = _Sealed.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise BundleError(f"{path} holds no checks of a bundle: {where}: {first['msg']}") from None
    if _seal(sealed.found) != sealed.sha256:
        raise BundleError(f"{path} was changed: its checksum is of something else")
    require_plain_text(sealed.found.model_dump(mode="json"), f"{path},")
    return sealed.found


def add_verification(bundle: str | Path, verification: Verification) -> Path:
    """Keep a check beside the bundle, after those that are there, and return the file.

    Args:
        bundle: Its path.
        verification: What was found.

    Returns:
        Its file, `NAME.verified.json`.

    Raises:
        BundleError: For a file there that is damaged.
        ResultsError: Where it cannot be written.

    Example:
        >>> add_verification.__name__
        'add_verification'
    """
    before = read_verifications(bundle)
    found = before.model_copy(update={"verifications": (*before.verifications, verification)})
    path = verification_path(bundle)
    with replacing(path) as scratch:
        text = _Sealed(found=found, sha256=_seal(found)).model_dump_json(indent=1)
        scratch.write_bytes(f"{text}\n".encode())
    return path


def _seal(found: Verifications) -> str:
    return hashlib.sha256(found.model_dump_json().encode()).hexdigest()


def moment_text(moment: datetime) -> str:
    """Return a moment to the second, as the file has it.

    >>> moment_text(datetime(2026, 1, 2, 3, 4, 5, 999))
    '2026-01-02T03:04:05'
    """
    return moment.replace(microsecond=0, tzinfo=None).isoformat()
