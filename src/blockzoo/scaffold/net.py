"""The scaffold: stem, stages A, B and C, head. One stage holds the block under test.

input (3, H, W) -> stem: 3x3 convolution, BN, ReLU -> stage A, stride 1 -> stage B, stride 2, twice
the channels -> stage C, stride 2, twice again -> global average pool, linear -> classes.
Inputs of 128 pixels or more have the large stem: 7x7 convolution of stride 2, BN, ReLU, 3x3
max-pool of stride 2 (K. He et al., Deep Residual Learning for Image Recognition, 2016). The half
stem is the small one with stride 2, so that all stages take a quarter of the work.
Every part draws its weights from generators seeded by (seed, part), those of Python, numpy and
torch alike, so that for one seed the stem, the other stages and the head start the same whatever
the block under test.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from blockzoo.blocks import BlockLike, BlockSpec, get_block, initialise, name_of_block
from blockzoo.core.errors import BlockError, BlockZooError, InputError, LateWeightsError
from blockzoo.core.networks import copied
from blockzoo.core.position import POSITIONS, Position
from blockzoo.core.ranges import CLASSES, DEPTH, SIDE, WIDTH, check_all
from blockzoo.core.seeding import preserved, seed_for
from blockzoo.measure.costs.meta import RememberedShapes, call, refuse_late_weights, stand_in
from blockzoo.measure.costs.unchanged import left_unchanged

LARGE_INPUT = 128
"""The shorter side in pixels from which on "auto" takes the large stem."""
StemKind = Literal["small", "half", "large"]
_STEM_STRIDES: dict[StemKind, int] = {"small": 1, "half": 2, "large": 4}


@dataclass(frozen=True, kw_only=True)
class ScaffoldConfig:
    """Everything about the scaffold but the block under test and its position.

    Args:
        context: The block in the two other stages.
        depth: Blocks per stage.
        width: Channels of the stem; the stages have 1, 2 and 4 times as many.
        classes: Outputs of the head.
        input_shape: (3, H, W) of an image, in pixels.
        stem_bias: Whether the stem's convolution has a bias, as the early version's had.
        stem: "small" keeps the size, "half" has stride 2, "large" has stride 4, "auto" is large for
            inputs whose shorter side is 128 pixels or more and else small.

    Raises:
        InputError: For values that cannot work.

    Example:
        >>> small = ScaffoldConfig(width=16, depth=2, input_shape=(3, 64, 64))
        >>> small.stem_kind, small.stage_shape(Position.LATE)
        ('small', (32, 64, 2))
    """

    context: str = "ResNetBasicBlock"
    depth: int = 3
    width: int = 64
    classes: int = 10
    input_shape: tuple[int, int, int] = (3, 32, 32)
    stem_bias: bool = False
    stem: Literal["auto"] | StemKind = "auto"

    def __post_init__(self) -> None:
        object.__setattr__(self, "context", name_of_block(self.context))
        DEPTH.checked("depth", self.depth)
        WIDTH.checked("width", self.width)
        CLASSES.checked("classes", self.classes)
        shape = tuple(self.input_shape)
        if len(shape) != 3 or shape[0] != 3:
            raise InputError(
                f"input shape is {self.input_shape}; it must be (3, H, W) with H and W {SIDE}"
            )
        check_all(shape[1:], f"side of input shape {shape}", SIDE)

        if self.stem not in ("auto", *_STEM_STRIDES):
            raise InputError(f"stem is {self.stem!r}; it must be auto, small, half or large")

    @property
    def stem_kind(self) -> StemKind:
        """Which stem there is; never "auto"."""
        if self.stem == "auto":
            return "large" if min(self.input_shape[1:]) >= LARGE_INPUT else "small"
        return self.stem

    @property
    def stem_size(self) -> tuple[int, int]:
        """Height and width of what the stem returns."""
        _, height, width = self.input_shape
        stride = _STEM_STRIDES[self.stem_kind]
        return math.ceil(height / stride), math.ceil(width / stride)

    def stage_shape(self, position: Position) -> tuple[int, int, int]:
        """Return (in_channels, out_channels, stride) of the first block of a stage.

        Args:
            position: Which stage.

        Example:
            >>> ScaffoldConfig(width=64).stage_shape(Position.LATE)
            (128, 256, 2)
        """
        out_channels = self.width * 2**position.stage_index
        if position is Position.EARLY:
            return self.width, out_channels, 1
        return out_channels // 2, out_channels, 2


class ScaffoldNet(nn.Module):
    """A classifier with a block in one stage: logits = head(C(B(A(stem(x))))).

    It maps images (N, 3, H, W) to logits (N, classes).

    Args:
        block: A name, path, class or spec, see `get_block`.
        position: Which stage holds it: "early", "mid" or "late".
        config: The scaffold around it; by default `ScaffoldConfig()`.
        seed: Of the initial weights. For one seed stem, context and head start the same, whatever
            the block.

    Raises:
        UnknownNameError: For a block or position that is not known.
        BlockError: When a block cannot be built or does not return (N, out_channels, ceil(H /
            stride), ceil(W / stride)); the message has its name.

    Example:
        >>> network = ScaffoldNet("RepVGG", "mid", ScaffoldConfig(depth=1, width=8, classes=7))
        >>> network(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 7])
    """

    def __init__(
        self,
        block: BlockLike,
        position: Position | str,
        config: ScaffoldConfig | None = None,
        *,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.config = config or ScaffoldConfig()
        self.position = Position.parse(str(position))
        self.block = get_block(block)
        context = get_block(self.config.context)
        last_channels = self.config.stage_shape(Position.LATE)[1]
        # Whoever builds a network draws afterwards as if none had been built.
        with preserved(gpus=False):
            seed_for(f"{seed}/stem")
            self.stem = _initialised(_stem(self.config))
            for stage in POSITIONS:
                spec = self.block if stage is self.position else context
                self.add_module(f"stage_{stage}", _stage(spec, stage, self.config, seed))
            seed_for(f"{seed}/head")
            self.head = _initialised(_head(last_channels, self.config.classes))
            # Inside, because a block that is tried with data draws random numbers.
            self._check_shapes()

    def stage(self, position: Position) -> nn.Sequential:
        """Return the stage at that position, a sequence of blocks.

        Args:
            position: Which stage.
        """
        module = self.get_submodule(f"stage_{position}")
        assert isinstance(module, nn.Sequential)
        return module

    def parts(self) -> dict[str, nn.Module]:
        """Return stem, the three stages and head by name, in the order of the forward pass."""
        stages = {f"stage_{p}": self.stage(p) for p in POSITIONS}
        return {"stem": self.stem, **stages, "head": self.head}

    def forward(self, images: Tensor, paths: Tensor | None = None) -> Tensor:
        """Map images to logits.

        Args:
            images: (N, 3, H, W).
            paths: (all blocks, N), for training with drop path: for each block in depth and each
                image a factor s, with which the block computes x + s (B(x) - x). 1 is the block B
                as it is, 0 skips it. Factors of blocks that change the shape are not read.

        Returns:
            (N, classes).
        """
        features = images
        # Part by part, not block by block, so that hooks on a stage see what passes it.
        if paths is None:
            for part in self.parts().values():
                features = part(features)
            return features
        features = self.stem(images)
        blocks = [block for position in POSITIONS for block in self.stage(position)]
        for block, path in zip(blocks, paths.unbind(), strict=True):
            features = _along(path, features, block(features))
        logits: Tensor = self.head(features)
        return logits

    def _check_shapes(self) -> None:
        """Run every block once on tensors without data; catches what a constructor cannot."""
        features = _features_before(POSITIONS[0], self.config)
        for stage in POSITIONS:
            spec = self.block if stage is self.position else get_block(self.config.context)
            features = _check_stage(spec, stage, self.stage(stage), features, self.config)


def stage_alone(
    spec: BlockSpec, position: Position, config: ScaffoldConfig, *, seed: int = 0
) -> nn.Sequential:
    """Return a stage as `ScaffoldNet` builds it, without the network around it, and tried as there.

    Raises `BlockError` as `ScaffoldNet` does.

    >>> stage = stage_alone(get_block("RepVGG"), Position.MID, ScaffoldConfig(width=8))
    >>> stage(torch.zeros(1, 8, 32, 32)).shape
    torch.Size([1, 16, 16, 16])
    """
    with preserved(gpus=False):
        stage = _stage(spec, position, config, seed)
        _check_stage(spec, position, stage, _features_before(position, config), config)
    return stage


def _stage(spec: BlockSpec, position: Position, config: ScaffoldConfig, seed: int) -> nn.Sequential:
    in_channels, out_channels, stride = config.stage_shape(position)
    seed_for(f"{seed}/stage {position}")
    first = spec.build(in_channels, out_channels, stride, position)
    more = spec.depth_in(config.depth) - 1
    rest = [spec.build(out_channels, out_channels, 1, position) for _ in range(more)]
    return nn.Sequential(first, *rest)


def _features_before(position: Position, config: ScaffoldConfig) -> Tensor:
    """Return what reaches a stage, without data."""
    height, width = config.stem_size
    for earlier in POSITIONS[: position.stage_index]:
        _, _, stride = config.stage_shape(earlier)
        height, width = math.ceil(height / stride), math.ceil(width / stride)
    # Two images: in training mode BN refuses pooled features of a single one.
    return torch.empty(2, config.stage_shape(position)[0], height, width, device="meta")


def _check_stage(
    spec: BlockSpec,
    position: Position,
    stage: nn.Sequential,
    features: Tensor,
    config: ScaffoldConfig,
) -> Tensor:
    """Run every block once on tensors without data; catches what a constructor cannot.

    One that is built as the one before it, of the same weights, is not run again.
    """
    _, channels, stride = config.stage_shape(position)
    batch, _, height, width = features.shape
    size = math.ceil(height / stride), math.ceil(width / stride)
    expected = torch.Size((batch, channels, *size))
    for index, block in enumerate(stage):
        # The first may change the shape, the others do not.
        if index < 2 or _weights_of(block) != _weights_of(stage[index - 1]):
            features = check_block_output(spec, position, block, features, expected)
    return features


def _weights_of(block: nn.Module) -> tuple[type, list[tuple[str, torch.Size]]]:
    return type(block), [(name, value.shape) for name, value in block.named_parameters()]


def _along(path: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return x + s (y - x), s (N,) being `path`; y where it has another shape than x."""
    if x.shape != y.shape:
        return y
    # Under autocast the block's output may be of another precision than its input.
    return torch.lerp(x.to(y.dtype), y, path.to(y.dtype)[:, None, None, None])


