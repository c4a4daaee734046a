"""The path under which version 0.1 documented these; they live in `measure.costs`."""

from blockzoo.measure.costs.complexity import count_complexity, count_macs, count_parameters

__all__ = ["count_complexity", "count_macs", "count_parameters"]
