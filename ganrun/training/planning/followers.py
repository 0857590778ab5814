"""What of a run follows its progress, and what that rules out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch

from ganrun.common.errors import UserError
from ganrun.common.schedules import Schedule
from ganrun.common.types import Config
from ganrun.systems.system import System
from ganrun.training.length import Length


def followers(config: Config, system: System, schedules: Mapping[str, Schedule]) -> list[str]:
    """In a user's words, all that changes with the run's progress; the first is what a message names."""
    found = ["this schedule"] if any(schedule.needs_an_end for schedule in schedules.values()) else []
    found += [f"the schedule of {key}" for key in system.follows_progress()]
    if config["average"].get("half_life_start") is not None:
        found.append("average.half_life_start")
    return found


def require_end(length: Length, following: list[str]) -> None:
    """Raises UserError where the run has no known last step and something needs one."""
    if length.steps is None and following:
        raise UserError(f"minutes=... has no known last step, which {following[0]} needs: give steps, epochs or kimg")


def of_schedules(
    config: Config, following: list[str], schedules: Mapping[str, Schedule], device: torch.device
) -> Iterator[str]:
    """Lines about schedules that go oddly with the rest of the run."""
    if config.get("burn_in", 1.0) != 1 and not following:
        yield f"burn_in={config['burn_in']:g} has no effect: nothing in this run has a schedule"
    moving = any(schedule.moves_beta2 for schedule in schedules.values())
    if moving and device.type == "cuda" and config.get("graphs", "auto"):
        yield "no step is recorded as a CUDA graph: a recording would keep the beta2 that optimizer.schedule moves"
