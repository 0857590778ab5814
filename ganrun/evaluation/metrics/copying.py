"""Does a generator repeat the pictures it learnt from? Two numbers from nearest neighbours."""

from __future__ import annotations

import torch
from torch import Tensor

from ganrun.evaluation.metrics.neighbours import nearest


def copied(train: Tensor, test: Tensor, fake: Tensor) -> float:
    """(L, F), (N, F), (M, F) -> how often a sample lies nearer to a training picture than a test picture does.

    The chance that, of a random sample and a random test picture, the sample is the nearer one to its nearest training
    picture; a tie counts half. It is the Mann–Whitney U of Meehan et al., 2020, over MN: 0.5 for a generator that is
    as far from the training pictures as new pictures are, 1 for one that only repeats them.
    """
    mine, theirs = (nearest(points, train)[0].flatten() for points in (fake, test))
    theirs = theirs.sort().values
    below = torch.searchsorted(theirs, mine, right=False)
    upto = torch.searchsorted(theirs, mine, right=True)
    return 1 - ((below + upto).double().mean() / (2 * len(theirs))).item()


def authentic(train: Tensor, fake: Tensor) -> float:
    """(L, F), (M, F) -> the share of samples that are no nearer to their nearest training picture than that one's own
    nearest neighbour among the training pictures is (Alaa et al., 2022, section 2.3).
    """
    closest, which = nearest(fake, train)
    met, place = which[:, 0].unique(return_inverse=True)
    return (closest[:, 0] >= nearest(train[met], train, 2)[0][place, 1]).double().mean().item()
