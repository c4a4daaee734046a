"""A bundle: all records of a store in one .zip file, which can be handed to others.

Its five members are records, one a line without their series; the series, packed; what records have
in common, environments here, scaffolds and recipes there; and a manifest with the size and the
SHA-256 of each. Nothing in it is code, and nothing of it is trusted: see `reading.py`.
"""

from __future__ import annotations

import hashlib
import struct
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pydantic_core import from_json, to_json

from blockzoo.core.commit import PACKAGE, commit_of
from blockzoo.core.errors import BundleError, ResultsError
from blockzoo.core.files import replacing
from blockzoo.core.version import VERSION
from blockzoo.results.records import SCHEMA_VERSION
from blockzoo.results.store.database import Store
from blockzoo.results.store.documents import written
from blockzoo.results.store.taking import Taken, take
from blockzoo.results.submissions.layout import (
    CONFIGURATION,
    ENVIRONMENTS,
    FORMAT,
    LARGEST_BYTES,
    MANIFEST,
    RECORDS,
    SERIES,
    Manifest,
    Member,
    Origin,
    require_plain_text,
)
from blockzoo.results.submissions.reading import Bundle, opened

LENGTH = struct.Struct("<I")
_EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The time of every member: the same store makes the same bundle."""


def is_bundle(path: str | Path) -> bool:
    """Tell whether a file is a bundle by its name.

    >>> is_bundle("mine.bundle.zip"), is_bundle("everything.jsonl")
    (True, False)
    """
    return Path(path).suffix.lower() == ".zip"


def write_bundle(store: Store, path: str | Path, origin: Origin | None = None) -> int:
    """Write all records of the store into a bundle and return how many there are.

    Args:
        store: What is read, some records at a time.
        path: Of the bundle; what was there is replaced once the new one is whole.
        origin: Who hands it in, and what it is.

    Raises:
        ResultsError: When it cannot be written.
        BundleError: For a record that nobody could import, naming it and what is wrong with it.

    Example:
        >>> with Store("mine", create=True) as mine, Store("theirs", create=True) as theirs:
        ...     written = write_bundle(mine, "mine.bundle.zip")
        ...     print(written, read_bundle("mine.bundle.zip", theirs))
        0 0 new, 0 same, 0 replaced, 0 older, 0 left out
    """
    with (
        replacing(path) as scratch,
        tempfile.TemporaryFile(dir=scratch.parent) as series,
        zipfile.ZipFile(scratch, "w") as archive,
    ):
        return _Writer(archive, series).write(store, origin or Origin())


def read_bundle(path: str | Path, store: Store, *, skip_bad: bool = False) -> Taken:
    """Put all records of a bundle into the store, or none, and say what came of them.

    Args:
        path: Of a bundle.
        store: What they are put into, in one transaction.
        skip_bad: Whether records that are none are left out, each with its reason.

    Raises:
        BundleError: For anything in it that is not as it must be; the store stays as it was.
        ResultsError: When file or store cannot be read or written.

    Example:
        >>> with Store("results", create=True) as store:
        ...     written = write_bundle(store, "all.bundle.zip")
        ...     read_bundle("all.bundle.zip", store).records
        0
    """
    with checked(path) as bundle:
        taken = Taken()
        return take(store, bundle.records(taken.skipped if skip_bad else None), taken)


@contextmanager
def checked(path: str | Path) -> Iterator[Bundle]:
    """Open a bundle whose members are as its manifest says.

    Args:
        path: Of a bundle.

    Raises:
        BundleError: For anything in it that is not as it must be.
        ResultsError: When it cannot be read.

    Example:
        >>> with Store("mine", create=True) as mine:
        ...     written = write_bundle(mine, "mine.bundle.zip", Origin(by="Ada"))
        >>> with checked("mine.bundle.zip") as bundle:
        ...     bundle.origin.by
        'Ada'
    """
    try:
        with opened(path) as bundle:
            bundle.check_members()
            yield bundle
    except OSError as error:
        raise ResultsError(f"{path} cannot be read: {error.strerror or error}") from error


class _Counted:
    """Writes into a member, and knows how much that was and its hash."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._hash, self._bytes = file, hashlib.sha256(), 0

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)
        self._bytes += len(data)

    @property
    def member(self) -> Member:
        return Member(bytes=self._bytes, sha256=self._hash.hexdigest())


class _Writer:
    """Writes the members of one bundle."""

    def __init__(self, archive: zipfile.ZipFile, series: IO[bytes]) -> None:
        self._archive, self._series = archive, series
        self._members: dict[str, Member] = {}
        self._shared: dict[str, dict[str, str]] = {"environment": {}, "scaffold": {}, "recipe": {}}
        self._protocols: dict[str, None] = {}

    def write(self, store: Store, origin: Origin) -> int:
        with self._member(RECORDS) as lines:
            records = self._write_records(store, lines, _Counted(self._series))
        self._series.seek(0)
        with self._member(SERIES, zipfile.ZIP_STORED) as blobs:  # they are compressed already
            while part := self._series.read(2**20):
                blobs.write(part)
        self._write_shared()
        manifest = Manifest(
            blockzoo_bundle=FORMAT,
            schema_version=SCHEMA_VERSION,
            records=records,
            blockzoo=VERSION,
            commit=commit_of(PACKAGE),
            origin=origin,
            members=self._members,
        )
        with self._member(MANIFEST) as file:
            file.write(manifest.model_dump_json(indent=1).encode())
        return records

    @contextmanager
    def _member(self, name: str, how: int = zipfile.ZIP_DEFLATED) -> Iterator[_Counted]:
        info = zipfile.ZipInfo(name, _EARLIEST)
        info.compress_type = how
        info.external_attr = 0o644 << 16
        with self._archive.open(info, "w", force_zip64=True) as file:
            counted = _Counted(file)
            yield counted
        self._members[name] = counted.member
        if counted.member.bytes > LARGEST_BYTES[name]:
            raise BundleError(f"{name} would be too large to be imported")

    def _write_records(self, store: Store, lines: _Counted, series: _Counted) -> int:
        number = 0
        for record in store.each():
            number += 1
            kept = written(record)
            head = from_json(kept.head)
            require_plain_text(head, f"record {record.trial_id},")
            environment = head["environment"]["of"]
            digests = {
                "environment": environment,
                **{n: head.get(n) for n in ("scaffold", "recipe")},
            }
            for name, digest in digests.items():
                if digest is not None and digest not in self._shared[name]:
                    self._shared[name][digest] = kept.shared[digest]
            if label := head.get("protocol"):
                self._protocols[label] = None
            lines.write(kept.head.encode() + b"\n")
            if kept.series is not None:
                series.write(LENGTH.pack(len(kept.series)) + kept.series)
        return number

    def _write_shared(self) -> None:
        with self._member(ENVIRONMENTS) as file:
            file.write(_object(self._shared["environment"]))
        labels = to_json([*self._protocols])
        scaffolds, recipes = _object(self._shared["scaffold"]), _object(self._shared["recipe"])
        with self._member(CONFIGURATION) as file:
            file.write(b'{"protocols":' + labels + b',"scaffolds":' + scaffolds)
            file.write(b',"recipes":' + recipes + b"}")


def _object(texts: dict[str, str]) -> bytes:
    """Return the texts, each JSON, as one object of JSON."""
    return ("{" + ",\n".join(f'"{digest}":{text}' for digest, text in texts.items()) + "}").encode()
