"""What a command takes: run in a process of its own, under a limit, with the memory it took."""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any


def measured(commands: dict[str, list[str]], folder: Path) -> dict[str, dict[str, Any]]:
    """Name -> command; name -> {code, said, MiB}, one after the other in one process standing in `folder`."""
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, __file__],
        input="\n".join(map(json.dumps, commands.values())),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=500,
    )
    answers = [json.loads(line[7:]) for line in done.stdout.splitlines() if line.startswith("answer ")]
    assert len(answers) == len(commands), done.stderr
    return dict(zip(commands, answers, strict=True))


def memory(what: str) -> float:
    """MiB this process holds (VmRSS) or held at most (VmHWM) since that was forgotten. (maxrss is the parent's too.)"""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(what)) / 2**10


def forget_the_peak() -> None:
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def too_late(number: int, frame: object) -> None:
    raise TimeoutError("too late")


def limit() -> None:
    """So that a broken guard ends this process, and not the machine."""
    with open("/proc/self/statm") as file:
        room = int(file.read().split()[0]) * resource.getpagesize() + 3 * 2**30
    resource.setrlimit(resource.RLIMIT_AS, (room, room))
    signal.signal(signal.SIGALRM, too_late)


def one(words: list[str]) -> dict[str, Any]:
    from ganrun.cli.main import main

    forget_the_peak()
    before, errors = memory("VmRSS"), io.StringIO()
    signal.alarm(120)  # a hang: no machine is so slow that an honest answer takes so long
    with redirect_stderr(errors), redirect_stdout(io.StringIO()):
        try:
            code: object = main(words)
        except BaseException as error:
            code = repr(error)[:200]
    signal.alarm(0)
    return {"code": code, "said": errors.getvalue(), "MiB": memory("VmHWM") - before}


if __name__ == "__main__":
    import torch

    from ganrun.cli.main import main
    from ganrun.commands import sample  # noqa: F401  (what they take is not the file's fault)

    main(["train", "model=mlp", "dry_run=true", "steps=1"])  # nor what the first run of anything takes
    torch.set_num_threads(1)
    limit()
    sys.argv, answers = ["ganrun"], sys.stdout
    for line in sys.stdin:
        print("answer", json.dumps(one(json.loads(line))), file=answers, flush=True)
