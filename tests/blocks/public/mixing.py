"""Dynamic kernels, state spaces, recurrences and Fourier mixing."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class DynamicConv(nn.Module):
    """kaijieshi7/Dynamic-convolution-Pytorch, dynamic_conv.py: a 5-d bank, mixed by image."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, kernels: int = 4) -> None:
        super().__init__()
        self.stride, self.out_channels = stride, out_channels
        bank = torch.randn(kernels, out_channels, in_channels, 3, 3)
        self.weight = nn.Parameter(bank * math.sqrt(2 / (9 * out_channels)))
        self.bias = nn.Parameter(torch.zeros(kernels, out_channels))
        self.attention = nn.Linear(in_channels, kernels)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        mixture = (self.attention(x.mean((2, 3))) / 30).softmax(-1)
        kernels = (mixture @ self.weight.flatten(1)).view(n * self.out_channels, c, 3, 3)
        bias = (mixture @ self.bias).flatten()
        y = functional.conv2d(x.reshape(1, n * c, h, w), kernels, bias, self.stride, 1, groups=n)
        return y.view(n, self.out_channels, *y.shape[-2:])


class SelectiveKernel(nn.Module):
    """implus/SKNet, models/sknet50.prototxt: branches of two sizes, weighted by channel."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Conv2d(in_channels, out_channels, 3, stride, rate, rate, bias=False)
            for rate in (1, 2)
        )
        self.norm = nn.BatchNorm2d(out_channels)
        self.squeeze = nn.Linear(out_channels, max(out_channels // 8, 8))
        self.excite = nn.Linear(max(out_channels // 8, 8), 2 * out_channels)

    def forward(self, x: Tensor) -> Tensor:
        features = torch.stack([self.norm(branch(x)).relu() for branch in self.branches], 1)
        pooled = features.sum(1).mean((2, 3))
        weights = self.excite(self.squeeze(pooled).relu()).view(len(x), 2, -1, 1, 1).softmax(1)
        return (features * weights).sum(1)


class Involution(nn.Module):
    """d-li14/involution, involution/involution2d.py: a kernel for every place, made there."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.groups, self.stride = out_channels // 8, stride
        self.project = nn.Conv2d(in_channels, out_channels, 1)
        self.kernels = nn.Conv2d(out_channels, 9 * self.groups, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.project(x)
        pooled = functional.avg_pool2d(x, self.stride, ceil_mode=True) if self.stride > 1 else x
        n, c, h, w = pooled.shape
        kernels = self.kernels(pooled).view(n, self.groups, 1, 9, h, w)
        patches = functional.unfold(x, 3, 1, 1, self.stride)
        return (patches.view(n, self.groups, -1, 9, h, w) * kernels).sum(3).view(n, c, h, w)


class GatedSkip(nn.Module):
    """ucbdrive/skipnet, cifar/models.py: a layer that is passed over where values say so."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(in_channels, out_channels, 3, stride, 1)
        self.second = nn.Conv2d(out_channels, out_channels, 3, 1, 1)
        self.gate = nn.Linear(out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        gate = self.gate(x.mean((2, 3))).sigmoid()
        if gate.mean().item() < 0.01:
            return x
        second: Tensor = self.second(x)
        return x + second * gate[..., None, None]


class SelectiveScan(nn.Module):
    """state-spaces/mamba, mamba_ssm/ops/selective_scan_interface.py, its reference, by rows."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, state: int = 4) -> None:
        super().__init__()
        self.embed = nn.Conv2d(in_channels, out_channels, 3, stride, 1)
        self.steps = nn.Linear(out_channels, out_channels)
        self.inputs = nn.Linear(out_channels, state)
        self.outputs = nn.Linear(out_channels, state)
        decay = torch.arange(1.0, state + 1).log().repeat(out_channels, 1)
        self.decay_log = nn.Parameter(decay)
        self.skip = nn.Parameter(torch.ones(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        n, c, h, w = x.shape
        sequence = x.permute(0, 2, 3, 1).reshape(n * h, w, c)
        step = functional.softplus(self.steps(sequence))
        decay = torch.exp(step[..., None] * -self.decay_log.exp())
        driven = (step * sequence)[..., None] * self.inputs(sequence)[:, :, None]
        state = driven.new_zeros(n * h, c, driven.shape[-1])
        outputs = []
        for index in range(w):
            state = decay[:, index] * state + driven[:, index]
            outputs.append(torch.einsum("bcs,bs->bc", state, self.outputs(sequence[:, index])))
        y = torch.stack(outputs, 1) + sequence * self.skip
        return y.view(n, h, w, c).permute(0, 3, 1, 2)


class LongConvolution(nn.Module):
    """state-spaces/s4, models/s4/s4d.py: kernels of complex exponentials, applied by FFT."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, states: int = 4) -> None:
        super().__init__()
        self.embed = nn.Conv2d(in_channels, out_channels, 3, stride, 1)
        self.log_step = nn.Parameter(torch.full((out_channels, 1), -3.0))
        imaginary = torch.arange(states) * math.pi
        self.rates = nn.Parameter(torch.complex(torch.full((states,), -0.5), imaginary))
        self.weights = nn.Parameter(torch.randn(out_channels, states, dtype=torch.cfloat))

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        n, c, h, w = x.shape
        signal = x.flatten(2)
        times = torch.arange(h * w, device=x.device)
        exponents = self.log_step.exp() * self.rates
        powers = torch.exp(exponents[..., None] * times)
        kernel = 2 * torch.einsum("cs,csl->cl", self.weights, powers).real
        size = 2 * h * w
        product = torch.fft.rfft(signal.float(), size) * torch.fft.rfft(kernel.float(), size)
        y = torch.fft.irfft(product, size)[..., : h * w].to(x.dtype)
        return functional.gelu(y.view(n, c, h, w) + x)


class RowRecurrence(nn.Module):
    """fvisin/reseg, layers.py (ReNet, arXiv 1505.00393): a GRU along the rows."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(in_channels, out_channels, 3, stride, 1)
        self.rows = nn.GRU(out_channels, out_channels // 2, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        n, c, h, w = x.shape
        rows, _ = self.rows(x.permute(0, 2, 3, 1).reshape(n * h, w, c))
        return x + rows.view(n, h, w, c).permute(0, 3, 1, 2)


class SpectralConv(nn.Module):
    """neuraloperator/neuraloperator, neuralop/layers/spectral_convolution.py: complex weights."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, modes: int = 3) -> None:
        super().__init__()
        self.stride, self.modes = stride, modes
        weight = torch.randn(in_channels, out_channels, modes, modes, dtype=torch.cfloat)
        self.weight = nn.Parameter(weight / in_channels)
        self.bypass = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        if self.stride > 1:
            x = functional.avg_pool2d(x, self.stride, ceil_mode=True)
        spectrum = torch.fft.rfft2(x.float(), norm="ortho")
        rows, columns = (min(self.modes, size) for size in spectrum.shape[-2:])
        kept = spectrum[..., :rows, :columns]
        mixed = spectrum.new_zeros(len(x), self.weight.shape[1], *spectrum.shape[-2:])
        weight = self.weight[..., :rows, :columns]
        mixed[..., :rows, :columns] = torch.einsum("bixy,ioxy->boxy", kept, weight)
        bypass: Tensor = self.bypass(x)
        return functional.gelu(torch.fft.irfft2(mixed, s=x.shape[-2:], norm="ortho") + bypass)


class GlobalFilter(nn.Module):
    """raoyongming/GFNet, gfnet.py: complex filters kept as pairs of real numbers."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(in_channels, out_channels, 3, stride, 1)
        self.complex_weight = nn.Parameter(torch.randn(out_channels, 8, 5, 2) * 0.02)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        spectrum = torch.fft.rfft2(x.float(), norm="ortho")
        pairs = self.complex_weight.permute(0, 3, 1, 2)
        pairs = functional.interpolate(pairs, size=spectrum.shape[-2:], mode="bilinear")
        weight = torch.view_as_complex(pairs.permute(0, 2, 3, 1).contiguous())
        filtered = torch.fft.irfft2(spectrum * weight, s=x.shape[-2:], norm="ortho")
        return x + filtered.to(x.dtype)


class FourierUnit(nn.Module):
    """advimman/lama, saicinpainting/training/modules/ffc.py: over real and imaginary parts."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.local = nn.Conv2d(in_channels, out_channels, 3, stride, 1)
        self.mix = nn.Conv2d(2 * out_channels, 2 * out_channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(2 * out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.local(x)
        spectrum = torch.fft.rfft2(x.float(), norm="ortho")
        parts = torch.cat([spectrum.real, spectrum.imag], 1)
        real, imaginary = self.norm(self.mix(parts)).float().relu().chunk(2, 1)
        back = torch.fft.irfft2(torch.complex(real, imaginary), s=x.shape[-2:], norm="ortho")
        return (x + back).relu()


class AdaptiveFourier(nn.Module):
    """NVlabs/AFNO-transformer, afno/afno2d.py: blocks of complex products, thresholded softly."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, blocks: int = 2) -> None:
        super().__init__()
        self.embed = nn.Conv2d(in_channels, out_channels, 3, stride, 1)
        size = out_channels // blocks
        self.blocks, self.scale = blocks, nn.Parameter(torch.randn(2, blocks, size, size) * 0.02)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        n, c, h, w = x.shape
        spectrum = torch.fft.rfft2(x.float(), norm="ortho").reshape(
            n, self.blocks, -1, h, w // 2 + 1
        )
        real, imaginary = spectrum.real, spectrum.imag
        first = torch.einsum("nbihw,bio->nbohw", real, self.scale[0])
        first = first - torch.einsum("nbihw,bio->nbohw", imaginary, self.scale[1])
        second = torch.einsum("nbihw,bio->nbohw", imaginary, self.scale[0])
        second = second + torch.einsum("nbihw,bio->nbohw", real, self.scale[1])
        shrunk = [functional.softshrink(part.relu(), 0.01).float() for part in (first, second)]
        mixed = torch.complex(*shrunk).reshape(n, c, h, w // 2 + 1)
        return x + torch.fft.irfft2(mixed, s=(h, w), norm="ortho").to(x.dtype)
