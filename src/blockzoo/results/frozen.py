"""The base of records and of what they hold: immutable, and checked however it is made."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from blockzoo.core.display import Displayed, Facts

if TYPE_CHECKING:
    from typing_extensions import Self


class Frozen(Displayed, BaseModel):
    """A record or a part of one."""

    # Unknown fields are refused, so that a record of a newer version is not read as half of one.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with those fields changed; unlike pydantic's own, it is checked."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        changed = type(self)(**values | dict(update or {}))
        return copy.deepcopy(changed) if deep else changed

    def _facts(self) -> Facts:
        # Parts of records are small, and shown whole but for what is not there.
        values = ((name, getattr(self, name)) for name in type(self).model_fields)
        return {name: str(value) for name, value in values if value not in (None, (), {})}
