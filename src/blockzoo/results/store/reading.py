"""How a row of a store, or a line of a bundle, becomes a record again; or why it does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from blockzoo.core.errors import ResultsError, in_one_line
from blockzoo.results.listed import AnyListed
from blockzoo.results.records import AnyRecord, Record
from blockzoo.results.store.schema import check_schema_version

_RECORD: TypeAdapter[AnyRecord] = TypeAdapter(AnyRecord)
_LISTED: TypeAdapter[AnyListed] = TypeAdapter(AnyListed)


_Parsed = TypeVar("_Parsed", bound=Record)


@dataclass(frozen=True, kw_only=True)
class BadRow:
    """A row of a store that holds no record, of this version at least, and why not."""

    trial_id: str
    reason: str


Payload = str | bytes | Mapping[str, Any]
"""JSON text of a record, or what such text holds."""


def parse_record(payload: Payload, *, location: str) -> AnyRecord:
    """Return the record that the JSON text holds.

    Raises `SchemaError` when it is of a newer version, `ResultsError` when it is no record.
    """
    return _parsed(_RECORD, payload, location)


def parse_listed(payload: Payload, *, location: str) -> AnyListed:
    """Return the record as listings read it, see `listed`; raises what `parse_record` does."""
    return _parsed(_LISTED, payload, location)


def _parsed(kinds: TypeAdapter[_Parsed], payload: Payload, location: str) -> _Parsed:
    try:
        if isinstance(payload, str | bytes):
            record = kinds.validate_json(payload)
        else:
            record = kinds.validate_python(payload)
    except ValidationError as error:
        # First: a newer record fails for its new fields, and its version is the better reason.
        check_schema_version(_claimed_version(payload), location=location)
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "JSON"
        raise ResultsError(
            in_one_line(f"{location} is not a record: {where}: {first['msg']}")
        ) from None
    check_schema_version(record.schema_version, location=location)
    return record


def _claimed_version(payload: Payload) -> object:
    """Return the version that the text says it has, 1 when it says none."""
    if isinstance(payload, Mapping):
        return payload.get("schema_version", 1)
    try:
        document = TypeAdapter(dict[str, object]).validate_json(payload)
    except ValidationError:
        return 1
    return document.get("schema_version", 1)
