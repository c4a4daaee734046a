"""A block of your own, in a file of your own; BlockZoo needs to know nothing about it.

Everywhere a name is accepted, say where the class is:

    blockzoo profile examples/own_block.py:SqueezedResidual
    blockzoo sweep --quick ResNetBasicBlock examples/own_block.py:SqueezedResidual
"""

from __future__ import annotations

from torch import Tensor, nn

from blockzoo import ScaffoldConfig, profile_block


class SqueezedResidual(nn.Module):
    """y = relu(shortcut(x) + expand(conv3x3(squeeze(x)))): a residual branch a quarter as wide."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        hidden = max(out_channels // 4, 1)
        self.branch = nn.Sequential(
            nn.Conv2d(in_channels, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(),
            nn.Conv2d(hidden, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        result: Tensor = self.activation(self.shortcut(x) + self.branch(x))
        return result


if __name__ == "__main__":
    config = ScaffoldConfig(width=16)
    for name in (f"{__file__}:SqueezedResidual", "ResNetBasicBlock"):
        stage = profile_block(name, "mid", config=config, memory=False).stage_deploy
        assert stage is not None
        print(f"{name}: {stage.params_total:,} parameters, {stage.macs:,} MACs in the mid stage")
