"""study_data: what a study learns from and is tested on, refused where its answer would mean nothing."""

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
from ganrun.common.log_capture import captured_log
from ganrun.common.types import Config
from ganrun.config.build import build
from ganrun.config.builders import load_dataset
from ganrun.data.dataset import Dataset
from ganrun.data.labels import folder_names
from ganrun.data.listing import list_images, look
from ganrun.systems.drawing import draw, render

TOLERATED = 0.05  # of pictures that are in the training and in the test data: small pictures may be alike by chance


@dataclass
class Synthetic:
    """Labelled pictures of a GAN: where they come from, how many there are (None: any number), and `take(count)`."""

    about: Config
    available: int | None
    take: Callable[[int], Dataset]
    notes: list[str] = field(default_factory=list)


@dataclass
class Material:
    """All that a study looks at."""

    train: Dataset
    test: Dataset
    synthetic: Synthetic
    notes: list[str]


def gather(config: Config) -> Material:
    """Read and compare the three. Raises UserError in one line where they do not go together."""
    train = load_dataset(config)
    if train.labels is None or "image" not in train.take(torch.tensor([0])):
        raise UserError("dataset: a classifier learns from labelled single pictures, and these are none")
    test = read(held_out(config), "test", "test.root")
    refuse_other_kind("test", test.channels, test.image_size, test.class_names, train)
    notes = [*train.notes, *test.notes, *shared_notes("the training data", train, test)]
    synthetic = from_run(config, train) if config["synthetic"] is None else from_tree(config, train, test)
    return Material(train, test, synthetic, [*notes, *synthetic.notes])


def held_out(config: Config) -> Config:
    """The data set's node with what `test` says of it. Raises UserError when that changes nothing."""
    own = config["dataset"]
    wishes = {key: value for key, value in config["test"].items() if value is not None}
    if "root" not in wishes and "split" not in wishes and own.get("split") == "train":
        wishes["split"] = "test"
    for key, value in wishes.items():
        if key not in own:
            raise UserError(f"test.{key}={value}: this data set has no {key}")
    node = {**own, **wishes}
    if places(node) == places(own):
        raise UserError("the test data would be the very training data: give test.split=… or test.root=…")
    unlimited = {key: wishes.get(key) for key in ("limit", "classes") if key in own}  # classes are compared by name
    return {**node, **unlimited}


def places(node: Config) -> Config:
    """What decides which pictures a node takes; paths as they are meant, not as they are written."""
    apart = {key: value for key, value in node.items() if key not in ("limit", "flip", "cache", "kimg", "download")}
    return {key: Path(value).expanduser().resolve() if key == "root" and value else apart[key] for key, value in
            apart.items()}  # fmt: skip


def read(node: Config, key: str, root: str) -> Dataset:
    """A data set that is called `key` here. Raises UserError in its terms."""
    try:
        with captured_log("ganrun.data") as notes:
            dataset = build(node, Dataset, key)
    except UserError as error:
        raise UserError(str(error).replace("dataset.root", root).replace("dataset.", f"{key}.")) from None
    dataset.add_notes(notes)
    if dataset.labels is None:
        raise UserError(f"{key}: these pictures have no labels: they must lie in class folders like the training data")
    return dataset


def refuse_other_kind(
    where: str, channels: int, size: tuple[int, int], names: list[str], train: Dataset, as_folders: bool = False
) -> None:
    """Raises UserError where pictures have another size, colour or other classes than the training data."""
    if (channels, size) != (train.channels, train.image_size):
        raise UserError(
            f"{where}: its pictures are {shape(channels, size)}, the data's {shape(train.channels, train.image_size)}: "
            f"say dataset.image_size={side(size)} dataset.channels={channels}, or take other pictures"
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
    """A line about pictures that are in both. Raises UserError when they are more than chance would bring."""
    mine, theirs = fingerprints(data.images), fingerprints(test.images)
    common = set(mine) & set(theirs)
    tested, learnt = sum(x in common for x in theirs), sum(x in common for x in mine)
    if tested > TOLERATED * len(theirs) or learnt > TOLERATED * len(mine):
        raise UserError(
            f"{where} and the test data share pictures ({learnt} of {len(mine)} are among the {len(theirs)} test "
            "pictures): a test needs pictures that were not learnt from; see test.split and test.root"
        )
    return [f"{tested} of the {len(theirs)} test pictures are also in {where}"] if tested else []


def fingerprints(images: Iterable[Tensor]) -> list[bytes]:
    return [hashlib.blake2b(image.numpy().tobytes(), digest_size=16).digest() for image in images]


# -- where synthetic pictures come from ---------------------------------------------------------------------------


def from_run(config: Config, train: Dataset) -> Synthetic:
    """Pictures that a conditional run draws, as many of each class. Raises UserError for a run of other pictures."""
    path = find_checkpoint(str(config["ckpt"]), "ckpt")
    state = load_checkpoint(str(path), "ckpt")
    system = load_conditional_system(path, state, config)
    taken = {"seed": config["seed"], "weights": config["weights"]}

    def take(count: int) -> Dataset:
        inputs = draw(system, count, config["seed"], list(range(train.classes)))
        return Dataset(torch.cat(list(render(system, inputs, 256))), inputs["label"], train.class_names)

    first = take(1)
    refuse_other_kind(f"ckpt={path}", first.channels, first.image_size, class_names(state, system), train)
    about = {"checkpoint_sha256": sha256_of(path), "step": state["progress"]["step"], **taken}
    return Synthetic(about, None, take, trained_on_other_data(state["config"].get("dataset", {}), config["dataset"]))


def trained_on_other_data(theirs: Config, ours: Config) -> list[str]:
    """A line about what a GAN has learnt from, where that is not what the classifiers learn from."""
    keys = [key for key in ("_target_", "root", "split", "limit") if theirs.get(key) != ours.get(key)]
    if not keys:
        return []
    told = ", ".join(f"dataset.{key}={theirs.get(key)} (here {ours.get(key)})" for key in keys)
    return [f"the run learnt from {told}: if it saw more pictures, or the test's, its gain is flattered"]


def from_tree(config: Config, train: Dataset, test: Dataset) -> Synthetic:
    """The pictures of a folder tree or .zip. Raises UserError for other kinds and for pictures of the test."""
    root = str(config["synthetic"])
    node = {"_target_": "ganrun.data.folder.Folder", "root": root}
    facts = {"image_size": list(train.image_size), "channels": train.channels}
    pictures = read({**node, **facts}, "synthetic", "synthetic")
    listing = list_images(root)
    colour, (width, height) = look(listing.source, listing.pictures[0]) or (train.channels == 3, train.image_size[::-1])
    where = f"synthetic={root}"
    refuse_other_kind(where, 3 if colour else 1, (height, width), pictures.class_names, train, as_folders=True)
    notes = [*pictures.notes, *shared_notes(where, pictures, test)]

    def take(count: int) -> Dataset:
        order = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(config["seed"]))[:count]
        assert pictures.labels is not None
        return Dataset(pictures.images[order], pictures.labels[order], train.class_names)

    return Synthetic({"path": root}, len(pictures), take, notes)
