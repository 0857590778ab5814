"""System: one adversarial game, as the trainer sees it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import cache, cached_property
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from ganrun.common.renamed import add_earlier_names
from ganrun.losses.loss import AdversarialLoss
from ganrun.losses.objective import Objective
from ganrun.systems.roles import Role

Batch = dict[str, Tensor]

ALWAYS = "always"  # the key of a turn that runs the same operations at every step
EARLIER = {"drawn_with": "ema_module", "kind": "graph_key", "score": "discriminator_for"}


class Turn(NamedTuple):
    """One player's move: its name, and a function from a batch to the objective that it minimises.

    `key` is equal for two turns of a player that run the same operations with other numbers. None: not known.
    """

    player: str
    objective: Callable[[Batch], Objective]
    key: Hashable | None = None


class System(nn.Module):
    """Networks, who moves when, and how to draw pictures. Never steps an optimizer, saves, logs or moves devices."""

    # keys of a system's yaml that only its other keys read: ${model.size} chooses between two numbers
    yaml_only: ClassVar[tuple[str, ...]] = ("size",)

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        add_earlier_names(cls, EARLIER)

    def players(self) -> dict[str, nn.Module]:
        """Each player's name and the module whose weights it trains."""
        raise NotImplementedError

    def role(self, player: str) -> Role:
        """What a player is for. By default a player with a part of `ema_module` generates, any other discriminates.

        A system with other players, such as an encoder, says so here.
        """
        drawn_with = set(self.ema_module().modules())
        return Role.DISCRIMINATOR if drawn_with.isdisjoint(self.players()[player].modules()) else Role.GENERATOR

    def turns(self, step: int) -> Iterable[Turn]:
        """The turns of one step, in order; steps count from 0. It must not change anything: it may be asked twice."""
        raise NotImplementedError

    def graph_key(self, step: int) -> Hashable | None:
        """Steps with equal keys run the same operations, so one CUDA graph serves them all.

        It is made of the step's turns: their players and keys. None: a step that no other step is known to equal. A
        turn without a key is one. So is a subclass that has a method with a parameter `step`, and takes `turns` from
        its parent, which knows nothing of that method.
        """
        if _reads_step_unknown_to_its_turns(type(self)):  # type: ignore[arg-type]
            return None
        keys = tuple((turn.player, turn.key) for turn in self.turns(step))
        return None if any(key is None for _, key in keys) else keys

    kind = graph_key

    def differentiated_once(self) -> dict[str, nn.Module]:
        """By name, the networks that no penalty differentiates twice: those that may be compiled."""
        return {}

    def remarks(self, steps: int | None) -> list[str]:
        """Odd combinations that a user should know of in a run of so many steps, a line each.

        None: the number of steps is not known.
        """
        return []

    @cached_property
    def _adversarial(self) -> list[AdversarialLoss]:
        """Found once: a step asks for them."""
        return [part for part in self.modules() if isinstance(part, AdversarialLoss)]

    def at_progress(self, progress: float) -> None:
        """Called before each step, where the learning rates are set: moves what follows the run's progress.

        `progress` is 0 at the start, and 1 from the end of the run's schedules on. By default it goes to every loss.
        What is moved here is not saved. A CUDA graph sees a tensor that is filled, but no Python number.
        """
        for loss in self._adversarial:
            loss.at_progress(progress)

    def follows_progress(self) -> list[str]:
        """The keys of what `at_progress` moves, for a run that ends at no known step."""
        penalties = {name: penalty for loss in self._adversarial for name, penalty in loss.named_penalties()}
        return [f"loss.penalties.{name}" for name, penalty in penalties.items() if penalty.needs_an_end]

    def after_turn(self, player: str) -> None:
        """Called after the optimizer step of a player: clip weights, move adaptive state."""

    def ema_module(self) -> nn.Module:
        """The module that `render` draws with; the trainer keeps a moving average of its weights."""
        raise NotImplementedError

    drawn_with = ema_module

    def examples(self, batch: Batch, count: int) -> Batch:
        """Fixed inputs for `render`, so that grids of different steps can be compared."""
        raise NotImplementedError

    def render(self, examples: Batch) -> Tensor:
        """Inputs -> (N, C, H, W) images in [-1, 1]. The caller chooses eval mode and no gradients."""
        raise NotImplementedError

    def panels(self, examples: Batch) -> list[Tensor]:
        """Inputs -> what a grid shows side by side for each of them, (N, C, H, W) each, all of one size."""
        return [self.render(examples)]

    def verdicts(self, images: Tensor, examples: Batch) -> Tensor | None:
        """(N, C, H, W) images rendered from examples -> (N,) the discriminator's logits, larger for real.

        None: the system has no discriminator.
        """
        return None

    def draw(self, count: int, labels: Sequence[int] | None = None) -> Batch:
        """Random inputs for `render`, on the CPU, so that a seed draws the same on every device.

        Raises ValueError when this system needs pictures as inputs, or is not class-conditional and gets labels.
        """
        raise NotImplementedError


@cache
def _reads_step_unknown_to_its_turns(cls: type[System]) -> bool:
    """Whether a class below the one that defines `turns` has a method with a parameter `step`."""
    for owner in cls.__mro__:
        if "turns" in vars(owner):
            return False
        for name, value in vars(owner).items():
            is_turn = name not in ("graph_key", "kind") and inspect.isfunction(value)
            if is_turn and "step" in inspect.signature(value).parameters:
                return True
    return False
