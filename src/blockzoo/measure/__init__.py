"""Measurements: any nn.Module in, a frozen result out; this room knows nothing of blocks."""

from blockzoo.core.run_way import RunWay
from blockzoo.measure.costs.complexity import count_macs, count_parameters
from blockzoo.measure.timing.api import measure
from blockzoo.measure.timing.settings import LatencySettings

__all__ = ["LatencySettings", "RunWay", "count_macs", "count_parameters", "measure"]
