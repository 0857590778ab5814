"""Image pool: gives a discriminator fakes of earlier steps, too (Shrivastava et al., 2017, section 2.3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ImagePool(nn.Module):
    """Stores up to `size` images. Until it is full, each new image is stored and returned.

    After that, each new image has a chance of 1/2 to replace a random stored image, which is then returned instead of
    the new one. With size 0, the new images are always returned. The state consists of buffers, so checkpoints contain
    it. No operation waits for the device. channels and image_size (pixels) are those of the images.
    Raises ValueError when `size` is negative.
    """

    of_each_rank = True  # each rank has its own pool: these buffers must not be averaged over the ranks
    stored: Tensor  # (size, C, H, W)
    seen: Tensor  # () int64: the number of images so far

    def __init__(self, size: int, channels: int, image_size: int | Sequence[int]) -> None:
        super().__init__()
        if size < 0:
            raise ValueError(f"pool_size={size} must not be negative; with 0 the discriminator gets new fakes only")
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.size = size
        self.register_buffer("stored", torch.zeros(size, channels, height, width))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def swap(self, images: Tensor) -> Tensor:
        """(N, C, H, W) new fakes -> (N, C, H, W) new and earlier fakes, float32, detached."""
        images = images.detach().float()
        if not self.size:
            return images
        # at most `size` images at a time, because each needs a place of its own
        return torch.cat([self._swap(part) for part in images.split(self.size)])

    def _swap(self, images: Tensor) -> Tensor:
        """`swap` for at most `size` images."""
        count, device = len(images), images.device
        order = self.seen + torch.arange(count, device=device)
        filling = order < self.size
        # the places are all different: two images of a batch are never stored in the same place
        places = torch.where(self.seen < self.size, order % self.size, torch.randperm(self.size, device=device)[:count])
        exchanged = ~filling & (torch.rand(count, device=device) < 0.5)
        old = self.stored[places]
        self.stored[places] = torch.where((filling | exchanged)[:, None, None, None], images, old)
        self.seen += count
        return torch.where(exchanged[:, None, None, None], old, images)
