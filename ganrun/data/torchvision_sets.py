"""MNIST, Fashion-MNIST and CIFAR-10, read by torchvision from its files, with its class names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torchvision import datasets

from ganrun.common.bounds import Count, Positive, Whole
from ganrun.data.dataset import Dataset, Size, chosen
from ganrun.data.downloads import downloading
from ganrun.data.resize import resized_images

SPLITS = {"train": (True,), "test": (False,), "all": (True, False)}  # torchvision's `train=`


class TorchvisionSet(Dataset):
    """All images of a split, read as one array.

    Raises FileNotFoundError when files are missing, damaged or cannot be downloaded, ValueError for an unknown split.
    """

    source: ClassVar[Callable[..., Any]]  # torchvision's class
    folder: ClassVar[str]  # where torchvision looks for the files, below `root`

    def __init__(
        self,
        root: str,
        split: str,
        download: bool,
        image_size: Size,
        channels: int,
        classes: Whole | None,
        limit: Count | None,
        flip: bool,
        kimg: Positive,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"dataset.split={split} must be one of {', '.join(SPLITS)}")
        parts = [self.part(Path(root).expanduser(), train, download) for train in SPLITS[split]]
        images = torch.cat([planes(part.data) for part in parts])
        labels = torch.cat([torch.as_tensor(part.targets) for part in parts]).long()
        indices = chosen(len(images), limit)  # before resizing, so that no time is spent on images that are left out
        images = resized_images(images[indices], image_size, channels)
        super().__init__(images, labels[indices], parts[0].classes, flip, kimg=kimg, classes=classes)

    @classmethod
    def part(cls, root: Path, train: bool, download: bool) -> Any:
        """A data set of torchvision. Its errors become a FileNotFoundError with a message of one line."""
        name, place = cls.__name__, root / cls.folder
        if download:
            with downloading(name, place):
                cls.source(root, train=True, download=True)  # this downloads both splits
        try:
            return cls.source(root, train=train, download=False)
        except (RuntimeError, ValueError, AssertionError, OSError, EOFError) as error:
            raise FileNotFoundError(
                f"dataset.root={root}: {name} is missing or damaged in {place.absolute()}; "
                "put torchvision's files there or set dataset.download=true (after deleting damaged ones)"
            ) from error


def planes(data: Tensor | Any) -> Tensor:
    """(N, H, W) or (N, H, W, C) uint8, a tensor or an array -> (N, C, H, W) uint8."""
    images = torch.as_tensor(data)
    return images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2).contiguous()


class MNIST(TorchvisionSet):
    """70,000 handwritten digits, 28×28 pixels, grey (LeCun et al., 1998)."""

    source, folder = datasets.MNIST, "MNIST/raw"
    sided = True

    def __init__(
        self,
        root: str = "data",
        split: str = "train",
        download: bool = False,
        image_size: Size = 28,
        channels: int = 1,
        classes: Whole | None = None,
        limit: Count | None = None,
        flip: bool = False,
        kimg: Positive = 1000,
    ) -> None:
        super().__init__(root, split, download, image_size, channels, classes, limit, flip, kimg)


class FashionMNIST(MNIST):
    """70,000 pieces of clothing, 28×28 pixels, grey (Xiao et al., 2017)."""

    source, folder = datasets.FashionMNIST, "FashionMNIST/raw"
    sided = False


class CIFAR10(TorchvisionSet):
    """60,000 photographs in ten classes, 32×32 pixels, colour (Krizhevsky, 2009)."""

    source, folder = datasets.CIFAR10, "cifar-10-batches-py"

    def __init__(
        self,
        root: str = "data",
        split: str = "train",
        download: bool = False,
        image_size: Size = 32,
        channels: int = 3,
        classes: Whole | None = None,
        limit: Count | None = None,
        flip: bool = False,
        kimg: Positive = 3000,
    ) -> None:
        super().__init__(root, split, download, image_size, channels, classes, limit, flip, kimg)
