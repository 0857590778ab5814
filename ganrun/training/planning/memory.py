"""memory: the most that a run is going to take, and a warning where the machine has less."""

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
from ganrun.data.dataset import Dataset, free_on
from ganrun.data.storage import free_memory
from ganrun.training.planning.equal_parts import parts_of, smallest_share

UNKNOWN = 800 * 2**20  # bytes of torch and its libraries, where the system does not tell
# What lies around a step's tensors, measured on a CPU with benchmarks/memory.py
LIBRARY = 60 * 2**20  # bytes of the kernels that torch's libraries make while a run goes on, and of TensorBoard
PACKED = 3  # times the largest layer's weights: its packed copies, made for a forward pass, a backward pass, a gradient
GAPS = 0.25  # of the activations: they come and go in other sizes
WORKER = 180 * 2**20  # bytes of a process that decodes pictures
AROUND = 2**16  # bytes of a file that the system maps when one of them is read


@dataclass(frozen=True)
class Memory:
    """Bytes that a run takes at its most, and what they are. None: that part could not be found out."""

    process: int  # this process as it is now, without the data: torch and its libraries
    held: int  # weights, gradients, what optimizers keep, the average
    data: int  # the pictures that a run looks at, as far as they lie in memory
    activations: int | None  # what the turns of a step make besides, counted by tensors
    around: int  # what lies around those: gaps, and what libraries make for themselves
    drawing: int  # pictures on their way to a grid, when nobody plays
    copy: int  # what a checkpoint is written from while the run goes on
    copy_at_the_end: bool  # or there is but one, when the last activations have gone
    workers: int = 0  # bytes of other processes, which are not this one's

    @property
    def total(self) -> int:
        """The largest resident size of this process; without activations where they are unknown."""
        moving = max(self.turns, self.copy) if self.copy_at_the_end else self.turns + self.copy
        return self.process + self.held + self.data + moving

    @property
    def turns(self) -> int:
        """What comes and goes with each turn, or with a grid."""
        return max((self.activations or 0) + self.around, self.drawing)

    @property
    def still_needed(self) -> int:
        """Of memory that is free now. The process is there already, and so are data that were read."""
        return self.total - self.process - self.data + self.workers

    @property
    def on_device(self) -> int:
        """The same of an accelerator with memory of its own: it holds no copy, and not torch."""
        return self.held + self.turns

    def parts(self) -> str:
        known = f"{mebi(self.held)} weights, gradients, optimizers, average; {mebi(self.data)} data"
        if self.activations is None:
            return f"{known}; activations come on top"
        return f"{known}; {mebi(self.turns)} activations and kernels"

    def line(self, device: torch.device) -> str:
        """For the plan."""
        copy = f"; {mebi(self.copy)} the copy that a checkpoint is written from" if self.copy else ""
        torch_itself = f"{mebi(self.process)} torch itself"
        if device.type == "cuda":
            return f"about {mebi(self.on_device)} on {device}: {self.parts()}; on the host {torch_itself}{copy}"
        return f"about {mebi(self.total)} at most: {torch_itself}; {self.parts()}{copy}"

    def warning(self, device: torch.device, config: Config) -> list[str]:
        """A line if less memory is free than the run needs, with what to try. Ranks on one machine share its memory."""
        ranks = torchrun.local_size()
        needed, free, where = ranks * self.still_needed, free_memory(), "this machine or its control group"
        if device.type == "cuda":
            ranks, needed, free, where = 1, self.on_device, free_on(device), str(device)
        if free is None or needed <= free:
            return []
        by = f" by {ranks} ranks" if ranks > 1 else ""
        ways = ways_out(config, larger=self.turns > self.held + self.copy, bf16=bf16_units(device) is None)
        way = f"try {', '.join(ways)}" if ways else "no key of this run takes less; close other programs"
        return [f"memory: {mebi(needed)} are needed{by} and {where} has {mebi(free)} free: {way}"]


