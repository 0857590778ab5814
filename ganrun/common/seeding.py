"""Randomness as a function of (seed, step, rank): a resumed run draws what the unbroken run would have drawn."""

from __future__ import annotations

from enum import IntEnum

import torch

_MASK = (1 << 64) - 1


class Purpose(IntEnum):
    """Stands in a seed where training has the step: steps are 0 or more, so no purpose draws what a step draws.

    The numbers never change, because a seed must give the same pictures in every version.
    """

    EXAMPLES = -1  # fixed inputs of the grids
    FIRST_WEIGHTS = -2
    SAMPLES = -3  # `ganrun sample`
    CLASSIFIER_WEIGHTS = -4
    STUDY_PICTURES = -5  # which pictures an arm of a study trains on
    FEATURE_SPLIT = -6  # which pictures the default feature network trains on
    REAL_PICTURES = -7  # which real pictures a score looks at
    PATH_POSITIONS = -8  # where on a path between two latents a step of the path length is taken
    DAMAGE = -9  # the damage of the pictures that paired scores look at
    DOCTOR_NOISE = -10  # the noise of the turn that doctor plays before and after a step
    CROPS = -11  # where the crops of pictures lie


def mix(*numbers: int) -> int:
    """Any integers -> one well-spread 63-bit seed (splitmix64's finaliser over each number; Steele et al., 2014)."""
    state = 0
    for number in numbers:
        state = (state + (number & _MASK) + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    # the CPU generator only reads the low 32 bits, so both halves go there
    return (state ^ (state >> 32)) & (_MASK >> 1)


def reseed(*numbers: int) -> None:
    """Seed torch on every device in use from (seed, step, rank) or any other integers."""
    seed = mix(*numbers)
    torch.default_generator.manual_seed(seed)  # torch.manual_seed takes 0.4 ms where there is no CUDA, 4 % of a step
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)
    elif torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


def generator(*numbers: int) -> torch.Generator:
    """A CPU generator of its own, seeded alike."""
    return torch.Generator().manual_seed(mix(*numbers))
