"""Hook: watches a run while it trains."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganrun.common.errors import UserError

if TYPE_CHECKING:
    from ganrun.data.dataset import Dataset
    from ganrun.systems.system import System
    from ganrun.training.record import StepRecord
    from ganrun.training.trainer import Trainer


class Stage(IntEnum):
    """The order of hooks within a step. Each stage sees in the record what the stages before it added."""

    TRACE = 0  # marks the end of the step before other hooks take time
    SPEAK = 1  # shows the numbers of the step itself
    MEASURE = 2  # adds scores
    JUDGE = 3  # adds alarms and further numbers to the means
    WRITE = 4  # writes the numbers to files
    DRAW = 5  # adds pictures
    SHOW = 6  # shows numbers, scores and pictures in other programs
    OWN = 7  # hooks of users that name no stage: they see the whole record
    SAVE = 8  # last, because the files that belong to a checkpoint must be written before it


class Hook:
    """Reads the trainer at four moments, and never changes weights.

    `folder` is the folder of the run, `config` its config as plain dicts and lists. Hooks run in the order of their
    `stage`, not in that of the yaml; `on_end` and `on_failure` run in the reverse order. After an error that ends the
    run, `on_failure` is called instead of `on_end`: it closes files and saves nothing. After a rollback, `on_start` is
    called again.
    """

    stage = Stage.OWN
    reads: tuple[str, ...] = ()  # the sections of a run's config that this hook uses

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.folder, self.config = Path(folder), config

    def remarks(self) -> list[str]:
        """Notes for the plan, one line each, about settings that have no effect or an odd one."""
        return []

    def refuse(self, system: System, data: Dataset) -> None:
        """Called before a run. Raises UserError for settings that this system or these data cannot have."""

    def on_start(self, trainer: Trainer) -> None: ...

    def on_step(self, trainer: Trainer, record: StepRecord) -> None: ...

    def on_end(self, trainer: Trainer) -> None: ...

    def on_failure(self, trainer: Trainer) -> None: ...

    def elsewhere(self) -> Hook | None:
        """The hook that replaces this one on all ranks but the first, which alone writes files. None: no hook."""
        return None


def in_order(hooks: Iterable[Hook]) -> list[Hook]:
    """The hooks sorted by stage. Hooks of the same stage keep their order."""
    return sorted(hooks, key=lambda hook: getattr(hook, "stage", Stage.OWN))


def on_step_of(hook: Hook) -> Callable[[Trainer, StepRecord], None]:
    """The `on_step` of a hook. A hook that was written for an earlier version takes the trainer alone.

    Raises UserError if `on_step` takes other arguments.
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


# Attributes of the trainer that hooks of earlier versions used, and their replacements.
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
