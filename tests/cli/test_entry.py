"""The process `ganrun`: signals at any moment of its start, streams that are closed, full or narrow, folders gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.waiting import HANG

ROOT = Path(__file__).resolve().parents[2]
QUICK = ["dataset.limit=64", "batch_size=8", "grids.count=4", "log.every=2", "device=cpu", "model=mlp"]
QUICK += ["model.generator.widths=[8]", "model.discriminator.widths=[8]", "hooks=quiet"]
TRAIN = ["train", *QUICK, "steps=1000000", "out=run"]

# a module that Python imports at its start; it sends a signal when a module of that name is about to be imported
AMBUSH = """
import os, sys

class Ambush:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["AT"]:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), int(os.environ["SIGNAL"]))

sys.meta_path.insert(0, Ambush())
"""

# the process `ganrun`, in which a function sends a signal and makes something else of the interrupt
TRAPPED = """
import importlib, os, sys
from ganrun.cli import entry
room, name, number, *sys.argv[1:] = sys.argv[1:]
module = importlib.import_module(room)
before = getattr(module, name)
def sprung(*words, **named):
    setattr(module, name, before)
    try:
        os.kill(os.getpid(), int(number))
    except KeyboardInterrupt as error:
        raise MADE_OF_IT
    return before(*words, **named)
setattr(module, name, sprung)
sys.exit(entry.main())
"""


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}


def ganrun(*words: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ganrun", *words]
    env = environment(**more)
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, errors="replace", timeout=HANG)


def shell(line: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """A line of bash in which $GANRUN is the command."""
    env = environment(GANRUN=f"{sys.executable} -m ganrun", **more)
    return subprocess.run(["bash", "-c", line], cwd=cwd, env=env, capture_output=True, text=True, timeout=HANG)


def ambushed(tmp_path: Path, at: str, number: int) -> subprocess.CompletedProcess[str]:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(AMBUSH, encoding="utf-8")
    path = f"{tmp_path / 'site'}{os.pathsep}{ROOT}"
    (tmp_path / "work").mkdir()
    return ganrun(*TRAIN, cwd=tmp_path / "work", PYTHONPATH=path, AT=at, SIGNAL=str(int(number)))


def trapped(tmp_path: Path, at: str, number: int, made_of_it: str = "") -> subprocess.CompletedProcess[str]:
    script = TRAPPED.replace("raise MADE_OF_IT", f"raise {made_of_it}")
    command = [sys.executable, "-c", script, *at.split(":"), str(int(number)), *TRAIN]
    return subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=HANG)


# -- signals --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("at", ["ganrun.cli.streams", "argparse", "hydra", "torch._C"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_midst_of_an_import_ends_the_process_without_a_word(at: str, number: int, tmp_path) -> None:
    done = ambushed(tmp_path, at, number)
    assert (done.returncode, done.stdout, done.stderr) == (128 + number, "", "")
    assert not list((tmp_path / "work").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("made_of_it", ["RuntimeError('what a library says')", "OSError", "SystemExit(3)"])
def test_a_signal_that_a_library_takes_for_an_error_is_still_a_signal(made_of_it: str, tmp_path) -> None:
    done = trapped(tmp_path, "ganrun.cli.overrides:check_words", signal.SIGINT, made_of_it)
    assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_start_leaves_nothing_in_its_folder(number: int, tmp_path) -> None:
    done = trapped(tmp_path, "ganrun.training.runs:assemble", number)
    assert (done.returncode, done.stderr) == (128 + number, "")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.05, 0.3, 1.0, 2.0])
def test_a_signal_at_any_time_leaves_no_traceback_and_a_folder_that_can_be_used(delay: float, tmp_path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "ganrun", *TRAIN],
        cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(delay)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate()
    assert process.returncode in (143, -signal.SIGTERM)  # the latter before Python itself has begun
    assert said == ""
    left = {path.name for path in (tmp_path / "run").rglob("*")} if (tmp_path / "run").exists() else set()
    assert not left or "last.pt" in left


MOMENTS = {  # what `ganrun` does in place of a command, and what the process does after it
    "swallowed, and sent again": ("swallow(); swallow(); os._exit(9)", ""),
    "swallowed, and waited for": ("swallow(); time.sleep(60); os._exit(9)", ""),
    "swallowed by an import": ("import swallows", ""),
    "in a destructor": ("Falls(); os._exit(9)", ""),
    "after its end": ("", "os.kill(os.getpid(), signal.SIGTERM); os._exit(9)"),
}


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_no_signal_is_lost_and_none_is_shown(moment: str, tmp_path: Path) -> None:
    during, after = MOMENTS[moment]
    swallows = (
        "import os, signal\ntry:\n    os.kill(os.getpid(), signal.SIGTERM)\nexcept BaseException:\n    os._exit(9)\n"
    )
    (tmp_path / "swallows.py").write_text(swallows, encoding="utf-8")
    script = f"""
import os, signal, sys, time
from ganrun.cli import entry, main as cli
entry.GRACE = 1
class Falls:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
def swallow():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except KeyboardInterrupt:
        pass
def main(words):
    {during}
    return 0
