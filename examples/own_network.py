"""Count and time any modules, not only blocks: two ways to mix space at equal width."""

from __future__ import annotations

import torch
from torch import nn

from blockzoo import RunWay, benchmark_modules, count_macs, count_parameters

dense = nn.Conv2d(32, 32, 3, padding=1)
separable = nn.Sequential(nn.Conv2d(32, 32, 3, padding=1, groups=32), nn.Conv2d(32, 32, 1))
image = torch.randn(1, 32, 32, 32)

results = benchmark_modules(
    {"dense": dense, "separable": separable},
    image,
    baseline="dense",
    way=RunWay(device="cpu"),
    quick=True,
)
for name, module in (("dense", dense), ("separable", separable)):
    result = results[name]
    print(
        f"{name}: {count_parameters(module).total:,} parameters, {count_macs(module, image):,} MACs"
    )
    print(f"  {result.median_ms:.3f} ms, {result.ratio:.2f} x dense ({result.verdict})")
