"""benchmarks/codes.py: the purity and the variety of a code by hand."""

from __future__ import annotations

import importlib
import sys

import pytest
import torch

from tests.test_house import PACKAGE


@pytest.fixture
def codes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(PACKAGE.parent / "benchmarks")
    yield importlib.import_module("codes")
    for name in ("codes", "judge"):
        sys.modules.pop(name, None)


def test_purity_is_the_share_of_the_most_frequent_digit_averaged_over_the_codes(codes) -> None:
    named = torch.tensor([7, 7, 7, 1, 3, 8, 3, 3, 0, 1, 2, 3])  # three values of the code, four pictures each
    found = codes.counts(named, 3)
    assert found.sum(1).tolist() == [4, 4, 4]
    assert codes.purity(found) == pytest.approx((3 / 4 + 3 / 4 + 1 / 4) / 3)
    assert "| 0 | 0.75 | 7 ×3, 1 ×1 |" in codes.table(found)


def test_one_picture_for_each_value_has_no_variety_and_real_ones_have_1(codes) -> None:
    torch.manual_seed(0)
    real, labels = torch.randint(256, (40, 1, 28, 28), dtype=torch.uint8), torch.arange(2).repeat_interleave(20)
    assert codes.variety(real, 2, real, labels) == pytest.approx(1)
    assert codes.variety(real[::20].repeat_interleave(20, 0), 2, real, labels) == pytest.approx(0, abs=1e-3)
