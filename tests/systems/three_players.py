"""A GAN with an encoder that learns the way back: a third player, which neither generates nor discriminates."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from ganrun.losses.loss import AdversarialLoss
from ganrun.losses.objective import Objective
from ganrun.systems.gan import GAN
from ganrun.systems.roles import Role
from ganrun.systems.system import ALWAYS, Batch, Turn


class EncodedGAN(GAN):
    """min E |E(G(z)) − z|² over the encoder E (Donahue et al., 2017, section 4.3: the latent regressor).

    No player has the name that it has elsewhere: only roles are known.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        latent: nn.Module,
        loss: AdversarialLoss,
        encoder: nn.Module,
        share_fakes: bool = True,
    ) -> None:
        super().__init__(generator, discriminator, latent, loss, share_fakes)
        self.encoder = encoder

    def players(self) -> dict[str, nn.Module]:
        return {"judge": self.discriminator, "painter": self.generator, "encoder": self.encoder}

    def role(self, player: str) -> Role:
        return Role.OTHER if player == "encoder" else super().role(player)

    def turns(self, step: int) -> Iterator[Turn]:
        names = {"discriminator": "judge", "generator": "painter"}
        for turn in super().turns(step):
            yield turn._replace(player=names[turn.player])
        yield Turn("encoder", self.encoder_turn, ALWAYS)

    def encoder_turn(self, batch: Batch) -> Objective:
        latents = self.latents(len(batch["image"]), batch["image"].device)
        with torch.no_grad():
            fakes = self.generator(latents)
        return Objective({"way_back": (self.encoder(fakes).float() - latents).square().mean()})

    def after_turn(self, player: str) -> None:
        if player == "judge":
            super().after_turn("discriminator")
