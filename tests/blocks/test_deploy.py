"""The deploy form: in any precision, of one that is deployed already, and what is trainable."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from blockzoo.blocks import get_block, list_available_blocks, to_deploy
from blockzoo.blocks.deploy import has_merges, merges_with_arguments, register_merges
from blockzoo.core.errors import BlockError
from blockzoo.core.position import Position


def built(block: str) -> nn.Module:
    torch.manual_seed(0)
    return get_block(block).build(32, 64, 2, Position.MID).eval()


@pytest.mark.parametrize("block", list_available_blocks())
def test_every_block_is_deployed_in_double_precision_and_twice(block: str) -> None:
    images = torch.randn(2, 32, 16, 16)
    original = built(block)
    once = to_deploy(original)
    assert all(parameter.requires_grad for parameter in once.parameters())
    twice = to_deploy(once)
    assert {name: value.shape for name, value in twice.state_dict().items()} == {
        name: value.shape for name, value in once.state_dict().items()
    }
    exact = to_deploy(original.double())
    assert {parameter.dtype for parameter in exact.parameters()} <= {torch.float64}
    with torch.no_grad():
        torch.testing.assert_close(twice(images), once(images))
        torch.testing.assert_close(exact(images.double()), original(images.double()))


def test_the_default_precision_is_left_as_it_was() -> None:
    to_deploy(built("RepViTBlock").double())
    assert torch.get_default_dtype() is torch.float32


class Merging(nn.Module):
    """Merges its convolution and norm, detaching all that it holds, as timm's blocks do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(4)
        self.last = nn.Conv2d(4, 4, 1)

    def reparameterize(self) -> None:
        """Merge; a second time there is no norm to merge."""
        assert isinstance(self.norm, nn.BatchNorm2d)
        self.merged = fuse_conv_bn_eval(self.conv, self.norm)
        for parameter in self.parameters():
            parameter.detach_()
        del self.conv, self.norm

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 4, H, W) to the same shape."""
        y: Tensor = self.last(
            self.merged(x) if hasattr(self, "merged") else self.norm(self.conv(x))
        )
        return y


@pytest.mark.parametrize("frozen", [(), ("conv",), ("conv", "norm"), ("last",)])
def test_merged_parameters_are_trainable_where_their_sources_were(frozen: tuple[str, ...]) -> None:
    block = nn.Sequential(Merging())
    for name in frozen:
        block[0].get_submodule(name).requires_grad_(False)
    found = {name: p.requires_grad for name, p in to_deploy(block).named_parameters()}
    merged, last = frozen != ("conv", "norm"), "last" not in frozen
    assert found == {
        "0.last.weight": last,
        "0.last.bias": last,
        "0.merged.weight": merged,
        "0.merged.bias": merged,
    }


def test_a_merge_that_cannot_be_asked_twice_is_asked_once() -> None:
    once = to_deploy(nn.Sequential(Merging()))
    inside = nn.Sequential(nn.Identity(), once)
    images = torch.randn(1, 4, 6, 6)
    torch.testing.assert_close(to_deploy(inside)(images), once(images))


class _Block(nn.Module):
    """y = relu(bn(conv(x))), 4 channels to 4."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 4, H, W) to the same shape."""
        y: Tensor = self.norm(self.conv(x)).relu()
        return y

    def merge_all(self) -> None:
        """Merge in place."""
        assert isinstance(self.norm, nn.BatchNorm2d)
        self.conv, self.norm = fuse_conv_bn_eval(self.conv, self.norm), nn.Identity()


class _InPlace(_Block):
    """Merges itself and returns nothing, as RepVGG's switch_to_deploy does (DingXiaoH/RepVGG
    repvgg.py; luxonis/tools #11, where nobody had called it)."""

    fuse = _Block.merge_all


class _Chatty(_Block):
    """Its argument has a default, as that of detection models' fuse(verbose=True);
    WongKinYiu/yolov9 #650 has one with it and one without."""

    @torch.no_grad()
    def fuse(self, verbose: bool = True) -> _Chatty:
        """Merge in place and return itself."""
        self.merge_all()
        return self


class _Returns(_Block):
    """A copy that is merged, by the protocol of huggingface/pytorch-image-models #2205."""

    def reparameterize(self, inplace: bool = False) -> nn.Module:
        """Return what takes its place."""
        assert isinstance(self.norm, nn.BatchNorm2d)
        return nn.Sequential(fuse_conv_bn_eval(self.conv, self.norm), nn.ReLU())


class _Layer(_Block):
    """A layer of that name, as in BinWang-shu/pytorch_hed models/hed.py."""

    def __init__(self) -> None:
        super().__init__()
        self.fuse = nn.Conv2d(4, 4, 1)
        self.reparameterize = nn.ModuleList()


class _Flag(_Block):
    fuse = True


