"""Runs every command but `train`: checked first, then done, in this process or shared by several."""

from __future__ import annotations

import sys
from pathlib import Path

from ganrun.checkpoints.find import find_checkpoint
from ganrun.cli import composition, overrides
from ganrun.cli.hydra_main import hand_to_hydra, known_failures, naming
from ganrun.cli.overrides import Request
from ganrun.commands.command import Command
from ganrun.common import torchrun
from ganrun.common.atomic import HOUR, clear
from ganrun.common.errors import UserError
from ganrun.common.folder_safety import refuse_unsafe_around
from ganrun.config import tree

PATIENCE = 24 * 60.0  # minutes that ranks wait for the first one's own work, such as scoring what all drew


def run_command(command: Command, words: list[str]) -> int:
    """Returns the exit code. Raises UserError for what the command cannot do, before anything is written."""
    request = overrides.read_command_line(command.page, words)
    if request.only_shows:
        if not torchrun.rank():
            hand_to_hydra(command.page, lambda cfg: None, request.argv)
        return 0
    command.require_extras()
    if torchrun.size() > 1:
        return run_together(command, request)
    use_config_dir(request.config_dir)
    configs = list(request.configs())
    for config in configs:
        if config.get("ckpt") is not None and command.name != "eval":  # eval takes lists and sweeps, and finds them
            find_checkpoint(str(config["ckpt"]), "ckpt")
    places = []
    for config, job in zip(configs, request.swept(), strict=False):
        with naming(job):
            places += [place] if (place := command.check(config)) is not None else []
    for place in set(places):
        look_around(place)
    if twice := [place for number, place in enumerate(places) if place in places[:number]]:
        raise UserError(f"out={twice[0]}: the jobs of this sweep would overwrite each other; sweep over out= too")
    if request.multirun:
        hand_to_hydra(command.page, lambda cfg: print(command.run(composition.plain(cfg))), request.argv)
    else:
        with known_failures():
            print(command.run(configs[0]))
    return 0


def run_together(command: Command, request: Request) -> int:
    """The same, with the work shared by the processes that torchrun started."""
    if not command.shared:
        raise UserError(f"{command.name} is the work of one process: start it without torchrun")
    if request.multirun:
        raise UserError("-m starts many jobs, torchrun many processes of one: start each job by itself")
    use_config_dir(request.config_dir)
    (config,) = request.configs()
    from ganrun.common import distributed

    with distributed.joined(config["device"], PATIENCE) as world:
        if world.first and (place := command.check(config)) is not None:
            look_around(place)
        lines = command.run(config, world)
    if world.first:
        print(lines)
    return 0


def look_around(place: Path) -> None:
    """Before writing to `place`: refuse links and devices in a run's folder around it; remove leftovers of killed
    processes.
    """
    refuse_unsafe_around(place)
    clear(place.parent, of=place.name, older=HOUR)


def use_config_dir(config_dir: Path | None) -> None:
    """Let yaml name the user's classes in this folder or beside it. It comes last in sys.path, so it hides nothing."""
    if config_dir is None:
        return
    for name in tree.hidden_by_ours(config_dir) if not torchrun.rank() else ():
        print(
            f"ganrun: note: {config_dir.name}/{name} has the name of one of ganrun's own, which wins; rename yours",
            file=sys.stderr,
        )
    for folder in (config_dir, config_dir.parent):
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
