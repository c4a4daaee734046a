"""Data sets by name or path, splits by class, and batches that stay on the training device."""

from blockzoo.data.datasets import DATASET_NAMES, load_dataset
from blockzoo.data.decoding.cache import Progress
from blockzoo.data.image_dataset import ImageDataset, dataset_from_arrays
from blockzoo.data.split import split_train_validation

__all__ = [
    "DATASET_NAMES",
    "ImageDataset",
    "Progress",
    "dataset_from_arrays",
    "load_dataset",
    "split_train_validation",
]
