"""A perceptual distance without any file: the features of a small denoiser that learns on the run's own pictures."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganrun.common.bounds import Count, Setting, Weight
from ganrun.networks.init import init_he_

NOISE = 0.25  # standard deviation of the strongest noise, for pixels in [-1, 1]
TINY = 1e-6  # keeps the direction of a vector of zeros finite


class OwnFeatures(nn.Module):
    """Σ_l mean ‖φ_l(x) − φ_l(y)‖² over `levels` levels, φ_l the features of a pixel, scaled to the length 1.

    Scaled features are compared as LPIPS does it (Zhang et al., 2018), without its learned weights. The network is an
    autoencoder that takes noise of a random strength off the pictures (Vincent et al., 2008): to do so it must know
    edges and textures. It is small and has seen no other pictures, so it is no substitute for VGG19's features.
    """

    def __init__(
        self, channels: Setting, base_channels: Setting = 16, levels: Count = 3, noise: Weight = NOISE
    ) -> None:
        super().__init__()
        self.noise = noise
        widths = [base_channels << k for k in range(levels)]
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        for level, outputs in enumerate(widths):
            inputs = widths[level - 1] if level else channels
            self.down.append(pair(inputs, outputs, stride=2 if level else 1))
            self.up.append(nn.Conv2d(outputs, inputs, 3, padding=1))
        init_he_(self)

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        """(N, C, H, W), (N, C, H, W) in [-1, 1] -> () distance, no gradient to the targets or to the network."""
        with torch.no_grad():
            wanted = self.features(targets)
        pairs = zip(self.features(images), wanted, strict=True)
        return torch.stack([(unit(one) - unit(other)).square().sum(1).mean() for one, other in pairs]).sum()

    def features(self, images: Tensor) -> list[Tensor]:
        """(N, C, H, W) -> (N, c, h, w) of each level, the largest first."""
        found: list[Tensor] = []
        for down in self.down:
            found.append(down(found[-1] if found else images))
        return found

    def learning(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1] -> () the mean squared error of these pictures, taken out of noise."""
        strength = self.noise * torch.rand(len(images), 1, 1, 1, device=images.device)
        levels = self.features(images + strength * torch.randn_like(images))
        x = levels.pop()
        for number in reversed(range(len(self.up))):
            x = self.up[number](x)
            if number:
                x = F.leaky_relu(F.interpolate(x, size=levels.pop().shape[2:], mode="nearest"), 0.2)
        return F.mse_loss(x.float(), images)


def pair(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(outputs, outputs, 3, padding=1),
        nn.LeakyReLU(0.2),
    )


def unit(features: Tensor) -> Tensor:
    """(N, C, H, W) -> the same, each pixel's features with the length 1."""
    features = features.float()
    return features * torch.rsqrt(features.square().sum(1, keepdim=True) + TINY)
