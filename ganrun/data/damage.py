"""Damage: what happens to clean pictures, drawn anew for each batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.io import ImageReadMode, decode_jpeg, encode_jpeg

from ganrun.common.bounds import At, Pixels, Share, Weight

Radius = Annotated[float, At(0, 128)]  # pixels: a kernel is six times as wide
Range = Annotated[
    Weight | Sequence[Weight], "a number from 0 up, or [low, high]"
]  # one number, or [low, high] to draw from anew for each image

CORNERS = 5  # of a stroke


class Damage(nn.Module):
    """`forward`: (N, C, H, W) images in [-1, 1] -> the same, damaged, where the images are.

    Whatever is random comes from torch's global state.
    """

    scale: int = 1  # how many times larger the clean picture is than the damaged one

    def forward(self, images: Tensor) -> Tensor:
        raise NotImplementedError

    def added(self, images: Tensor) -> dict[str, Tensor]:
        """What a batch of clean images gains: {"source": the damaged ones}."""
        return {"source": self(images)}


class Noise(Damage):
    """Gaussian noise of standard deviation `sigma` on the 0-255 scale, clipped to the range of a picture.

    shot: photon noise instead, Poisson with the standard deviation sigma at white and less in the dark.
    """

    def __init__(self, sigma: Range = 25, shot: bool = False) -> None:
        super().__init__()
        self.sigma, self.shot = span(sigma, "noise.sigma"), shot

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images in [-1, 1] -> the same."""
        sigma = drawn(self.sigma, images)
        if self.shot:
            photons = (255 / sigma.clamp(min=0.01)) ** 2  # at white
            noisy = torch.poisson((images.float() + 1) / 2 * photons) / photons * 2 - 1
        else:
            noisy = images + sigma / 127.5 * torch.randn_like(images)
        return noisy.clamp(-1, 1)


class Blur(Damage):
    """A Gaussian of standard deviation `sigma` in pixels; edges are continued outwards."""

    def __init__(
        self, sigma: Annotated[Radius | Sequence[Radius], "from 0 to 128 pixels, or [low, high]"] = (1.0, 2.0)
    ) -> None:
        super().__init__()
        self.sigma = span(sigma, "blur.sigma")

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images in [-1, 1] -> the same."""
        count, channels, height, width = images.shape
        radius = math.ceil(3 * self.sigma[1])
        offsets = torch.arange(-radius, radius + 1, device=images.device)
        weights = torch.exp(-0.5 * (offsets / drawn(self.sigma, images).clamp(min=0.01)) ** 2)  # (N, 1, 1, K)
        weights = (weights / weights.sum(3, keepdim=True)).to(images.dtype).repeat_interleave(channels, 0)
        # every plane of every image has its own kernel: all of them are channels of one picture
        planes = F.pad(images, [radius] * 4, "replicate")
        planes = planes.reshape(1, count * channels, height + 2 * radius, width + 2 * radius)
        across = F.conv2d(planes, weights, groups=count * channels)
        down = F.conv2d(across, weights.transpose(2, 3), groups=count * channels)
        return down.reshape(images.shape).clamp(-1, 1)


class Jpeg(Damage):
    """Compressed and decoded again, at a quality of 1 to 100; on the CPU, one image after the other."""

    def __init__(self, quality: Range = (10, 40)) -> None:
        super().__init__()
        self.quality = span(quality, "jpeg.quality")
        if not 1 <= self.quality[0] <= self.quality[1] <= 100:
            raise ValueError(f"dataset.damages.jpeg.quality={quality} must lie between 1 and 100")

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images in [-1, 1], C 1 or 3 -> the same."""
        low, high = map(int, self.quality)
        qualities = torch.randint(low, high + 1, (len(images),)).tolist()
        pixels = ((images + 1) * 127.5).round().clamp(0, 255).to("cpu", torch.uint8).contiguous()
        mode = ImageReadMode.GRAY if images.shape[1] == 1 else ImageReadMode.RGB
        stored = [encode_jpeg(image, quality) for image, quality in zip(pixels, qualities, strict=True)]
        return torch.stack([decode_jpeg(data, mode) for data in stored]).to(images) / 127.5 - 1


class SaltAndPepper(Damage):
    """A share `p` of the pixels turned black or white, all channels together."""

    def __init__(self, p: Share = 0.1) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dataset.damages.salt_and_pepper.p={p} must lie between 0 and 1")
        self.p = p

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images in [-1, 1] -> the same."""
        dice = torch.rand_like(images[:, :1])
        return images.masked_fill(dice < self.p, 1).masked_fill(dice < self.p / 2, -1)


class LowResolution(Damage):
    """The mean of every factor × factor pixels: a smaller picture, or one as large as before with `enlarge`."""

    def __init__(self, factor: Pixels = 2, enlarge: bool = False) -> None:
        super().__init__()
        if not isinstance(factor, int) or factor < 1:
            raise ValueError(f"dataset.damages.low_res.factor={factor} must be a whole number, such as 2 or 4")
        self.factor, self.enlarge = factor, enlarge
        self.scale = 1 if enlarge else factor

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images in [-1, 1] -> (N, C, H/factor, W/factor), or bicubically back to (N, C, H, W)."""
        small = F.avg_pool2d(images, self.factor)
        if not self.enlarge:
            return small
        return F.interpolate(small, images.shape[2:], mode="bicubic").clamp(-1, 1)


