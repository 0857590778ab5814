"""precision: what float32 and bf16 mean on this machine, and the quickest library that keeps to it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

EXACT = 1e-5  # relative error: far above float32's in a sum of 512 products, far below bf16's or TF32's


def set_precision(name: str) -> None:
    """For the whole process: `fp32` is IEEE everywhere; `tf32` lets float32 matrix products be TF32 on CUDA and bf16 on
    a CPU with such units; `bf16` and `bf16_all` (autocast, by the trainer) allow TF32 on CUDA for what stays
    float32.
    """
    on_cuda = "ieee" if name == "fp32" else "tf32"
    torch.backends.cuda.matmul.fp32_precision = on_cuda
    torch.backends.cudnn.conv.fp32_precision = on_cuda  # type: ignore[attr-defined]
    # shapes stay the same for a whole run: try the algorithms once, unless the user wants the same one every time
    torch.backends.cudnn.benchmark = not torch.are_deterministic_algorithms_enabled()
    if name == "tf32":
        torch.backends.mkldnn.matmul.fp32_precision = "bf16"  # type: ignore[attr-defined]
    else:
        take_the_quicker_exact_library()


@contextlib.contextmanager
def as_torch_has_it() -> Iterator[None]:
    """Within this block nothing here has been set: what a loop gets that knows no switches."""
    places = (
        (torch.backends.mkldnn.matmul, "fp32_precision", "none"),  # type: ignore[attr-defined]
        (torch.backends.cuda.matmul, "fp32_precision", "none"),
        (torch.backends.cudnn.conv, "fp32_precision", "tf32"),  # type: ignore[attr-defined]
        (torch.backends.cudnn, "benchmark", False),
    )
    before = [getattr(place, name) for place, name, _ in places]
    for place, name, value in places:
        setattr(place, name, value)
    try:
        yield
    finally:
        for (place, name, _), value in zip(places, before, strict=True):
            setattr(place, name, value)


def take_the_quicker_exact_library() -> None:
    """oneDNN's float32 matrix products instead of BLAS, wherever both are float32.

    torch uses oneDNN for them only where bf16 inside is allowed. A CPU without bf16 matrix units computes in float32
    all the same, with AVX-512 where MKL has AVX2 (on AMD: twice as quick). A product of known numbers tells which.
    """
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"  # type: ignore[attr-defined]
    if product_error() > EXACT:
        torch.backends.mkldnn.matmul.fp32_precision = "ieee"  # type: ignore[attr-defined]


def product_error() -> float:
    """The largest error of one float32 matrix product, relative to its largest entry."""
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.randn(64, 512, generator=generator) for _ in range(2))
    exact = one.double() @ other.double().T
    return float((torch.nn.functional.linear(one, other).double() - exact).abs().max() / exact.abs().max())
