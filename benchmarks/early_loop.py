"""The early version's way to train, made again to be measured against: see `train`."""

from __future__ import annotations

import time

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from blockzoo.data import ImageDataset

_MEAN, _STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


class Pictures(Dataset[tuple[Tensor, int]]):
    """Images one by one as PIL pictures through torchvision's transforms, as CIFAR's classes do."""

    def __init__(self, data: ImageDataset) -> None:
        self._pixels = data.x_train.permute(0, 2, 3, 1).contiguous().numpy()
        self._labels = data.y_train.tolist()
        self._transform = transforms.Compose(
            [
                transforms.RandomCrop(data.image_shape[1], padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(_MEAN, _STD),
            ]
        )

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = Image.fromarray(self._pixels[index])
        return self._transform(picture), self._labels[index]


def loader(data: ImageDataset, batch_size: int, workers: int) -> DataLoader[tuple[Tensor, int]]:
    """Return the loader of shuffled batches."""
    return DataLoader(
        Pictures(data),
        batch_size,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        drop_last=True,
    )


def train(
    net: nn.Module, batches: DataLoader[tuple[Tensor, int]], device: torch.device, epochs: int
) -> list[float]:
    """Train in fp32 with Adam, reading the loss at each step; return images/s, epoch by epoch."""
    net.to(device).train()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    return [train_epoch(net, optimizer, batches, device) for _ in range(epochs)]


def train_epoch(
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: DataLoader[tuple[Tensor, int]],
    device: torch.device,
) -> float:
    """Train one epoch; return images/s."""
    count, running, right = 0, 0.0, 0
    started = time.perf_counter()
    for images, labels in batches:
        inputs, targets = images.to(device), labels.to(device)
        optimizer.zero_grad()
        logits = net(inputs)
        loss = F.cross_entropy(logits, targets)
        torch.autograd.backward(loss)
        optimizer.step()
        running += loss.item()
        right += int((logits.argmax(dim=1) == targets).sum().item())
        count += len(targets)
    return count / (time.perf_counter() - started)


def pipeline_images_per_s(batches: DataLoader[tuple[Tensor, int]], device: torch.device) -> float:
    """Return images/s of the loader alone, over one epoch."""
    count, started = 0, time.perf_counter()
    for images, labels in batches:
        count += len(images.to(device)) and len(labels)
    return count / (time.perf_counter() - started)
