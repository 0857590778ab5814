"""Loads the data of a study: for training, for the test, and synthetic. Data that make the test unfair are refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ganrun.checkpoints.find import find_checkpoint
from ganrun.checkpoints.load import load_checkpoint
from ganrun.checkpoints.restore import class_names, load_conditional_system, sha256_of
from ganrun.common.errors import UserError
from ganrun.common.headers import Header
from ganrun.common.log_capture import captured_log
from ganrun.common.types import Config
from ganrun.config.build import build
from ganrun.config.builders import load_dataset
from ganrun.data.dataset import Dataset
from ganrun.data.labels import folder_names
from ganrun.data.listing import list_images, look
from ganrun.systems.drawing import draw, render

TOLERATED = 0.05  # share of pictures in both training and test data; small pictures may be equal by chance


@dataclass
class Synthetic:
    """Labelled pictures of a GAN."""

    about: Config  # where they come from, for study.json
    available: int | None  # how many there are; None: any number can be drawn
    take: Callable[[int], Dataset]  # the first so many
    notes: list[str] = field(default_factory=list)


@dataclass
class Material:
    """All data of a study."""

    train: Dataset
    test: Dataset
    synthetic: Synthetic
    notes: list[str]


def gather(config: Config) -> Material:
    """Read the three data sets and compare them. Raises UserError if they do not fit each other."""
    train = load_dataset(config)
    if train.labels is None or "image" not in train.take(torch.tensor([0])):
        raise UserError("dataset: a classifier needs labelled single pictures, which this data set does not have")
    test = read(held_out(config), "test", "test.root")
    refuse_other_kind("test", test.channels, test.image_size, test.class_names, train)
    notes = [*train.notes, *test.notes, *shared_notes("the training data", train, test)]
    synthetic = from_run(config, train) if config["synthetic"] is None else from_tree(config, train, test)
    return Material(train, test, synthetic, [*notes, *synthetic.notes])


def held_out(config: Config) -> Config:
    """The config of the test data: `dataset`, changed by `test`. Raises UserError if it names the training data."""
    own = config["dataset"]
    wishes = {key: value for key, value in config["test"].items() if value is not None}
    if "root" not in wishes and "split" not in wishes and own.get("split") == "train":
        wishes["split"] = "test"
    for key, value in wishes.items():
        if key not in own:
            raise UserError(f"test.{key}={value}: this data set has no {key}")
    node = {**own, **wishes}
    if places(node) == places(own):
        raise UserError("the test data would be the same as the training data: give test.split=… or test.root=…")
    unlimited = {key: wishes.get(key) for key in ("limit", "classes") if key in own}  # classes are compared by name
    return {**node, **unlimited}


def places(node: Config) -> Config:
    """The keys of a data set's config that decide which pictures it has. Paths are made absolute, to be compared."""
    kept = {key: value for key, value in node.items() if key not in ("limit", "flip", "cache", "kimg", "download")}
    return {key: Path(value).expanduser().resolve() if key == "root" and value else kept[key] for key, value in
            kept.items()}  # fmt: skip


def read(node: Config, key: str, root: str) -> Dataset:
    """Build a data set. In the messages of UserError, `key` replaces "dataset" and `root` replaces "dataset.root"."""
    try:
        with captured_log("ganrun.data") as notes:
            dataset = build(node, Dataset, key)
    except UserError as error:
        raise UserError(str(error).replace("dataset.root", root).replace("dataset.", f"{key}.")) from None
    dataset.add_notes(notes)
    if dataset.labels is None:
        raise UserError(
            f"{key}: these pictures have no labels: they must lie in class folders, as the training data do"
        )
    return dataset


def refuse_other_kind(
    where: str, channels: int, size: tuple[int, int], names: list[str], train: Dataset, as_folders: bool = False
) -> None:
    """Raises UserError if pictures do not have the size, the channels and the classes of the training data.

    `as_folders`: the classes may also be named as folders that `ganrun synthesize` writes.
    """
    if (channels, size) != (train.channels, train.image_size):
        raise UserError(
            f"{where}: its pictures are {shape(channels, size)}, those of the training data are "
            f"{shape(train.channels, train.image_size)}: give dataset.image_size={side(size)} "
            f"dataset.channels={channels}, or take other pictures"
        )
    if names != train.class_names and not (as_folders and names == folder_names(train.class_names)):
        raise UserError(f"{where} has the classes {some(names)}, the training data {some(train.class_names)}")


