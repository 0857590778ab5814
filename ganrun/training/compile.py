"""compiling: torch.compile for the networks that are differentiated once, proved on the run's own first steps."""

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


def compile_networks(system: System) -> None:
    """In place; the state keeps its names. What a penalty differentiates twice stays as it is: compiled code cannot be.

    Where a network cannot be compiled (no C++ compiler, code that torch cannot follow) it runs as it is.
    """
    from torch._inductor import config as inductor  # heavy, and only needed here

    torch._dynamo.config.suppress_errors = True
    inductor.fallback_random = True  # dropout draws what it draws without compilation
    networks = dict(system.differentiated_once())
    for network in networks.values():
        network.compile()
    log.info(f"compile    {', '.join(networks) or 'nothing: this model names no network that may be compiled'}")


class Proved:
    """Plays a trainer's steps by `inner`. The first of each kind is played with the compiled networks and without.

    Where the two differ the networks run as they are from then on, and one line says so.
    """

    def __init__(self, trainer: Trainer, inner: Callable[[Trainer], StepRunner] | None) -> None:
        self.trainer = trainer
        runner = inner(trainer) if inner else None
        self.play_on = runner.play if runner else trainer.play_step
        self.raw = runner.raw if isinstance(runner, Graphs) else next  # where batches come from differs
        self.proved: set[Hashable] = set()
        self.given_up = False

    def play(self, batches: Iterator[Batch]) -> None:
        kind = self.trainer.system.graph_key(self.trainer.step)
        # None: such a step may keep something outside of tensors, so it cannot be played twice
        if self.given_up or kind is None or kind in self.proved:
            return self.play_on(batches)
        self.proved.add(kind)
        self.prove(self.trainer.prepare_batch(self.raw(batches)))

    def prove(self, batch: Batch) -> None:
        def plain() -> None:
            with torch.compiler.set_stance("force_eager"):
                self.trainer.play_turns(batch)

        difference = disagreement(self.trainer, lambda: self.trainer.play_turns(batch), plain)
        if difference is not None:
            self.given_up = True
            for network in self.trainer.system.differentiated_once().values():
                network._compiled_call_impl = None  # what Module.compile sets; torch has no way back of its own
            log.warning(f"compile    given up: the compiled step gives another result than the plain one: {difference}")
