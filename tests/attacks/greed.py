"""What a command takes: run in another process, under a limit, with the memory it took."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import io
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import IO, Any

from tests.waiting import HANG


class Other:
    """A process that waits for commands. Its start imports torch, so it answers as many tests as there are."""

    def __init__(self) -> None:
        self.errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        atexit.register(self.process.kill)

    def answer(self, command: list[str], folder: Path) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([command, str(folder)]) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("answer "):
                return json.loads(line[7:])
        self.errors.seek(0)
        raise AssertionError(self.errors.read().decode(errors="replace"))


@functools.cache
def other() -> Other:
    return Other()


def measured(commands: dict[str, list[str]], folder: Path) -> dict[str, dict[str, Any]]:
    """Name -> command; name -> {code, said, MiB}, one after the other in one process standing in `folder`."""
    if other.cache_info().currsize and other().process.poll() is not None:
        other.cache_clear()  # a broken guard ended it: that is its own test's failure, and no other's
    return {name: other().answer(command, folder) for name, command in commands.items()}


def memory(what: str) -> float:
    """MiB this process holds (VmRSS) or held at most (VmHWM) since that was forgotten. (maxrss is the parent's too.)"""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(what)) / 2**10


def forget_the_peak() -> None:
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def give_back() -> None:
    """What an earlier command freed must not hide what this one takes."""
    with contextlib.suppress(AttributeError, OSError):  # a C library without it
        ctypes.CDLL(None).malloc_trim(0)


def too_late(number: int, frame: object) -> None:
    raise TimeoutError("too late")


def limit() -> None:
    """So that a broken guard ends this process, and not the machine."""
    with open("/proc/self/statm") as file:
        room = int(file.read().split()[0]) * resource.getpagesize() + 3 * 2**30
    resource.setrlimit(resource.RLIMIT_AS, (room, room))
    signal.signal(signal.SIGALRM, too_late)


def one(words: list[str], folder: str) -> dict[str, Any]:
    from ganrun.cli.main import main

    os.chdir(folder)
    give_back()
    forget_the_peak()
    before, errors = memory("VmRSS"), io.StringIO()
    signal.alarm(HANG)
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
        print("answer", json.dumps(one(*json.loads(line))), file=answers, flush=True)
