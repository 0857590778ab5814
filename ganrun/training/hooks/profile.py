"""Traces a few steps for Perfetto and TensorBoard."""

from __future__ import annotations

import logging
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganrun.common.atomic import atomic_write
from ganrun.common.bounds import Natural
from ganrun.training.hooks.hook import Hook, Stage

if TYPE_CHECKING:
    from torch.profiler import profile

    from ganrun.training.record import StepRecord
    from ganrun.training.trainer import Trainer

log = logging.getLogger("ganrun")

WARM_UP = 10  # steps before the trace, because the first steps allocate memory, choose kernels and record graphs


class Profile(Hook):
    """Traces `steps` steps after the tenth into a file such as steps_000011-000015.pt.trace.json.gz. 0: no trace.

    TensorBoard's profiler plug-in (torch-tb-profiler) looks for such a name. https://ui.perfetto.dev and
    chrome://tracing also open the file. Traced steps are slower than others.
    """

    stage = Stage.TRACE
    reads = ("profile",)

    def __init__(self, folder: Path, config: dict[str, Any], steps: Natural = 0) -> None:
        super().__init__(folder, config)
        self.steps = steps
        self.profiler: profile | None = None

    def on_start(self, trainer: Trainer) -> None:
        self.first = trainer.step + WARM_UP

    def on_step(self, trainer: Trainer, record: StepRecord) -> None:
        if not self.steps:
            return
        if trainer.step == self.first and not trainer.done:
            self.begin(trainer)
        elif self.profiler is not None:
            self.profiler.step()  # marks the steps in the trace
            if trainer.step == self.first + self.steps:
                self.write(trainer)

    def on_end(self, trainer: Trainer) -> None:
        if self.profiler is not None:
            self.write(trainer)
        elif self.steps and trainer.step <= self.first:
            log.warning("profile: the run ended before the end of step %d: there is no trace", self.first + 1)

    def on_failure(self, trainer: Trainer) -> None:
        if self.profiler is not None:
            self.profiler.stop()
            self.profiler = None

    def begin(self, trainer: Trainer) -> None:
        from torch.profiler import ProfilerAction, ProfilerActivity, profile

        gpu = [ProfilerActivity.CUDA] if trainer.device.type == "cuda" else []
        self.profiler = profile(
            activities=[ProfilerActivity.CPU, *gpu],
            schedule=lambda step: ProfilerAction.RECORD,  # without a schedule, the trace does not mark the steps
            record_shapes=True,
        )
        self.profiler.start()

    def write(self, trainer: Trainer) -> None:
        assert self.profiler is not None
        profiler, self.profiler = self.profiler, None
        profiler.stop()
        path = self.folder / f"steps_{self.first + 1:06d}-{trainer.step:06d}.pt.trace.json.gz"
        # in a folder of its own, because torch would follow a link in the run's folder
        with tempfile.TemporaryDirectory(prefix="ganrun-trace-") as own:
            profiler.export_chrome_trace(str(Path(own) / path.name))
            with open(Path(own) / path.name, "rb") as trace, atomic_write(path) as file:
                shutil.copyfileobj(trace, file)
        log.info("trace      %s: open it at https://ui.perfetto.dev, or with TensorBoard's profiler plug-in", path)
