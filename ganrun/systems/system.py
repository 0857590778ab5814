"""System: one adversarial game, as the trainer sees it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import NamedTuple

from torch import Tensor, nn

from ganrun.losses.objective import Objective

Batch = dict[str, Tensor]


class Turn(NamedTuple):
    """One player's move: its name, and a function from a batch to what it wants to be small."""

    player: str
    objective: Callable[[Batch], Objective]


class System(nn.Module):
    """Networks, who moves when, and how to draw pictures. Never steps, saves, logs or moves devices."""

    def players(self) -> dict[str, nn.Module]:
        """Each player's name and the module whose weights it owns."""
        raise NotImplementedError

    def turns(self, step: int) -> Iterable[Turn]:
        """The turns of one step, in order; steps count from 0."""
        raise NotImplementedError

    def kind(self, step: int) -> Hashable | None:
        """Equal for two steps whose turns do the same with other numbers, so that one recording can serve both.

        None where no two steps need be alike: where a turn chooses by numbers, or keeps something outside of tensors.
        """
        return None

    def differentiated_once(self) -> dict[str, nn.Module]:
        """By name, the networks whose gradients nobody differentiates again: those that may be compiled."""
        return {}

    def remarks(self, steps: int | None) -> list[str]:
        """What a user should hear of parts that go together oddly in a run of so many steps, a line each.

        None where the number is not known.
        """
        return []

    def after_turn(self, player: str) -> None:
        """Called once a player's weights have moved: projections, adaptive state."""

    def drawn_with(self) -> nn.Module:
        """The module `render` draws with; the trainer keeps a weight average of it."""
        raise NotImplementedError

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
        """(N, C, H, W) images rendered from examples -> (N,) what the game's judge thinks of each, larger for real.

        None where there is no judge.
        """
        return None

    def draw(self, count: int, labels: Sequence[int] | None = None) -> Batch:
        """Inputs for `render` made from nothing, on the CPU, so that a seed means the same on every device.

        Raises ValueError when this system draws from pictures, or cannot follow labels.
        """
        raise NotImplementedError
