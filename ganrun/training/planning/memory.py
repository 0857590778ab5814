"""Estimates the peak memory of a run, and warns if the machine has less."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganrun.common import torchrun
from ganrun.common.precision import bf16_units
from ganrun.common.types import Config
from ganrun.data.cropped import CroppedStore
from ganrun.data.dataset import Dataset, free_on
from ganrun.data.storage import free_memory
from ganrun.training.planning.equal_parts import parts_of, smallest_share

UNKNOWN = 800 * 2**20  # bytes of torch and its libraries, if the system does not say
# Memory that a step needs besides its tensors, measured on a CPU with benchmarks/memory.py
LIBRARY = 60 * 2**20  # bytes of the kernels that torch's libraries make during a run, and of TensorBoard
PACKED = 3  # packed copies of the largest layer's weights: for the forward pass, the backward pass and the gradient
GAPS = 0.25  # part of the activations: freed blocks of other sizes leave gaps in memory
WORKER = 180 * 2**20  # bytes of a process that decodes pictures
AROUND = 2**16  # bytes of a mapped file that the system reads into memory when one of them is needed


@dataclass(frozen=True)
class Memory:
    """The parts of a run's peak memory, in bytes."""

    process: int  # this process as it is now, without the data: torch and its libraries
    held: int  # weights, gradients, the state of optimizers, the weight average
    data: int  # the pictures in memory that the run reads
    activations: int | None  # the other tensors that a step makes; None if they could not be counted
    around: int  # gaps between those tensors, and the memory that libraries use for themselves
    drawing: int  # the pictures of a grid while it is made, between two steps
    copy: int  # the copy of the state from which a thread writes a checkpoint
    copy_at_the_end: bool  # whether there is a copy only at the end, after the activations are freed
    workers: int = 0  # the worker processes, which are not part of this process

    @property
    def total(self) -> int:
        """The largest resident size of this process in bytes. Unknown activations count as 0."""
        temporary = max(self.turns, self.copy) if self.copy_at_the_end else self.turns + self.copy
        return self.process + self.held + self.data + temporary

    @property
    def turns(self) -> int:
        """Bytes that are used during a turn or while a grid is made, whichever is more."""
        return max((self.activations or 0) + self.around, self.drawing)

    @property
    def still_needed(self) -> int:
        """Bytes that the run will need from the memory that is free now. Torch and the data are in memory already."""
        return self.total - self.process - self.data + self.workers

    @property
    def on_device(self) -> int:
        """Bytes on an accelerator with its own memory. Torch and the copy for a checkpoint are in host memory."""
        return self.held + self.turns

    def parts(self) -> str:
        known = f"{mebi(self.held)} weights, gradients, optimizers, average; {mebi(self.data)} data"
        if self.activations is None:
            return f"{known}; activations are not counted"
        return f"{known}; {mebi(self.turns)} activations and kernels"

    def line(self, device: torch.device) -> str:
        """The memory line of the plan."""
        copy = f"; {mebi(self.copy)} copy for writing checkpoints" if self.copy else ""
        torch_itself = f"{mebi(self.process)} torch"
        if device.type == "cuda":
            return f"about {mebi(self.on_device)} on {device}: {self.parts()}; on the host {torch_itself}{copy}"
        return f"about {mebi(self.total)} at most: {torch_itself}; {self.parts()}{copy}"

    def warning(self, device: torch.device, config: Config) -> list[str]:
        """A line with overrides to try if less memory is free than the run needs, else none.

        All ranks on one machine share its memory.
        """
        ranks = torchrun.local_size()
        needed, free, where = ranks * self.still_needed, free_memory(), "this machine (or its cgroup)"
        if device.type == "cuda":
            ranks, needed, free, where = 1, self.on_device, free_on(device), str(device)
        if free is None or needed <= free:
            return []
        by = f" by {ranks} ranks" if ranks > 1 else ""
        ways = overrides_for_less_memory(
            config, larger=self.turns > self.held + self.copy, bf16=bf16_units(device) is None
        )
        way = f"try {', '.join(ways)}" if ways else "no setting of this run needs less memory; close other programs"
        return [f"memory: {mebi(needed)} are needed{by}, but {where} has {mebi(free)} free: {way}"]


def mebi(count: float) -> str:
    """1572864 -> 1.5 MiB"""
    size = count / 2**20
    return f"{size:.1f} MiB" if size < 10 else f"{size:,.0f} MiB" if size < 10240 else f"{size / 1024:,.1f} GiB"


