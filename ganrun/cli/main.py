"""cli: `ganrun COMMAND [overrides]`. Takes the command off, lets compose.py check the rest, and hands it to Hydra."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ganrun import __version__
from ganrun.cli import help_text
from ganrun.cli.hydra_main import KNOWN_FAILURES, hand_to_hydra, output_folder
from ganrun.cli.streams import soften_streams
from ganrun.common import terminal, torchrun
from ganrun.common.errors import UserError, nearest, one_line
from ganrun.common.folders import check_current_folder, gone_if_interrupted
from ganrun.common.quoting import quoted
from ganrun.config import tree

FAILED, MISUSED = 1, 2
DRAWS = {  # command: its room and function; what bench and doctor draw is a table
    "sample": ("sample", "sample"),
    "synthesize": ("synthesize", "synthesize"),
    "apply": ("apply.apply", "apply"),
    "augment-study": ("study.study", "study"),
    "eval": ("evaluate", "evaluate"),
    "bench": ("bench.bench", "bench"),
    "doctor": ("doctor", "examine"),
    "plot": ("plot.plot", "plot"),
}
EXTRAS = {"plot": ("matplotlib", "ganrun[plot]")}  # what a command needs besides, and where it comes from
SHARED = ("sample", "synthesize", "eval")  # what several processes under torchrun do together
PATIENCE = 24 * 60.0  # minutes that ranks wait for the first one's own work, such as looking at what all drew
COMMANDS = ("train", *DRAWS, "info")
DEMO = "experiment=digits"  # what `ganrun train` alone is

log = logging.getLogger("ganrun")


def main(words: list[str] | None = None) -> int:
    """Run one command line. Returns the exit code: 0 done, 1 failed, 2 not understood, 128 + n stopped by signal n.

    Without words it is this process's own command line, and signals are heeded from here on.
    """
    if words is None:
        from ganrun.cli import entry

        return entry.main()
    soften_streams()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is imported: waiting threads let others work
    with terminal.cleaned():
        return _main([word for word in words if word != "--debug"], "--debug" in words)


def _main(words: list[str], debug: bool) -> int:
    try:
        return _dispatch(words)
    except UserError as error:
        if debug:
            raise
        _say(error)
        return MISUSED
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `ganrun --help | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KNOWN_FAILURES as error:
        if debug:
            raise
        _say(error)
        return FAILED


def _say(error: BaseException) -> None:
    """One line, also where a name in it has several."""
    print(f"{torchrun.speaker()}{one_line(error)}", file=sys.stderr)


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(help_text.OVERVIEW)
        return 0
    if "--version" in words:
        print(f"ganrun {__version__}")
        return 0
    if words[0] in ("-sc", "--shell-completion"):
        return _complete(words)
    command, *rest = words
    if command not in COMMANDS:
        raise UserError(f"{command!r} is no command; {nearest(command, COMMANDS)}; ganrun --help shows them")
    if command == "info" and rest:
        raise UserError(f"info takes no more words: {' '.join(rest)}")
    if command == "info":
        from ganrun.commands.info import report

        print(report())
        return 0
    asks = "-h" in rest or "--help" in rest
    if not asks or {"--config-dir", "-cd"} & set(rest):
        check_current_folder()
    if asks:
        directory = _value_after("--config-dir", rest) or _value_after("-cd", rest)
        print(help_text.help_page(command, Path(directory).absolute() if directory else None))
        return 0
    return _train(rest) if command == "train" else _draw(command.replace("-", "_"), *DRAWS[command], rest)


# -- commands -----------------------------------------------------------------------------------------------------


def _train(words: list[str]) -> int:
    from ganrun.cli import overrides
    from ganrun.common.folders import check_folder, check_sweep

    _outlive_wishes_to_save()
    if not words:  # a newcomer's first command
        words = [DEMO]
        print(f"ganrun: note: nothing was asked for, so this is the demo, ganrun train {DEMO}", file=sys.stderr)
    request = overrides.read_command_line("train", words)
    _use_config_dir(request.config_dir)
    if torchrun.rank() and request.only_shows:
        return 0
    if torchrun.launched() and not request.only_shows:
        return _train_together(request)
    if not request.only_shows:
        configs = list(request.configs())
        folder = _folder_of(request, configs[0])
        if folder is None:  # of a sweep's jobs, or outputs/...: only Hydra will know
            for out in {config["out"] or "outputs" for config in configs}:
                check_sweep(Path(str(out)).expanduser(), resumes=out != "outputs")
        else:
            check_folder(folder, configs[0]["resume"])
        _check_torch()
        from ganrun.commands.train import train

        checked = [train.check(config, folder) for config in configs]
        if configs[0]["dry_run"]:
            print("\n\n".join("\n".join(plan.lines()) for plan, _ in checked))
            return 0
        if not request.multirun and (line := checked[0][1]):
            print(line)
            return 0
    codes: list[int] = []

    def job(cfg: Any) -> None:
        from ganrun.commands.train import train

        if not codes or codes[-1] < 128:  # a signal ends the whole sweep
            folder = output_folder()
            record = partial(overrides.record, cfg, folder)
            with gone_if_interrupted(folder):
                codes.append(train.run(overrides.plain(cfg), folder, record=record, config_dir=request.config_dir))

    hand_to_hydra("train", job, request.argv)
    return max(codes, default=0)


def _train_together(request: Any) -> int:
    """One run of all ranks that torchrun started. The first checks it, chooses its folder and writes there alone."""
    if request.multirun:
        raise UserError("-m starts many runs, torchrun many processes of one: start each run of the sweep by itself")
    (config,) = request.configs()
    _check_torch()
    from ganrun.cli import overrides
    from ganrun.commands.train import train
    from ganrun.common import distributed

    if torchrun.rank():
        log.setLevel(logging.CRITICAL)  # the first rank speaks for all
    with distributed.joined(config["device"], config["ranks"]["timeout"]) as world:
        place = world.said_by_first(lambda: world.kept("folder", lambda: _checked_folder(request, config)))
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
            record = partial(overrides.record, cfg, folder)
            codes.append(train.run(overrides.plain(cfg), folder, world, record=record, config_dir=request.config_dir))

        hand_to_hydra("train", job, request.argv)
    return codes[0]


def _checked_folder(request: Any, config: dict[str, Any]) -> str:
    """The folder of a run that may start; "" where there is nothing to do, and a line or a plan has said so."""
    from ganrun.cli import overrides
    from ganrun.commands.train import train
    from ganrun.common.folders import check_folder

    folder = (_folder_of(request, config) or overrides.new_folder(request)).absolute()
    check_folder(folder, config["resume"])
    plan, end = train.check(config, folder)
    if config["dry_run"] or end:
        print(end if not config["dry_run"] else "\n".join(plan.lines()))
        return ""
    return str(folder)


def _folder_of(request: Any, config: dict[str, Any]) -> Path | None:
    """Where the run is or will be; None while only Hydra knows. What `resume` may not be given with is refused."""
    out = Path(str(config["out"])).expanduser() if config["out"] is not None else None
    if config["resume"] == "auto" and out is None:
        raise UserError("resume=auto needs out=FOLDER: where the run starts or goes on")
    if config["resume"] in (None, "auto"):
        return None if request.multirun and config["resume"] else out
    return _prepare_resume(request, config)


def _prepare_resume(request: Any, config: dict[str, Any]) -> Path:
    """Point Hydra at the old folder, and let nothing but a length be given with it."""
    from ganrun.cli import overrides
    from ganrun.config.schema import WITH_RESUME

    if request.multirun:
        raise UserError("resume goes on with one run: leave -m away")
    for override in request.parsed():
        if overrides.name_of(override) not in WITH_RESUME and not override.is_hydra_override():
            raise UserError(
                f"{override.input_line}: a resumed run keeps its own config; with resume= go only "
                f"{', '.join(sorted(WITH_RESUME - {'resume'}))}; init_from= starts a new run from its weights"
            )
    path = overrides.find_checkpoint(str(config["resume"]), "resume")
    folder = path.parent.parent if path.parent.name == "checkpoints" else path.parent
    request.add(f"hydra.run.dir={_quoted(folder)}", "hydra.output_subdir=null")
    return folder


def _quoted(path: Path) -> str:
    return quoted(str(path.absolute()))


def _draw(page: str, room: str, function: str, words: list[str]) -> int:
    """A command that trains nothing to keep: checked first by `room.check`, then done by `room.function`."""
    from ganrun.cli import overrides

    def module() -> Any:
        _check_torch()
        return importlib.import_module(f"ganrun.commands.{room}")

    request = overrides.read_command_line(page, words)
    if torchrun.rank() and request.only_shows:
        return 0
    if not request.only_shows:
        _check_extra(page)
    if torchrun.size() > 1 and not request.only_shows:
        return _draw_together(page, module, function, request)
    if not request.only_shows:
        _use_config_dir(request.config_dir)
        configs = list(request.configs())
        for config in configs:
            if config.get("ckpt") is not None and page != "eval":  # which also takes lists and sweeps, and finds them
                overrides.find_checkpoint(str(config["ckpt"]), "ckpt")
        places = [place for config in configs if (place := module().check(config)) is not None]
        for place in set(places):
            _look_around(place)
        if len(set(places)) < len(places):
            raise UserError(f"out={places[0]}: the jobs of this sweep would overwrite each other; sweep over out= too")
    hand_to_hydra(page, lambda cfg: print(getattr(module(), function)(overrides.plain(cfg))), request.argv)
    return 0


def _draw_together(page: str, module: Callable[[], Any], function: str, request: Any) -> int:
    """The same, with the work shared by the ranks that torchrun started."""
    if page not in SHARED:
        raise UserError(f"{page.replace('_', '-')} is the work of one process: start it without torchrun")
    if request.multirun:
        raise UserError("-m starts many jobs, torchrun many processes of one: start each job by itself")
    _use_config_dir(request.config_dir)
    (config,) = request.configs()
    room = module()
    from ganrun.common import distributed

    with distributed.joined(config["device"], PATIENCE) as world:
        if world.first and (place := room.check(config)) is not None:
            _look_around(place)
        line = getattr(room, function)(config, world)
    if world.first:
        print(line)
    return 0


# -- helpers ------------------------------------------------------------------------------------------------------


def _outlive_wishes_to_save() -> None:
    """SIGUSR1 asks a run to save; while it is still starting there is nothing to save, and that is no reason to die."""
    if hasattr(signal, "SIGUSR1") and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)


def _look_around(place: Path) -> None:
    """Before something is written there: a run's folder around it is sound, and what a kill left of it goes."""
    from ganrun.common.atomic import HOUR, clear
    from ganrun.common.folder_safety import refuse_strange_around

    refuse_strange_around(place)
    clear(place.parent, of=place.name, older=HOUR)


