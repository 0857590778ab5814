"""Draws a grid of pictures at many steps. The latents stay the same, so that the steps can be compared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ganrun.common import images
from ganrun.common.bounds import Count, Pictures
from ganrun.training import rendering
from ganrun.training.hooks.hook import Hook, Stage

if TYPE_CHECKING:
    from ganrun.training.record import StepRecord
    from ganrun.training.trainer import Trainer

EARLY = (1, 50, 100, 200)  # a run changes most in its first minutes


class Grids(Hook):
    """Writes grids/step_000050.png at steps 1, 50, 100, 200, every `every` steps and at the end; grids/real.png once.

    A grid has `count` pictures. If the system translates pictures, a cell shows input and output side by side.
    `verdicts` True: the logit of the discriminator stands under each cell.
    """

    stage = Stage.DRAW
    reads = ("grids",)

    def __init__(
        self, folder: Path, config: dict[str, Any], every: Count = 500, count: Pictures = 64, verdicts: bool = False
    ) -> None:
        super().__init__(folder, config)
        self.every, self.count, self.verdicts = every, count, verdicts

    def on_start(self, trainer: Trainer) -> None:
        self.examples = rendering.examples(trainer, self.count)
        self.drawn = trainer.step
        real = self.folder / "grids" / "real.png"
        if not real.exists():
            batch = rendering.load_batch(trainer, 0)
            if "image" in batch:
                shown = images.to_uint8(batch["image"][: self.count])
                images.save_grid(
                    shown, real, images.columns_for(len(shown)), {"seed": trainer.settings.seed}, inside=self.folder
                )

    def on_step(self, trainer: Trainer, record: StepRecord) -> None:
        if trainer.step in EARLY or trainer.step % self.every == 0 or trainer.done:
            record.pictures["grid"] = self.draw(trainer)

    def on_end(self, trainer: Trainer) -> None:
        if self.drawn != trainer.step:
            self.draw(trainer)

    def draw(self, trainer: Trainer) -> Tensor:
        """Write a grid. Returns it, (C, H, W) uint8."""
        panels = rendering.panels(trainer, self.examples)
        columns = images.columns_for(-(-len(panels[0]) // len(panels)), self.examples.get("label"))
        path = self.folder / "grids" / f"step_{trainer.step:06d}.png"
        about = {"step": trainer.step, "images": trainer.images, "seed": trainer.settings.seed}
        pictures = images.to_uint8(side_by_side(panels))
        captions = self.captions(trainer)
        self.drawn = trainer.step
        return images.save_grid(pictures, path, columns, about, captions, self.folder)

    def captions(self, trainer: Trainer) -> list[str] | None:
        """The logit of the discriminator for each picture. None if `verdicts` is False or there is no discriminator."""
        if not self.verdicts:
            return None
        logits = rendering.verdicts(trainer, rendering.render(trainer, self.examples), self.examples)
        return None if logits is None else [f"{logit:+.2f}" for logit in logits.tolist()]


def side_by_side(panels: list[Tensor]) -> Tensor:
    """Panels of (N, C, H, W) each -> (N, C, scale·H, panels·scale·W). A single panel stays as it is.

    Small panels are enlarged here, because a grid would choose its scale by the size of the whole cell.
    """
    if len(panels) == 1:
        return panels[0]
    scale = max(1, images.SMALLEST_CELL // max(panels[0].shape[2:]))
    channels = max(panel.shape[1] for panel in panels)
    shown = [panel.expand(-1, channels, -1, -1) for panel in panels]
    return torch.cat(shown, dim=3).repeat_interleave(scale, 2).repeat_interleave(scale, 3)