def _stem(config: ScaffoldConfig) -> nn.Sequential:
    if config.stem_kind == "large":
        return nn.Sequential(
            nn.Conv2d(3, config.width, 7, stride=2, padding=3, bias=config.stem_bias),
            nn.BatchNorm2d(config.width),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
    return nn.Sequential(
        nn.Conv2d(
            3, config.width, 3, _STEM_STRIDES[config.stem_kind], padding=1, bias=config.stem_bias
        ),
        nn.BatchNorm2d(config.width),
        nn.ReLU(inplace=True),
    )


def _head(channels: int, classes: int) -> nn.Sequential:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def _initialised(part: nn.Sequential) -> nn.Sequential:
    initialise(part)
    return part


def check_block_output(
    spec: BlockSpec, position: Position, block: nn.Module, features: Tensor, expected: torch.Size
) -> Tensor:
    """Return `block(features)`; raises `BlockError` when that raises or has another shape.

    Shapes need no arithmetic, so the block first runs on tensors without data; where an operation
    cannot (a custom kernel, control flow on values), it runs on random numbers.
    """
    try:
        output = _forward_without_data(block, features)
    except LateWeightsError as error:
        raise BlockError(f"block {spec.name} ({position}) {error}") from None
    except Exception:  # noqa: BLE001 - the real run below decides, and gives the better message
        output = _forward_with_data(spec, position, block, features)
    if not isinstance(output, Tensor):
        raise BlockError(
            f"block {spec.name} ({position}) returns {type(output).__name__}, not a tensor"
        )
    if output.shape != expected:
        raise BlockError(
            f"block {spec.name} ({position}) maps {tuple(features.shape)} to "
            f"{tuple(output.shape)}; it must be {tuple(expected)}"
        )
    return output


def _forward_without_data(block: nn.Module, features: Tensor) -> object:
    parameters = {name: stand_in(value, "meta") for name, value in block.named_parameters()}
    # Buffers too: a pass in training mode would move the running statistics.
    buffers = {name: stand_in(value, "meta") for name, value in block.named_buffers()}
    with torch.no_grad(), RememberedShapes():
        return call(block, parameters, buffers, (features,))


def _forward_with_data(
    spec: BlockSpec, position: Position, block: nn.Module, features: Tensor
) -> object:
    known = dict(block.named_parameters())
    try:
        # On a copy, whose running statistics may move; what a class or file keeps is no copy's.
        with torch.no_grad(), left_unchanged(block):
            tried = copied(block)
            output: object = tried(torch.randn(features.shape, device="cpu"))
        refuse_late_weights(tried, known)
    except LateWeightsError as error:
        raise BlockError(f"block {spec.name} ({position}) {error}") from None
    except BlockZooError:
        raise
    except Exception as error:
        raise BlockError(
            f"block {spec.name} ({position}) raises on input {tuple(features.shape)}: "
            f"{spec.describe_error(error)}"
        ) from error
    # The next block is tried with the shape alone; what is no tensor the caller refuses.
    return output.to("meta") if isinstance(output, Tensor) else output
