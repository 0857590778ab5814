"""`ganrun apply`: applies an image-to-image model to pictures of the user."""

from __future__ import annotations

from pathlib import Path

import torch

from ganrun.checkpoints.find import find_checkpoint
from ganrun.checkpoints.load import load_checkpoint
from ganrun.checkpoints.restore import load_system
from ganrun.commands.apply.album import find_pictures
from ganrun.commands.apply.places import check_places
from ganrun.commands.apply.work import Work
from ganrun.common.device import pick_device, set_threads, threads_for
from ganrun.common.errors import UserError
from ganrun.common.types import Config
from ganrun.data.channels import span_of
from ganrun.systems.drawing import device_of
from ganrun.systems.translation import PictureToPicture


def check(config: Config) -> Path:
    """Check the device, the checkpoint, the pictures and the output place. Returns the place. Raises UserError."""
    pick_device(config["device"])
    load_checkpoint(str(config["ckpt"]), "ckpt")
    return check_places(config)


def apply(config: Config) -> str:
    """Translate every picture of `input`. Returns lines for the user. Raises UserError if no picture could be done."""
    path = find_checkpoint(str(config["ckpt"]), "ckpt")
    state = load_checkpoint(str(path), "ckpt")
    set_threads(threads_for(config["threads"], state))
    system = load_system(state, config["weights"], config["trust"]).to(pick_device(config["device"]))
    if not isinstance(system, PictureToPicture):
        raise UserError(f"ckpt={path}: this model draws pictures from noise: use ganrun sample")
    data = state["config"].get("dataset", {})
    channels = data.get("channels")
    check_direction(system, channels, config["direction"])
    given = find_pictures(config["input"], "input")
    found = None if config["target"] is None else find_pictures(config["target"], "target")
    work = Work(system, channels, config, given, found, {"step": state["progress"]["step"]}, span_of(data))
    report = work.do()
    if not report.done:
        raise UserError(f"input={config['input']}: no picture could be done; the first problem: {report.left_out[0]}")
    return "\n".join(report.lines(channels, work.out))


def check_direction(system: PictureToPicture, channels: int, direction: str | None) -> None:
    """Raises UserError for a direction that the model does not have."""
    if direction is None:
        return
    try:
        with torch.inference_mode():
            system.translate(torch.zeros(1, channels, 32, 32, device=device_of(system)), direction)
    except ValueError as error:
        raise UserError(str(error)) from None