def estimate(
    dataset: Dataset,
    images: int | None,
    held: int,
    activations: int | None,
    largest_weight: int,
    drawing: int,
    copy: tuple[int, bool],
    read: int = 0,
) -> Memory:
    """The peak memory of a run that reads `images` images (None: all). Measures this process as it is now.

    `held`, `activations`, `drawing` and `copy` become the parts of `Memory`. `largest_weight` are the bytes of the
    largest weight tensor. `read` are the bytes of tensors that are already in memory and must not count: they are
    counted elsewhere, or freed before the first step.
    """
    release_freed_memory()
    data, in_a_file = data_in_memory(dataset, images)
    process = max(0, resident_bytes() - read - (0 if in_a_file else data))
    workers = (WORKER + dataset.decoded_bytes) * (dataset.workers or 0)
    around = round(GAPS * (activations or 0)) + PACKED * largest_weight + LIBRARY
    return Memory(process, held, data, activations, around, drawing, *copy, workers)


# -- what to try ----------------------------------------------------------------------------------------------------


def overrides_for_less_memory(config: Config, larger: bool, bf16: bool = True) -> list[str]:
    """Overrides with which the run needs less memory. Those that help most come first.

    `larger`: activations need more memory than the weights. `bf16`: the device has bf16 units. Without them bf16 would
    be very slow.
    """
    lower = ["precision=bf16"] if bf16 and config["precision"] in ("fp32", "tf32") else []
    batch = [*smaller_batch(config), *lower]
    networks = list(halved_channels("model", config["model"]))[:2]
    key = "crop" if config["dataset"].get("crop") else "image_size"
    size = config["dataset"].get(key)
    sides = size if isinstance(size, list) else [size]
    pictures = [f"a smaller dataset.{key}"] if all(isinstance(side, int) and side >= 64 for side in sides) else []
    return [*batch, *pictures, *networks] if larger else [*networks, *pictures, *batch]


def smaller_batch(config: Config) -> Iterator[str]:
    """Half the batch size, and gradient accumulation over twice as many parts of the same batch."""
    size, parts = config["batch_size"], config.get("accumulate", 1)
    least = parts_of(config) * smallest_share(config)
    if half := size // 2 // least * least:
        yield f"batch_size={half}"
    if size % (2 * least) == 0:
        yield f"accumulate={2 * parts}"


def halved_channels(place: str, node: Any) -> Iterator[str]:
    """Half the `base_channels` of each network that has this setting."""
    for key, value in node.items() if isinstance(node, dict) else ():
        if key == "base_channels" and isinstance(value, int) and value > 1:
            yield f"{place}.{key}={value // 2}"
        else:
            yield from halved_channels(f"{place}.{key}", value)


# -- the data -------------------------------------------------------------------------------------------------------


def data_in_memory(dataset: Dataset, images: int | None) -> tuple[int, bool]:
    """(bytes of the data in memory after `images` images were read, whether they lie in a memory-mapped file).

    `images` None: all of them. Of a mapped file, only what was read is in memory.
    """
    stores = [kept for kept in dataset.image_stores if isinstance(kept, (Tensor, CroppedStore))]
    if not stores or not all(is_memory_mapped(store) for store in stores):
        return dataset.nbytes, False
    each = dataset.nbytes // len(dataset) + len(stores) * AROUND
    return dataset.nbytes if images is None else min(dataset.nbytes, images * each), True


def is_memory_mapped(tensor: Tensor | CroppedStore) -> bool:
    """Whether a tensor lies in a memory-mapped file. Only Linux says so; False on other systems."""
    if isinstance(tensor, CroppedStore):
        return tensor.mapped
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines():
            place, *_, name = line.split(maxsplit=5)
            start, end = (int(side, 16) for side in place.split("-"))
            if start <= tensor.data_ptr() < end:
                return name.startswith("/") and not name.startswith("/dev/zero")
    return False


# -- this process ---------------------------------------------------------------------------------------------------


def resident_bytes() -> int:
    """Bytes of this process that are in memory now, with torch and its libraries."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(ImportError):  # Windows
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most * (1 if sys.platform == "darwin" else 1024)
    return UNKNOWN


def release_freed_memory() -> None:
    """Return freed memory to the system.

    The C library keeps freed memory. Without this call, the memory of the trial steps would count for the whole run.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # only glibc has malloc_trim
        ctypes.CDLL(None).malloc_trim(0)
