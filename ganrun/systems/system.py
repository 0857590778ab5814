"""System: the base class of all kinds of GAN, which is all that the trainer knows of a GAN."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import cache, cached_property
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from ganrun.augmentations.augmentation import Augmentation
from ganrun.common.renamed import add_earlier_names
from ganrun.losses.loss import AdversarialLoss
from ganrun.losses.objective import Objective
from ganrun.systems.growth import Growth, growths_in
from ganrun.systems.roles import Role

Batch = dict[str, Tensor]

ALWAYS = "always"  # the key of a turn that runs the same operations at every step
EARLIER = {"drawn_with": "ema_module", "kind": "graph_key", "score": "discriminator_for"}  # {earlier name: name now}


class Turn(NamedTuple):
    """One turn of a player: the player's name, and a function from a batch to the objective that it minimises.

    Give a turn the same `key` at two steps if only the tensor values differ, not the operations. With None, nothing is
    known about the operations, and the turn never shares a CUDA graph.
    """

    player: str
    objective: Callable[[Batch], Objective]
    key: Hashable | None = None


class System(nn.Module):
    """The networks of a GAN, the turns of each step, and how pictures are drawn.

    A system never steps an optimizer, saves a file, writes a log or moves tensors to another device: the trainer does.
    """

    # keys of a system's yaml that only its other keys read: ${model.size} chooses between two numbers
    yaml_only: ClassVar[tuple[str, ...]] = ("size",)
    takes_pictures: ClassVar[bool] = False  # whether its examples are pictures of the data; else noise
    panel_count: ClassVar[int] = 1  # how many pictures stand side by side in a cell of its grids

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        add_earlier_names(cls, EARLIER)

    def players(self) -> dict[str, nn.Module]:
        """{player: the module whose weights this player trains}."""
        raise NotImplementedError

    def role(self, player: str) -> Role:
        """The role of a player: a generator when it has a part of `ema_module`, otherwise a discriminator.

        A system with players of other kinds, such as an encoder, overrides this method.
        """
        drawn_with = set(self.ema_module().modules())
        return Role.DISCRIMINATOR if drawn_with.isdisjoint(self.players()[player].modules()) else Role.GENERATOR

    def turns(self, step: int) -> Iterable[Turn]:
        """The turns of one step, in order; steps count from 0.

        It must not change any state, because it may be called more than once for a step.
        """
        raise NotImplementedError

    def graph_key(self, step: int) -> Hashable | None:
        """Steps with equal keys run the same operations, so one CUDA graph serves them all.

        The key consists of the players and keys of the step's turns. None means that the operations of this step are
        not known to equal those of any other step. A step with a turn without a key gets None. While networks grow, it
        is the key of a step at their present level. A subclass that inherits `turns` but adds a method taking `step`
        also gets None, because its operations may change with the step.
        """
        if _adds_method_taking_step(type(self)):  # type: ignore[arg-type]
            return None
        keys = tuple((turn.player, turn.key) for turn in self.turns(step))
        return None if any(key is None for _, key in keys) else (*keys, *(each.graph_key for each in self._growths))

    kind = graph_key  # the earlier name

    def differentiated_once(self) -> dict[str, nn.Module]:
        """{name: network} of the networks that may be compiled: torch.compile cannot differentiate twice.

        A network whose gradient a penalty differentiates again is not among them.
        """
        return {}

    def remarks(self, steps: int | None) -> list[str]:
        """Warnings about unusual combinations of settings, one line each.

        steps: the number of steps of the run; None when it is not known.
        """
        return []

    @cached_property
    def _adversarial(self) -> list[AdversarialLoss]:
        """Found once: a step asks for them."""
        return [part for part in self.modules() if isinstance(part, AdversarialLoss)]

    @cached_property
    def _growths(self) -> list[Growth]:
        return growths_in(self)

    def at_progress(self, progress: float) -> None:
        """Called before each step, where the learning rates are set: moves what follows the run's progress.

        `progress` is 0 at the start, and 1 from the end of the run's schedules on. By default it goes to every loss,
        and to every network that grows. What is moved here is not saved, but for how far a network has grown. A CUDA
        graph sees a tensor that is filled, but no Python number.
        """
        for loss in self._adversarial:
            loss.at_progress(progress)
        for growth in self._growths:
            growth.at_progress(progress)

    def rate_factors(self, step: int) -> dict[str, float]:
        """{player: what its learning rate is multiplied by at a step}, for a system with phases; steps count from 0.

        A player that is missing has the factor 1 at every step.
        """
        return {}

    def present(self) -> dict[str, float]:
        """The numbers that move during a run, as they are now, for the log: growth/pixels, augmentation/p."""
        found: dict[str, float] = {}
        for growth in self._growths[:1]:  # all of them have one level
            found |= {f"growth/{name}": value for name, value in growth.present().items()}
        for part in self.modules():
            if isinstance(part, Augmentation):
                found |= {f"augmentation/{name}": value for name, value in part.present().items()}
        return found

    def follows_progress(self) -> list[str]:
        """The keys of what `at_progress` moves, for a run that ends at no known step."""
        penalties = {name: penalty for loss in self._adversarial for name, penalty in loss.named_penalties()}
        found = [f"loss.penalties.{name}" for name, penalty in penalties.items() if penalty.needs_an_end]
        return [*found, "model.growth"] if self._growths else found

    def after_turn(self, player: str) -> None:
        """Called after each optimizer step of a player, for example to clip weights or to update adaptive state."""

    def ema_module(self) -> nn.Module:
        """The module that `render` uses. The trainer keeps an exponential moving average (EMA) of its weights."""
        raise NotImplementedError

    drawn_with = ema_module  # the earlier name

    def examples(self, batch: Batch, count: int) -> Batch:
        """{name: (count, ...)} inputs for `render`. They stay fixed during a run, so that its grids can be compared."""
        raise NotImplementedError

    def render(self, examples: Batch) -> Tensor:
        """Inputs -> (N, C, H, W) images in [-1, 1]. The caller chooses eval mode and no gradients."""
        raise NotImplementedError

    def panels(self, examples: Batch) -> list[Tensor] | dict[str, Tensor]:
        """Inputs -> the images that a grid shows side by side: (N, C, H, W) batches of the same size.

        As {heading: batch}, where a heading of up to 10 letters stands above each picture; a list has none.
        """
        return [self.render(examples)]

    def verdicts(self, images: Tensor, examples: Batch) -> Tensor | None:
        """(N, C, H, W) images rendered from `examples` -> (N,) logits of the discriminator; larger means more real.

        None when the system has no discriminator.
        """
        return None

    def draw(self, count: int, labels: Sequence[int] | None = None) -> Batch:
        """{name: (count, ...)} random inputs for `render`, on the CPU, so that a seed gives the same on every device.

        labels: for a class-conditional system, the classes to draw; None: all classes.
        Raises ValueError when this system needs pictures as inputs, when it is unconditional and gets labels, or when
        it has no such class.
        """
        raise NotImplementedError

    def truncated(self, drawn: Batch, truncation: float) -> Batch:
        """What `draw` made, with less variety the nearer `truncation` is to 0.

        Raises ValueError where this system has nothing to truncate, or no use for this number.
        """
        raise ValueError(f"truncation={truncation}: {type(self).__name__} has no latents or styles to truncate")

    def row_of(self, drawn: Batch) -> Tensor | None:
        """What `draw` made -> (N,) the row of a grid in which each belongs: its class. None: in no special one."""
        return drawn.get("label")

    def codes(self) -> dict[str, Tensor]:
        """{name: (K,) the values that a sweep walks through} of the codes in the latents; {} without codes."""
        return {}

    def with_code(self, drawn: Batch, name: str, values: Tensor) -> Batch:
        """What `draw` made, with these (N,) values of one of `codes`; all else is kept."""
        raise NotImplementedError


@cache
def _adds_method_taking_step(cls: type[System]) -> bool:
    """Whether a subclass of the class that defines `turns` has a method with a parameter `step`."""
    for owner in cls.__mro__:
        if "turns" in vars(owner):
            return False
        for name, value in vars(owner).items():
            is_method = name not in ("graph_key", "kind") and inspect.isfunction(value)
            if is_method and "step" in inspect.signature(value).parameters:
                return True
    return False
