"""seeding: one seed for everything that torch draws."""

from __future__ import annotations

import torch

from ganrun.common.seeding import mix, reseed


def test_reseeding_is_seeding_torch() -> None:
    reseed(3, 1, 4)
    one = torch.rand(4)
    torch.manual_seed(mix(3, 1, 4))
    assert torch.equal(one, torch.rand(4))
