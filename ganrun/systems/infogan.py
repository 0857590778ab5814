"""InfoGAN: a GAN whose latents contain codes, which a second head of the discriminator reads (Chen et al., 2016)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol, Unpack, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganrun.common.bounds import Weight
from ganrun.losses.discriminate import Discriminate
from ganrun.losses.loss import AdversarialLoss
from ganrun.losses.objective import Objective
from ganrun.systems.acgan import Heads
from ganrun.systems.gan import GAN, Fakes, GANOptions, in_order
from ganrun.systems.packing import pack_of
from ganrun.systems.system import Batch

WIDEST, COLUMNS = 2.0, 10  # a sweep of a continuous code goes beyond the [-1, 1] of training, as figure 2 does


class CodedLatent(Protocol):
    """What InfoGAN needs of its latents, see `ganrun.networks.latents.Coded`."""

    codes: int
    continuous: int

    def split(self, latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, Z) latents -> noise, the one-hot discrete code, the continuous codes."""

    def with_codes(self, latents: Tensor, codes: Tensor) -> Tensor:
        """(N, Z) latents, (N,) codes -> the latents with these discrete codes."""

    def with_continuous(self, latents: Tensor, number: int, values: Tensor) -> Tensor:
        """(N, Z) latents, (N,) values -> the latents with these values of one continuous code."""


class CodedFakes(NamedTuple):
    """(N, C, H, W) fakes and the (N, Z) latents that they were made from."""

    images: Tensor
    latents: Tensor


class InfoGAN(GAN):
    """Both players also minimise -L_I, the variational lower bound of the mutual information (equations 5 and 6).

    The discriminator returns (N, 1 + codes + 2 · continuous): the logit of being real, then Q: the logits of the
    discrete code, the means and the logarithms of the standard deviations of the continuous codes (appendix C).
    code_weight, continuous_weight: λ, 1 and 0.1 in the paper. The constant entropy H(c) is left out.
    Raises ValueError for latents without codes and for a discriminator that judges packs of images.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        latent: nn.Module,
        loss: AdversarialLoss,
        code_weight: Weight = 1.0,
        continuous_weight: Weight = 0.1,
        **options: Unpack[GANOptions],
    ) -> None:
        super().__init__(generator, discriminator, latent, loss, **options)
        if not hasattr(latent, "with_codes"):
            raise ValueError(f"latent={type(latent).__name__}: InfoGAN needs codes, use ganrun.networks.latents.Coded")
        if (pack := pack_of(discriminator)) > 1:
            raise ValueError(f"discriminator.pack={pack}, but InfoGAN reads the codes of each image: use pack=1")
        self.code_weight, self.continuous_weight = code_weight, continuous_weight

    @property
    def coded(self) -> CodedLatent:
        return cast(CodedLatent, self.latent)

    # These turns run the same operations at the steps where GAN's do: see `System.graph_key`.
    turns = GAN.turns

    def fakes(self, batch: Batch) -> CodedFakes:  # type: ignore[override]
        latents = self.latents(len(batch["image"]), batch["image"].device)
        return CodedFakes(self.render({**batch, "latent": latents}), latents)

    def discriminator_turn(self, batch: Batch, fakes: Fakes, step: int) -> Objective:
        heads = Heads(self.discriminator)
        images, latents = fakes(batch)
        objective = self.observed(
            self.loss.discriminator_objective(self.augmented(heads), batch["image"], images.detach(), step)
        )
        return self.informed(objective, heads.classes[1], latents)  # a loss calls with the reals first

    def generator_turn(self, batch: Batch, fakes: Fakes) -> Objective:
        heads = Heads(self.discriminator)
        images, latents = fakes(batch)
        objective = self.loss.generator_objective(self.augmented(heads), images, batch["image"])
        objective.terms |= self.matching(batch, images)
        return self.informed(objective, heads.classes[-1], latents)

    def informed(self, objective: Objective, read: Tensor, latents: Tensor) -> Objective:
        """Adds -L_I. read: (N, codes + 2 · continuous), what Q says of the fakes of these latents."""
        _, one_hot, continuous = self.coded.split(latents)
        sizes = [self.coded.codes, self.coded.continuous, self.coded.continuous]
        logits, mean, log_deviation = read.float().split(sizes, 1)
        codes = one_hot.argmax(1)
        objective.terms["code"] = self.code_weight * F.cross_entropy(logits, codes)
        if self.coded.continuous:
            objective.terms["continuous"] = self.continuous_weight * gaussian_nll(continuous, mean, log_deviation)
        objective.monitors["code_accuracy"] = (logits.argmax(1) == codes).float().mean()
        return objective

    def judge(self, batch: Batch) -> Discriminate:
        return Heads(self.discriminator)

    def draw(self, count: int, labels: Sequence[int] | None = None) -> Batch:
        """labels: values of the discrete code; None: all of them, in order."""
        codes = list(range(self.coded.codes)) if labels is None else list(labels)
        if not all(0 <= code < self.coded.codes for code in codes):
            raise ValueError(f"labels={codes}: the code of this model has the values 0 to {self.coded.codes - 1}")
        latents = self.latents(count, torch.device("cpu"))
        return {"latent": self.coded.with_codes(latents, in_order(codes, count))}

    def row_of(self, drawn: Batch) -> Tensor:
        return self.coded.split(drawn["latent"])[1].argmax(1)

    def codes(self) -> dict[str, Tensor]:
        """The paper's names: c1 is the discrete code, c2 and up are the continuous ones, from -2 to 2 (figure 2)."""
        walk = torch.linspace(-WIDEST, WIDEST, COLUMNS)
        return {"c1": torch.arange(self.coded.codes)} | {f"c{2 + k}": walk for k in range(self.coded.continuous)}

    def with_code(self, drawn: Batch, name: str, values: Tensor) -> Batch:
        latents = drawn["latent"]
        if name == "c1":
            return {**drawn, "latent": self.coded.with_codes(latents, values)}
        return {**drawn, "latent": self.coded.with_continuous(latents, int(name[1:]) - 2, values)}

    def examples(self, batch: Batch, count: int) -> Batch:
        codes = self.coded.codes  # equally many of each code, as GAN has for classes
        return self.draw(max(count - count % codes, min(count, codes)))


def gaussian_nll(codes: Tensor, mean: Tensor, log_deviation: Tensor) -> Tensor:
    """(N, K) each -> () -log N(codes; mean, exp(log_deviation)²), summed over the codes, averaged over the batch."""
    scaled = (codes - mean) * torch.exp(-log_deviation)
    return (0.5 * scaled.square() + log_deviation + 0.5 * math.log(2 * math.pi)).sum(1).mean()
