"""Damage: random degradations of clean images, such as noise and blur, new for each batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.io import ImageReadMode, decode_jpeg, encode_jpeg

from ganrun.common.bounds import At, Pixels, Share, Weight

Radius = Annotated[float, At(0, 128)]  # pixels; the kernel is six times as wide
# one number, or [low, high]: then each image gets a random number between them
Range = Annotated[Weight | Sequence[Weight], "a number from 0 up, or [low, high]"]

CORNERS = 5  # points of the line in a mask of shape `stroke`


class Damage(nn.Module):
    """A degradation of images. Its random numbers come from torch's global random state."""

    scale: int = 1  # how many times larger the clean image is than the damaged image
    photographs_only: bool = False  # works with one or three channels alone
    idealised: str = ""  # what makes the sources, where no camera and no website makes such pictures

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images in [-1, 1] -> (N, C, H/scale, W/scale) damaged images in [-1, 1], on the same device."""
        raise NotImplementedError

    def within(self, images: Tensor, goal: tuple[int, int]) -> Tensor:
        """The same, as a part of a chain whose result gets the sides `goal`, (height, width) in pixels."""
        return self(images)

    def share_after(self, share: Fraction | None, goal: Fraction | None) -> Fraction | None:
        """The sides of the result as a share of the clean image's sides; None where they are random.

        share: of the images before. goal: of the result of the chain that this is a part of.
        """
        return None if share is None else share / self.scale

    def fits(self, channels: int, size: tuple[int, int]) -> bool:
        """Whether pictures with so many channels and these sides, (height, width) in pixels, can have this damage."""
        limited = any(isinstance(part, Damage) and part.photographs_only for part in self.modules())
        return (channels in (1, 3) or not limited) and not any(side % self.scale for side in size)

    def added(self, images: Tensor) -> dict[str, Tensor]:
        """(N, C, H, W) clean images -> the entries that are added to their batch: {"source": the damaged images}."""
        return {"source": self(images)}


class Noise(Damage):
    """Gaussian noise. The result is clipped to [-1, 1].

    sigma: the standard deviation, for pixels from 0 to 255. shot: Poisson noise, as from photons, instead; sigma is
    then its standard deviation in white pixels; darker pixels have less noise. Raises ValueError for a negative
    sigma.
    """

    def __init__(self, sigma: Range = 25, shot: bool = False) -> None:
        super().__init__()
        self.sigma, self.shot = span(sigma, "noise.sigma"), shot

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images in [-1, 1] -> (N, C, H, W) noisy images."""
        sigma = uniform(self.sigma, images)
        if self.shot:
            photons = (255 / sigma.clamp(min=0.01)) ** 2  # in a white pixel: n photons have the relative error 1/√n
            noisy = torch.poisson((images.float() + 1) / 2 * photons) / photons * 2 - 1
        else:
            noisy = images + sigma / 127.5 * torch.randn_like(images)
        return noisy.clamp(-1, 1)


class Blur(Damage):
    """Gaussian blur. Beyond the border, the pixels at the edge are repeated.

    sigma: the standard deviation of the kernel, in pixels. Raises ValueError for a negative sigma.
    """

    def __init__(
        self, sigma: Annotated[Radius | Sequence[Radius], "from 0 to 128 pixels, or [low, high]"] = (1.0, 2.0)
    ) -> None:
        super().__init__()
        self.sigma = span(sigma, "blur.sigma")

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images in [-1, 1] -> (N, C, H, W) blurred images."""
        count, channels, height, width = images.shape
        radius = math.ceil(3 * self.sigma[1])
        offsets = torch.arange(-radius, radius + 1, device=images.device)
        weights = torch.exp(-0.5 * (offsets / uniform(self.sigma, images).clamp(min=0.01)) ** 2)  # (N, 1, 1, K)
        weights = (weights / weights.sum(3, keepdim=True)).to(images.dtype).repeat_interleave(channels, 0)
        # each image has its own kernel: a grouped convolution takes all N·C planes as the channels of one image
        planes = F.pad(images, [radius] * 4, "replicate")
        planes = planes.reshape(1, count * channels, height + 2 * radius, width + 2 * radius)
        across = F.conv2d(planes, weights, groups=count * channels)
        down = F.conv2d(across, weights.transpose(2, 3), groups=count * channels)
        return down.reshape(images.shape).clamp(-1, 1)


class Jpeg(Damage):
    """JPEG compression artefacts: each image is encoded and decoded on the CPU.

    quality: from 1 to 100. Raises ValueError for any other quality.
    """

    photographs_only = True

    def __init__(self, quality: Range = (10, 40)) -> None:
        super().__init__()
        self.quality = span(quality, "jpeg.quality")
        if not 1 <= self.quality[0] <= self.quality[1] <= 100:
            raise ValueError(f"dataset.damages.jpeg.quality={quality} must lie between 1 and 100")

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images in [-1, 1], C = 1 or 3 -> (N, C, H, W), each encoded and decoded again."""
        low, high = map(int, self.quality)
        qualities = torch.randint(low, high + 1, (len(images),)).tolist()
        pixels = ((images + 1) * 127.5).round().clamp(0, 255).to("cpu", torch.uint8).contiguous()
        mode = ImageReadMode.GRAY if images.shape[1] == 1 else ImageReadMode.RGB
        stored = [encode_jpeg(image, quality) for image, quality in zip(pixels, qualities, strict=True)]
        return torch.stack([decode_jpeg(data, mode) for data in stored]).to(images) / 127.5 - 1


