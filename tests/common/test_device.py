"""Devices: what one cannot do is done elsewhere."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from ganrun.evaluation.fidelity import Fidelity, at_depth
from ganrun.training.watch.measures import colour_shift, preference


class OnMPS(Tensor):
    """Says that it is on MPS, and refuses float64 as MPS does until it is moved away."""

    device = property(lambda self: SimpleNamespace(type="mps"))

    def double(self):
        raise TypeError("the MPS framework doesn't support float64")

    def cpu(self):
        return self.as_subclass(Tensor)


def test_what_is_computed_in_float64_leaves_a_device_that_has_none() -> None:
    torch.manual_seed(0)
    x, y = torch.rand(2, 2, 3, 12, 12) * 2 - 1
    a, b = x.as_subclass(OnMPS), y.as_subclass(OnMPS)
    with pytest.raises(TypeError):
        (a - b).double()
    assert colour_shift(a, b) == colour_shift(x, y)
    assert preference(a.flatten(), b.flatten()) == preference(x.flatten(), y.flatten())
    for dtype in (torch.uint8, torch.uint16, torch.float32):
        assert torch.equal(at_depth(a, dtype), at_depth(x, dtype))
    whole = ((x + 1) * 127.5).to(torch.uint8)
    measure = Fidelity(None, 3)
    for one, other in ((a, x), (whole.as_subclass(OnMPS), whole)):
        assert measure(one, b)["ssim_y"].tolist() == measure(other, y)["ssim_y"].tolist()
