"""StepRecord: what hooks learn of a step, and what they add for the hooks of later stages."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class StepRecord:
    """One step that has just been trained. Each step has a new one.

    A hook of an earlier stage may add to `means`, `pictures` and `scores` (see `Stage` in training/hooks/hook.py).
    """

    step: int  # of the run, from 1
    images: int  # real images trained on so far, over all ranks
    means: dict[str, float] | None = None  # player/term: the mean since the last log; None where no log is due
    save_due: bool = False  # somebody asked for a checkpoint of this step
    pictures: dict[str, Tensor] = field(default_factory=dict)  # name: (C, H, W) uint8
    scores: dict[str, float] = field(default_factory=dict)  # name with network and count: fid_mnistcnn@2k
