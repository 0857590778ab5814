"""Checks a faster way to run a step against the usual one, on a step of the run itself."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ganrun.common.seeding import reseed
from ganrun.training.tensors import weights_of

if TYPE_CHECKING:
    from ganrun.training.trainer import Trainer

Play = Callable[[], None]

# The largest part of a step's change that may differ. A wrong batch, other noise or an old learning rate changes most
# of it. Rounding changes a little: Adam makes a full step of a tiny gradient, whose sign rounding may flip.
TOLERANCE = {"float32": 0.05, "bf16": 0.5}
MEANS = {"float32": 0.01, "bf16": 0.1}  # largest difference of a logged mean, relative where the mean is above 1


def disagreement(trainer: Trainer, quick: Play, usual: Play) -> str | None:
    """Run one step both ways from the same state. None where the results agree, else a text that says what differs.

    The run goes on from the result of `quick` where they agree, else from that of `usual`. Waits for the device.
    """
    before = Moment(trainer)
    quick()
    one = Moment(trainer)
    before.write_back()
    reseed(trainer.settings.seed, trainer.step, trainer.stream.rank)
    usual()
    difference = unlike(before, one, Moment(trainer))
    if trainer.world.size > 1:  # all ranks must decide alike, or their weights would differ
        apart = torch.tensor(float(difference is not None), device=trainer.device)
        if trainer.world.mean([apart])[0].item() and difference is None:
            difference = "it does on another rank"
    if difference is None:
        one.write_back()
    return difference


class Moment:
    """Copies of what a step changes: weights, buffers, optimizers and the meter."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.tensors = {name: tensor.detach().clone() for name, tensor in tensors_of(trainer.system)}
        self.optimizers = {
            name: [
                {key: copied(value) for key, value in optimizer.state.get(weight, {}).items()}
                for weight in weights_of(optimizer)
            ]
            for name, optimizer in trainer.optimizers.items()
        }
        self.sums = {name: total.clone() for name, total in trainer.meter.sums.items()}
        self.counts = Counter(trainer.meter.counts)

    def means(self) -> dict[str, float]:
        return {name: self.sums[name].item() / count for name, count in self.counts.items() if count}

    @torch.no_grad()
    def write_back(self) -> None:
        """Write the copies back in place: a recording has the addresses of these tensors."""
        for name, tensor in tensors_of(self.trainer.system):
            tensor.copy_(self.tensors[name])
        for name, optimizer in self.trainer.optimizers.items():
            for weight, kept in zip(weights_of(optimizer), self.optimizers[name], strict=True):
                if kept:
                    write_state(optimizer.state[weight], kept)
                else:  # an optimizer makes its state in its first step
                    optimizer.state.pop(weight, None)
        for name, total in self.trainer.meter.sums.items():
            total.copy_(self.sums[name]) if name in self.sums else total.zero_()
        self.trainer.meter.counts = Counter(self.counts)


def tensors_of(system: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from system.named_parameters()
    yield from system.named_buffers()


def copied(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else copy.deepcopy(value)


def write_state(state: dict[str, Any], kept: Mapping[str, Any]) -> None:
    """Tensors that exist keep their memory."""
    for key, value in kept.items():
        if isinstance(value, Tensor) and isinstance(state.get(key), Tensor):
            state[key].copy_(value)
        else:
            state[key] = copied(value)


def unlike(before: Moment, quick: Moment, usual: Moment) -> str | None:
    """What differs between the results of two ways to run a step; None where only rounding does."""
    precision = "bf16" if before.trainer.settings.bf16 else "float32"
    for player, module in before.trainer.system.players().items():
        for what, tensors in (("weights", module.parameters()), ("running statistics", module.buffers())):
            names = names_of(before.trainer.system, tensors)
            moved, apart = distance(before, usual, names), distance(quick, usual, names)
            if not apart <= TOLERANCE[precision] * moved + 1e-9:
                return f"the {what} of {player} differ by {apart / max(moved, 1e-9):.2g} of the step's change"
    return unlike_means(quick.means(), usual.means(), MEANS[precision])


def unlike_means(quick: Mapping[str, float], usual: Mapping[str, float], tolerance: float) -> str | None:
    for name in sorted(quick.keys() | usual.keys()):
        one, other = quick.get(name), usual.get(name)
        if one is None or other is None:
            return f"{name} is logged one way only"
        if not abs(one - other) <= tolerance * max(1.0, abs(other)):
            return f"{name} is {one:.4g}, and {other:.4g} in the usual way"
    return None


def names_of(system: nn.Module, tensors: Iterator[Tensor]) -> list[str]:
    wanted = {id(tensor) for tensor in tensors if tensor.is_floating_point()}
    return [name for name, tensor in tensors_of(system) if id(tensor) in wanted]


def distance(one: Moment, other: Moment, names: list[str]) -> float:
    """The norm of the difference of the tensors of these names."""
    return nn.utils.get_total_norm([one.tensors[name] - other.tensors[name] for name in names]).item()
