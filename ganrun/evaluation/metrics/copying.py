"""Copying: two nearest-neighbour tests of whether a generator repeats its training pictures."""

from __future__ import annotations

import torch
from torch import Tensor

from ganrun.evaluation.metrics.neighbours import nearest


def copied(train: Tensor, test: Tensor, fake: Tensor) -> float:
    """(L, F), (N, F), (M, F) features -> how often a sample is nearer to the training set than a test picture.

    Take a random sample and a random test picture, each with its distance to its nearest training picture. The result
    is the probability that the sample's distance is the smaller one; a tie counts half. It is the Mann–Whitney U of
    Meehan et al., 2020, divided by MN. A generator whose samples are as far from the training pictures as test
    pictures are gets 0.5. A generator that only repeats training pictures gets 1.
    Raises ValueError when there is no training picture.
    """
    mine, theirs = (nearest(points, train)[0].flatten() for points in (fake, test))
    theirs = theirs.sort().values
    below = torch.searchsorted(theirs, mine, right=False)
    upto = torch.searchsorted(theirs, mine, right=True)
    return 1 - ((below + upto).double().mean() / (2 * len(theirs))).item()


def authentic(train: Tensor, fake: Tensor) -> float:
    """(L, F), (M, F) features -> the share of authentic samples (Alaa et al., 2022, section 2.3).

    Let t be the training picture that is nearest to a sample. The sample is authentic when its distance to t is at
    least the distance from t to the training picture that is nearest to t.
    Raises ValueError when there are fewer than two training pictures.
    """
    closest, which = nearest(fake, train)
    met, place = which[:, 0].unique(return_inverse=True)
    return (closest[:, 0] >= nearest(train[met], train, 2)[0][place, 1]).double().mean().item()
