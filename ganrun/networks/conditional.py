"""Conditional: any generator and any discriminator, told the class of each image (Mirza and Osindero, 2014)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganrun.common.bounds import Setting, Whole
from ganrun.networks.sizes import Size, as_size


class ConditionalGenerator(nn.Module):
    """The label's embedding is concatenated to the latents: `network` takes Z + embedding_size numbers."""

    def __init__(self, network: nn.Module, classes: Whole, embedding_size: Setting = 50) -> None:
        super().__init__()
        self.network = network
        self.embedding = nn.Embedding(known(classes), embedding_size)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """(N, Z) latents, (N,) labels -> (N, C, H, W) images in [-1, 1]."""
        return self.network(torch.cat([latents, self.embedding(labels)], dim=1))


class ConditionalDiscriminator(nn.Module):
    """The label's embedding is one more channel of the image: `network` takes C + 1 channels."""

    def __init__(self, network: nn.Module, classes: Whole, image_size: Size) -> None:
        super().__init__()
        self.size = as_size(image_size)
        self.network = network
        self.embedding = nn.Embedding(known(classes), self.size[0] * self.size[1])

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """(N, C, H, W) images, (N,) labels -> (N,) logits."""
        return self.network(self.labelled(images, labels))

    def features(self, images: Tensor, labels: Tensor) -> Tensor:
        """(N, C, H, W) images, (N,) labels -> (N, ...) the network's features."""
        return self.network.features(self.labelled(images, labels))  # type: ignore[operator]

    def labelled(self, images: Tensor, labels: Tensor) -> Tensor:
        """(N, C, H, W) images, (N,) labels -> (N, C + 1, H, W)"""
        plane = self.embedding(labels).view(-1, 1, *self.size).to(images.dtype)
        return torch.cat([images, plane], dim=1)


def known(classes: int) -> int:
    """Raises ValueError for data without labels."""
    if classes < 1:
        raise ValueError(
            f"classes={classes}: a conditional model needs labelled data; class sub-folders make labels, "
            "or take an unconditional model such as model=dcgan"
        )
    return classes
