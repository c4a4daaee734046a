"""Measurements: any nn.Module in, a frozen result out; this room knows nothing of blocks.

`measure` is here for whoever times modules of their own; it is loaded when it is asked for, since
the statistics beside it are used without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blockzoo.measure.timing.api import measure

__all__ = ["measure"]


def __getattr__(name: str) -> Any:
    if name != "measure":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from blockzoo.measure.timing.api import measure

    return measure
