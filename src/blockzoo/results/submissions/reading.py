"""Bundles of others, read with distrust.

What a bundle says is believed once it is checked: which members there are, how large they are, what
they hash to, that each record is one. A member is never written to a disk under its name. It is
read in parts, so that nothing it says about sizes costs memory.
"""

from __future__ import annotations

import hashlib
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from blockzoo.core.errors import BundleError, ResultsError, SchemaError, in_one_line
from blockzoo.results.records import AnyRecord
from blockzoo.results.store.documents import Shared
from blockzoo.results.store.reading import parse_record
from blockzoo.results.store.schema import check_schema_version
from blockzoo.results.store.series import SERIES as SERIES_OF
from blockzoo.results.store.series import unpacked_series
from blockzoo.results.submissions.layout import (
    CONFIGURATION,
    ENVIRONMENTS,
    FORMAT,
    LARGEST_BYTES,
    LARGEST_RATIO,
    LARGEST_SERIES,
    LARGEST_TOTAL_BYTES,
    LONGEST_LINE,
    MANIFEST,
    RECORDS,
    SERIES,
    Manifest,
    Origin,
    require_plain_text,
)

_LENGTH = struct.Struct("<I")
_PART_BYTES = 2**20
_END = struct.Struct("<4sHHHHIIH")
"""The record that a zip file ends with."""
_LARGEST_DIRECTORY = 2**16
_ENCRYPTED = 0x1
_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError),
    *(ValueError, OverflowError, NotImplementedError, RuntimeError),
)


@contextmanager
def opened(path: str | Path) -> Iterator[Bundle]:
    """Open a bundle; raises `BundleError` for a file that does not hold a bundle's members.

    >>> with opened(__file__) as bundle:
    ...     pass
    Traceback (most recent call last):
    blockzoo.core.errors.BundleError: reading.py is no bundle, or is truncated
    """
    with Path(path).open("rb") as file:
        _check_end(file, Path(path).name)
        with _damage(Path(path).name):
            archive = zipfile.ZipFile(file)
        with archive:
            yield Bundle(archive, Path(path).name)


@contextmanager
def _damage(name: str) -> Iterator[None]:
    """Turn what reading a damaged zip file raises into `BundleError`."""
    try:
        yield
    except _DAMAGE as error:
        raise BundleError(in_one_line(f"{name} is no bundle, or is damaged: {error}")) from error


def _check_end(file: IO[bytes], name: str) -> None:
    """Refuse what is no zip file, and one whose directory would not fit a bundle's members."""
    file.seek(0, 2)
    size = file.tell()
    file.seek(max(0, size - _END.size))
    end = file.read()
    if len(end) < _END.size or not end.startswith(b"PK\5\6"):
        raise BundleError(f"{name} is no bundle, or is truncated")
    if _END.unpack(end)[5] > _LARGEST_DIRECTORY:
        raise BundleError(f"{name} is no bundle: it has more members than a bundle")
    file.seek(0)


