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
from ganrun.systems.system import System


def say(lines: Iterable[str]) -> None:
    for line in lines:
        print(f"note: {line}", flush=True)


def labels_like(system: System, reals: Dataset, path: Path) -> list[int] | None:
    """For a conditional model, labels in the proportions of the real ones. Raises UserError for other classes."""
    classes = getattr(system, "classes", 0)
    if not classes:
        return None
    if reals.labels is None or reals.classes != classes:
        raise UserError(f"ckpt={path}: it draws {classes} classes, but the real pictures have {reals.classes}")
    return reals.labels.sort().values.tolist()


def data_of(config: Config, state: Config) -> tuple[Dataset, Dataset | None, Config]:
    """The real pictures to compare with, those that the run learnt from where they are others, and the protocol's part.

    The test split where the run learnt from `train`, else what it learnt from; `split` says otherwise.
    """
    node = state["config"].get("dataset")
    if not isinstance(node, dict):
        raise UserError("ckpt: its config names no data set; ganrun sample, then ganrun eval real=… fake=…")
    if config["root"] is not None:
        if "root" not in node:
            raise UserError(f"root={config['root']}: this run's data set has no root")
        node = changed(node, {"root": str(config["root"])})
    own = split_of(node)
    split = config["split"] or ("test" if own == "train" else own)
    learnt = load_eval_data(node, config["trust"])
    reals = learnt
    if split != own:
        if not any("split" in part for part in (node, node.get("clean") or {})):
            raise UserError(f"split={split}: this run's data set has no splits")
        try:
            reals = load_eval_data(changed(node, {"split": split, "limit": None}), config["trust"])
        except UserError:
            if config["split"] is not None:
                raise
            say(["there is no test split: the real pictures are those that the run learnt from"])
            split = own
    if reals.labels is not None and reals.class_names != learnt.class_names:
        raise UserError(f"split={split} has other classes than the run's own data")
    resizer = f"the data set's own ({node.get('resize', 'bicubic')}), to {list(reals.image_size)}"
    origin = {"real": type(reals).__name__, "real_split": split, "resizer": resizer}
    apart = reals is not learnt and not {own, split} & {None, "all"}  # "all" holds the other's pictures too
    return reals, learnt if apart else None, origin


def split_of(node: Config) -> str | None:
    return node.get("split") or (node.get("clean") or {}).get("split")


def changed(node: Config, wishes: Config) -> Config:
    """The node with those of the wishes that it knows, also in the clean data set that it damages.

    The number of classes is left out: the other split is read first, and compared then.
    """
    new = {**node, **{key: value for key, value in wishes.items() if key in node}}
    new.pop("classes", None)
    if isinstance(node.get("clean"), dict):
        new["clean"] = changed(node["clean"], wishes)
    return new


def load_eval_data(node: Config, trust: list[str]) -> Dataset:
    """The data set of a run's node. Raises UserError that says root= and split=, as this command calls them."""
    try:
        return _read(json.dumps(node, sort_keys=True), tuple(trust or ()))
    except (UserError, OSError, ValueError) as error:
        said = str(error).replace("dataset.root", "root").replace("dataset.split", "split")
        raise UserError(f"ckpt: the data of this run cannot be read: {said}") from None


@memoized(4)
def _read(node_as_json: str, trust: tuple[str, ...]) -> Dataset:
    return load_dataset({"dataset": json.loads(node_as_json)}, trusted(list(trust)))
