"""synthesis: a labelled set of pictures drawn from a conditional run, for other programs to train on."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from ganrun import __version__, images
from ganrun.errors import UserError
from ganrun.folders import check_writable
from ganrun.parts import find_checkpoint, load_checkpoint, pick_device, set_threads, threads_for
from ganrun.ranks import World
from ganrun.sampling import draw, help_to_draw, pixels_of, refuse_suffix, render, restore
from ganrun.systems.system import System
from ganrun.terminal import bar
from ganrun.untrusted import printable
from ganrun.writing import make_folder, whole, write_bytes

Config = dict[str, Any]
Write = Callable[[str, bytes], None]


def check(config: Config) -> Path:
    """Before drawing: the checkpoint is there, the device too, the place is free. Returns it, or raises UserError."""
    pick_device(config["device"])
    load_checkpoint(str(config["ckpt"]), "ckpt")
    out = Path(str(config["out"])).expanduser()
    refuse_suffix(out, ".zip")
    occupied = out.exists() and (not out.is_dir() or any(out.iterdir()))
    if occupied and not config["overwrite"]:
        raise UserError(f"out={out} exists: choose another name, or overwrite=true")
    check_writable(out if out.is_dir() else out.parent)
    return out


def synthesize(config: Config, world: World | None = None) -> str:
    """Draw `per_class` pictures of every class and write them with a manifest. Raises UserError.

    The ranks of `world` share the work, the first one writes.
    """
    world = world or World()
    path = find_checkpoint(str(config["ckpt"]), "ckpt")
    state = load_checkpoint(str(path), "ckpt")
    set_threads(threads_for(config["threads"], state), pixels_of(state))
    system = conditional(path, state, config)
    known = class_names(state, system)
    names, classes = folder_names(known), len(known)
    inputs = draw(system, classes * config["per_class"], config["seed"], list(range(classes)))
    labels = inputs["label"].tolist()
    manifest = {
        "ganrun": __version__,
        "checkpoint_sha256": fingerprint(path),
        "step": state["progress"]["step"],
        "seed": config["seed"],
        "weights": config["weights"],
        "per_class": config["per_class"],
        "classes": names,
    }
    batches = render(system, inputs, config["batch_size"], world)
    if not world.first:
        return help_to_draw(batches)
    pictures = (picture for batch in batches for picture in torch.unbind(batch))
    out = Path(str(config["out"])).expanduser()
    try:
        with_writer(out, lambda write: write_tree(write, zip(labels, pictures, strict=True), len(labels), manifest))
    except OSError as error:
        raise UserError(f"out={out} cannot be written: {error.strerror}") from None
    return f"{len(labels)} pictures of {classes} classes in {printable(str(out))}"


def conditional(path: Path, state: Config, config: Config) -> System:
    """The system of a checkpoint, on the device. Raises UserError for one that cannot be asked for a class."""
    system = restore(state, config["weights"], config["trust"]).to(pick_device(config["device"]))
    if not getattr(system, "classes", 0):
        raise UserError(
            f"ckpt={path}: this model is unconditional and knows no classes; train model=cgan or model=acgan"
        )
    return system


def fingerprint(path: Path) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def class_names(state: Config, system: System) -> list[str]:
    """What its data called the classes; their numbers, where they had no names, or not as many."""
    known, classes = state.get("data", {}).get("class_names", []), getattr(system, "classes", 0)
    return known if len(known) == classes else [str(label) for label in range(classes)]


def folder_names(names: list[str]) -> list[str]:
    """Class names as folders, in the order of the labels once they are sorted, as ImageFolder sorts them."""
    safe = ["".join(c if c.isalnum() or c in " -_." else "_" for c in name).strip(". ") or "_" for name in names]
    if safe == sorted(safe) and len(set(safe)) == len(safe):
        return safe
    width = len(str(len(safe) - 1))
    return [f"{label:0{width}d}_{name}" for label, name in enumerate(safe)]


def write_tree(write: Write, pictures: Iterator[tuple[int, torch.Tensor]], count: int, manifest: Config) -> None:
    """<class>/<number>.png for each picture, then manifest.csv (file, label, class) and manifest.json."""
    names, counts, table = manifest["classes"], dict.fromkeys(range(len(manifest["classes"])), 0), io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(["file", "label", "class"])
    for label, picture in bar(pictures, total=count, unit="picture", disable=None, leave=False):
        file = f"{names[label]}/{counts[label]:06d}.png"
        counts[label] += 1
        write(file, images.png_bytes(picture, {"label": label, "seed": manifest["seed"], "step": manifest["step"]}))
        rows.writerow([file, label, names[label]])
    write("manifest.csv", table.getvalue().encode("utf-8", "backslashreplace"))
    write("manifest.json", (json.dumps(manifest, indent=2) + "\n").encode())


def with_writer(out: Path, work: Callable[[Write], None]) -> None:
    """Call `work` with a function that puts bytes under a name, in the folder `out` or the archive `out`.zip."""
    if out.suffix != ".zip":
        make_folder(out)
        work(lambda name, content: write_bytes(out / name, content, out))
        return
    make_folder(out.parent)
    # PNGs are compressed already
    with whole(out) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        # a fixed date: the same seed gives the same bytes
        work(lambda name, content: archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content))
