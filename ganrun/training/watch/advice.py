"""Overrides that may help, computed from the run's own config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Config = Mapping[str, Any]


def rate(config: Config, player: str) -> float:
    """The learning rate that the config gives a player."""
    optimizer = config.get("optimizer", {})
    own = (optimizer.get("players") or {}).get(player) or {}
    return float(own.get("lr", optimizer.get("lr", 2e-4)))


def with_rate(config: Config, player: str, factor: float) -> str:
    """An override for `factor` times the learning rate of a player: optimizer.players.discriminator.lr=5e-05."""
    return f"optimizer.players.{player}.lr={rate(config, player) * factor:.2g}"


def tamer_game(config: Config) -> str:
    """Overrides for ten times the gradient penalties; without penalties, a loss that has some."""
    penalties = config.get("loss", {}).get("penalties") or {}
    gammas = {name: node["gamma"] for name, node in penalties.items() if isinstance(node, Mapping) and "gamma" in node}
    if not gammas:
        return "loss=r3gan"
    return " ".join(f"loss.penalties.{name}.gamma={10 * gamma:g}" for name, gamma in gammas.items())
