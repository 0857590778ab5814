"""Hook: looks at a run while it goes on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ganrun.training.trainer import Trainer


class Hook:
    """Reads the trainer at four moments, never changes weights. `folder` is the run's, `config` its plain config.

    Where an error ends the run there is no `on_end` but `on_failure`: put things away, save nothing. `on_start` may
    come again, when the run goes back to its last checkpoint.
    """

    reads: tuple[str, ...] = ()  # the sections of a run's config that reach it

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.folder, self.config = Path(folder), config

    def remarks(self) -> list[str]:
        """What a user should hear before a run of this config starts, a line each."""
        return []

    def on_start(self, trainer: Trainer) -> None: ...

    def on_step(self, trainer: Trainer) -> None: ...

    def on_end(self, trainer: Trainer) -> None: ...

    def on_failure(self, trainer: Trainer) -> None: ...

    def elsewhere(self) -> Hook | None:
        """What stands for this hook on the ranks that write nothing; as a rule nothing does."""
        return None
