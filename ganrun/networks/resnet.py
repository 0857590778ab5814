"""ResNet translator: halvings, residual blocks, doublings (Johnson et al., 2016; Zhu et al., 2017)."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from torch import Tensor, nn

from ganrun.common.bounds import At, Setting
from ganrun.networks.anysize import cut_back, padded
from ganrun.networks.init import init_normal_
from ganrun.networks.norms import Norm, find_norm
from ganrun.networks.sizes import Size, as_size
from ganrun.networks.upsampling import Upsample, doubling


class ResNetTranslator(nn.Module):
    """c7s1-64, d128, d256, the blocks, u128, u64, c7s1-3 in the paper's shorthand; mirrored borders.

    `blocks` is 6 up to 128 px and 9 above, unless given; `halvings` the paper's 2 from 64 px on and 1 below, where a
    second would leave too little of where things are. Pictures of other sizes than `image_size` are padded to whole
    strides and cut back. `norm` names one of `ganrun.networks.norms.NORMS`, `upsample` one way of
    `ganrun.networks.upsampling`. `feature_channels` are those of the maps that `features` returns.
    """

    def __init__(
        self,
        channels: Setting,
        image_size: Size,
        base_channels: Setting = 64,
        blocks: Annotated[int, At(1, 1000)] | None = None,
        halvings: Annotated[int, At(0, 14)] | None = None,
        norm: str = "instance",
        upsample: Upsample = "transposed",
    ) -> None:
        super().__init__()
        short = min(as_size(image_size))
        if blocks is None:
            blocks = 6 if short <= 128 else 9
        if halvings is None:
            halvings = 2 if short >= 64 else 1
        widths = [base_channels << level for level in range(halvings + 1)]
        n, self.stride = find_norm(norm), 2**halvings
        layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 7, padding=3, padding_mode="reflect", bias=n.bias)]
        layers += followed(n, widths[0])
        for inputs, outputs in pairwise(widths):
            layers += [nn.Conv2d(inputs, outputs, 3, 2, 1, bias=n.bias), *followed(n, outputs)]
        # the halvings, the first block and the middle one, the fifth of nine (Park et al., 2020, section 4.1)
        first = len(layers)
        self.tapped = [number for number, layer in enumerate(layers[1:], 1) if isinstance(layer, nn.Conv2d)]
        self.tapped += sorted({first, first + blocks // 2})
        self.feature_channels = [channels, *widths[1:], *[widths[-1]] * len({first, first + blocks // 2})]
        layers += [Block(widths[-1], n) for _ in range(blocks)]
        for inputs, outputs in pairwise(reversed(widths)):
            layers += [doubling(inputs, outputs, n.bias, upsample), *followed(n, outputs)]
        last = nn.Conv2d(widths[0], channels, 7, padding=3, padding_mode="reflect")
        self.layers = nn.Sequential(*layers, last, nn.Tanh())
        init_normal_(self)
        n.bound_(self)

    def forward(self, images: Tensor, encoded: bool = False) -> Tensor | tuple[Tensor, list[Tensor]]:
        """(N, C, H, W) -> (N, C, H, W) images in [-1, 1], any H and W; with `encoded` also their `features`."""
        if not encoded:
            return cut_back(self.layers(padded(images, self.stride)), images)
        found = self.features(images)
        return cut_back(self.layers[self.tapped[-1] + 1 :](found[-1]), images), found

    def features(self, images: Tensor) -> list[Tensor]:
        """(N, C, H, W) -> the picture, padded to whole strides, then a map (N, C', h, w) of each tapped layer."""
        x = padded(images, self.stride)
        found = [x]
        for number, layer in enumerate(self.layers[: self.tapped[-1] + 1]):
            x = layer(x)
            if number in self.tapped:
                found.append(x)
        return found


class Block(nn.Module):
    """Two 3×3 convolutions beside a bypass."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect", bias=norm.bias),
            *followed(norm, channels),
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect", bias=norm.bias),
            norm.layer(channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)"""
        return features + self.layers(features)


def followed(norm: Norm, channels: int) -> list[nn.Module]:
    return [norm.layer(channels), nn.ReLU(inplace=True)]
