"""`ganrun sample`: draws pictures from a checkpoint. It needs no data set."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganrun.checkpoints.find import find_checkpoint
from ganrun.checkpoints.load import load_checkpoint
from ganrun.checkpoints.restore import load_system, pixels_of
from ganrun.common import images
from ganrun.common.atomic import atomic_write, make_folder, remove
from ganrun.common.device import pick_device, set_threads, threads_for
from ganrun.common.distributed import World
from ganrun.common.errors import UserError
from ganrun.common.output_places import check_pictures_place
from ganrun.common.plurals import plural
from ganrun.common.types import Config
from ganrun.common.untrusted import printable
from ganrun.systems.drawing import draw, help_to_draw, render, sweep_steps
from ganrun.systems.system import Batch, System


def check(config: Config) -> Path:
    """Check the device, the checkpoint and the output place before drawing. Returns the place. Raises UserError."""
    pick_device(config["device"])
    path = find_checkpoint(str(config["ckpt"]), "ckpt")
    load_checkpoint(str(path), "ckpt")
    out = place(config, path)
    check_pictures_place(out, config["overwrite"], ".png", ".npz")
    return out


def sample(config: Config, world: World | None = None) -> str:
    """Draw the samples that the config asks for, and write them. Returns a line for the user. Raises UserError.

    All ranks of `world` draw; the first one writes.
    """
    world = world or World()
    path = find_checkpoint(str(config["ckpt"]), "ckpt")
    state = load_checkpoint(str(path), "ckpt")
    set_threads(threads_for(config["threads"], state), pixels_of(state))
    system = load_system(state, config["weights"], config["trust"]).to(pick_device(config["device"]))
    labels = config["labels"] if config["labels"] is None or isinstance(config["labels"], list) else [config["labels"]]
    inputs = draw(system, config["n"], config["seed"], labels, config["truncation"], config["sweep"])
    out = place(config, path)
    about = {
        "step": state["progress"]["step"],
        "images": state["progress"]["images"],
        "seed": config["seed"],
        "weights": config["weights"],
    } | {name: config[name] for name in ("truncation", "sweep") if config[name] is not None}
    pictures = render(system, inputs, config["batch_size"], world)
    if not world.first:
        return help_to_draw(pictures)
    columns = columns_of(system, inputs, config["sweep"])
    write(pictures, inputs.get("label"), columns, out, about, config["overwrite"])
    count = len(next(iter(inputs.values())))
    return f"{count} {plural('sample', count)} of step {about['step']}, seed {config['seed']}, in {printable(str(out))}"


def columns_of(system: System, inputs: Batch, sweep: str | None) -> int:
    """The columns of the grid: one for each step of a sweep; without one, so many that each class has its rows."""
    if sweep is not None:
        return len(sweep_steps(system, sweep))
    return images.columns_for(len(next(iter(inputs.values()))), system.row_of(inputs))


def place(config: Config, path: Path) -> Path:
    """The path of the samples: `out`, else samples.png in the run's folder.

    If samples.png exists, it is samples_001.png, samples_002.png and so on; with `overwrite` it is samples.png again.
    """
    if config["out"] is not None:
        return Path(str(config["out"])).expanduser()
    run = path.parent.parent if path.parent.name == "checkpoints" else path.parent
    names = (run / ("samples.png" if number == 0 else f"samples_{number:03d}.png") for number in itertools.count())
    return next(name for name in names if config["overwrite"] or not os.path.lexists(name))


def write(
    batches: Iterator[Tensor],
    labels: Tensor | None,
    columns: int,
    out: Path,
    about: Mapping[str, object],
    overwrite: bool,
) -> None:
    """Write the samples to `out`. Raises UserError if it cannot be written.

    x.png is a grid of so many columns, x.npz holds images (N, H, W, C) uint8 and labels (N,), and any other name is a
    folder of PNGs.
    `batches` are (N, C, H, W) uint8. `about` goes into the PNGs as text.
    """
    try:
        if out.suffix == ".png":
            pictures = torch.cat(list(batches))
            make_folder(out.parent)
            images.save_grid(pictures, out, columns, about)
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
