"""torch.compile for the networks that no penalty differentiates twice, checked on the run's own first steps."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterator
from typing import TYPE_CHECKING

import torch

from ganrun.data.loading.stream import Batch
from ganrun.systems.system import System
from ganrun.training.cuda_graphs import Graphs
from ganrun.training.step_check import disagreement

if TYPE_CHECKING:
    from ganrun.training.trainer import StepRunner, Trainer

log = logging.getLogger("ganrun")

# Compiled code that a network may have; torch allows 8. One that grows from 4 to 512 pixels has 15 forms in training,
# and as many again when grids are drawn.
FORMS = 32


def compile_networks(system: System) -> None:
    """Compile in place, so that names in the state dict stay. Compiled code cannot be differentiated twice.

    A network that cannot be compiled (no C++ compiler, code that torch cannot trace) runs uncompiled.
    """
    from torch._inductor import config as inductor  # heavy, and only needed here

    torch.compiler.set_stance("default")  # an earlier run of this process may have given up
    torch._dynamo.config.suppress_errors = True
    torch._dynamo.config.recompile_limit = FORMS
    inductor.fallback_random = True  # dropout must draw what it draws in eager mode
    networks = dict(system.differentiated_once())
    for network in networks.values():
        network.compile()
    log.info(f"compile    {', '.join(networks) or 'nothing: this model names no network that may be compiled'}")


class Proved:
    """Runs steps by `inner`, or by `play_step`. The first step of each graph key runs compiled and in eager mode.

    Where the two results differ, the networks run in eager mode from then on, and one line says so.
    """

    def __init__(self, trainer: Trainer, inner: Callable[[Trainer], StepRunner] | None) -> None:
        self.trainer = trainer
        runner = inner(trainer) if inner else None
        self.play_on = runner.play if runner else trainer.play_step
        self.raw = runner.raw if isinstance(runner, Graphs) else next  # graphs may not use the iterator of batches
        self.proved: set[Hashable] = set()
        self.given_up = False

    def play(self, batches: Iterator[Batch]) -> None:
        key = None if self.given_up else self.trainer.system.graph_key(self.trainer.step)
        # None: the step may change something outside of tensors, so it must not run twice
        if key is None or key in self.proved:
            return self.play_on(batches)
        self.proved.add(key)
        self.prove(self.trainer.prepare_batch(self.raw(batches)))

    def prove(self, batch: Batch) -> None:
        def eager() -> None:
            with torch.compiler.set_stance("force_eager"):
                self.trainer.play_turns(batch)

        difference = disagreement(self.trainer, lambda: self.trainer.play_turns(batch), eager)
        if difference is not None:
            self.given_up = True
            torch.compiler.set_stance("force_eager")
            log.warning(f"compile    given up: the compiled step gives another result than the usual one: {difference}")
