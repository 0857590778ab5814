"""The real pictures that a run's samples are compared with."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from ganrun.checkpoints.load import trusted
from ganrun.common.errors import UserError
from ganrun.common.types import Config
from ganrun.config.builders import load_dataset
from ganrun.data.dataset import Dataset
from ganrun.data.memoize import memoized
from ganrun.data.parts import Part, parts
from ganrun.systems.system import System


def say(lines: Iterable[str]) -> None:
    for line in lines:
        print(f"note: {line}", flush=True)


def labels_like(system: System, reals: Dataset, path: Path) -> list[int] | None:
    """For a class-conditional model, the sorted labels of the real pictures; None for an unconditional model.

    The fakes are drawn in these proportions. Raises UserError when the reals have another number of classes.
    """
    classes = getattr(system, "classes", 0)
    if not classes:
        return None
    if reals.labels is None or reals.classes != classes:
        raise UserError(f"ckpt={path}: it draws {classes} classes, but the real pictures have {reals.classes}")
    return reals.labels.sort().values.tolist()


def data_of(config: Config, state: Config) -> tuple[Dataset, Dataset | None, Config]:
    """The real pictures to compare with, the training pictures of the run, and entries for the protocol.

    The real pictures are those of `split`. Without `split`, they are the share that the run held out (test_share), or
    the test split when it learnt from the training split, and otherwise the run's own data. The training pictures are
    None when they are not disjoint from the real ones. Raises UserError when the data cannot be read, or when the data
    set has no such root or split.
    """
    node = state["config"].get("dataset")
    if not isinstance(node, dict):
        raise UserError("ckpt: its config names no data set; ganrun sample, then ganrun eval real=… fake=…")
    if config["root"] is not None:
        if "root" not in node:
            raise UserError(f"root={config['root']}: this run's data set has no root")
        node = changed(node, {"root": str(config["root"])})
    own = split_of(node)
    share = state["config"].get("test_share") or 0
    split = config["split"] or ("test" if own == "train" and not share else own)
    learnt = load_eval_data(node, config["trust"])
    if share:
        learnt, held = parts(learnt, share)
    if share and config["split"] is None:
        return held, learnt, origin_of(node, held, f"a share of {share:g} that was held out")
    reals = learnt
    if split != own:
        if not any("split" in part for part in (node, node.get("clean") or {})):
            raise UserError(f"split={split}: this run's data set has no splits")
        try:
            reals = load_eval_data(changed(node, {"split": split, "limit": None}), config["trust"])
        except UserError:
            if config["split"] is not None:
                raise
            say(["there is no test split: the real pictures are the run's own training pictures"])
            split = own
    if reals.labels is not None and reals.class_names != learnt.class_names:
        raise UserError(f"split={split} has other classes than the run's own data")
    disjoint = reals is not learnt and not {own, split} & {None, "all"}  # the split "all" contains every other split
    return reals, learnt if disjoint else None, origin_of(node, reals, split)


def origin_of(node: Config, reals: Dataset, split: str | None) -> Config:
    """Entries for the protocol: which pictures these are, and how they came to their size."""
    resizer = f"the data set's own ({node.get('resize', 'bicubic')}), to {list(reals.image_size)}"
    kind = type(reals.whole) if isinstance(reals, Part) else type(reals)
    return {"real": kind.__name__, "real_split": split, "resizer": resizer}


def split_of(node: Config) -> str | None:
    """The split in a data set's node, or in the node of the clean data that it damages."""
    return node.get("split") or (node.get("clean") or {}).get("split")


def changed(node: Config, values: Config) -> Config:
    """A copy of a data set's node in which the keys that it has get these values, also in its node `clean`.

    `classes` is removed: it would be checked while the data are read, and the user would get an error about
    dataset.classes. `data_of` compares the classes afterwards, with a message about split=.
    """
    new = {**node, **{key: value for key, value in values.items() if key in node}}
    new.pop("classes", None)
    if isinstance(node.get("clean"), dict):
        new["clean"] = changed(node["clean"], values)
    return new


def load_eval_data(node: Config, trust: list[str]) -> Dataset:
    """Builds the data set of a run's node.

    Raises UserError when it cannot be read. The message says root= and split=, because `ganrun eval` has these keys,
    and not dataset.root and dataset.split.
    """
    try:
        return _read(json.dumps(node, sort_keys=True), tuple(trust or ()))
    except (UserError, OSError, ValueError) as error:
        said = str(error).replace("dataset.root", "root").replace("dataset.split", "split")
        raise UserError(f"ckpt: the data of this run cannot be read: {said}") from None


@memoized(4)
def _read(node_as_json: str, trust: tuple[str, ...]) -> Dataset:
    return load_dataset({"dataset": json.loads(node_as_json)}, trusted(list(trust)))
