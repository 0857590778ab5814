"""What is applied: the model of a checkpoint, or a filter as the baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from ganrun.checkpoints.find import find_checkpoint
from ganrun.checkpoints.load import load_checkpoint, trusted
from ganrun.checkpoints.memory_limit import require_fit
from ganrun.checkpoints.restore import load_system, sha256_of
from ganrun.commands.apply.album import Pictures, partners
from ganrun.commands.apply.baseline import Baseline
from ganrun.commands.apply.files import read_picture
from ganrun.commands.apply.tile_plan import TilePlan, has_instance_norms, largest_side, plan_tiles, stride_of
from ganrun.common.device import set_threads, threads_for
from ganrun.common.errors import UserError
from ganrun.common.types import Config
from ganrun.data.channels import Span, span_of
from ganrun.data.dataset import free_on
from ganrun.systems.translation import PictureToPicture

SEEN = 20  # pictures that tell whether the table has scores of colours
USUAL_SCALE = 2


@dataclass(frozen=True)
class Model:
    """What translates the pictures, and what must be known of it."""

    build: Callable[[], PictureToPicture]  # on the CPU, in eval mode
    channels: int | None  # None: as each picture has
    span: Span | None  # the numbers of a file that are black and white, where the data have a range of their own
    identity: str  # another one: the outputs of an earlier command are no longer right
    about: Mapping[str, object]  # for the headers of the outputs
    plan: Callable[[list[torch.device]], TilePlan]
    settings: Mapping[str, Any] = field(default_factory=dict)  # of its own, for the record
    to_srgb: bool = False  # its training converted colours of another profile to sRGB
    deep: bool = False  # it was trained on more than 8 bits, which TF32 would not hold


def find_model(config: Config, given: Pictures, found: Pictures | None) -> Model:
    """The model that `ckpt` or `model` names. Raises UserError."""
    if config["model"]["name"] is not None:
        return filter_model(config, given, found)
    return checkpoint_model(config)


def checkpoint_model(config: Config) -> Model:
    path = find_checkpoint(str(config["ckpt"]), "ckpt")
    state = load_checkpoint(str(path), "ckpt")
    set_threads(threads_for(config["threads"], state))
    first = load_system(state, config["weights"], config["trust"])
    if not isinstance(first, PictureToPicture):
        raise UserError(f"ckpt={path}: this model draws pictures from noise: use ganrun sample")
    data = state["config"].get("dataset", {})
    channels = data.get("channels")
    check_direction(first, channels, config["direction"])

    def plan(devices: list[torch.device]) -> TilePlan:
        def largest() -> int | None:
            on_meta = require_fit(state, trusted(config["trust"]))
            assert isinstance(on_meta, PictureToPicture)
            free = min(free_on(device) // devices.count(device) for device in devices)
            return largest_side(on_meta, channels, config["direction"], free)

        made = plan_tiles(config["tile"], config["overlap"], stride_of(first), largest)
        made.norms = has_instance_norms(first)
        return made

    spare = [first]

    def build() -> PictureToPicture:
        return spare.pop() if spare else load_system(state, config["weights"], config["trust"])  # type: ignore[return-value]

    about = {"step": state["progress"]["step"], "weights": config["weights"]}
    span = span_of(data)
    deep = span is not None or (of_data(data, "depth") or 8) > 8
    to_srgb = of_data(data, "profiles") == "convert"
    return Model(build, channels, span, sha256_of(path), about, plan, to_srgb=to_srgb, deep=deep)


def of_data(data: Mapping[str, Any], key: str) -> Any:
    """A setting of the pictures. dataset=damaged has it from its source. None in checkpoints from before it was."""
    own, clean = data.get(key), data.get("clean")
    return own if own is not None or not isinstance(clean, Mapping) else clean.get(key)


def filter_model(config: Config, given: Pictures, found: Pictures | None) -> Model:
    """A filter has no weights and needs little memory: it gets whole pictures."""
    name, scale = config["model"]["name"], config["scale"] or scale_of(given, found)
    set_threads(config["threads"])
    check_direction(Baseline(name, scale), 3, config["direction"])
    return Model(
        partial(Baseline, name, scale),
        None,
        None,
        f"model={name}",
        {"model": name, "scale": scale},
        lambda devices: TilePlan(None),
        {"scale": scale},
    )


def scale_of(given: Pictures, found: Pictures | None) -> int:
    """How many times larger the first target that can be read is than its input; 2 without targets."""
    if found is None:
        return USUAL_SCALE
    targets = partners(given, found)
    for picture in given.listed:
        if picture.name in targets:
            try:
                data = given.source.read(picture), found.source.read(targets[picture.name])
                height, wanted = (read_picture(each, 3).pixels.shape[2] for each in data)
            except Exception:  # a damaged or hostile file: it is reported when its turn comes
                continue
            return max(1, round(wanted / height))
    return USUAL_SCALE


def channels_of(given: Pictures) -> int:
    """Of the scores, where each picture has its own: 1 if the first pictures are all grey, else 3."""
    for picture in given.listed[:SEEN]:
        try:
            if read_picture(given.source.read(picture), 3).colour:
                return 3
        except Exception:  # a damaged or hostile file: it is reported when its turn comes
            continue
    return 1


def check_direction(system: PictureToPicture, channels: int, direction: str | None) -> None:
    """Raises UserError for a direction that the model does not have."""
    if direction is None:
        return
    try:
        with torch.inference_mode():
            system.translate(torch.zeros(1, channels, 32, 32), direction)
    except ValueError as error:
        raise UserError(str(error)) from None
