"""Grids: the same latents drawn again and again, so that pictures of different steps can be compared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganrun import images
from ganrun.hooks.hook import Hook

if TYPE_CHECKING:
    from ganrun.trainer import Trainer

EARLY = (1, 50, 100, 200)  # most is decided in the first minutes


class Grids(Hook):
    """grids/step_000050.png at steps 1, 50, 100, 200, then every `every` steps and at the end; grids/real.png once.

    `verdicts` writes the discriminator's logit under each picture.
    """

    def __init__(
        self, folder: Path, config: dict[str, Any], every: int = 500, count: int = 64, verdicts: bool = False
    ) -> None:
        super().__init__(folder, config)
        self.every, self.count, self.verdicts = every, count, verdicts

    def on_start(self, trainer: Trainer) -> None:
        self.examples = trainer.examples(self.count)
        self.columns = images.columns_for(len(next(iter(self.examples.values()))), self.examples.get("label"))
        self.drawn = trainer.step
        real = self.folder / "grids" / "real.png"
        if not real.exists():
            batch = trainer.prepared(0)
            if "image" in batch:
                shown = images.to_uint8(batch["image"][: self.count])
                images.save_grid(shown, real, images.columns_for(len(shown)), {"seed": trainer.seed})

    def on_step(self, trainer: Trainer) -> None:
        if trainer.step in EARLY or trainer.step % self.every == 0:
            self.draw(trainer)

    def on_end(self, trainer: Trainer) -> None:
        if self.drawn != trainer.step:
            self.draw(trainer)

    def draw(self, trainer: Trainer) -> None:
        drawn = trainer.render(self.examples)
        pictures, captions = images.to_uint8(drawn), None
        if self.verdicts and (thoughts := trainer.verdicts(drawn, self.examples)) is not None:
            captions = [f"{thought:+.2f}" for thought in thoughts.tolist()]
        path = self.folder / "grids" / f"step_{trainer.step:06d}.png"
        about = {"step": trainer.step, "images": trainer.images, "seed": trainer.seed}
        trainer.pictures["grid"] = images.save_grid(pictures, path, self.columns, about, captions)
        self.drawn = trainer.step
