"""One optimizer, one schedule and one gradient limit for each player, from a plain config."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import torch
from torch import nn
from torch.optim import Optimizer

from ganrun.common.bounds import Positive, Unfit, fitted, shown
from ganrun.common.errors import UserError
from ganrun.common.schedules import Constant, Schedule
from ganrun.common.types import Config
from ganrun.config.build import build, fit, resolve
from ganrun.systems.system import System


def build_optimizers(
    config: Config, system: System, trust: Sequence[str] | None = None
) -> tuple[dict[str, Optimizer], dict[str, Schedule]]:
    """One optimizer and one schedule for each player: the common settings, then those of `optimizer.players`."""
    common = {key: value for key, value in config["optimizer"].items() if key != "players"}
    own = config["optimizer"].get("players") or {}
    players = system.players()
    for name in own:
        if name not in players:
            near = difflib.get_close_matches(name, players, n=1, cutoff=0) or sorted(players)
            ttur = own[name] == {"lr": 4 * common.get("lr", 0)}  # as optimizer=adam_ttur writes it
            brought = "; optimizer=adam_ttur names it, optimizer=adam names none" if ttur else ""
            raise UserError(
                f"optimizer.players.{name}: {type(system).__name__} has no such player, only {sorted(players)}: "
                f"use optimizer.players.{near[0]}.lr={brought}"
            )
    clip_norms(config, system)
    optimizers, schedules = {}, {}
    for name, module in players.items():
        node = {**common, **(own.get(name) or {})}
        schedule, _ = node.pop("schedule", None), node.pop("clip_norm", None)
        schedules[name] = build(schedule, Schedule, "optimizer.schedule", trust) if schedule else Constant()
        cls = resolve(node, Optimizer, "optimizer", trust)
        fit(cls, {k: v for k, v in (own.get(name) or {}).items() if k != "clip_norm"}, f"optimizer.players.{name}")
        optimizers[name] = _build_optimizer(node, cls, module, trust)
        refuse_without_betas(optimizers[name], schedules[name])
    return optimizers, schedules


def refuse_without_betas(optimizer: Optimizer, schedule: Schedule) -> None:
    """Raises UserError where the schedule moves Adam's second beta and the optimizer has none."""
    if schedule.moves_beta2 and len(optimizer.defaults.get("betas", ())) != 2:
        raise UserError(
            f"optimizer.schedule.beta2: {type(optimizer).__name__} has no betas; "
            "use optimizer=adam, or optimizer.schedule.beta2=null"
        )


def clip_norms(config: Config, system: System) -> dict[str, float]:
    """The largest norm of each player's gradient. Players without a limit are not in it.

    Raises UserError for another value than a number above 0 or null. Configs of earlier versions lack the key.
    """
    node, norms = config["optimizer"], {}
    for name in system.players():
        own = (node.get("players") or {}).get(name) or {}
        place = f"optimizer.players.{name}" if "clip_norm" in own else "optimizer"
        norm = own["clip_norm"] if "clip_norm" in own else node.get("clip_norm")
        try:
            fitted(norm, Positive | None)
        except Unfit as error:
            raise UserError(f"{place}.clip_norm={shown(norm)} {error}") from None
        if norm is not None:
            norms[name] = float(norm)
    return norms


def _build_optimizer(node: Config, cls: type, module: nn.Module, trust: Sequence[str] | None) -> Optimizer:
    if cls in (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD) and "foreach" not in node:
        node.setdefault("fused", True)
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    return build(node, Optimizer, "optimizer", trust, params=weights)
