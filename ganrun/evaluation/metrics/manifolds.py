"""Precision, recall, density and coverage: fidelity and diversity as separate numbers, from balls around features."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ganrun.evaluation.metrics.neighbours import distances, nearest

K, K_DENSITY = 3, 5  # k of the two papers: Kynkäänniemi et al., 2019, and Naeem et al., 2020


class Manifolds(NamedTuple):
    """Four numbers from 0 to 1, except that density may exceed 1."""

    precision: float
    recall: float
    density: float
    coverage: float


def reach(points: Tensor, k: int = K, k_density: int = K_DENSITY) -> Tensor:
    """(N, F) -> (2, N) squared distances of each point to its k-th and to its k_density-th nearest neighbour.

    Raises ValueError when a point has fewer than max(k, k_density) neighbours.
    """
    # + 1: the nearest point to each point is the point itself
    return nearest(points, points, max(k, k_density) + 1)[0][:, [k, k_density]].T.contiguous()


def manifolds(real: Tensor, fake: Tensor, real_reach: Tensor | None = None) -> Manifolds:
    """(N, F) real, (M, F) fake -> all four numbers, in one pass over the distances.

    The ball of a point has the distance to its k-th nearest neighbour as radius.
    precision: the share of fakes in the ball of a real (k = 3; Kynkäänniemi et al., 2019, equation 2).
    recall: the share of reals in the ball of a fake (k = 3).
    density: the mean number of real balls that contain a fake, divided by k (k = 5; Naeem et al., 2020, equation 4).
    coverage: the share of reals whose ball contains a fake (k = 5).
    real_reach: `reach(real)`, if it is known. Raises ValueError when a set has 5 points or fewer.
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
