"""parts: from a plain config to the things a run is made of."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence

import torch

from ganrun.common.errors import UserError
from ganrun.common.log_capture import captured_log
from ganrun.common.seeding import Purpose, reseed
from ganrun.common.types import Config
from ganrun.common.untrusted import only_reads
from ganrun.config.build import build
from ganrun.data.dataset import Dataset, as_size
from ganrun.data.memoize import memoized
from ganrun.data.shards import refuse_unknown
from ganrun.data.storage import preview
from ganrun.data.streamed import FEW
from ganrun.losses.loss import AdversarialLoss
from ganrun.systems.system import System


def load_dataset(config: Config, trust: Sequence[str] | None = None, pixels: bool = True) -> Dataset:
    """The data set of a config, read once for a sweep's jobs. Raises UserError when its facts are not the config's.

    Without `pixels` files are listed, but only a few decoded, which stand for all: enough to plan a run, not to train.
    """
    node = config["dataset"] if trust is None else only_reads(config["dataset"])
    if trust is not None:
        try:
            refuse_unknown(node)
        except ValueError as error:
            raise UserError(str(error)) from None
    given = json.dumps(node, sort_keys=True), tuple(trust) if trust is not None else None
    try:
        return _load_dataset(*given, pixels)
    except OSError:
        if pixels:
            raise
        return _load_dataset(*given, True)  # the few that were to stand for all are broken: which, and how many are?


@memoized(2)  # as it is for the plan and for the run
def _load_dataset(node_as_json: str, trust: tuple[str, ...] | None, pixels: bool) -> Dataset:
    node = json.loads(node_as_json)
    with captured_log("ganrun.data") as notes:
        with contextlib.nullcontext() if pixels else preview():
            dataset = build(node, Dataset, "dataset", trust)
        if not pixels:
            dataset.take(torch.arange(FEW) % len(dataset))  # what is wrong with these is said now
    dataset.add_notes(notes, notes.warnings, notes.more)
    if "image_size" in node and as_size(node["image_size"]) != dataset.image_size:
        raise UserError(f"dataset.image_size={node['image_size']}, but the data have {list(dataset.image_size)}")
    for fact in ("channels", "classes"):
        if fact in node and node[fact] != getattr(dataset, fact):
            raise UserError(f"dataset.{fact}={node[fact]}, but the data have {getattr(dataset, fact)}")
    return dataset


def build_system(config: Config, trust: Sequence[str] | None = None, loss: AdversarialLoss | None = None) -> System:
    """The game of a config, with weights that only depend on its seed. `loss` stands in for the config's own."""
    reseed(config["seed"], Purpose.FIRST_WEIGHTS)
    loss = loss or build(config["loss"], AdversarialLoss, "loss", trust)
    return build(config["model"], System, "model", trust, loss=loss)
