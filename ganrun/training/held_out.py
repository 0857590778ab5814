"""Held-out pictures: those of the run's data that it does not learn from, to show in grids."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import torch

from ganrun.common.errors import UserError
from ganrun.common.seeding import Purpose, reseed
from ganrun.common.types import Config
from ganrun.data.dataset import chosen
from ganrun.data.loading.stream import Batch, Takes, prepare
from ganrun.data.parts import Part
from ganrun.evaluation.reals import changed, load_eval_data, split_of

if TYPE_CHECKING:
    from ganrun.training.trainer import Trainer

AT_ONCE = 32  # pictures: damage is drawn for so many, so another number would change the pictures of a grid
WAY_OUT = "test_share=0.1 holds a tenth out"


def pictures_for(trainer: Trainer, config: Config) -> tuple[Takes, bool]:
    """The pictures that the run holds out, or those of its test split, else its own; and whether they are held out.

    Files are decoded when they are asked for: a grid needs few of them.
    """
    data, node = trainer.stream.data, config["dataset"]
    if isinstance(data, Part) and data.rest is not None:
        return data.rest, True
    if split_of(node) == "train":
        own = str(node["_target_"]).split(".")[0]  # this run has already built the data set's class
        with contextlib.suppress(UserError):  # there is no test split
            return load_eval_data(changed(node, {"split": "test", "limit": None, "mode": "stream"}), [own]), True
    return data, False


def examples_of(trainer: Trainer, data: Takes, count: int) -> Batch:
    """Inputs of `rendering.panels` from `count` pictures of `data`, on the CPU; training's randomness is not touched.

    They are the same for every seed, but for the damage or noise that is added to them.
    """
    with torch.random.fork_rng(devices=[trainer.device] if trainer.device.type == "cuda" else []):
        reseed(trainer.settings.seed, Purpose.EXAMPLES)
        parts = []
        for rows in chosen(len(data), count).to(data.device).split(AT_ONCE):
            batch = data.transform(prepare(data.take(rows), trainer.device))
            parts.append({name: tensor.cpu() for name, tensor in batch.items()})
        whole = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        return {name: tensor.cpu() for name, tensor in trainer.system.examples(whole, count).items()}
