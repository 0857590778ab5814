"""The ranks that train one run together, and what they exchange (torch.distributed with nccl or gloo)."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ganrun.common import torchrun
from ganrun.common.errors import UserError

TIMEOUT = 10.0  # minutes


class RanksError(OSError):
    """The ranks cannot continue together; the message says why."""


class World:
    """The group of all ranks, from the view of one rank. With one process every method returns at once.

    Every rank has to call the same methods in the same order. `store` outlives a restart of the ranks, `session`
    is the name of this start.
    """

    def __init__(self, rank: int = 0, size: int = 1, store: dist.Store | None = None, session: str = "") -> None:
        self.rank, self.size, self.store, self.session = rank, size, store, session
        self.wishes: tuple[Tensor, dist.Work] | None = None

    @property
    def first(self) -> bool:
        """Whether this is rank 0, the only rank that writes files and prints."""
        return self.rank == 0

    def mean(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The mean of each tensor over the ranks, new tensors of the same shapes, in one exchange."""
        if self.size == 1 or not tensors:
            return list(tensors)
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        parts = flat.div_(self.size).split([tensor.numel() for tensor in tensors])
        return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]

    @torch.no_grad()
    def average_(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over the ranks, in one exchange."""
        if self.size > 1 and tensors:
            torch._foreach_copy_(list(tensors), self.mean(tensors))

    @torch.no_grad()
    def average_gradients(self, weights: Sequence[Tensor]) -> None:
        """Replace the gradients by their means over the ranks, in one exchange.

        All weights take part, with zeros where there is no gradient: ranks that disagreed about the length of the
        exchange would wait for ever. A weight without a gradient keeps none, or Adam would move it by its momentum.
        """
        if self.size == 1:
            return
        gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
        for weight, mean in zip(weights, self.mean(gradients), strict=True):
            if weight.grad is not None:
                weight.grad.copy_(mean)

    def max_over_ranks(self, wishes: Sequence[float]) -> list[float]:
        """The elementwise maximum of `wishes` over the ranks, as of the previous call, so that no rank has to wait.

        The exchange uses gloo and host memory, in parallel with the step; no device is synchronised.
        """
        if self.size == 1:
            return list(wishes)
        before = self.wishes
        now = torch.tensor(wishes, dtype=torch.float64)
        self.wishes = now, dist.all_reduce(now, dist.ReduceOp.MAX, async_op=True)
        if before is None:
            return [0.0] * len(wishes)
        before[1].wait()
        return before[0].tolist()

    @torch.no_grad()
    def share(self, tensors: Sequence[Tensor], step: int) -> None:
        """Broadcast the tensors of rank 0. Raises RanksError where the ranks are not at the same step."""
        if self.size == 1:
            return
        if unlike := self.unlike(torch.tensor(step)):
            raise RanksError(f"the ranks start at the steps {unlike}: all machines have to see the same folder")
        for tensor in tensors:
            content = tensor.detach().contiguous()
            dist.broadcast(content, 0)
            tensor.copy_(content)

    @torch.no_grad()
    def compare(self, weights: Sequence[Tensor]) -> None:
        """Raises RanksError where the weights of two ranks differ in any bit. Waits for the device."""
        if self.size == 1:
            return
        bits = {8: torch.int64, 4: torch.int32, 2: torch.int16}
        sums = [weight.detach().view(bits[weight.element_size()]).sum(dtype=torch.int64) for weight in weights]
        places = torch.arange(1, len(sums) + 1, device=sums[0].device)
        if self.unlike((torch.stack(sums) * places).sum()):
            raise RanksError("the ranks' weights are not the same any more: one rank computes different results")

    def unlike(self, value: Tensor) -> str:
        """() int64 -> "3 to 5", the smallest and largest of all ranks; "" where they are one."""
        both = torch.stack([value, -value])
        dist.all_reduce(both, dist.ReduceOp.MAX)
        largest, smallest = both[0].item(), -both[1].item()
        return "" if smallest == largest else f"{smallest} to {largest}"

    def wait_for_all(self) -> None:
        if self.size > 1:
            dist.all_reduce(torch.zeros(1))  # on the host: no device is waited for

    def from_first_rank(self, say: Callable[[], str], about: str = "folder") -> str:
        """The value that rank 0 computes, on all ranks. `about` is its key."""
        if self.store is None or self.size == 1:
            return say()
        if self.first:
            self.store.set(f"said/{self.session}/{about}", say())
        return self.store.get(f"said/{self.session}/{about}").decode()

    def same_after_restart(self, key: str, make: Callable[[], str]) -> str:
        """A value that rank 0 computes once; it stays the same after torchrun restarts the ranks."""
        if self.store is None:
            return make()
        if not self.store.check([f"kept/{key}"]):
            self.store.set(f"kept/{key}", make())
        return self.store.get(f"kept/{key}").decode()

    def collected(self, parts: Iterator[Tensor], sizes: Sequence[int]) -> Iterator[Tensor]:
        """Gather parts: part i is made by rank i mod size. Rank 0 yields all parts in order, the others yield nothing.

        `parts` yields this rank's own parts, (sizes[i], ...) uint8 or float32 on the CPU; only the first dimension may
        differ.
        """
        if self.size == 1:
            yield from parts
            return
        shape = torch.zeros(
            9, dtype=torch.int64
        )  # how many dimensions, then they; last: whether the numbers are float32
        for number, size in enumerate(sizes):
            mine = next(parts) if number % self.size == self.rank else None
            if number == 0:  # a rank may be without a part of its own
                if mine is not None:
                    shape[: mine.ndim + 1] = torch.tensor([mine.ndim, *mine.shape])
                    shape[-1] = mine.is_floating_point()
                dist.broadcast(shape, 0)
            if not self.first and mine is not None:
                dist.send(mine.contiguous(), 0)
            elif self.first and mine is None:
                kind = torch.float32 if shape[-1] else torch.uint8
                mine = torch.empty(size, *shape[2 : int(shape[0]) + 1].tolist(), dtype=kind)
                dist.recv(mine, number % self.size)
            if self.first and mine is not None:
                yield mine


@contextmanager
def joined(device: str, minutes: float = TIMEOUT) -> Iterator[World]:
    """This process among the ranks that torchrun started, within the block; alone without torchrun.

    Raises RanksError where another rank is gone, or does not answer for so many minutes; UserError for a device that
    two ranks of a machine cannot have for themselves.
    """
    try:
        with _joined(device, minutes) as world:
            yield world
    except (RuntimeError, RanksError) as error:
        reason = lost(error)
        if reason or isinstance(error, RanksError):
            abandon()
        if reason:
            raise RanksError(f"lost another rank: {reason}") from None
        raise


@contextmanager
def _joined(device: str, minutes: float) -> Iterator[World]:
    if not torchrun.launched():
        yield World()
        return
    cuda = own_device(device)
    store = _store(minutes)
    if torchrun.size() == 1:
        yield World(store=store)
        return
    session = rendezvous(store, torchrun.rank(), torchrun.size(), minutes)
    backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
    timeout = timedelta(minutes=minutes)
    dist.init_process_group(
        backend,
        store=dist.PrefixStore(session, store),
        rank=torchrun.rank(),
        world_size=torchrun.size(),
        timeout=timeout,
    )
    world = World(torchrun.rank(), torchrun.size(), store, session)
    yield world  # where an error ends the block, peers may be gone: the group then ends with the process
    if world.wishes is not None:
        world.wishes[1].wait()
    world.wait_for_all()
    dist.destroy_process_group()


def abandon() -> None:
    """Abort pending NCCL exchanges: otherwise this process could not end."""
    if dist.is_initialized() and torch.cuda.is_initialized() and dist.group.WORLD is not None:
        with suppress(RuntimeError):
            dist.group.WORLD.abort()


def own_device(name: str) -> bool:
    """Whether each rank computes on a CUDA device of its own. Raises UserError where that is impossible."""
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return False
    if torchrun.size() > 1 and name not in ("auto", "cuda"):
        raise UserError(f"device={name} with {torchrun.size()} ranks: leave device=auto, or use device=cpu for all")
    if torchrun.local_rank() >= torch.cuda.device_count():
        raise UserError(
            f"device={name}: torchrun started rank {torchrun.rank()} as number {torchrun.local_rank()} of its machine, "
            f"which shows {torch.cuda.device_count()} CUDA devices: lower --nproc-per-node, or use device=cpu"
        )
    torch.cuda.set_device(torchrun.local_rank())
    return True


def _store(minutes: float) -> Any:
    """The key-value store of the launcher, which outlives a restart of the ranks; else one that rank 0 keeps."""
    kept_by_agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    return dist.TCPStore(
        os.environ["MASTER_ADDR"],
        torchrun.number("MASTER_PORT", 29500),
        is_master=torchrun.rank() == 0 and not kept_by_agent,
        timeout=timedelta(minutes=minutes),
        wait_for_workers=False,
    )


def rendezvous(store: dist.Store, rank: int, size: int, minutes: float) -> str:
    """A name that the ranks of this start share and that no earlier start had.

    torch keeps the addresses of an earlier start in the same store, under the same keys. A rank that came back before
    the others would try to reach processes that have ended. Restart counts do not help: each machine counts on its own.
    """
    me, deadline = uuid.uuid4().hex, time.monotonic() + 60 * minutes
    store.set(f"hello/{rank}", me)
    if rank:
        session = store.get(f"session/{rank}/{me}").decode()
        store.set(f"here/{session}/{rank}", "")
        return session
    missing = set(range(1, size))
    while missing:
        for other in sorted(missing):
            if store.check([f"hello/{other}"]):  # perhaps of an earlier start: then nobody listens
                store.set(f"session/{other}/{store.get(f'hello/{other}').decode()}", me)
            if store.check([f"here/{me}/{other}"]):
                missing.remove(other)
        if time.monotonic() > deadline:
            raise RanksError(f"rank {min(missing)} did not come within {minutes:g} minutes")
        time.sleep(0.02)
    return me


def running_means(system: nn.Module) -> list[Tensor]:
    """The float buffers that ranks share; a module with `of_each_rank` keeps its own."""
    return [
        buffer
        for module in system.modules()
        if not getattr(module, "of_each_rank", False)
        for buffer in module.buffers(recurse=False)
        if buffer.is_floating_point()
    ]


def lost(error: BaseException) -> str | None:
    """A line for what torch raises when another rank is gone or does not answer; None for any other error."""
    text = str(error)
    if not isinstance(error, RuntimeError):
        return None
    if not isinstance(error, dist.DistError) and not any(word in text for word in ("gloo", "Gloo", "NCCL")):
        return None
    waited = any(word in text for word in ("imed out", "imeout"))
    return "it did not answer in time" if waited else "it is gone; its own output says why"
