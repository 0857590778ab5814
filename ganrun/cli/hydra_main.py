"""hydra_main: hands a checked command line to Hydra's own main, which makes run folders, sweeps and launches."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ganrun.cli.hydra_messages import ours
from ganrun.common import terminal
from ganrun.common.errors import FailedChecks, UserError
from ganrun.config import tree

KNOWN_FAILURES = (UserError, FailedChecks, FloatingPointError, OSError)  # their messages say it all

log = logging.getLogger("ganrun")


def hand_to_hydra(page: str, job: Callable[[Any], None], argv: list[str]) -> None:
    """Play `job` once for each config that Hydra makes of `argv`, in the folder that Hydra makes for it.

    Raises what a job could not do, when all are done.
    """
    import hydra
    from hydra.errors import HydraException

    from ganrun.cli import overrides

    overrides.register_resolvers()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come back here as they are, instead of Hydra's print and exit(1)
    program = Path(sys.argv[0]).name
    before, sys.argv = sys.argv, [program if program != "__main__.py" else "ganrun", *argv]
    if sys.version_info >= (3, 14):  # argparse there checks help texts that Hydra 1.3 makes lazily
        argparse.ArgumentParser._check_help = lambda self, action: None  # type: ignore[attr-defined]
    failures: list[Exception] = []
    guarded = keeping(job, failures, logging.ERROR if "--multirun" in argv else logging.DEBUG)
    try:
        hydra.main(config_path=str(tree.conf_folder()), config_name=page, version_base="1.3")(guarded)()
    except HydraException as error:
        raise UserError(ours(str(error))) from None
    except SystemExit as end:  # --hydra-help ends so
        if end.code:
            raise
    finally:
        sys.argv = before
    if failures:
        raise failures[0]


def keeping(job: Callable[[Any], None], failures: list[Exception], level: int) -> Callable[[Any], None]:
    """The same job; its known failures are kept for later: Hydra would print more than one line, and end a sweep."""
    here = os.getpid()

    def guarded(cfg: Any) -> None:
        try:
            with terminal.cleaned():  # a launcher's worker has streams of its own
                job(cfg)
        except (*KNOWN_FAILURES, RuntimeError) as error:
            if isinstance(error, RuntimeError):
                error = out_of_memory(error)
            if os.getpid() != here:  # a launcher's worker: only Hydra can carry the news
                raise
            log.log(level, f"this job failed: {error}")
            failures.append(error)

    return guarded


def out_of_memory(error: RuntimeError) -> OSError:
    """One line for want of memory; any other RuntimeError is our bug and keeps its traceback."""
    if "out of memory" in str(error) or "can't allocate memory" in str(error):
        return OSError("not enough memory for this: try a smaller batch_size, image_size, n or tile")
    raise error


def output_folder() -> Path:
    """The folder of the job that Hydra runs now."""
    from hydra.core.hydra_config import HydraConfig

    return Path(HydraConfig.get().runtime.output_dir)
