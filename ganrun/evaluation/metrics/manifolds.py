"""Fidelity apart from variety: precision, recall, density and coverage of balls around features."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ganrun.evaluation.metrics.neighbours import distances, nearest

K, K_DENSITY = 3, 5  # the neighbours that the two papers count


class Manifolds(NamedTuple):
    """Shares from 0 to 1; density alone may exceed 1."""

    precision: float
    recall: float
    density: float
    coverage: float


def reach(points: Tensor, k: int = K, k_density: int = K_DENSITY) -> Tensor:
    """(N, F) -> (2, N) the squared distances to the k-th and to the k_density-th nearest other one.

    Raises ValueError for so few points that there is none.
    """
    return nearest(points, points, max(k, k_density) + 1)[0][:, [k, k_density]].T.contiguous()


def manifolds(real: Tensor, fake: Tensor, real_reach: Tensor | None = None) -> Manifolds:
    """(N, F), (M, F) -> all four, in one pass over the distances.

    precision: the share of fakes within reach of a real; recall: of reals within reach of a fake, k = 3
    (Kynkäänniemi et al., 2019, equation 2). density: how many reals reach a fake on average, over k; coverage: the
    share of reals that reach a fake, k = 5 (Naeem et al., 2020, equation 4). `real_reach`: `reach(real)`, if known.
    """
    near, wide = reach(real) if real_reach is None else real_reach
    fake_near = reach(fake)[0]
    precise, reached, start = 0.0, 0.0, 0
    recalled = torch.zeros(len(real), dtype=torch.bool, device=real.device)
    closest = torch.full_like(near, torch.inf)
    for block in distances(fake, real):  # (n, N)
        precise += (block <= near).any(1).sum().item()
        reached += (block < wide).sum().item()
        recalled |= (block <= fake_near[start : start + len(block), None]).any(0)
        closest = torch.minimum(closest, block.amin(0))
        start += len(block)
    return Manifolds(
        precision=precise / len(fake),
        recall=recalled.double().mean().item(),
        density=reached / (K_DENSITY * len(fake)),
        coverage=(closest < wide).double().mean().item(),
    )
