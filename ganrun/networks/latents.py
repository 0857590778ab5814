"""Latents: the noise that generators turn into images."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from ganrun.common.bounds import Setting, Whole


class Latent(nn.Module, ABC):
    """A distribution over vectors of `size` numbers; a module, so that a learnt one has its place."""

    def __init__(self, size: Setting) -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"latent size={size} must be at least 1")
        self.size = size

    @abstractmethod
    def sample(self, count: int, device: torch.device | str) -> Tensor:
        """-> (count, Z) on the device, drawn from torch's random state there."""

    def truncated(self, latents: Tensor, threshold: float) -> Tensor:
        """(N, Z) latents -> (N, Z) within ±threshold of the middle. Raises ValueError for latents without tails."""
        raise ValueError(
            f"truncation={threshold}: {type(self).__name__} latents have no tails to cut off, only normal ones have"
        )


class Normal(Latent):
    """z ~ N(0, 1)."""

    def sample(self, count: int, device: torch.device | str) -> Tensor:
        return torch.randn(count, self.size, device=device)

    def truncated(self, latents: Tensor, threshold: float) -> Tensor:
        """See `truncated_normal`."""
        return truncated_normal(latents, threshold)


class Uniform(Latent):
    """z ~ U(low, high)."""

    def __init__(self, size: Setting, low: float = -1.0, high: float = 1.0) -> None:
        super().__init__(size)
        if not low < high:
            raise ValueError(f"latent low={low} must be below high={high}")
        self.low, self.high = low, high

    def sample(self, count: int, device: torch.device | str) -> Tensor:
        return torch.rand(count, self.size, device=device) * (self.high - self.low) + self.low


class Coded(Latent):
    """InfoGAN's latents: `size` normal numbers, a one-hot code, and `continuous` uniform codes in [-1, 1].

    Chen et al., 2016, section 4 and appendix C.1. The attribute `size` counts all of them, as every latent's.
    Raises ValueError for fewer than two code values.
    """

    def __init__(self, size: Setting, codes: Whole, continuous: Whole = 0) -> None:
        super().__init__(size + codes + continuous)
        if codes < 2:
            raise ValueError(f"latent codes={codes}: a code with fewer than 2 values says nothing, use 2 or more")
        self.noise, self.codes, self.continuous = size, codes, continuous

    def sample(self, count: int, device: torch.device | str) -> Tensor:
        noise = torch.randn(count, self.noise, device=device)
        codes = torch.randint(self.codes, (count,), device=device)
        uniform = torch.rand(count, self.continuous, device=device) * 2 - 1
        return torch.cat([noise, self.one_hot(codes), uniform], 1)

    def truncated(self, latents: Tensor, threshold: float) -> Tensor:
        """The codes stay: only the noise is normal. See `truncated_normal`."""
        noise, *codes = self.split(latents)
        return torch.cat([truncated_normal(noise, threshold), *codes], 1)

    def one_hot(self, codes: Tensor) -> Tensor:
        """(N,) codes -> (N, codes) zeros and ones. F.one_hot would wait for the GPU."""
        return (codes[:, None] == torch.arange(self.codes, device=codes.device)).float()

    def split(self, latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, Z) latents -> (N, noise), (N, codes) one-hot and (N, continuous)."""
        noise, one_hot, continuous = latents.split([self.noise, self.codes, self.continuous], 1)
        return noise, one_hot, continuous

    def with_codes(self, latents: Tensor, codes: Tensor) -> Tensor:
        """(N, Z) latents -> the same with the (N,) discrete codes."""
        noise, _, continuous = self.split(latents)
        return torch.cat([noise, self.one_hot(codes), continuous], 1)

    def with_continuous(self, latents: Tensor, number: int, values: Tensor) -> Tensor:
        """(N, Z) latents -> the same with these (N,) values of one continuous code; they are counted from 0."""
        changed = latents.clone()
        changed[:, self.noise + self.codes + number] = values
        return changed


def truncated_normal(latents: Tensor, threshold: float) -> Tensor:
    """BigGAN's truncation trick (Brock et al., 2019, section 3.1): normal, given that |z| ≤ threshold.

    The paper draws values beyond it anew. Here each value moves to the truncated distribution's quantile of the
    same rank: the same distribution, and a seed's picture changes smoothly with the threshold.
    Raises ValueError for a threshold that is not above 0.
    """
    if not threshold > 0:
        raise ValueError(f"truncation={threshold}: normal latents are cut off at ±truncation, so it is above 0")
    z = latents.double()
    beyond = torch.special.ndtr(torch.tensor(-threshold, dtype=torch.double))  # what lies below -threshold
    rank = torch.special.ndtr(-z.abs())  # in the lower half, where doubles are dense
    cut = torch.special.ndtri(beyond + rank * (1 - 2 * beyond)).clamp(min=-threshold)
    return (-cut * z.sign()).to(latents.dtype)
