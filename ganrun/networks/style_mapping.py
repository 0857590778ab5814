"""Style mapping: from latents and a label to the styles of all layers (Karras et al., 2019, section 2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganrun.networks.equalized import LabelVector, leaky_linears, normalized

RATE = 0.01  # learning rate of the mapping network, relative to all others (2019, appendix C)
DECAY = 0.995  # of the mean style, a step; our choice, the paper takes the mean of many styles after training


class StyleMapping(nn.Module):
    """w = f(z): dense layers of the normalized latents, with the normalized vector of the label beside them.

    `mean_style` is w̄, a running mean over training, one for each class: truncation moves styles towards it.
    """

    mean_style: Tensor  # (max(1, classes), W)

    def __init__(self, latent_size: int, style_size: int, layers: int, classes: int = 0) -> None:
        super().__init__()
        self.label = LabelVector(classes, style_size) if classes else None
        self.layers = leaky_linears(latent_size + (style_size if classes else 0), style_size, layers, RATE)
        self.register_buffer("mean_style", torch.zeros(max(1, classes), style_size))

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, Z) latents, (N,) labels where there are classes -> (N, W) styles."""
        vectors = normalized(latents)
        if self.label is not None:
            assert labels is not None
            vectors = torch.cat([vectors, self.label(labels)], dim=1)
        styles = self.layers(vectors)
        if self.training:
            self.follow(styles.detach().float(), labels)
        return styles

    def truncated(self, styles: Tensor, labels: Tensor | None, psi: Tensor) -> Tensor:
        """w' = w̄ + ψ (w − w̄) (2019, appendix B). (N, W) styles, (N,) ψ of each image -> (N, W)."""
        mean = self.mean_style[0] if labels is None else self.mean_style[labels]
        return mean + psi[:, None] * (styles - mean)

    @torch.no_grad()
    def follow(self, styles: Tensor, labels: Tensor | None) -> None:
        """Move the mean of each class that the batch has towards the batch's mean of that class."""
        if labels is None:
            self.mean_style.lerp_(styles.mean(0, keepdim=True), 1 - DECAY)
            return
        # a product with the one-hot labels: unlike index_add, it adds in the same order on every run
        of_class = (labels[:, None] == torch.arange(len(self.mean_style), device=labels.device)).float()  # (N, classes)
        counts = of_class.sum(0)[:, None]
        means = of_class.t() @ styles / counts.clamp(min=1)
        self.mean_style.lerp_(means, (1 - DECAY) * (counts > 0))


def mixed(styles: Tensor, others: Tensor, layers: int, active: int | None = None) -> Tensor:
    """Style mixing (2019, section 3.1). (N, W) styles and others -> (N, layers, W).

    Each image has its own crossover point, uniform among 1 to active - 1: layers from there on get the other style.
    `active`: how many of the layers are computed, all of them by default.
    """
    crossover = torch.randint(
        1, max(2, layers if active is None else active), (len(styles), 1, 1), device=styles.device
    )
    after = torch.arange(layers, device=styles.device)[None, :, None] >= crossover
    return torch.where(after, others[:, None], styles[:, None])