class Bundle:
    """A bundle that is open; its manifest and its members' names and sizes are checked.

    Args:
        archive: Of it.
        name: For messages.
    """

    def __init__(self, archive: zipfile.ZipFile, name: str) -> None:
        self._archive, self._name = archive, name
        self._check_names()
        self._manifest = self._read_manifest()
        self._check_sizes()

    def _check_names(self) -> None:
        names = [info.filename for info in self._archive.infolist()]
        if unknown := next((each for each in names if each not in LARGEST_BYTES), None):
            raise self._refused(f"member {unknown!r} is none of {', '.join(LARGEST_BYTES)}")
        if sorted(names) != sorted(LARGEST_BYTES):
            raise self._refused("a member is missing, or is there twice")
        for info in self._archive.infolist():
            self._check_kind(info)

    def _check_kind(self, info: zipfile.ZipInfo) -> None:
        mode = info.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG) or info.flag_bits & _ENCRYPTED:
            raise self._refused(f"{info.filename} is a link, or encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise self._refused(f"{info.filename} is compressed in a way that is not allowed")
        largest = LARGEST_BYTES[info.filename]
        if info.file_size > largest:
            raise self._refused(f"{info.filename} is {info.file_size} bytes; {largest} are allowed")
        if info.file_size > LARGEST_RATIO * info.compress_size + _PART_BYTES:
            raise self._refused(f"{info.filename} is packed more tightly than records can be")

    def _read_manifest(self) -> Manifest:
        with _damage(self._name):
            text = self._archive.read(MANIFEST)
        try:
            document = from_json(text)
            _check_versions(document, self._name)
            require_plain_text(document, "the manifest,")
            return Manifest.model_validate(document)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise self._refused(f"its manifest says {where}: {first['msg']}") from None
        except ValueError as error:
            raise self._refused(f"its manifest is no JSON: {error}") from None

    def _check_sizes(self) -> None:
        said = self._manifest.members
        if sorted(said) != sorted(set(LARGEST_BYTES) - {MANIFEST}):
            raise self._refused("its manifest does not name its members")
        infos = self._archive.infolist()
        if sum(info.file_size for info in infos) > LARGEST_TOTAL_BYTES:
            raise self._refused(f"it holds more than {LARGEST_TOTAL_BYTES} bytes")
        for info in infos:
            if info.filename != MANIFEST and info.file_size != said[info.filename].bytes:
                raise self._refused(f"{info.filename} is not as large as the manifest says")

    @property
    def origin(self) -> Origin:
        """Who handed it in, and what it is."""
        return self._manifest.origin

    def check_members(self) -> None:
        """Raise `BundleError` unless each member hashes to what the manifest says."""
        for name, said in self._manifest.members.items():
            with _damage(self._name):
                found = self._size_and_digest(name)
            if found != (said.bytes, said.sha256):
                raise self._refused(f"{name} does not have the checksum that the manifest says")

    def _size_and_digest(self, name: str) -> tuple[int, str]:
        digest, size = hashlib.sha256(), 0
        with self._archive.open(name) as file:
            while part := file.read(_PART_BYTES):
                digest.update(part)
                size += len(part)
        return size, digest.hexdigest()

    def records(self, skipped: list[str] | None = None) -> Iterator[AnyRecord]:
        """Yield the records; raises `BundleError` for what is none, or adds why to `skipped`.

        Args:
            skipped: Where lines are added of records that are left out.
        """
        shared = Shared(self._shared_texts().__getitem__)
        number = 0
        with self._archive.open(RECORDS) as lines, self._archive.open(SERIES) as series:
            while line := lines.readline(LONGEST_LINE):
                number += 1
                if not line.endswith(b"\n") or number > self._manifest.records:
                    raise self._refused(f"line {number} is too long, or there are too many")
                head, where = self._head(line, number), f"{self._name}, record {number},"
                blob = self._blob(series, where) if head.get("kind") in SERIES_OF else None
                try:
                    yield _record(head, blob, shared, where)
                except BundleError as error:
                    if skipped is None:
                        raise
                    skipped.append(str(error))
            if number != self._manifest.records or series.read(1):
                raise self._refused(
                    f"it does not hold {self._manifest.records} records, as it says"
                )

    def _head(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            head = from_json(line)
        except ValueError as error:
            raise self._refused(f"line {number} is no JSON: {error}") from None
        if not isinstance(head, dict):
            raise self._refused(f"line {number} is no record")
        return head

    def _blob(self, series: IO[bytes], where: str) -> bytes:
        prefix = series.read(_LENGTH.size)
        length = _LENGTH.unpack(prefix)[0] if len(prefix) == _LENGTH.size else LARGEST_SERIES + 1
        blob = series.read(length) if length <= LARGEST_SERIES else b""
        if len(blob) != length:
            raise BundleError(f"{where} has series that are missing or too large")
        return blob

    def _shared_texts(self) -> Mapping[str, str]:
        """Return what records have in common, as text by digest, each checked against it."""
        documents = _object(self._json(ENVIRONMENTS))
        configuration = _object(self._json(CONFIGURATION))
        for name in ("scaffolds", "recipes"):
            documents |= _object(configuration.get(name))
        texts = {}
        for digest, document in documents.items():
            require_plain_text(document, f"{self._name}, {digest[:12]},")
            text = to_json(document)
            if hashlib.sha256(text).hexdigest()[:32] != digest:
                raise self._refused(f"what records share under {digest[:12]} was changed")
            texts[digest] = text.decode()
        return _Texts(texts)

    def _json(self, name: str) -> Any:
        try:
            return from_json(self._archive.read(name))
        except ValueError as error:
            raise self._refused(f"{name} is no JSON: {error}") from None

    def _refused(self, reason: str) -> BundleError:
        return BundleError(in_one_line(f"{self._name} is refused: {reason}"))


class _Texts(dict[str, str]):
    def __missing__(self, digest: str) -> str:
        raise ValueError(f"what it shares with others is missing ({str(digest)[:8]})")


def _check_versions(document: object, name: str) -> None:
    said = _object(document)
    try:
        check_schema_version(said.get("schema_version", 0), location=name)
    except SchemaError as error:
        raise BundleError(str(error)) from None
    if said.get("blockzoo_bundle") != FORMAT:
        raise BundleError(f"{name} is a bundle of another format; this BlockZoo reads {FORMAT}")


def _object(document: object) -> dict[str, Any]:
    """Return an object of JSON, an empty one for anything else."""
    return dict(document) if isinstance(document, dict) else {}


def _record(head: dict[str, Any], blob: bytes | None, shared: Shared, where: str) -> AnyRecord:
    """Return the record; raises `BundleError` for what is none."""
    require_plain_text(head, where)
    try:
        series = {} if blob is None else unpacked_series(blob)
        require_plain_text(series, where)
        return parse_record(series | shared.completed(head), location=where)
    except (ValueError, TypeError) as error:
        raise BundleError(in_one_line(f"{where} is not a record: {error}")) from None
    except ResultsError as error:
        raise BundleError(str(error)) from None
