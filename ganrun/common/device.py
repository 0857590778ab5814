"""Picks the device and the number of CPU threads, and says where float64 is computed."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import Tensor

from ganrun.common import torchrun
from ganrun.common.errors import UserError
from ganrun.common.types import Config

LARGE = 64 * 64  # pixels from which more than one CPU thread is faster
ALL_THREADS = torch.get_num_threads()


def pick_device(name: str) -> torch.device:
    """auto | cpu | cuda | cuda:1 | mps -> a device that is there. Raises UserError otherwise."""
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if torchrun.size() > 1 and name in ("auto", "cuda"):
        return torch.device(f"cuda:{torchrun.local_rank()}" if cuda else "cpu")
    if name == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"device={name} is unknown: auto, cpu, cuda, cuda:1 or mps") from None
    if device.type == "cuda" and not (cuda and (device.index or 0) < torch.cuda.device_count()):
        raise UserError(
            f"device={name}: this machine shows {torch.cuda.device_count()} CUDA devices; "
            "device=auto takes what is there"
        )
    if device.type == "mps" and not mps:
        raise UserError(f"device={name}: no such device on this machine; device=auto takes what is there")
    return device


def pick_devices(asked: str | Sequence[str]) -> list[torch.device]:
    """One device as `pick_device` takes it, a list of them, or all: every CUDA device, else what auto is.

    A device that is named twice is there twice. Raises UserError for one that is not there.
    """
    if asked == "all":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        return [torch.device(f"cuda:{number}") for number in range(count)] or [pick_device("auto")]
    return [pick_device(name) for name in ([asked] if isinstance(asked, str) else asked)]


def in_float64(values: Tensor) -> Tensor:
    """The same in float64: on their device, or on the CPU where that has no float64 (MPS)."""
    return (values.cpu() if values.device.type == "mps" else values).double()


def threads_for(asked: int | None, state: Config) -> int | None:
    """CPU threads for sampling: `asked`, else the number the run was trained with, at most this machine's number."""
    stored = state["config"].get("threads")
    return asked or (min(stored, ALL_THREADS) if stored else None)


def set_threads(threads: int | None, pixels: int = LARGE) -> None:
    """CPU threads as asked; else one for images below 64×64, and torch's own number above.

    A new run measures its number instead. This rule is for what is not measured: drawing, evaluation, and runs saved
    before there was a measurement. For small images two threads were 2 to 25 times slower than one on a busy machine.
    """
    torch.set_num_threads(threads or (1 if pixels < LARGE and "OMP_NUM_THREADS" not in os.environ else ALL_THREADS))
