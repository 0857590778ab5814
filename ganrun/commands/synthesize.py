"""`ganrun synthesize`: draws a labelled data set from a class-conditional run, for other programs."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from ganrun import __version__
from ganrun.checkpoints.find import find_checkpoint
from ganrun.checkpoints.load import load_checkpoint
from ganrun.checkpoints.restore import class_names, load_conditional_system, pixels_of, sha256_of
from ganrun.common import images
from ganrun.common.atomic import atomic_write, make_folder, write_bytes
from ganrun.common.device import pick_device, set_threads, threads_for
from ganrun.common.distributed import World
from ganrun.common.errors import UserError
from ganrun.common.output_places import check_pictures_place
from ganrun.common.plurals import plural
from ganrun.common.terminal import bar
from ganrun.common.types import Config
from ganrun.common.untrusted import printable
from ganrun.data.labels import folder_names
from ganrun.systems.drawing import draw, help_to_draw, render

Write = Callable[[str, bytes], None]


def check(config: Config) -> Path:
    """Check the device, the checkpoint and the output place before drawing. Returns the place. Raises UserError."""
    pick_device(config["device"])
    load_checkpoint(str(config["ckpt"]), "ckpt")
    out = Path(str(config["out"])).expanduser()
    check_pictures_place(out, config["overwrite"], ".zip")
    return out


def synthesize(config: Config, world: World | None = None) -> str:
    """Draw `per_class` pictures of every class and write them with a manifest. Raises UserError.

    All ranks of `world` draw; the first one writes.
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
    pictures_of = f"{len(labels)} {plural('picture', len(labels))} of {classes} {plural('class', classes)}"
    return f"{pictures_of} in {printable(str(out))}"


def write_tree(write: Write, pictures: Iterator[tuple[int, torch.Tensor]], count: int, manifest: Config) -> None:
    """Write <class>/<number>.png for each picture, then manifest.csv (file, label, class) and manifest.json.

    `pictures` yields (label, (C, H, W) uint8). `manifest` is the content of manifest.json.
    """
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
    """Call `work` with a function that writes bytes to a named file in `out`, a folder or a .zip."""
    if out.suffix != ".zip":
        make_folder(out)
        work(lambda name, content: write_bytes(out / name, content, out))
        return
    make_folder(out.parent)
    # stored without compression, because PNGs are already compressed
    with atomic_write(out) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        # a fixed date, so that the same seed gives the same bytes
        work(lambda name, content: archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content))
