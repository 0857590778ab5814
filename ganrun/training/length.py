"""Where a run ends: after so many steps, or after so many minutes."""

from __future__ import annotations

from dataclasses import dataclass

from ganrun.common.errors import UserError
from ganrun.common.limits import STEPS
from ganrun.common.types import Config
from ganrun.data.dataset import Dataset


@dataclass
class Length:
    """Where a run ends: after `steps`, or after `minutes` of training, all sessions of a resumed run together."""

    steps: int | None = None
    minutes: float | None = None


def length_of(config: Config, dataset: Dataset) -> Length:
    """The length that the config gives, or the data set's suggestion. Raises UserError for too many steps."""
    batch_size = config["batch_size"]
    if config["steps"] is not None:
        return Length(steps=config["steps"])
    if config["minutes"] is not None:
        return Length(minutes=config["minutes"])
    images = config["epochs"] * len(dataset) if config["epochs"] is not None else None
    if images is None:
        images = 1000 * (config["kimg"] if config["kimg"] is not None else dataset.kimg)
    if not images / batch_size <= STEPS:
        key, value = ("epochs", config["epochs"]) if config["epochs"] is not None else ("kimg", images / 1000)
        raise UserError(f"{key}={value:g} would be more than {STEPS} steps of batch_size={batch_size}: give less")
    return Length(steps=max(1, round(images / batch_size)))
