"""Copying: two nearest-neighbour tests of whether a generator repeats its training pictures."""

from __future__ import annotations

import torch
from torch import Tensor

from ganrun.evaluation.metrics.neighbours import distances, nearest

EQUAL = 1e-10  # of the largest squared length: features of one picture differ by so much, through rounding


def copied(train: Tensor, test: Tensor, fake: Tensor) -> float:
    """(L, F), (N, F), (M, F) features -> how often a sample is nearer to the training set than a test picture.

    Take a random sample and a random test picture, each with its distance to its nearest training picture. The result
    is the probability that the sample's distance is the smaller one; a tie counts half. It is the Mann–Whitney U of
    Meehan et al., 2020, divided by MN. A generator whose samples are as far from the training pictures as test
    pictures are gets 0.5. A generator that only repeats training pictures gets 1.
    Raises ValueError when there is no training picture or no test picture.
    """
    if not len(test):
        raise ValueError("each of the real pictures is among the training pictures")
    mine, theirs = (nearest(points, train)[0].flatten() for points in (fake, test))
    theirs = theirs.sort().values
    below = torch.searchsorted(theirs, mine, right=False)
    upto = torch.searchsorted(theirs, mine, right=True)
    return 1 - ((below + upto).double().mean() / (2 * len(theirs))).item()


def authentic(train: Tensor, fake: Tensor) -> float:
    """(L, F), (M, F) features -> the share of authentic samples (Alaa et al., 2022, section 2.3).

    Let t be the training picture that is nearest to a sample. The sample is authentic when its distance to t is at
    least the distance from t to the nearest training picture that differs from t. A picture that occurs twice counts
    as one: otherwise that distance would be 0, and every copy of t would be authentic.
    Raises ValueError when there are fewer than two different training pictures.
    """
    closest, which = nearest(fake, train)
    met, place = which[:, 0].unique(return_inverse=True)
    radius = to_another(train[met], train)
    if radius.isinf().any():
        raise ValueError("there are fewer than two different training pictures")
    return (closest[:, 0] >= radius[place]).double().mean().item()


def to_another(points: Tensor, others: Tensor) -> Tensor:
    """(N, F), (M, F) -> (N,) the squared distance from each point to the nearest of the others that is not equal to it.

    inf where all are equal to it.
    """
    equal = EQUAL * others.double().square().sum(1).max()
    return torch.cat([block.masked_fill(block <= equal, torch.inf).amin(1) for block in distances(points, others)])
