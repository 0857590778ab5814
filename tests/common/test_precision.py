"""precision: quicker libraries only where the numbers stay float32."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from ganrun.common import precision

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    with precision.torch_defaults():
        yield


def allowed() -> str:
    return torch.backends.mkldnn.matmul.fp32_precision


@pytest.mark.parametrize("name", ["fp32", "bf16", "bf16_all"])
def test_what_stays_float32_on_a_cpu_is_float32(name: str) -> None:
    precision.set_precision(name, CPU)
    assert precision.product_error() < precision.EXACT


def test_a_library_that_rounds_to_bf16_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "product_error", lambda: 2e-3)
    precision.set_precision("fp32", CPU)
    assert allowed() == "ieee"
    precision.set_precision("tf32", CPU)  # unless it was asked for
    assert allowed() == "bf16"


def test_the_limit_tells_float32_from_bf16() -> None:
    torch.manual_seed(0)
    one, other = torch.randn(64, 512), torch.randn(64, 512)
    exact = one.double() @ other.double().T
    rounded = one.bfloat16().double() @ other.bfloat16().double().T
    assert (rounded - exact).abs().max() / exact.abs().max() > 10 * precision.EXACT


def test_tf32_is_only_allowed_where_it_was_asked_for() -> None:
    precision.set_precision("fp32", CUDA)
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32
    precision.set_precision("tf32", CUDA)
    assert torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cudnn.allow_tf32
    torch.get_float32_matmul_precision()  # which raises where the two kinds of flags were mixed


def test_a_loop_that_knows_no_switches_gets_torchs_own() -> None:
    precision.set_precision("tf32", CPU)
    with precision.torch_defaults():
        assert allowed() == "none"
    assert allowed() == "bf16"
