"""cli: `ganrun COMMAND [overrides]`. Takes the command off, lets compose.py check the rest, and hands it to Hydra."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ganrun import __version__, pages
from ganrun.errors import UserError, nearest

FAILED, MISUSED = 1, 2
KNOWN_FAILURES = (UserError, FloatingPointError, OSError)  # their messages say it all
COMMANDS = ("train", "sample", "synthesize", "apply", "info")

log = logging.getLogger("ganrun")


def main(words: list[str] | None = None) -> int:
    """Run one command line. Returns the exit code: 0 done, 1 failed, 2 not understood, 128 + n stopped by signal n."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is imported: waiting threads let others work
    words = list(sys.argv[1:] if words is None else words)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        return _dispatch(words)
    except UserError as error:
        if debug:
            raise
        print(f"ganrun: {error}", file=sys.stderr)
        return MISUSED
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `ganrun --help | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KNOWN_FAILURES as error:
        if debug:
            raise
        print(f"ganrun: {error}", file=sys.stderr)
        return FAILED


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(pages.OVERVIEW)
        return 0
    if words[0] == "--version":
        print(f"ganrun {__version__}")
        return 0
    if words[0] in ("-sc", "--shell-completion"):
        return _complete(words)
    command, *rest = words
    if command not in COMMANDS:
        raise UserError(f"{command!r} is no command; {nearest(command, COMMANDS)}; ganrun --help shows them")
    if command == "info":
        from ganrun.info import report

        print(report())
        return 0
    if "-h" in rest or "--help" in rest:
        directory = _value_after("--config-dir", rest) or _value_after("-cd", rest)
        print(pages.help_page(command, Path(directory).absolute() if directory else None))
        return 0
    return {"train": _train, "sample": _sample, "synthesize": _synthesize, "apply": _apply}[command](rest)


# -- commands -----------------------------------------------------------------------------------------------------


def _train(words: list[str]) -> int:
    from ganrun import compose

    request = compose.read_command_line("train", words)
    _use_config_dir(request.config_dir)
    if not request.only_shows:
        configs = list(request.configs())
        if any(config["resume"] is not None for config in configs):
            folder = _prepare_resume(request, configs)
        else:
            folder = None
            _check_folder(configs[0]["out"])
        plans = [_resumed(config)[0] if folder else _plan(config) for config in configs]
        if configs[0]["dry_run"]:
            print("\n\n".join("\n".join(plan.lines()) for plan in plans))
            return 0
        if folder and (reached := _resumed(configs[0])[3]["progress"]["step"]) >= (
            plans[0].length.steps or reached + 1
        ):
            print(f"{folder} is at step {reached} already, its end: give a longer length, such as steps={2 * reached}")
            return 0
    ended: list[int] = []

    def job(cfg: Any) -> None:
        from hydra.core.hydra_config import HydraConfig

        if ended and ended[-1] >= 128:
            return  # a signal ends the whole sweep
        config = compose.plain(cfg)
        run_folder = Path(HydraConfig.get().runtime.output_dir)
        ended.append(_run(config, run_folder))

    _hand_to_hydra("train", job, request.argv)
    return max(ended, default=0)


def _run(config: dict[str, Any], folder: Path) -> int:
    """One job: a new run, or one that goes on."""
    from ganrun import runs

    trust, state = None, None
    if config["resume"] is not None:
        _, config, trust, state = _resumed(config)
    config["out"] = None  # where a run lies is no part of what it is: the same run elsewhere has the same checkpoint
    plan = _plan(config, trust)
    for line in plan.lines():
        log.info(line)
    trainer = runs.train(config, folder, trust, state)
    shown = os.path.relpath(folder) if folder.is_relative_to(Path.cwd()) else str(folder)
    if (grid := f"grids/step_{trainer.step:06d}.png") and (folder / grid).exists():
        log.info(f"look at    {shown}/{grid}")
    if hasattr(trainer.system, "translate"):
        log.info(f"apply it   ganrun apply ckpt={shown} input=PICTURES out=FOLDER")
    else:
        log.info(f"draw more  ganrun sample ckpt={shown}")
    return trainer.exit_code


def _plan(config: dict[str, Any], trust: Any = None) -> Any:
    _check_torch()
    from ganrun.plan import plan

    return plan(config, trust)


def _resumed(config: dict[str, Any]) -> tuple[Any, dict[str, Any], Any, Any]:
    """The plan, config, trust and state of the run that `resume` names."""
    _check_torch()
    from ganrun import parts, runs

    state = parts.load_checkpoint(str(config["resume"]), "resume")
    stored, trust = runs.continued(state["config"], config), parts.trusted(config["trust"])
    return _plan(stored, trust), stored, trust, state


def _prepare_resume(request: Any, configs: list[dict[str, Any]]) -> Path:
    """Point Hydra at the old folder, and let nothing but a length be given with it."""
    from ganrun import compose

    if request.multirun:
        raise UserError("resume goes on with one run: leave -m away")
    for override in request.parsed():
        if compose.name_of(override) not in compose.WITH_RESUME and not override.is_hydra_override():
            raise UserError(
                f"{override.input_line}: a resumed run keeps its own config; with resume= go only "
                f"{', '.join(sorted(compose.WITH_RESUME - {'resume'}))}; init_from= starts a new run from its weights"
            )
    path = compose.find_checkpoint(str(configs[0]["resume"]), "resume")
    folder = path.parent.parent if path.parent.name == "checkpoints" else path.parent
    quoted = str(folder.absolute()).replace("\\", "\\\\").replace("'", "\\'")
    request.add(f"hydra.run.dir='{quoted}'", "hydra.output_subdir=null")
    return folder


def _sample(words: list[str]) -> int:
    return _draw("sample", "sampling", "sample", words)


def _synthesize(words: list[str]) -> int:
    return _draw("synthesize", "synthesis", "synthesize", words)


def _apply(words: list[str]) -> int:
    return _draw("apply", "applying", "apply", words)


def _draw(page: str, room: str, function: str, words: list[str]) -> int:
    """A command that reads a checkpoint and writes pictures: checked first, then done by `room.function`."""
    from ganrun import compose

    def module() -> Any:
        _check_torch()
        return importlib.import_module(f"ganrun.{room}")

    request = compose.read_command_line(page, words)
    if not request.only_shows:
        _use_config_dir(request.config_dir)
        configs = list(request.configs())
        for config in configs:
            compose.find_checkpoint(str(config["ckpt"]), "ckpt")
        places = [module().check(config) for config in configs]
        if len(set(places)) < len(places):
            raise UserError(f"out={places[0]}: the jobs of this sweep would overwrite each other; sweep over out= too")
    _hand_to_hydra(page, lambda cfg: print(getattr(module(), function)(compose.plain(cfg))), request.argv)
    return 0


# -- helpers ------------------------------------------------------------------------------------------------------


def _hand_to_hydra(page: str, job: Callable[[Any], None], argv: list[str]) -> None:
    import hydra
    from hydra.errors import HydraException

    from ganrun import compose

    compose.register_resolvers()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come back here as they are, instead of Hydra's print and exit(1)
    program = Path(sys.argv[0]).name
    before, sys.argv = sys.argv, [program if program != "__main__.py" else "ganrun", *argv]
    if sys.version_info >= (3, 14):  # argparse there checks help texts that Hydra 1.3 makes lazily
        argparse.ArgumentParser._check_help = lambda self, action: None  # type: ignore[attr-defined]
    failures: list[Exception] = []
    guarded = _keeping(job, failures, logging.ERROR if "--multirun" in argv else logging.DEBUG)
    try:
        hydra.main(config_path=str(pages.conf_folder()), config_name=page, version_base="1.3")(guarded)()
    except HydraException as error:
        raise UserError(" ".join(str(error).split())) from None
    finally:
        sys.argv = before
    if failures:
        raise failures[0]


def _keeping(job: Callable[[Any], None], failures: list[Exception], level: int) -> Callable[[Any], None]:
    """The same job; its known failures are kept for later: Hydra would print more than one line, and end a sweep."""
    here = os.getpid()

    def guarded(cfg: Any) -> None:
        try:
            job(cfg)
        except (*KNOWN_FAILURES, RuntimeError) as error:
            if isinstance(error, RuntimeError):
                error = _out_of_memory(error)
            if os.getpid() != here:  # a launcher's worker: only Hydra can carry the news
                raise
            log.log(level, f"this job failed: {error}")
            failures.append(error)

    return guarded


def _out_of_memory(error: RuntimeError) -> OSError:
    """One line for want of memory; any other RuntimeError is our bug and keeps its traceback."""
    if "out of memory" in str(error) or "can't allocate memory" in str(error):
        return OSError("not enough memory for this: try a smaller batch_size, image_size, n or tile")
    raise error


def _use_config_dir(config_dir: Path | None) -> None:
    """Let yaml in it name classes that lie in it or beside it; they come last, so that they hide nothing."""
    if config_dir is None:
        return
    for name in pages.hidden_by_ours(config_dir):
        print(
            f"ganrun: note: {config_dir.name}/{name} has the name of one of ganrun's own, which wins; rename yours",
            file=sys.stderr,
        )
    for folder in (config_dir, config_dir.parent):
        if str(folder) not in sys.path:
            sys.path.append(str(folder))


def _check_folder(out: str | None) -> None:
    """Refuse a folder that holds something or that cannot be written, before Hydra makes it."""
    import tempfile

    target = Path(out or "outputs").absolute()
    if out is not None and target.is_dir() and any(target.iterdir()):
        raise UserError(
            f"out={out} is not empty: choose another folder, or resume={out} to go on with a run that is there"
        )
    there = next(folder for folder in (target, *target.parents) if folder.exists())
    try:
        with tempfile.TemporaryDirectory(dir=there):
            pass
    except OSError as error:
        raise UserError(f"out={target} cannot be written: {there}: {error.strerror}") from None


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
    command = line[1] if len(line) > 2 and line[1] in ("train", "sample", "synthesize", "apply") else None
    if any(word.startswith("query=") for word in words) and command is None:
        print(" ".join(name for name in COMMANDS if name.startswith(line[1] if len(line) > 1 else "")))
        return 0
    if command:
        os.environ["COMP_LINE"] = " ".join([line[0], *line[2:]])
    _hand_to_hydra(command or "train", lambda cfg: None, words)
    return 0


def _value_after(flag: str, words: list[str]) -> str | None:
    return words[words.index(flag) + 1] if flag in words[:-1] else None
