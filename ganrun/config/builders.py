"""Builds the data set and the system that a config describes."""

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
from ganrun.config.added import BEFORE, with_profiles
from ganrun.config.build import build
from ganrun.data.dataset import Dataset, as_size
from ganrun.data.memoize import memoized
from ganrun.data.parts import parts
from ganrun.data.shards import refuse_unknown
from ganrun.data.storage import preview
from ganrun.data.streamed import FEW
from ganrun.losses.loss import AdversarialLoss
from ganrun.systems.system import System


def load_dataset(config: Config, trust: Sequence[str] | None = None, pixels: bool = True) -> Dataset:
    """The data set of a config. The jobs of a sweep read it once.

    `trust` None: the config is the user's own. Otherwise it comes from a file, and its classes must lie in these
    packages. With pixels=False, files are listed, but only the first few are decoded and stand for all the others. That
    is enough to plan a run, not to train. With `test_share`, the data are the part that the run learns from.
    Raises UserError if `image_size`, `channels` or `classes` of the config are not those of the data.
    """
    node = config["dataset"] if trust is None else with_profiles(only_reads(config["dataset"]), BEFORE)
    if trust is not None:
        try:
            refuse_unknown(node)
        except ValueError as error:
            raise UserError(str(error)) from None
    share = config.get("test_share") or 0  # runs of earlier versions lack it
    data = _whole(node, trust, pixels)
    return parts(data, share)[0] if share else data


def _whole(node: Config, trust: Sequence[str] | None, pixels: bool) -> Dataset:
    key = json.dumps(node, sort_keys=True), tuple(trust) if trust is not None else None
    try:
        return _load_dataset(*key, pixels)
    except OSError:
        if pixels:
            raise
        return _load_dataset(*key, True)  # some of the few are broken: decode all, to name the broken files


@memoized(2)  # two, because the plan and the run load it with different `pixels`
def _load_dataset(node_as_json: str, trust: tuple[str, ...] | None, pixels: bool) -> Dataset:
    node = json.loads(node_as_json)
    with captured_log("ganrun.data") as notes:
        with contextlib.nullcontext() if pixels else preview():
            dataset = build(node, Dataset, "dataset", trust)
        if not pixels:
            dataset.take(torch.arange(FEW) % len(dataset))  # decodes them, so that broken ones are reported now
    dataset.add_notes(notes, notes.warnings, notes.more)
    if "image_size" in node and as_size(node["image_size"]) != dataset.image_size:
        raise UserError(f"dataset.image_size={node['image_size']}, but the data have {list(dataset.image_size)}")
    for fact in ("channels", "classes"):
        if fact in node and node[fact] != getattr(dataset, fact):
            raise UserError(f"dataset.{fact}={node[fact]}, but the data have {getattr(dataset, fact)}")
    return dataset


def build_system(config: Config, trust: Sequence[str] | None = None, loss: AdversarialLoss | None = None) -> System:
    """The system of a config. Its first weights depend on the config and its seed alone.

    `loss` replaces the loss of the config. `trust` is as in `load_dataset`. Raises UserError that names the key.
    """
    reseed(config["seed"], Purpose.FIRST_WEIGHTS)
    loss = loss or build(config["loss"], AdversarialLoss, "loss", trust)
    try:
        return build(config["model"], System, "model", trust, loss=loss)
    except UserError as error:
        if not (config.get("dataset") or {}).get("crop"):
            raise
        # a network knows the size of its pictures, and not which key of the data set decides it
        raise UserError(str(error).replace("dataset.image_size=", "dataset.crop=")) from None
