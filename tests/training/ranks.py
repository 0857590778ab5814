"""Ranks without torchrun: forked from one process that has imported torch, which takes each of them seconds."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ["benchmarks.ranks_equal", "ganrun.cli.main", "ganrun.training.runs", "ganrun.commands.evaluate", __name__]


def forked(function: Callable[..., None], size: int, *arguments: Any) -> None:
    """function(rank, *arguments) in `size` processes; raises what one of them raises."""
    if sys.platform == "win32":
        torch.multiprocessing.spawn(function, arguments, nprocs=size)
        return
    with pytest.MonkeyPatch.context() as changes:  # the server looks for modules where Python does
        changes.setenv("PYTHONPATH", str(ROOT))
        changes.setenv("OMP_NUM_THREADS", "1")
        torch.multiprocessing.get_context("forkserver").set_forkserver_preload(NEEDED)
        torch.multiprocessing.start_processes(function, arguments, nprocs=size, start_method="forkserver")


def ganrun(words: list[str], folder: Path) -> tuple[str, str]:
    """What two ranks that run a command in `folder` say on stdout and stderr; raises where one of them fails."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    forked(_as_torchrun, 2, 2, port, words, folder)
    out, err = (
        "".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob(f"rank*.{stream}")))
        for stream in ("out", "err")
    )
    return out, err


def _as_torchrun(rank: int, size: int, port: int, words: list[str], folder: Path) -> None:
    told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in told.items()})
    os.chdir(folder)
    for number, stream in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"rank{rank}.{stream}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    sys.argv = ["ganrun"]
    torch.set_num_threads(1)
    from ganrun.cli.main import main

    code = main(words)
    sys.stdout.flush()
    sys.stderr.flush()
    sys.exit(code)