def _use_config_dir(config_dir: Path | None) -> None:
    """Let yaml in it name classes that lie in it or beside it; they come last, so that they hide nothing."""
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


def _check_extra(page: str) -> None:
    """Before torch is imported, which takes seconds."""
    package, extra = EXTRAS.get(page, ("", ""))
    if package and importlib.util.find_spec(package) is None:
        raise UserError(f"{page} needs {package}: pip install '{extra}'")


def _check_torch() -> None:
    """One line for the classic mishap: a torch and a torchvision that were not built for each other."""
    try:
        import torch
        import torchvision
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed: pip install torch torchvision") from None
    except (ImportError, OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"torch and torchvision do not fit each other ({reason}): reinstall both together: "
            "pip install --force-reinstall torch torchvision"
        ) from None
    del torch, torchvision  # they are there: that is all there was to know


def _complete(words: list[str]) -> int:
    """Hydra completes `app key=`; here the command stands between: take it out of the line before Hydra looks."""
    line = os.environ.get("COMP_LINE", "").split(" ")
    command = line[1] if len(line) > 2 and line[1] in ("train", *DRAWS) else None
    if any(word.startswith("query=") for word in words) and command is None:
        print(" ".join(name for name in COMMANDS if name.startswith(line[1] if len(line) > 1 else "")))
        return 0
    if command:
        os.environ["COMP_LINE"] = " ".join([line[0], *line[2:]])
    hand_to_hydra((command or "train").replace("-", "_"), lambda cfg: None, words)
    return 0


def _value_after(flag: str, words: list[str]) -> str | None:
    return words[words.index(flag) + 1] if flag in words[:-1] else None
