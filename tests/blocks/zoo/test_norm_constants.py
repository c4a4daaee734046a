"""The eps and momentum of normalisation layers: the authors' where they set them."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import nn

from blockzoo.blocks import get_block
from blockzoo.core.position import Position

_GOOGLE = (1e-3, 0.01)
_DETECTORS = (1e-3, 0.03)
BATCH_NORMS: dict[str, tuple[float, float]] = {
    "A2C2f": _DETECTORS,
    "C2f": _DETECTORS,
    "C3k2": _DETECTORS,
    "RepNCSPELAN4": _DETECTORS,
    "VanillaNetBlock": (1e-6, 0.1),
    "iRMB": (1e-6, 0.1),
    "CSPNeXt": (1e-3, 0.03),
    "CondConvMBConv": _GOOGLE,
    "EdgeResidual": _GOOGLE,
    "FusedMBConvEfficientNetV2": (1e-3, 0.1),
    "InceptionA": (1e-3, 0.1),
    "InceptionGoogLeNet": (1e-3, 0.1),
    "MBConvCoAtNet": _GOOGLE,
    "MBConvEfficientNet": _GOOGLE,
    "MBConvMaxViT": _GOOGLE,
    "MBConvMnasNet": _GOOGLE,
    "MixConvMixNet": _GOOGLE,
    "MobileNetV3Block": _GOOGLE,
    # What torch's defaults would be; one block that keeps them, and one that has them by timm.
    "EdgeResidualTimm": (1e-5, 0.1),
    "ResNetBasicBlock": (1e-5, 0.1),
}
LAYER_NORMS = {
    "EfficientModBlock": 1e-5,
    "FocalNetBlock": 1e-5,
    "InternImageDCNv3": 1e-6,
    "ConvNeXtBlock": 1e-6,
}


def _every_form(name: str) -> list[nn.Module]:
    with torch.device("meta"):
        return [
            get_block(name).build(64, 128 if stride == 2 else 64, stride, position)
            for position, stride in product(Position, (1, 2))
        ]


@pytest.mark.parametrize("name", BATCH_NORMS)
def test_every_batch_norm_has_the_constants_of_the_authors(name: str) -> None:
    found = {
        (layer.eps, layer.momentum)
        for block in _every_form(name)
        for layer in block.modules()
        if isinstance(layer, nn.BatchNorm2d)
    }
    assert found == {BATCH_NORMS[name]}


@pytest.mark.parametrize("name", LAYER_NORMS)
def test_every_layer_norm_has_the_eps_of_the_authors(name: str) -> None:
    found = {
        layer.eps
        for block in _every_form(name)
        for layer in block.modules()
        if isinstance(layer, nn.LayerNorm)
    }
    assert found == {LAYER_NORMS[name]}


def test_the_attention_of_efficientvit_is_divided_by_nearly_its_sum() -> None:
    for block in _every_form("EfficientViTLiteMLA"):
        eps = [
            each.eps for key, each in block.named_modules() if key.endswith("context_module.main")
        ]
        assert eps == [1e-15]
