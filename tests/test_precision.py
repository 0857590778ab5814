"""precision: quicker libraries only where the numbers stay float32."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from ganrun import precision


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    places = (torch.backends.mkldnn.matmul, torch.backends.cuda.matmul, torch.backends.cudnn.conv)
    before = [place.fp32_precision for place in places]
    yield
    for place, value in zip(places, before, strict=True):
        place.fp32_precision = value


@pytest.mark.parametrize("name", ["fp32", "bf16"])
def test_what_stays_float32_on_a_cpu_is_float32(name: str) -> None:
    precision.set_precision(name)
    assert precision.product_error() < precision.EXACT


def test_a_library_that_rounds_to_bf16_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "product_error", lambda: 2e-3)
    precision.set_precision("fp32")
    assert torch.backends.mkldnn.matmul.fp32_precision == "ieee"


def test_the_limit_tells_float32_from_bf16() -> None:
    torch.manual_seed(0)
    one, other = torch.randn(64, 512), torch.randn(64, 512)
    exact = one.double() @ other.double().T
    rounded = one.bfloat16().double() @ other.bfloat16().double().T
    assert (rounded - exact).abs().max() / exact.abs().max() > 10 * precision.EXACT


def test_tf32_is_only_allowed_where_it_was_asked_for() -> None:
    precision.set_precision("fp32")
    assert torch.backends.cuda.matmul.fp32_precision == torch.backends.cudnn.conv.fp32_precision == "ieee"
    precision.set_precision("tf32")
    assert torch.backends.cuda.matmul.fp32_precision == torch.backends.cudnn.conv.fp32_precision == "tf32"


def test_a_loop_that_knows_no_switches_gets_torchs_own() -> None:
    precision.set_precision("tf32")
    with precision.as_torch_has_it():
        assert torch.backends.mkldnn.matmul.fp32_precision == "none"
    assert torch.backends.mkldnn.matmul.fp32_precision == "bf16"
