"""Sets what float32 and bf16 mean on this device: IEEE float32, TF32 or mixed precision."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import torch

EXACT = 1e-5  # relative error: far above float32's in a sum of 512 products, far below bf16's or TF32's


def set_precision(name: str, device: torch.device) -> None:
    """For the whole process: `fp32` is IEEE everywhere; `tf32` lets float32 matrix products be TF32 on CUDA and bf16 on
    a CPU with such units; `bf16` and `bf16_all` (autocast, by the trainer) allow TF32 on CUDA for what stays float32.
    """
    if device.type == "cpu":
        allow_in_products("bf16")
        if name != "tf32" and product_error() > EXACT:
            allow_in_products("ieee")
        return
    # the older names of these flags: inductor and others read them, and reading raises where the newer were set
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = name != "fp32"
    # shapes stay the same for a whole run: try the algorithms once, unless the user wants the same one every time
    torch.backends.cudnn.benchmark = not torch.are_deterministic_algorithms_enabled()


def allow_in_products(precision: str) -> None:
    """What a CPU's float32 matrix products may be inside; with "bf16" it is oneDNN that computes them.

    A CPU without bf16 matrix units then computes in float32 all the same, and with AVX-512 where MKL has AVX2 (on AMD:
    twice as quick). torch offers oneDNN for them in no other way.
    """
    torch.backends.mkldnn.matmul.fp32_precision = precision  # type: ignore[attr-defined]


def product_error() -> float:
    """The largest error of one float32 matrix product, relative to its largest entry."""
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.randn(64, 512, generator=generator) for _ in range(2))
    exact = one.double() @ other.double().T
    return float((torch.nn.functional.linear(one, other).double() - exact).abs().max() / exact.abs().max())


def bf16_units(device: torch.device) -> str | None:
    """Why bf16 cannot be faster on this device; None if the device has bf16 units."""
    if device.type == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return "this CPU has no units for bf16"
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return "this GPU has no units for bf16"
    return None


@contextlib.contextmanager
def settings_kept() -> Iterator[None]:
    """Restores torch's precision settings after the block."""
    places = (
        (torch.backends.mkldnn.matmul, "fp32_precision"),  # type: ignore[attr-defined]
        (torch.backends.cuda.matmul, "allow_tf32"),
        (torch.backends.cudnn, "allow_tf32"),
        (torch.backends.cudnn, "benchmark"),
    )
    before = [getattr(place, name) for place, name in places]
    try:
        yield
    finally:
        for (place, name), value in zip(places, before, strict=True):
            setattr(place, name, value)


@contextlib.contextmanager
def ieee_float32(device: torch.device) -> Iterator[None]:
    """Within this block float32 is IEEE float32, whatever the run has chosen: for scores that people compare."""
    with settings_kept():
        set_precision("fp32", device)
        yield


@contextlib.contextmanager
def ieee_float32_on(devices: Iterable[torch.device]) -> Iterator[None]:
    """The same for a block whose threads compute on several devices, on pictures of many sizes."""
    with settings_kept():
        for device in devices:
            set_precision("fp32", device)
        torch.backends.cudnn.benchmark = False  # it would try all algorithms again for each size
        yield


@contextlib.contextmanager
def torch_defaults() -> Iterator[None]:
    """Within this block torch has its default precision settings, as in a script that sets none."""
    with settings_kept():
        allow_in_products("none")
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = False, True
        torch.backends.cudnn.benchmark = False
        yield
