"""Runs `ganrun train`: one run, a sweep, or one run of several processes."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganrun.checkpoints.find import find_checkpoint
from ganrun.cli import composition, help_text, overrides
from ganrun.cli.grammar import name_of
from ganrun.cli.hydra_main import hand_to_hydra, naming, output_folder, run_here
from ganrun.cli.overrides import Request
from ganrun.cli.run_command import use_config_dir
from ganrun.commands.command import require_torch
from ganrun.common import torchrun
from ganrun.common.errors import UserError
from ganrun.common.folders import check_run_folder, check_sweep, removed_if_interrupted
from ganrun.common.quoting import quoted
from ganrun.common.types import Config
from ganrun.config.schema import WITH_RESUME, is_place

if TYPE_CHECKING:
    from ganrun.commands.train.train import Checked

DEMO = "experiment=digits"  # what `ganrun train` alone is

log = logging.getLogger("ganrun")


def run_train(words: list[str]) -> int:
    """Returns the exit code. Raises UserError for what no run could use, before there is a folder."""
    with _ignored_wishes_to_save():
        return _run_train(words)


def _run_train(words: list[str]) -> int:
    if not words:  # a newcomer's first command
        words = [DEMO]
        print(f"ganrun: note: nothing was asked for, so this is the demo, ganrun train {DEMO}", file=sys.stderr)
    request = overrides.read_command_line("train", words)
    use_config_dir(request.config_dir)
    if request.only_shows:
        if not torchrun.rank():
            hand_to_hydra("train", lambda cfg: None, request.argv)
        return 0
    if torchrun.launched():
        return _train_together(request)
    configs = list(request.configs())
    for key in ("out", "dry_run", "resume") if request.multirun else ():
        if len({str(config[key]) for config in configs}) > 1:
            raise UserError(f"{key}: the jobs of a sweep share one; out=FOLDER gives each job a folder inside")
    folder = folder_of(request, configs[0])
    if folder is None:  # of a sweep's jobs, or outputs/...: only Hydra will know
        for out in {config["out"] or "outputs" for config in configs}:
            check_sweep(Path(str(out)).expanduser(), resumes=out != "outputs")
    else:
        check_run_folder(folder, configs[0]["resume"], sweep=request.multirun)
    require_torch()
    from ganrun.commands.train import train

    checked = []
    for config, job in zip(configs, request.swept(), strict=False):
        with naming(job):
            checked.append(train.check(config, folder))
        if request.multirun:
            checked[-1].plan.systems.drop()  # each job builds its own when it starts
    if not request.multirun and (note := help_text.which_model(words)):
        print(f"ganrun: note: {note}", file=sys.stderr)
    if configs[0]["dry_run"]:
        print("\n\n".join("\n".join(one.plan.lines()) for one in checked))
        return 0
    if request.multirun:
        return _sweep(request)
    if checked[0].end:
        assert folder is not None  # where the run lies that has come to its end
        print(train.nothing_to_do(checked[0], folder))
        return 0
    return train_here(request, configs[0], checked[0])[0]


def train_here(
    request: Request, config: Config, checked: Checked, around: Callable[[], AbstractContextManager[Any]] = nullcontext
) -> tuple[int, Path]:
    """Train the one run that was checked. Returns the exit code and the run's folder. `around` surrounds the run."""
    from ganrun.commands.train import train

    done: list[tuple[int, Path]] = []

    def job(cfg: Any) -> None:
        place = output_folder()
        record = partial(composition.record, cfg, place)
        with removed_if_interrupted(place), around():
            code = train.run(config, place, record=record, config_dir=request.config_dir, checked=checked)
            done.append((code, place))

    run_here(request, job)
    return done[0]


