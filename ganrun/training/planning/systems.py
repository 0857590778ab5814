"""The system of a run, built at most twice: once without numbers for the plan, once for real."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Sequence
from functools import cached_property

import torch

from ganrun.common.types import Config
from ganrun.config.build import FROM_A_FILE, names_only
from ganrun.config.builders import build_system
from ganrun.systems.system import System


class Systems:
    """Builds the system of a config when it is first asked for, and hands the same one on.

    The plan reads shapes from `on_meta`. Trial steps and measurements play with a `copy`, so that the real one still
    has its first weights when the trainer gets it by `take`. `config` and `trust` are those of `build_system`.
    `on_meta` may be given, where a system of this config has been built on the meta device already.
    """

    def __init__(self, config: Config, trust: Sequence[str] | None = None, on_meta: System | None = None) -> None:
        self.config, self.trust = config, trust
        self.real: System | None = None
        self.trials: dict[Hashable, int | None] = {}  # bytes counted by trial steps, by what they depend on
        if on_meta is not None:
            self.on_meta = on_meta

    @cached_property
    def on_meta(self) -> System:
        """Shapes without numbers, on torch's meta device."""
        with torch.device("meta"):
            return build_system(self.config, self.trust)

    @property
    def ours(self) -> bool:
        """Whether all its classes are ganrun's or torch's. A user's own may do what no trial can foresee."""
        return all(names_only(self.config[part], FROM_A_FILE) for part in ("model", "loss"))

    @property
    def nbytes(self) -> int:
        """Bytes of the real one, as long as it is here."""
        return sum(tensor.nbytes for tensor in self.real.state_dict().values()) if self.real is not None else 0

    def copy(self) -> System:
        """One with the first weights of the run, to play with and to throw away."""
        if self.real is None:
            self.real = build_system(self.config, self.trust)
        try:
            return copy.deepcopy(self.real)
        except Exception:  # a user's own class may hold what cannot be copied, such as a lock or a generator
            return build_system(self.config, self.trust)

    def take(self) -> System:
        """The real one, which nobody has played with. It is given away."""
        taken, self.real = self.real, None
        return build_system(self.config, self.trust) if taken is None else taken

    def drop(self) -> None:
        """Let the real one go, where its run starts later or elsewhere: a sweep would keep those of all its jobs."""
        self.real = None