def shape(channels: int, size: tuple[int, int]) -> str:
    return f"{'grey' if channels == 1 else 'colour' if channels == 3 else f'{channels} channels,'} {size[0]}×{size[1]}"


def side(size: tuple[int, int]) -> str:
    return str(size[0]) if size[0] == size[1] else f"[{size[0]},{size[1]}]"


def some(names: list[str]) -> str:
    return f"{len(names)}: {', '.join(names[:5])}{' …' if len(names) > 5 else ''}"


def shared_notes(where: str, data: Dataset, test: Dataset) -> list[str]:
    """A note about pictures that are both in `data` and in `test`. Raises UserError if they are too many for chance."""
    learnt_from, tested_on = fingerprints(data.images), fingerprints(test.images)
    common = set(learnt_from) & set(tested_on)
    tested, learnt = sum(x in common for x in tested_on), sum(x in common for x in learnt_from)
    if tested > TOLERATED * len(tested_on) or learnt > TOLERATED * len(learnt_from):
        raise UserError(
            f"{where} and the test data share pictures ({learnt} of {len(learnt_from)} are among the {len(tested_on)} "
            "test pictures): a test needs pictures that were not used for training; see test.split and test.root"
        )
    return [f"{tested} of the {len(tested_on)} test pictures are also in {where}"] if tested else []


def fingerprints(images: Iterable[Tensor]) -> list[bytes]:
    return [hashlib.blake2b(image.numpy().tobytes(), digest_size=16).digest() for image in images]


# -- where synthetic pictures come from ---------------------------------------------------------------------------


def from_run(config: Config, train: Dataset) -> Synthetic:
    """Pictures drawn from a class-conditional run, the same number of each class.

    Raises UserError if its pictures do not fit the training data.
    """
    path = find_checkpoint(str(config["ckpt"]), "ckpt")
    state = load_checkpoint(str(path), "ckpt")
    system = load_conditional_system(path, state, config)
    settings = {"seed": config["seed"], "weights": config["weights"]}

    def take(count: int) -> Dataset:
        inputs = draw(system, count, config["seed"], list(range(train.classes)))
        return Dataset(torch.cat(list(render(system, inputs, 256))), inputs["label"], train.class_names)

    first = take(1)
    refuse_other_kind(f"ckpt={path}", first.channels, first.image_size, class_names(state, system), train)
    about = {"checkpoint_sha256": sha256_of(path), "step": state["progress"]["step"], **settings}
    return Synthetic(about, None, take, trained_on_other_data(state["config"].get("dataset", {}), config["dataset"]))


def trained_on_other_data(of_gan: Config, of_study: Config) -> list[str]:
    """A note if the GAN was trained on other data than those that the classifiers are trained on."""
    keys = [key for key in ("_target_", "root", "split", "limit") if of_gan.get(key) != of_study.get(key)]
    if not keys:
        return []
    differing = ", ".join(f"dataset.{key}={of_gan.get(key)} (here {of_study.get(key)})" for key in keys)
    return [f"the GAN was trained with {differing}: if it saw more pictures, or the test's, its gain is too high"]


def from_tree(config: Config, train: Dataset, test: Dataset) -> Synthetic:
    """The pictures of a folder or .zip, in class folders.

    Raises UserError if they do not fit the training data, or if they contain test pictures.
    """
    root = str(config["synthetic"])
    node = {"_target_": "ganrun.data.folder.Folder", "root": root}
    facts = {"image_size": list(train.image_size), "channels": train.channels}
    pictures = read({**node, **facts}, "synthetic", "synthetic")
    listing = list_images(root)
    seen = look(listing.source, listing.pictures[0]) or Header(train.channels, train.image_size[::-1], 8)
    where = f"synthetic={root}"
    refuse_other_kind(where, seen.channels, seen.size[::-1], pictures.class_names, train, as_folders=True)
    notes = [*pictures.notes, *shared_notes(where, pictures, test)]

    def take(count: int) -> Dataset:
        order = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(config["seed"]))[:count]
        assert pictures.labels is not None
        return Dataset(pictures.images[order], pictures.labels[order], train.class_names)

    return Synthetic({"path": root}, len(pictures), take, notes)