def _sweep(request: Request) -> int:
    """Every job of -m, by Hydra's sweeper and launcher. Returns the largest exit code."""
    codes: list[int] = []

    def job(cfg: Any) -> None:
        from ganrun.commands.train import train

        if codes and codes[-1] >= 128:  # a signal ends the whole sweep
            return
        place = output_folder()
        record = partial(composition.record, cfg, place)
        with removed_if_interrupted(place):
            codes.append(train.run(composition.plain(cfg), place, record=record, config_dir=request.config_dir))

    hand_to_hydra("train", job, request.argv)
    return max(codes, default=0)


def _train_together(request: Request) -> int:
    """One run of all processes that torchrun started. The first one checks it, chooses its folder and writes there."""
    if request.multirun:
        raise UserError("-m starts many runs, torchrun many processes of one: start each run of the sweep by itself")
    (config,) = request.configs()
    require_torch()
    from ganrun.commands.train import train
    from ganrun.common import distributed

    if torchrun.rank():
        log.setLevel(logging.CRITICAL)  # the first rank speaks for all
    with distributed.joined(config["device"], config["ranks"]["timeout"]) as world:
        place = world.from_first_rank(
            lambda: world.same_after_restart("folder", lambda: _checked_folder(request, config))
        )
        if not place:
            return 0
        folder = Path(place)
        if config["resume"] is None:  # a start that `--max-restarts` repeats finds what the one before it saved
            config = {**config, "resume": "auto"}
            request.add("resume=auto", f"out={_quoted(folder)}")
        if not world.first:
            return train.run(config, folder, world, config_dir=request.config_dir)
        codes: list[int] = []

        def job(cfg: Any) -> None:
            record = partial(composition.record, cfg, folder)
            codes.append(train.run(composition.plain(cfg), folder, world, record=record, config_dir=request.config_dir))

        run_here(request, job)
    return codes[0]


def _checked_folder(request: Request, config: Config) -> str:
    """The folder of a run that may start; "" where there is nothing to do, and a line or a plan has said so."""
    from ganrun.commands.train import train

    folder = (folder_of(request, config) or overrides.new_folder(request)).absolute()
    check_run_folder(folder, config["resume"])
    checked = train.check(config, folder)
    if config["dry_run"] or checked.end:
        print("\n".join(checked.plan.lines()) if config["dry_run"] else train.nothing_to_do(checked, folder))
        return ""
    return str(folder)


def folder_of(request: Request, config: Config) -> Path | None:
    """Where the run is or will be; None while only Hydra knows. What `resume` may not be given with is refused."""
    out = Path(str(config["out"])).expanduser() if config["out"] is not None else None
    if config["resume"] == "auto" and out is None:
        raise UserError("resume=auto needs out=FOLDER: where the run starts or goes on")
    if config["resume"] in (None, "auto"):
        return None if request.multirun and config["resume"] else out
    return _prepare_resume(request, config)


def _prepare_resume(request: Request, config: Config) -> Path:
    """Point Hydra at the old folder, and let nothing but a length be given with it."""
    if request.multirun:
        raise UserError("resume goes on with one run: leave -m away")
    for override in request.parsed():
        key = name_of(override)
        if key not in WITH_RESUME and not is_place(key) and not override.is_hydra_override():
            raise UserError(
                f"{override.input_line}: a resumed run keeps its own config; with resume= go only "
                f"{', '.join(sorted(WITH_RESUME - {'resume'}))} and the places of its data, such as dataset.root, "
                "dataset.root_a or dataset.labels; init_from= starts a new run from its weights"
            )
    path = find_checkpoint(str(config["resume"]), "resume")
    folder = path.parent.parent if path.parent.name == "checkpoints" else path.parent
    request.add(f"hydra.run.dir={_quoted(folder)}", "hydra.output_subdir=null")
    return folder


def _quoted(path: Path) -> str:
    return quoted(str(path.absolute()))


@contextlib.contextmanager
def _ignored_wishes_to_save() -> Iterator[None]:
    """SIGUSR1 asks a run to save; while it is still starting there is nothing to save, and that is no reason to die."""
    if not hasattr(signal, "SIGUSR1") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL if before is None else before)
