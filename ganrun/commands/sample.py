"""sampling: pictures from a checkpoint alone."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganrun.checkpoints.load import find_checkpoint, load_checkpoint
from ganrun.checkpoints.restore import load_system, pixels_of
from ganrun.common import images
from ganrun.common.atomic import atomic_write, make_folder, remove
from ganrun.common.device import pick_device, set_threads, threads_for
from ganrun.common.distributed import World
from ganrun.common.errors import UserError
from ganrun.common.folders import check_writable, refuse_suffix
from ganrun.common.types import Config
from ganrun.common.untrusted import printable
from ganrun.systems.drawing import draw, help_to_draw, render


def check(config: Config) -> Path:
    """Before drawing: the checkpoint is there, the device too, the place is free. Returns it, or raises UserError."""
    pick_device(config["device"])
    path = find_checkpoint(str(config["ckpt"]), "ckpt")
    load_checkpoint(str(path), "ckpt")
    out = place(config, path)
    refuse_suffix(out, ".png", ".npz")
    occupied = out.exists() and (not out.is_dir() or any(out.iterdir()))
    if config["out"] is not None and occupied and not config["overwrite"]:
        raise UserError(f"out={out} exists: choose another name, or overwrite=true")
    check_writable(out if out.is_dir() else out.parent)
    return out


def sample(config: Config, world: World | None = None) -> str:
    """Draw what the page `sample` asks for and write it. Returns a line that says what is where. Raises UserError.

    The ranks of `world` share the work, the first one writes.
    """
    world = world or World()
    path = find_checkpoint(str(config["ckpt"]), "ckpt")
    state = load_checkpoint(str(path), "ckpt")
    set_threads(threads_for(config["threads"], state), pixels_of(state))
    system = load_system(state, config["weights"], config["trust"]).to(pick_device(config["device"]))
    labels = config["labels"] if config["labels"] is None or isinstance(config["labels"], list) else [config["labels"]]
    inputs = draw(system, config["n"], config["seed"], labels, config["truncation"])
    out = place(config, path)
    about = {
        "step": state["progress"]["step"],
        "images": state["progress"]["images"],
        "seed": config["seed"],
        "weights": config["weights"],
    } | ({} if config["truncation"] is None else {"truncation": config["truncation"]})
    pictures = render(system, inputs, config["batch_size"], world)
    if not world.first:
        return help_to_draw(pictures)
    write(pictures, inputs.get("label"), out, about, config["overwrite"])
    return f"{config['n']} samples of step {about['step']}, seed {config['seed']}, in {printable(str(out))}"


def place(config: Config, path: Path) -> Path:
    """Where the samples go: `out`, else samples.png in the run's folder; where that is kept, samples_001.png, ...

    With `overwrite` it is samples.png again.
    """
    if config["out"] is not None:
        return Path(str(config["out"])).expanduser()
    run = path.parent.parent if path.parent.name == "checkpoints" else path.parent
    names = (run / ("samples.png" if number == 0 else f"samples_{number:03d}.png") for number in itertools.count())
    return next(name for name in names if config["overwrite"] or not os.path.lexists(name))


def write(
    batches: Iterator[Tensor], labels: Tensor | None, out: Path, about: Mapping[str, object], overwrite: bool
) -> None:
    """A .png grid, a .npz of images (N, H, W, C) uint8 and labels, or a folder of PNGs. Raises UserError."""
    try:
        if out.suffix == ".png":
            pictures = torch.cat(list(batches))
            make_folder(out.parent)
            images.save_grid(pictures, out, images.columns_for(len(pictures), labels), about)
        elif out.suffix == ".npz":
            pictures = torch.cat(list(batches)).permute(0, 2, 3, 1).contiguous()
            arrays = {"images": pictures.numpy()} | ({} if labels is None else {"labels": labels.numpy()})
            make_folder(out.parent)
            with atomic_write(out) as file:
                np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        else:
            if overwrite and out.is_dir():
                for old in out.glob("[0-9]" * 6 + ".png"):
                    remove(old)
            number = 0
            for batch in batches:
                images.save_each(batch, out, about, first=number)
                number += len(batch)
    except OSError as error:
        raise UserError(f"out={out} cannot be written: {error.strerror}") from None
