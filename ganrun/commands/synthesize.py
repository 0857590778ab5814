"""synthesis: a labelled set of pictures drawn from a conditional run, for other programs to train on."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from ganrun import __version__
from ganrun.checkpoints.load import find_checkpoint, load_checkpoint
from ganrun.checkpoints.restore import class_names, load_conditional_system, pixels_of, sha256_of
from ganrun.common import images
from ganrun.common.atomic import atomic_write, make_folder, write_bytes
from ganrun.common.device import pick_device, set_threads, threads_for
from ganrun.common.distributed import World
from ganrun.common.errors import UserError
from ganrun.common.folders import check_writable, refuse_suffix
from ganrun.common.terminal import bar
from ganrun.common.types import Config
from ganrun.common.untrusted import printable
from ganrun.data.labels import folder_names
from ganrun.systems.drawing import draw, help_to_draw, render

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
    system = load_conditional_system(path, state, config)
    known = class_names(state, system)
    names, classes = folder_names(known), len(known)
    inputs = draw(system, classes * config["per_class"], config["seed"], list(range(classes)), config["truncation"])
    labels = inputs["label"].tolist()
    manifest = {
        "ganrun": __version__,
        "checkpoint_sha256": sha256_of(path),
        "step": state["progress"]["step"],
        "seed": config["seed"],
        "truncation": config["truncation"],
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
    with atomic_write(out) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        # a fixed date: the same seed gives the same bytes
        work(lambda name, content: archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content))
