"""The path under which version 0.1 documented these two; they live in `measure.costs`."""

from blockzoo.measure.costs.complexity import count_macs, count_parameters

__all__ = ["count_macs", "count_parameters"]
