"""Packs: how many images a discriminator judges at once, and the logit of each image all the same."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ganrun.losses.discriminate import Discriminate

Batch = dict[str, Tensor]


def pack_of(network: nn.Module) -> int:
    """The smallest number of images that all parts of a network or a system can judge; 1 where nothing is packed.

    A discriminator of packs declares it as `self.pack` (`ganrun.networks.packing`).
    """
    sizes = [part.__dict__.get("pack", 1) for part in network.modules()]
    return math.lcm(*(size for size in sizes if isinstance(size, int)))


def logit_of_each(
    network: nn.Module,
    images: Tensor,
    examples: Batch | None = None,
    judge: Callable[[Batch], Discriminate] | None = None,
) -> Tensor:
    """(N, C, H, W) images -> (N,) the mean of each image's map of logits; the images of a pack get the pack's logit.

    `judge` makes a discriminator of `network` and of the images' examples, such as their labels; without it the
    network is one. Where the last pack is not full, the first images fill it up.
    """
    count, pack, examples = len(images), pack_of(network), examples or {}
    if count % pack:
        around = torch.arange(-(-count // pack) * pack, device=images.device) % count
        images, examples = images[around], {name: part[around] for name, part in examples.items()}
    logits = (judge(examples) if judge else network)(images)
    return logits.reshape(len(images) // pack, -1).mean(1).repeat_interleave(pack)[:count]
