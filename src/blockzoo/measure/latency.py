"""The path under which version 0.1 documented the settings; they live in `measure.timing`."""

from blockzoo.measure.timing.settings import LatencySettings

__all__ = ["LatencySettings"]
