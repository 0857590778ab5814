"""DiffAugment: differentiable random transforms of reals and fakes (Zhao et al., 2020)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from ganrun.augmentations.augmentation import Augmentation


class DiffAugment(Augmentation):
    """D(T(x)) and D(T(G(z))) in the turns of both players (equations 4 and 5); T applies the `policies` in order.

    If only the reals were transformed, the generator would learn to draw transformed images.
    """

    def __init__(self, policies: Mapping[str, Augmentation]) -> None:
        super().__init__()
        self.policies = nn.ModuleDict(policies)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)"""
        for policy in self.policies.values():
            images = policy(images)
        return images

    def after_turn(self) -> None:
        for policy in self.policies.values():
            policy.after_turn()  # type: ignore[operator]
