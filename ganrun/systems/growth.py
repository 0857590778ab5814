"""What a game asks of networks that grow during a run (`ganrun.networks.growth`)."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Protocol, cast

from torch import Tensor, nn

from ganrun.losses.objective import Objective

Batch = dict[str, Tensor]


class Growth(Protocol):
    """How far one network has grown."""

    @property
    def graph_key(self) -> Hashable: ...

    def at_progress(self, progress: float) -> None: ...

    def never_below(self) -> None: ...

    def faded(self, images: Tensor) -> Tensor: ...


def growth_of(network: nn.Module) -> Growth | None:
    """The part `growth` of a network, if it has one."""
    found = getattr(network, "growth", None)
    return cast(Growth, found) if isinstance(found, nn.Module) else None


def growths_in(system: nn.Module) -> list[Growth]:
    """Those of all its networks."""
    return [found for part in system.modules() if (found := growth_of(part)) is not None]


def on_faded(objective: Callable[[Batch], Objective], fade: Callable[[Batch], Batch]) -> Callable[[Batch], Objective]:
    """The objective of a turn, for a batch whose reals are faded as the fakes are."""
    return lambda batch: objective(fade(batch))
