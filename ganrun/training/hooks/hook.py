"""Hook: watches a run while it trains."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganrun.common.errors import UserError

if TYPE_CHECKING:
    from ganrun.training.record import StepRecord
    from ganrun.training.trainer import Trainer


class Stage(IntEnum):
    """The order of hooks within a step. Each stage sees in the record what the stages before it added."""

    TRACE = 0  # marks the end of the step before other hooks take time
    SPEAK = 1  # says the step's own numbers
    MEASURE = 2  # adds scores
    JUDGE = 3  # adds alarms and its own numbers to the means
    WRITE = 4  # writes the numbers down
    DRAW = 5  # adds pictures
    SHOW = 6  # shows numbers, scores and pictures elsewhere
    OWN = 7  # hooks of users that name no stage: they see everything
    SAVE = 8  # last: what a checkpoint belongs to has been written


class Hook:
    """Reads the trainer at four moments, never changes weights. `folder` is the run's, `config` its plain config.

    Hooks run in the order of their `stage`, whatever their order in the yaml; `on_end` and `on_failure` run in the
    reverse order. An error that ends the run calls `on_failure` instead of `on_end`: close what is open, save nothing.
    `on_start` is called again when the run goes back to its last checkpoint.
    """

    stage = Stage.OWN
    reads: tuple[str, ...] = ()  # the sections of a run's config that reach it

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.folder, self.config = Path(folder), config

    def remarks(self) -> list[str]:
        """What a user should hear before a run of this config starts, a line each."""
        return []

    def on_start(self, trainer: Trainer) -> None: ...

    def on_step(self, trainer: Trainer, record: StepRecord) -> None: ...

    def on_end(self, trainer: Trainer) -> None: ...

    def on_failure(self, trainer: Trainer) -> None: ...

    def elsewhere(self) -> Hook | None:
        """The hook that runs instead of this one on ranks that write nothing; None for no hook."""
        return None


def in_order(hooks: Iterable[Hook]) -> list[Hook]:
    """By stage; hooks of one stage keep their order."""
    return sorted(hooks, key=lambda hook: getattr(hook, "stage", Stage.OWN))


def on_step_of(hook: Hook) -> Callable[[Trainer, StepRecord], None]:
    """A hook's `on_step`. Hooks written for earlier versions take the trainer alone.

    Raises UserError where it takes neither.
    """
    on_step: Any = hook.on_step
    if _takes(on_step, 2):
        return on_step
    if _takes(on_step, 1):
        return lambda trainer, record: on_step(trainer)
    name = type(hook).__name__
    raise UserError(f"hooks: {name}.on_step must be on_step(self, trainer, record)")


def _takes(method: Callable[..., Any], count: int) -> bool:
    try:
        inspect.signature(method).bind(*range(count))
    except TypeError:
        return False
    return True


# What hooks of earlier versions read on the trainer, and where it is now.
MOVED = {
    "logged": "record.means, of on_step(self, trainer, record)",
    "pictures": "record.pictures, of on_step(self, trainer, record)",
    "scores": "record.scores, of on_step(self, trainer, record)",
    "save_due": "record.save_due, of on_step(self, trainer, record)",
    "log_due": "record.means is not None, of on_step(self, trainer, record)",
    "alarms": "trainer.control.alarms",
    "stop": "trainer.control.stop(reason, exit_code)",
    "go_back": "trainer.control.go_back(reason, since)",
    "save_asked": "trainer.control.save()",
    "stopped": "trainer.control.stopped",
    "exit_code": "trainer.control.exit_code",
    "seconds": "trainer.control.seconds",
    "setbacks": "trainer.rates.setbacks",
    "schedules": "trainer.rates.schedules",
    "seed": "trainer.settings.seed",
    "bf16": "trainer.settings.bf16",
    "log_every": "trainer.settings.log_every",
    "prepare": "trainer.prepare_batch(batch)",
    "prepared": "load_batch(trainer, step) of ganrun.training.rendering",
    "examples": "examples(trainer, count) of ganrun.training.rendering",
    "render": "render(trainer, examples) of ganrun.training.rendering",
    "panels": "panels(trainer, examples) of ganrun.training.rendering",
    "verdicts": "verdicts(trainer, images, examples) of ganrun.training.rendering",
    "showing": "averaged_weights(trainer) of ganrun.training.rendering",
}
