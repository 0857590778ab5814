"""Projection: a discriminator's last layer that compares an image with the class it is told (Miyato, Koyama, 2018)."""

from __future__ import annotations

from torch import Tensor, nn

from ganrun.common.bounds import Setting, Whole


class Projection(nn.Module):
    """ψ(φ) + ⟨v_y, φ⟩ (equation 3): φ are the image's features, ψ is linear, v_y is the vector of class y.

    Without `classes` it is ψ(φ). More than one of `heads` are logits of their own, for an auxiliary classifier.
    Raises ValueError for several heads and classes at once.
    """

    couples_images = False

    def __init__(self, size: Setting, classes: Whole = 0, heads: Setting = 1) -> None:
        super().__init__()
        if classes and heads > 1:
            raise ValueError(f"heads={heads}: several heads are for a discriminator that gets no class: use classes=0")
        self.psi = nn.Linear(size, heads)
        self.embedding = nn.Embedding(classes, size) if classes else None
        if self.embedding is not None:
            nn.init.xavier_uniform_(self.embedding.weight)

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, size) features[, (N,) labels] -> (N,) logits, or (N, heads)."""
        logits = self.psi(features)
        if self.embedding is not None:
            return logits[:, 0] + (self.embedding(labels) * features).sum(1)
        return logits[:, 0] if logits.shape[1] == 1 else logits