class _Attribute(_Block):
    """A function of two features, kept as an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.fuse = torch.add


class _Property(_Block):
    """Computed when asked for, which nobody is to do."""

    @property
    def fuse(self) -> Tensor:
        """Raise."""
        raise RuntimeError("asked for")


class _Kernel(_Block):
    """A fused kernel that forward asks for: no merge (RepVGG's get_equivalent_kernel_bias)."""

    def fuse(self) -> Tensor:
        """Return the kernel."""
        return self.conv.weight * 1


class _Samples(_Block):
    """Draws from a distribution, which auto-encoders call so (pytorch/examples vae/main.py)."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 4, H, W) to the same shape."""
        y = super().forward(x)
        return self.reparameterize(y, y) if self.training else y

    def reparameterize(self, mu: Tensor, logvar: Tensor) -> Tensor:
        """Draw."""
        return mu + torch.randn_like(mu) * torch.exp(logvar / 2)


class _Wants(_Block):
    """Joins two features in forward, and merges no branches."""

    def fuse(self, near: Tensor, far: Tensor) -> Tensor:
        """Add."""
        return near + far


_MERGED_PARAMETERS = 4 * 4 * 9 + 4
_TRAINED_PARAMETERS = 4 * 4 * 9 + 2 * 4


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        (_InPlace, _MERGED_PARAMETERS),
        (_Chatty, _MERGED_PARAMETERS),
        (_Returns, _MERGED_PARAMETERS),
        (_Layer, _TRAINED_PARAMETERS + 20),
        (_Flag, _TRAINED_PARAMETERS),
        (_Attribute, _TRAINED_PARAMETERS),
        (_Property, _TRAINED_PARAMETERS),
        (_Kernel, _TRAINED_PARAMETERS),
        (_Samples, _TRAINED_PARAMETERS),
        (_Wants, _TRAINED_PARAMETERS),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_a_merge_is_a_method_that_can_be_called_without_arguments(
    kind: type[nn.Module], parameters: int, nested: bool
) -> None:
    block = (nn.Sequential(nn.Sequential(kind())) if nested else kind()).eval()
    form = to_deploy(block)
    assert sum(each.numel() for each in form.parameters()) == parameters
    assert has_merges(block) == (kind in (_InPlace, _Chatty, _Returns, _Kernel))
    images = torch.randn(2, 4, 6, 6)
    with torch.no_grad():
        torch.testing.assert_close(form(images), block(images))


def test_a_module_that_stands_in_two_places_is_merged_in_both_as_one() -> None:
    shared = _Returns()
    form = to_deploy(nn.Sequential(shared, nn.Sequential(shared), shared))
    assert sum(each.numel() for each in form.parameters()) == _MERGED_PARAMETERS
    assert not any(isinstance(each, _Returns) for each in form.modules())


def test_what_asks_for_arguments_is_named_unless_there_is_a_merge_beside_it() -> None:
    assert list(merges_with_arguments(nn.Sequential(_Wants(), _Flag(), _Samples()))) == [
        "_Wants.fuse(near, far)",
        "_Samples.reparameterize(mu, logvar)",
    ]

    class Both(_Wants):
        switch_to_deploy = _Block.merge_all

    assert merges_with_arguments(Both()) == {}


class _TwoBranches(nn.Module):
    """y = bn(conv3x3(x)) + bn(conv1x1(x)), until there is a convolution that does both."""

    def __init__(self) -> None:
        super().__init__()
        self.dense, self.dense_norm = nn.Conv2d(4, 4, 3, 1, 1, bias=False), nn.BatchNorm2d(4)
        self.pointwise, self.norm = nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 4, H, W) to the same shape."""
        if hasattr(self, "conv"):
            return self.conv(x)  # type: ignore[no-any-return]
        y: Tensor = self.dense_norm(self.dense(x)) + self.norm(self.pointwise(x))
        return y

    def convert_to_deploy(self) -> None:
        """Add the two kernels up and leave their branches where they are."""
        three = fuse_conv_bn_eval(self.dense, self.dense_norm)
        one = fuse_conv_bn_eval(self.pointwise, self.norm)
        assert three.bias is not None
        assert one.bias is not None
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.conv.weight.copy_(three.weight + nn.functional.pad(one.weight, [1] * 4))
        self.conv.bias = nn.Parameter(three.bias + one.bias)


class _FusesForIntegers(_Block):
    def fuse_model(self, is_qat: bool | None = None) -> None:
        """Merge in place."""
        self.merge_all()


@pytest.mark.parametrize(
    ("kind", "name"), [(_TwoBranches, "convert_to_deploy"), (_FusesForIntegers, "fuse_model")]
)
def test_merges_of_public_code_are_asked_once_they_are_registered(
    kind: type[nn.Module], name: str
) -> None:
    """RT-DETR's convert_to_deploy (huggingface/transformers #27247) adds to what it merges; the
    fuse_model of networks of whole numbers (pytorch/vision torchvision/models/quantization/
    mobilenetv2.py, numenta/nupic.research #315) has an argument with a default."""
    block = kind().eval()
    for norm in block.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.get_buffer("running_mean"))
    convolutions = sum(isinstance(each, nn.Conv2d) for each in block.modules())
    before = to_deploy(block)
    assert not has_merges(block)
    assert sum(isinstance(each, nn.BatchNorm2d) for each in before.modules()) == convolutions
    register_merges(block, [name])
    form, images = to_deploy(block), torch.randn(2, 4, 6, 6)
    merged = form.get_submodule("conv")
    assert isinstance(merged, nn.Conv2d)
    assert merged.bias is not None
    with torch.no_grad():
        torch.testing.assert_close(form(images), block(images))


def test_merges_of_other_names_count_where_they_are_registered() -> None:
    """As partial_fusion does (Deci-AI/super-gradients #998)."""
    inner = _Block()
    block = nn.Sequential(nn.Sequential(inner))
    assert not has_merges(block)
    register_merges(block, ["merge_all"])
    form = to_deploy(block)
    assert sum(each.numel() for each in form.parameters()) == _MERGED_PARAMETERS
    register_merges(block, ["get_kernel"])
    inner.__class__ = type("Named", (_Block,), {"get_kernel": _Kernel.fuse})
    with pytest.raises(
        BlockError, match=r"Named\.get_kernel\(\) returned a Tensor; a merge returns None"
    ):
        to_deploy(block)
