"""Draws a grid of pictures at many steps. The latents stay the same, so that the steps can be compared."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ganrun.common import images
from ganrun.common.bounds import Count, Pictures
from ganrun.data.loading.stream import Batch
from ganrun.training import rendering
from ganrun.training.held_out import WAY_OUT, examples_of, pictures_for
from ganrun.training.hooks.hook import Hook, Stage

if TYPE_CHECKING:
    from ganrun.training.record import StepRecord
    from ganrun.training.trainer import Trainer

log = logging.getLogger("ganrun")

BEHIND = 2000  # real points behind a plot of samples, at least
EARLY = (1, 50, 100, 200)  # a run changes most in its first minutes


class Grids(Hook):
    """Writes grids/step_000050.png at steps 1, 50, 100, 200, every `every` steps and at the end; grids/real.png once.

    A grid has `count` cells. If the system works on pictures, a cell shows what goes in and what comes out side by
    side, each with its heading, for pictures that the run does not learn from where there are any (see `held_out`).
    `verdicts` True: the logit of the discriminator stands under each cell. Points of a plane are drawn as one scatter
    plot, over real points, without verdicts.
    """

    stage = Stage.DRAW
    reads = ("grids",)

    def __init__(
        self, folder: Path, config: dict[str, Any], every: Count = 500, count: Pictures = 64, verdicts: bool = False
    ) -> None:
        super().__init__(folder, config)
        self.every, self.count, self.verdicts = every, count, verdicts

    def remarks(self) -> list[str]:
        points = self.verdicts and self.config["dataset"].get("image_size") in (1, [1, 1])
        return ["grids.verdicts=true has no effect: points are drawn in one plot, without captions"] if points else []

    def on_start(self, trainer: Trainer) -> None:
        self.examples = self.inputs(trainer)
        self.drawn = trainer.step
        batch = rendering.load_batch(trainer, 0)
        shown = images.stored(batch["image"][: self.count]) if "image" in batch else None
        self.behind = None
        if shown is not None and images.are_points(shown):
            self.behind = shown = real_points(trainer, max(self.count, BEHIND))
        real = self.folder / "grids" / "real.png"
        if shown is not None and not real.exists():
            images.save_grid(
                shown, real, images.columns_for(len(shown)), {"seed": trainer.settings.seed}, inside=self.folder
            )

    def inputs(self, trainer: Trainer) -> Batch:
        """The same at every call and after every resume."""
        if not trainer.system.takes_pictures:
            return rendering.examples(trainer, self.count)
        data, held_out = pictures_for(trainer, self.config)
        if not held_out:
            log.info("grids      show pictures that the run learns from, as there is no test split: %s", WAY_OUT)
        return examples_of(trainer, data, self.count)

    def on_step(self, trainer: Trainer, record: StepRecord) -> None:
        if trainer.step in EARLY or trainer.step % self.every == 0 or trainer.done:
            record.pictures["grid"] = self.draw(trainer)

    def on_end(self, trainer: Trainer) -> None:
        if self.drawn != trainer.step:
            self.draw(trainer)

    def draw(self, trainer: Trainer) -> Tensor:
        """Write a grid. Returns it, (C, H, W) uint8."""
        panels = rendering.panels(trainer, self.examples)
        count = len(next(iter(panels.values())))
        columns = images.columns_for(-(-count // len(panels)), trainer.system.row_of(self.examples))
        path = self.folder / "grids" / f"step_{trainer.step:06d}.png"
        about = {"step": trainer.step, "images": trainer.images, "seed": trainer.settings.seed}
        pictures = side_by_side(panels)
        captions = self.captions(trainer)
        self.drawn = trainer.step
        return images.save_grid(pictures, path, columns, about, captions, self.folder, self.behind)

    def captions(self, trainer: Trainer) -> list[str] | None:
        """The logit of the discriminator for each picture. None if `verdicts` is False or there is no discriminator."""
        if not self.verdicts or self.behind is not None:
            return None
        logits = rendering.verdicts(trainer, rendering.render(trainer, self.examples), self.examples)
        return None if logits is None else [f"{logit:+.2f}" for logit in logits.tolist()]


def real_points(trainer: Trainer, count: int) -> Tensor:
    """(count, C, 1, 1) of the first batches."""
    batches = range(-(-count // trainer.stream.batch_size))
    return images.stored(torch.cat([rendering.load_batch(trainer, number)["image"] for number in batches])[:count])


def side_by_side(panels: Mapping[str, Tensor]) -> Tensor:
    """{heading: (N, C, H, W)} in [-1, 1] -> (N, C, H', W') cells as `images.stored` stores them, panel beside panel.

    A single panel without a heading stays as it is. Small ones are enlarged here, because a grid would choose its
    scale by the size of the whole cell. Where one has a heading, a line for it is above each.
    """
    names, drawn = list(panels), [images.stored(panel) for panel in panels.values()]
    headed = any(name.strip() for name in names)
    if len(drawn) == 1 and not headed:
        return drawn[0]
    scale = max(1, images.SMALLEST_CELL // max(drawn[0].shape[2:]))
    drawn = [images.shown(panel) for panel in drawn]  # of any channels, such as five bands
    channels = max(panel.shape[1] for panel in drawn)
    columns = []
    for name, panel in zip(names, drawn, strict=True):
        shown = panel.expand(-1, channels, -1, -1).repeat_interleave(scale, 2).repeat_interleave(scale, 3)
        heading = images.caption(name, shown.shape[3]).expand(len(shown), channels, -1, -1)
        columns.append(torch.cat([heading, shown], dim=2) if headed else shown)
    return torch.cat(columns, dim=3)