class SaltAndPepper(Damage):
    """Random pixels become black or white, in all channels.

    p: the share of these pixels. Raises ValueError when `p` is not in [0, 1].
    """

    def __init__(self, p: Share = 0.1) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dataset.damages.salt_and_pepper.p={p} must lie between 0 and 1")
        self.p = p

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images in [-1, 1] -> (N, C, H, W) damaged images."""
        dice = torch.rand_like(images[:, :1])
        return images.masked_fill(dice < self.p, 1).masked_fill(dice < self.p / 2, -1)


class LowResolution(Damage):
    """Low resolution: each block of factor × factor pixels becomes one pixel, its mean.

    enlarge: enlarge the result to the original size with bicubic interpolation. Raises ValueError when `factor` is not
    a whole number of at least 1.
    """

    def __init__(self, factor: Pixels = 2, enlarge: bool = False) -> None:
        super().__init__()
        if not isinstance(factor, int) or factor < 1:
            raise ValueError(f"dataset.damages.low_res.factor={factor} must be a whole number, such as 2 or 4")
        self.factor, self.enlarge = factor, enlarge
        self.scale = 1 if enlarge else factor
        self.idealised = f"clean means of {factor}×{factor} pixels"

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images in [-1, 1] -> (N, C, H/factor, W/factor); (N, C, H, W) with `enlarge`."""
        small = F.avg_pool2d(images, self.factor)
        if not self.enlarge:
            return small
        return F.interpolate(small, images.shape[2:], mode="bicubic").clamp(-1, 1)


class Mixture(Damage):
    """Several kinds of damage: each image gets one of `parts` at random.

    chain: each image gets all parts, one after another. Raises ValueError when there are no parts, or when a part
    changes the image size.
    """

    def __init__(self, parts: Sequence[Damage], chain: bool = False) -> None:
        super().__init__()
        if not parts:
            raise ValueError("dataset.damages.mixture.parts is empty: name at least one damage")
        if any(part.scale != 1 for part in parts):
            raise ValueError(
                "dataset.damages.mixture.parts: all parts must keep the image size, low_res needs enlarge=true"
            )
        self.parts, self.chain = nn.ModuleList(parts), chain

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images in [-1, 1] -> (N, C, H, W) damaged images."""
        choice = torch.randint(len(self.parts), (len(images), 1, 1, 1), device=images.device)
        damaged = images
        for number, part in enumerate(self.parts):
            # each part is computed for the whole batch, because selecting images would wait for the device
            damaged = part(damaged) if self.chain else torch.where(choice == number, part(images), damaged)
        return damaged


class Mask(Damage):
    """A hole in each image, filled with grey (0), for inpainting. The mask (N, 1, H, W) is 1 inside the hole.

    shape: `centre` (a rectangle in the centre), `box` (a rectangle at a random place) or `stroke` (a thick random line
    with corners). size: the sides of the rectangle, as a share of the image's sides; a stroke has as many pixels as the
    rectangle. Raises ValueError for an unknown shape, or when `size` is not in (0, 1].
    """

    def __init__(self, shape: str = "centre", size: Share = 0.5) -> None:
        super().__init__()
        if shape not in HOLES:
            raise ValueError(f"dataset.damages.mask.shape={shape} must be one of {', '.join(HOLES)}")
        if not 0 < size <= 1:
            raise ValueError(f"dataset.damages.mask.size={size} must be above 0 and at most 1")
        self.hole, self.size = HOLES[shape], size

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images in [-1, 1] -> (N, C, H, W) images with a hole."""
        return self.added(images)["source"]

    def added(self, images: Tensor) -> dict[str, Tensor]:
        """(N, C, H, W) clean images -> {"source": (N, C, H, W), "mask": (N, 1, H, W), 1 inside the hole}."""
        mask = self.hole(images, self.size).to(images.dtype)
        return {"source": images * (1 - mask), "mask": mask}