def mebi(count: float) -> str:
    """1572864 -> 1.5 MiB"""
    size = count / 2**20
    return f"{size:.1f} MiB" if size < 10 else f"{size:,.0f} MiB" if size < 10240 else f"{size / 1024:,.1f} GiB"


def of_run(
    dataset: Dataset,
    images: int | None,
    held: int,
    activations: int | None,
    largest_weight: int,
    drawing: int,
    copy: tuple[int, bool],
    read: int = 0,
) -> Memory:
    """Of a run that looks at so many images. Measures this process, with whatever it has read and made so far.

    `read` are the bytes of tensors that are here already and counted elsewhere, or let go before the first step.
    """
    give_back()
    data, in_a_file = looked_at(dataset, images)
    process = max(0, resident() - read - (0 if in_a_file else data))
    workers = WORKER * (dataset.workers or 0)
    around = round(GAPS * (activations or 0)) + PACKED * largest_weight + LIBRARY
    return Memory(process, held, data, activations, around, drawing, *copy, workers)


# -- what to try ----------------------------------------------------------------------------------------------------


def ways_out(config: Config, larger: bool, bf16: bool = True) -> list[str]:
    """Overrides that take less memory, first those that help most.

    `larger`: activations are the larger part. `bf16`: the device has units for it; elsewhere it would be very slow.
    """
    lower = ["precision=bf16"] if bf16 and config["precision"] in ("fp32", "tf32") else []
    batch = [*smaller_batch(config), *lower]
    networks = list(narrower("model", config["model"]))[:2]
    size = config["dataset"].get("image_size")
    sides = size if isinstance(size, list) else [size]
    pictures = ["a smaller dataset.image_size"] if all(isinstance(side, int) and side >= 64 for side in sides) else []
    return [*batch, *pictures, *networks] if larger else [*networks, *pictures, *batch]


def smaller_batch(config: Config) -> Iterator[str]:
    """Half a batch, and the same batch in twice as many parts."""
    size, parts = config["batch_size"], config.get("accumulate", 1)
    least = parts_of(config) * smallest_share(config)
    if half := size // 2 // least * least:
        yield f"batch_size={half}"
    if size % (2 * least) == 0:
        yield f"accumulate={2 * parts}"


def narrower(place: str, node: Any) -> Iterator[str]:
    """Half the channels of each network that counts them so."""
    for key, value in node.items() if isinstance(node, dict) else ():
        if key == "base_channels" and isinstance(value, int) and value > 1:
            yield f"{place}.{key}={value // 2}"
        else:
            yield from narrower(f"{place}.{key}", value)


# -- the data -------------------------------------------------------------------------------------------------------


def looked_at(dataset: Dataset, images: int | None) -> tuple[int, bool]:
    """(bytes of the pictures in memory once so many were drawn, are they a mapped file?). None: all of them."""
    tensors = [kept for kept in dataset.image_stores if isinstance(kept, Tensor)]
    if not tensors or not all(mapped(tensor) for tensor in tensors):
        return dataset.nbytes, False
    each = dataset.nbytes // len(dataset) + len(tensors) * AROUND
    return dataset.nbytes if images is None else min(dataset.nbytes, images * each), True


def mapped(tensor: Tensor) -> bool:
    """Does it lie in a file that is mapped into memory? Linux tells."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines():
            place, *_, name = line.split(maxsplit=5)
            start, end = (int(side, 16) for side in place.split("-"))
            if start <= tensor.data_ptr() < end:
                return name.startswith("/") and not name.startswith("/dev/zero")
    return False


# -- this process ---------------------------------------------------------------------------------------------------


def resident() -> int:
    """Bytes that this process has in memory now, torch and its libraries included."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(ImportError):  # Windows
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most * (1 if sys.platform == "darwin" else 1024)
    return UNKNOWN


def give_back() -> None:
    """Let the system have what was freed: the C library keeps it, and a rehearsal would count for the whole run."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # only glibc knows how
        ctypes.CDLL(None).malloc_trim(0)
