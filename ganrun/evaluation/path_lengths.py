"""Path lengths: how far a small step in a generator's latents moves its pictures in feature space."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ganrun.common.seeding import Purpose, generator
from ganrun.common.types import Config
from ganrun.evaluation.features.extractor import Extractor
from ganrun.evaluation.metrics.path_length import lerp, path_length, slerp, steps
from ganrun.networks.latents import Normal
from ganrun.systems.drawing import draw
from ganrun.systems.system import System


def path_lengths(system: System, config: Config) -> Callable[[Extractor], Tensor]:
    """A function from a feature network to (n,) perceptual path lengths, n = `config["n"]`.

    In a class-conditional model, both ends of a step have the same class.
    """

    @torch.inference_mode()
    def lengths(network: Extractor) -> Tensor:
        count, seed = config["n"], config["seed"]
        # 2**40: far from any other seed, so that the two ends of a path are independent
        one, other = (draw(system, count, seed + far) for far in (0, 2**40))
        t = torch.rand(count, 1, generator=generator(seed, Purpose.PATH_POSITIONS))
        blend = slerp if isinstance(getattr(system, "latent", None), Normal) else lerp
        ends = steps(one["latent"], other["latent"], t, blend)
        found = []
        for start in range(0, count, config["batch_size"]):
            batch = {name: part[start : start + config["batch_size"]].to(network.device) for name, part in one.items()}
            seen = []
            for end in ends:
                latents = end[start : start + config["batch_size"]].to(network.device)
                seen.append(network.module(system.render({**batch, "latent": latents}).float())[0])
            found.append(path_length(seen[0].cpu(), seen[1].cpu()))
        return torch.cat(found)

    return lengths
