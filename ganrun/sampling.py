"""sampling: pictures from a checkpoint alone."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganrun import images
from ganrun.budget import require_fit, without_losses
from ganrun.errors import UserError
from ganrun.folders import check_writable
from ganrun.losses.loss import AdversarialLoss
from ganrun.parts import build_system, find_checkpoint, load_checkpoint, pick_device, set_threads, threads_for, trusted
from ganrun.ranks import World
from ganrun.seeding import mix, reseed
from ganrun.systems.system import System
from ganrun.untrusted import printable
from ganrun.writing import make_folder, remove, whole

Config = dict[str, Any]
MISFITS = (
    TypeError, LookupError, ValueError, AttributeError, AssertionError, ArithmeticError, RuntimeError,
)  # fmt: skip
DRAWS = -3  # takes the place of the step in the seed of samples


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
    system = restore(state, config["weights"], config["trust"]).to(pick_device(config["device"]))
    labels = config["labels"] if config["labels"] is None or isinstance(config["labels"], list) else [config["labels"]]
    inputs = draw(system, config["n"], config["seed"], labels)
    out = place(config, path)
    about = {
        "step": state["progress"]["step"],
        "images": state["progress"]["images"],
        "seed": config["seed"],
        "weights": config["weights"],
    }
    pictures = render(system, inputs, config["batch_size"], world)
    if not world.first:
        return help_to_draw(pictures)
    write(pictures, inputs.get("label"), out, about, config["overwrite"])
    return f"{config['n']} samples of step {about['step']}, seed {config['seed']}, in {printable(str(out))}"


def restore(state: Mapping[str, Any], weights: str = "ema", trust: list[str] | None = None) -> System:
    """The system that a checkpoint describes, with its weights, in eval mode. Raises UserError."""
    allowed = trusted(trust)
    require_fit(state, allowed)
    system = build_system(state["config"], allowed, loss=AdversarialLoss())  # nobody plays: any loss will do
    try:
        system.load_state_dict(without_losses(system, state["system"]))
        if weights == "ema":
            system.drawn_with().load_state_dict(state["average"])
    except (RuntimeError, KeyError) as error:
        raise UserError(f"ckpt: its weights do not fit its own config: {' '.join(str(error).split())[:200]}") from None
    return answering(system.eval())


def answering(system: System) -> System:
    """The same system, whose parts a file put together: where they do not fit, it says so in one line (UserError)."""

    def guarded(name: str, passed: tuple[type[Exception], ...]) -> None:
        method = getattr(system, name)

        def call(*args: Any, **options: Any) -> Any:
            try:
                return method(*args, **options)
            except passed:
                raise
            except MISFITS as error:
                if wants_memory(error):
                    raise
                reason = (str(error) or type(error).__name__).splitlines()[0]
                raise UserError(f"ckpt: its model cannot {name}: {reason:.200}") from error

        setattr(system, name, call)

    guarded("draw", (UserError, ValueError, RuntimeError))  # what these say is about what was asked for
    guarded("render", (UserError,))
    if hasattr(system, "translate"):
        guarded("translate", (UserError, ValueError))
    return system


def wants_memory(error: Exception) -> bool:
    return any(words in str(error) for words in ("out of memory", "can't allocate memory"))


def pixels_of(state: Mapping[str, Any]) -> int:
    """How many pixels a picture of this run has, as its config tells."""
    size = state["config"].get("dataset", {}).get("image_size", 0)
    return math.prod(size) if isinstance(size, list) else size**2


def draw(system: System, count: int, seed: int, labels: list[int] | None = None) -> dict[str, Tensor]:
    """All inputs at once, so that neither batch size nor device changes what a seed means. Raises UserError."""
    reseed(mix(seed, DRAWS))
    try:
        return system.draw(count, labels)
    except ValueError as error:
        raise UserError(str(error).splitlines()[0]) from None
    except RuntimeError:  # torch, of more numbers than there is memory or than it can count
        raise UserError(f"{count} pictures do not fit into memory: ask for fewer with n= or per_class=") from None


def render(
    system: System, inputs: Mapping[str, Tensor], batch_size: int, world: World | None = None
) -> Iterator[Tensor]:
    """Inputs -> (batch, C, H, W) uint8 on the CPU, a batch at a time, in order.

    The ranks of `world` draw in turn, the same batches as one process would; the first gets all, the others nothing
    (see `help_to_draw`).
    """
    world = world or World()
    count = len(next(iter(inputs.values())))
    starts = range(0, count, batch_size)
    own = render_batches(system, inputs, batch_size, starts[world.rank :: world.size])
    return world.collected(own, [min(batch_size, count - start) for start in starts])


def help_to_draw(pictures: Iterator[Tensor]) -> str:
    """The part of a rank that does not write: draw its share and hand it over. Returns "", as it has nothing to say."""
    for _ in pictures:
        pass
    return ""


@torch.inference_mode()
def render_batches(
    system: System, inputs: Mapping[str, Tensor], batch_size: int, starts: Iterable[int]
) -> Iterator[Tensor]:
    device = device_of(system)
    for start in starts:
        part = {name: tensor[start : start + batch_size] for name, tensor in inputs.items()}
        drawn = system.render({name: tensor.to(device) for name, tensor in part.items()})
        count = len(next(iter(part.values())))
        if not isinstance(drawn, Tensor) or drawn.ndim != 4 or len(drawn) != count or 0 in drawn.shape:
            what = list(drawn.shape) if isinstance(drawn, Tensor) else type(drawn).__name__
            raise UserError(f"ckpt: its model makes {what} of {count} inputs, not as many pictures (N, C, H, W)")
        yield images.to_uint8(drawn)


def device_of(system: System) -> torch.device:
    return next((weight.device for weight in system.parameters()), torch.device("cpu"))


def place(config: Config, path: Path) -> Path:
    """Where the samples go: `out`, else samples.png in the run's folder; where that is kept, samples_001.png, ...

    With `overwrite` it is samples.png again.
    """
    if config["out"] is not None:
        return Path(str(config["out"])).expanduser()
    run = path.parent.parent if path.parent.name == "checkpoints" else path.parent
    names = (run / ("samples.png" if number == 0 else f"samples_{number:03d}.png") for number in itertools.count())
    return next(name for name in names if config["overwrite"] or not os.path.lexists(name))


def refuse_suffix(out: Path, *written: str) -> None:
    """Raises UserError for a place such as x.rar, whose name promises what is not written; v1.5 is a fine folder."""
    if out.suffix.lower() not in ("", *written) and not out.suffix[1:].isdigit() and not out.is_dir():
        names = ", ".join(f"x{suffix}" for suffix in written)
        raise UserError(f"out={out}: {out.suffix} is not written here; {names} or a folder")


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
            with whole(out) as file:
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