# -- holes: (N, C, H, W) images, the share of a side -> (N, 1, H, W) bool ---------------------------------------------


def centre(images: Tensor, size: float) -> Tensor:
    """A rectangle in the centre."""
    height, width = images.shape[2:]
    tall, wide = sides(images, size)
    rows, columns = grid(images)
    top, left = (height - tall) // 2, (width - wide) // 2
    inside = within(rows, top, tall) & within(columns, left, wide)
    return inside.expand(len(images), 1, -1, -1)


def box(images: Tensor, size: float) -> Tensor:
    """A rectangle at a random place in each image."""
    count, _, height, width = images.shape
    tall, wide = sides(images, size)
    rows, columns = grid(images)
    top = torch.randint(height - tall + 1, (count, 1, 1, 1), device=images.device)
    left = torch.randint(width - wide + 1, (count, 1, 1, 1), device=images.device)
    return within(rows, top, tall) & within(columns, left, wide)


def stroke(images: Tensor, size: float) -> Tensor:
    """The pixels that are nearest to a random line with corners, as many as the rectangle of `box` has."""
    count, _, height, width = images.shape
    rows, columns = grid(images)
    corners = torch.rand(CORNERS, 2, count, 1, 1, 1, device=images.device)
    ys, xs = corners[:, 0] * height, corners[:, 1] * width  # (CORNERS, N, 1, 1, 1) pixels
    distances = [
        distance_to_segment(rows - ys[i], columns - xs[i], ys[i + 1] - ys[i], xs[i + 1] - xs[i])
        for i in range(CORNERS - 1)
    ]
    nearest = torch.stack(distances).amin(0)  # (N, 1, H, W)
    tall, wide = sides(images, size)
    limit = nearest.flatten(1).sort().values[:, tall * wide - 1]
    return nearest <= limit[:, None, None, None]


HOLES: dict[str, Callable[[Tensor, float], Tensor]] = {"centre": centre, "box": box, "stroke": stroke}


def sides(images: Tensor, size: float) -> tuple[int, int]:
    """(height, width) of the rectangle in pixels, each at least 1."""
    height, width = images.shape[2:]
    return max(1, round(height * size)), max(1, round(width * size))


def grid(images: Tensor) -> tuple[Tensor, Tensor]:
    """(H, 1) row numbers and (1, W) column numbers."""
    height, width = images.shape[2:]
    return torch.arange(height, device=images.device)[:, None], torch.arange(width, device=images.device)[None]


def within(numbers: Tensor, first: Tensor | int, count: int) -> Tensor:
    """Whether each number is one of the `count` numbers from `first` on."""
    return (numbers >= first) & (numbers < first + count)


def distance_to_segment(y: Tensor, x: Tensor, dy: Tensor, dx: Tensor) -> Tensor:
    """The distance from the points (y, x) to the line segment between the origin and (dy, dx), in pixels."""
    along = ((y * dy + x * dx) / (dy**2 + dx**2).clamp(min=1e-6)).clamp(0, 1)
    return torch.hypot(y - along * dy, x - along * dx)


# -- numbers ----------------------------------------------------------------------------------------------------------


def span(value: Range, name: str) -> tuple[float, float]:
    """A number or [low, high] as (low, high): 25 -> (25, 25). Raises ValueError, which names the setting."""
    ends = (value, value) if isinstance(value, (int, float)) else tuple(value)
    numbers = all(isinstance(end, (int, float)) and math.isfinite(end) for end in ends)
    if len(ends) != 2 or not numbers or not 0 <= ends[0] <= ends[1]:
        raise ValueError(f"dataset.damages.{name}={value} must be a number from 0 up, or [low, high]")
    return float(ends[0]), float(ends[1])


def ordered(name: str, value: Sequence[float], least: float, most: float) -> tuple[float, float]:
    """(low, high). Raises ValueError that names the setting for another count, order or range."""
    ends = tuple(value)
    if len(ends) != 2 or not least <= ends[0] <= ends[1] <= most:
        raise ValueError(f"{name}={list(ends)} must be [low, high], from {least:g} to {most:g}")
    return float(ends[0]), float(ends[1])


def check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name}={value} must lie between 0 and 1, it is a probability")


def uniform(ends: tuple[float, float], images: Tensor) -> Tensor:
    """(N, 1, 1, 1) float32: a uniform random number between the two ends for each image."""
    return torch.empty(len(images), 1, 1, 1, device=images.device).uniform_(*ends)
