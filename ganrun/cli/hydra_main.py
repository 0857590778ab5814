"""Jobs as Hydra runs them: one checked job here and now, or Hydra's own main for sweeps and for what only shows."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganrun.cli.hydra_messages import ours
from ganrun.common import terminal
from ganrun.common.errors import FailedChecks, UserError
from ganrun.config.tree import conf_folder

if TYPE_CHECKING:
    from ganrun.cli.overrides import Request

KNOWN_FAILURES = (UserError, FailedChecks, FloatingPointError, OSError)  # their messages say it all

log = logging.getLogger("ganrun")


def run_here(request: Request, job: Callable[[Any], None]) -> None:
    """Run `job` with the composition that was checked: in its folder, logged there, with .hydra/ written.

    Hydra's own main does the same, but composes the line two more times. Raises what `job` raises.
    """
    from hydra._internal.callbacks import Callbacks
    from hydra.core.utils import JobStatus, run_job
    from hydra.errors import HydraException
    from hydra.types import HydraContext, RunMode
    from omegaconf.errors import OmegaConfBaseException

    config, loader = request.composition()
    config.hydra.mode = RunMode.RUN
    began: list[bool] = []

    def noted(cfg: Any) -> None:
        began.append(True)
        job(cfg)

    with known_failures():
        try:
            callbacks = Callbacks(config)
            callbacks.on_run_start(config=config, config_name=request.page)
            done = run_job(noted, config, "hydra.run.dir", None, HydraContext(loader, callbacks))
            callbacks.on_run_end(config=config, config_name=request.page, job_return=done)
            if done.status == JobStatus.FAILED:
                raise done._return_value  # `return_value` raises it too, but prints a line of Hydra's first
        except (HydraException, OmegaConfBaseException, ValueError, TypeError, AttributeError, ImportError) as error:
            if began or isinstance(error, UserError):
                raise
            raise UserError(f"hydra's own settings: {ours(str(error))}") from None


def hand_to_hydra(page: str, job: Callable[[Any], None], argv: list[str]) -> None:
    """Play `job` once for each config that Hydra makes of `argv`, in the folder that Hydra makes for it.

    Raises what a job could not do, when all are done.
    """
    import hydra
    from hydra.errors import HydraException

    from ganrun.cli import composition

    composition.register_resolvers()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come back here as they are, instead of Hydra's print and exit(1)
    program = Path(sys.argv[0]).name
    before, sys.argv = sys.argv, [program if program != "__main__.py" else "ganrun", *argv]
    failures: list[Exception] = []
    guarded = keeping(job, failures, logging.ERROR if "--multirun" in argv else logging.DEBUG)
    try:
        with lazy_help_texts():
            hydra.main(config_path=str(conf_folder()), config_name=page, version_base="1.3")(guarded)()
    except HydraException as error:
        raise UserError(ours(str(error))) from None
    except SystemExit as end:  # --hydra-help ends so
        if end.code:
            raise
    finally:
        sys.argv = before
    if failures:
        raise failures[0]


@contextlib.contextmanager
def naming(job: str) -> Iterator[None]:
    """Within it, a UserError begins with the words of a sweep's job."""
    try:
        yield
    except UserError as error:
        if not job:
            raise
        raise named(error, job) from error


def named(error: Exception, job: str) -> Exception:
    """The same known failure, with the words of its job before its message, unless it has them: "seed=1: …"."""
    if job in str(error):
        return error
    kinds = (UserError, FailedChecks, FloatingPointError)
    kind = next((kind for kind in kinds if isinstance(error, kind)), OSError)
    other = kind(f"{job}: {error}")
    other.__cause__ = error
    return other


def job_words() -> str:
    """What the sweep has chosen for the job that Hydra runs now: "seed=1 loss=wgan"; "" where it is no sweep."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    config = HydraConfig.get()
    given = sys.argv[1:] if config.mode == RunMode.MULTIRUN else config.overrides.task
    return " ".join(word for word in config.overrides.task if word not in given)


def keeping(job: Callable[[Any], None], failures: list[Exception], level: int) -> Callable[[Any], None]:
    """The same job; its known failures are kept for later: Hydra would print more than one line, and end a sweep."""
    here = os.getpid()

    def guarded(cfg: Any) -> None:
        try:
            with terminal.cleaned(), known_failures():  # a launcher's worker has streams of its own
                job(cfg)
        except KNOWN_FAILURES as error:
            if os.getpid() != here:  # a launcher's worker: only Hydra can carry the news
                raise
            log.log(level, f"this job failed: {error}")
            failures.append(named(error, job_words()))

    return guarded


@contextlib.contextmanager
def known_failures() -> Iterator[None]:
    """Turns a lack of memory into an OSError of one line. Any other RuntimeError is our bug and keeps its traceback."""
    try:
        yield
    except RuntimeError as error:
        if "out of memory" in str(error) or "can't allocate memory" in str(error):
            raise OSError("not enough memory for this: try a smaller batch_size, image_size, n or tile") from error
        raise


@contextlib.contextmanager
def lazy_help_texts() -> Iterator[None]:
    """From Python 3.14 on argparse checks help texts at once, which Hydra 1.3 makes lazily."""
    check = getattr(argparse.ArgumentParser, "_check_help", None)
    if check is None:
        yield
        return
    argparse.ArgumentParser._check_help = lambda self, action: None  # type: ignore[attr-defined]
    try:
        yield
    finally:
        argparse.ArgumentParser._check_help = check  # type: ignore[attr-defined]


def output_folder() -> Path:
    """The folder of the job that Hydra runs now."""
    from hydra.core.hydra_config import HydraConfig

    return Path(HydraConfig.get().runtime.output_dir)