cli.main = main
entry.main()
{after}
"""
    env = environment(PYTHONPATH=f"{ROOT}{os.pathsep}{tmp_path}")
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (143, "")


def test_a_signal_that_was_ignored_stays_ignored(tmp_path) -> None:
    script = (
        "import os, signal, sys\nfrom ganrun.cli import entry, main as cli\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "cli.main = lambda words: os.kill(os.getpid(), signal.SIGINT) or 7\nsys.exit(entry.main())\n"
    )
    assert subprocess.run([sys.executable, "-c", script], env=environment()).returncode == 7


def test_the_entry_imports_almost_nothing_before_its_handlers_stand() -> None:
    """Anything that it imports is a time in which Ctrl-C is a traceback."""
    script = "import sys; before = set(sys.modules); import ganrun.cli.entry; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", script], env=environment(), capture_output=True, text=True)
    assert done.stdout.split() == ["ganrun", "ganrun.cli", "ganrun.cli.entry"]


def test_a_start_that_was_killed_may_start_again_in_its_folder(tmp_path: Path, monkeypatch) -> None:
    from ganrun.cli.main import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "run/.hydra").mkdir(parents=True)
    for name in (".hydra/config.yaml", ".lock", "train.log"):
        (tmp_path / "run" / name).write_text("", encoding="utf-8")
    assert main(["train", *QUICK, "steps=1", "out=run"]) == 0
    assert main(["train", *QUICK, "steps=1", "out=run"]) == 2, "now it holds a run"


# -- streams and folders --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    done = shell("$GANRUN train --help | head -1; echo ${PIPESTATUS[0]}", tmp_path)
    assert done.stdout.splitlines()[1:] == ["0"]
    assert done.stderr == ""


@pytest.mark.slow
def test_a_run_whose_reader_leaves_goes_on_to_its_end(tmp_path: Path) -> None:
    words = " ".join(TRAIN).replace("steps=1000000", "steps=60").replace("hooks=quiet", "hooks.console.seconds=0")
    done = shell(f"$GANRUN {words} hooks.tensorboard=null | head -1; echo ${{PIPESTATUS[0]}}", tmp_path)
    assert done.stdout.splitlines()[1:] == ["0"]
    assert done.stderr == ""
    assert "finished after step 60" in (tmp_path / "run/train.log").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("closed", [">&-", ">&- 2>&- <&-"])
def test_closed_streams_are_no_error(closed: str, tmp_path: Path) -> None:
    words = " ".join(TRAIN).replace("steps=1000000", "steps=2")
    assert shell(f"$GANRUN {words} {closed}", tmp_path).returncode == 0
    assert shell(f"$GANRUN nope {closed}", tmp_path).returncode == 2
    assert b"parameters" in (tmp_path / "run/train.log").read_bytes()
    for path in tmp_path.glob("run/*.jsonl"):
        assert b"parameters" not in path.read_bytes(), "what is printed went into a file of the run"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_what_cannot_be_printed_for_want_of_space_is_a_failure(tmp_path: Path) -> None:
    done = shell("$GANRUN --help > /dev/full", tmp_path)
    assert done.returncode == 1
    assert done.stderr == "ganrun: stdout cannot be written: No space left on device\n"


@pytest.mark.slow
@pytest.mark.parametrize("command", ["train", "sample ckpt=x", "doctor", "plot run=x", "train --help --config-dir x"])
def test_in_a_folder_that_was_removed_each_command_says_so(command: str, tmp_path: Path) -> None:
    done = shell(f"mkdir gone; cd gone; rmdir ../gone; $GANRUN {command}", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("ganrun: the current folder was removed")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("command", ["--help", "--version", "info", "eval --help"])
def test_in_a_folder_that_was_removed_help_is_still_given(command: str, tmp_path: Path) -> None:
    done = shell(f"mkdir gone; cd gone; rmdir ../gone; $GANRUN {command}", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "ganrun" in done.stdout


def test_a_place_that_cannot_be_written_is_named_before_any_work(tmp_path: Path, monkeypatch, capfd) -> None:
    """A folder below a file stands for one without permission: root may write everywhere."""
    from ganrun.cli.main import main
    from ganrun.commands import evaluate, sample, synthesize
    from ganrun.commands.bench import bench

    monkeypatch.chdir(tmp_path)
    assert main(["train", *QUICK, "steps=1", "out=run"]) == 0

    def refuse(*words: object, **named: object) -> None:
        raise PermissionError(13, "Permission denied")

    def fail(*words: object, **named: object) -> None:
        raise AssertionError("it began to work")

    monkeypatch.setattr("tempfile.TemporaryDirectory", refuse)
    for room, work in ((sample, "restore"), (synthesize, "restore"), (evaluate, "Scorer"), (bench, "measure")):
        monkeypatch.setattr(room, work, fail, raising=False)
    lines = ["sample ckpt=run", "sample ckpt=run out=x.npz", "synthesize ckpt=run out=x", "eval ckpt=run out=x.json"]
    for line in (*lines, f"bench {' '.join(QUICK[:1])} out=x.json", "augment-study ckpt=run out=x"):
        capfd.readouterr()
        assert main(line.split()) == 2, line
        said = capfd.readouterr().err
        assert "cannot be written" in said, line
        assert said.count("\n") == 1
