"""Image pool: a discriminator also gets fakes of earlier steps (Shrivastava et al., 2017, section 2.3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ImagePool(nn.Module):
    """Stores `size` images. While it is not full, each new image is stored and returned. After that, with probability
    1/2, a new image replaces a stored one, and the stored one is returned instead.

    Its state are buffers, so a checkpoint has them. Nothing here waits for the device. Size 0 returns the new images.
    """

    of_each_rank = True  # ranks must not average these buffers
    stored: Tensor  # (size, C, H, W)
    seen: Tensor  # () how many images have come so far

    def __init__(self, size: int, channels: int, image_size: int | Sequence[int]) -> None:
        super().__init__()
        if size < 0:
            raise ValueError(f"pool_size={size} must not be negative; 0 shows the discriminator new fakes only")
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.size = size
        self.register_buffer("stored", torch.zeros(size, channels, height, width))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def swap(self, images: Tensor) -> Tensor:
        """(N, C, H, W) new fakes -> (N, C, H, W) new and old ones, float32, without a graph."""
        images = images.detach().float()
        if not self.size:
            return images
        return torch.cat([self._swap(part) for part in images.split(self.size)])

    def _swap(self, images: Tensor) -> Tensor:
        count, device = len(images), images.device
        order = self.seen + torch.arange(count, device=device)
        filling = order < self.size
        # all different: two images of a batch never go to the same place
        places = torch.where(self.seen < self.size, order % self.size, torch.randperm(self.size, device=device)[:count])
        exchanged = ~filling & (torch.rand(count, device=device) < 0.5)
        old = self.stored[places]
        self.stored[places] = torch.where((filling | exchanged)[:, None, None, None], images, old)
        self.seen += count
        return torch.where(exchanged[:, None, None, None], old, images)