class Mixture(Damage):
    """For each image one of the parts, drawn at random; with `chain` all of them, one after the other."""

    def __init__(self, parts: Sequence[Damage], chain: bool = False) -> None:
        super().__init__()
        if not parts:
            raise ValueError("dataset.damages.mixture.parts is empty: name at least one damage")
        if any(part.scale != 1 for part in parts):
            raise ValueError("dataset.damages.mixture.parts: low resolution needs enlarge=true among others")
        self.parts, self.chain = nn.ModuleList(parts), chain

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images in [-1, 1] -> the same."""
        choice = torch.randint(len(self.parts), (len(images), 1, 1, 1), device=images.device)
        damaged = images
        for number, part in enumerate(self.parts):
            # every part sees the whole batch: choosing rows would wait for the device
            damaged = part(damaged) if self.chain else torch.where(choice == number, part(images), damaged)
        return damaged


class Mask(Damage):
    """A hole filled with mid-grey; batches gain "mask" (N, 1, H, W), 1 inside of it.

    shape: `centre`, `box` (anywhere) or `stroke` (a crooked line). size: the hole's side as a share of the picture's,
    so that size² of the pixels are lost, whatever the shape.
    """

    def __init__(self, shape: str = "centre", size: Share = 0.5) -> None:
        super().__init__()
        if shape not in HOLES:
            raise ValueError(f"dataset.damages.mask.shape={shape} must be one of {', '.join(HOLES)}")
        if not 0 < size <= 1:
            raise ValueError(f"dataset.damages.mask.size={size} must lie between 0 and 1")
        self.hole, self.size = HOLES[shape], size

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images in [-1, 1] -> the same."""
        return self.added(images)["source"]

    def added(self, images: Tensor) -> dict[str, Tensor]:
        mask = self.hole(images, self.size).to(images.dtype)
        return {"source": images * (1 - mask), "mask": mask}


# -- holes: (N, C, H, W) images, the share of a side -> (N, 1, H, W) bool ---------------------------------------------


def centre(images: Tensor, size: float) -> Tensor:
    height, width = images.shape[2:]
    tall, wide = sides(images, size)
    rows, columns = grid(images)
    top, left = (height - tall) // 2, (width - wide) // 2
    inside = within(rows, top, tall) & within(columns, left, wide)
    return inside.expand(len(images), 1, -1, -1)


def box(images: Tensor, size: float) -> Tensor:
    count, _, height, width = images.shape
    tall, wide = sides(images, size)
    rows, columns = grid(images)
    top = torch.randint(height - tall + 1, (count, 1, 1, 1), device=images.device)
    left = torch.randint(width - wide + 1, (count, 1, 1, 1), device=images.device)
    return within(rows, top, tall) & within(columns, left, wide)


def stroke(images: Tensor, size: float) -> Tensor:
    """The pixels nearest to a random line with corners, as many as a box has."""
    count, _, height, width = images.shape
    rows, columns = grid(images)
    corners = torch.rand(CORNERS, 2, count, 1, 1, 1, device=images.device)
    ys, xs = corners[:, 0] * height, corners[:, 1] * width  # (CORNERS, N, 1, 1, 1) pixels
    distances = [away(rows - ys[i], columns - xs[i], ys[i + 1] - ys[i], xs[i + 1] - xs[i]) for i in range(CORNERS - 1)]
    nearest = torch.stack(distances).amin(0)  # (N, 1, H, W)
    tall, wide = sides(images, size)
    limit = nearest.flatten(1).sort().values[:, tall * wide - 1]
    return nearest <= limit[:, None, None, None]


HOLES: dict[str, Callable[[Tensor, float], Tensor]] = {"centre": centre, "box": box, "stroke": stroke}


def sides(images: Tensor, size: float) -> tuple[int, int]:
    """(height, width) of a hole in pixels, at least one each."""
    height, width = images.shape[2:]
    return max(1, round(height * size)), max(1, round(width * size))


def grid(images: Tensor) -> tuple[Tensor, Tensor]:
    """Row numbers (H, 1) and column numbers (1, W)."""
    height, width = images.shape[2:]
    return torch.arange(height, device=images.device)[:, None], torch.arange(width, device=images.device)[None]


def within(numbers: Tensor, first: Tensor | int, count: int) -> Tensor:
    return (numbers >= first) & (numbers < first + count)


def away(y: Tensor, x: Tensor, dy: Tensor, dx: Tensor) -> Tensor:
    """Distance of the points (y, x) from the piece of a line between the origin and (dy, dx)."""
    along = ((y * dy + x * dx) / (dy**2 + dx**2).clamp(min=1e-6)).clamp(0, 1)
    return torch.hypot(y - along * dy, x - along * dx)


# -- numbers ----------------------------------------------------------------------------------------------------------


def span(value: Range, name: str) -> tuple[float, float]:
    """25 or [0, 50] -> (low, high). Raises ValueError when neither fits."""
    ends = (value, value) if isinstance(value, (int, float)) else tuple(value)
    numbers = all(isinstance(end, (int, float)) and math.isfinite(end) for end in ends)
    if len(ends) != 2 or not numbers or not 0 <= ends[0] <= ends[1]:
        raise ValueError(f"dataset.damages.{name}={value} must be a number from 0 up, or [low, high]")
    return float(ends[0]), float(ends[1])


def drawn(ends: tuple[float, float], images: Tensor) -> Tensor:
    """(N, 1, 1, 1) float32, one number for each image."""
    return torch.empty(len(images), 1, 1, 1, device=images.device).uniform_(*ends)
