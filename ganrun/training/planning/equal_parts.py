"""The parts that a batch is judged in: ranks, gradient accumulation and packs, which must divide it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from ganrun.common import torchrun
from ganrun.common.errors import UserError
from ganrun.common.types import Config
from ganrun.systems.packing import pack_of
from ganrun.systems.system import System


def require_equal_parts(config: Config) -> None:
    """Raises UserError for a batch that ranks or gradient accumulation cannot divide."""
    if config["batch_size"] % (parts := parts_of(config)):
        raise UserError(
            f"batch_size={config['batch_size']} is not divisible by {divisor(config)}: choose a multiple of {parts}, "
            f"such as batch_size={-(-config['batch_size'] // parts) * parts}"
        )


def require_whole_packs(config: Config, system: System) -> None:
    """Raises UserError where what is judged at once is not divisible by the images that a discriminator packs."""
    size, pack, parts = config["batch_size"], pack_of(system), parts_of(config)
    if size // parts % pack:
        keys = " and ".join(f"{place}={images}" for place, images in packs("model", config["model"]))
        each = "" if parts == 1 else f" in each of {divisor(config)}"
        near = [count for count in (size - size % (pack * parts), size - size % (pack * parts) + pack * parts) if count]
        raise UserError(
            f"{keys or f'packs of {pack}'} must divide batch_size={size}{each}: "
            f"try {' or '.join(f'batch_size={count}' for count in near)}"
        )


def parts_of(config: Config) -> int:
    """In how many parts a batch is judged: ranks times those of gradient accumulation."""
    return torchrun.size() * config.get("accumulate", 1)


def divisor(config: Config) -> str:
    """What a batch is divided by, in the user's words: the ranks, the parts of gradient accumulation, or both."""
    ranks, parts = torchrun.size(), f"accumulate={config.get('accumulate', 1)}"
    return parts if ranks == 1 else f"{ranks} ranks × {parts}"


def packs(place: str, node: Any) -> Iterator[tuple[str, int]]:
    """The keys of a config that pack images, and how many each packs."""
    for key, value in node.items() if isinstance(node, dict) else ():
        if key == "pack" and isinstance(value, int) and value > 1:
            yield f"{place}.{key}", value
        else:
            yield from packs(f"{place}.{key}", value)


def smallest_share(config: Config) -> int:
    """The smallest number of images that a discriminator of this config judges at once."""
    return math.lcm(*(images for _, images in packs("model", config.get("model"))))
