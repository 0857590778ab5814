"""The folder one stands in, the environment and a foreign run folder: none of them is code, none of them leaks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import QUICK, SMALL
from payloads import changed, write

from ganrun.cli.main import main
from tests.waiting import HANG

ROOT = Path(__file__).resolve().parents[2]
CANARY = "open({!r}, 'w')\n"


def installed(here: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`ganrun` as pip installs it: a script elsewhere (`python -m ganrun` would look around here first)."""
    script = here.parent / "bin/ganrun"
    script.parent.mkdir(exist_ok=True)
    script.write_text("import sys\nfrom ganrun.cli.main import main\nsys.exit(main())\n")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(
        [sys.executable, str(script), *words], cwd=here, env=env, capture_output=True, text=True, timeout=HANG
    )


def test_modules_that_lie_in_the_current_folder_are_not_imported(here: Path) -> None:
    canary = str(here.parent / "canary")
    for name in ("torch", "ganrun", "hydra", "numpy", "PIL", "sitecustomize", "tqdm", "yaml"):
        (here / f"{name}.py").write_text(CANARY.format(canary))
    for place in ("hydra_plugins/evil", "conf", ".hydra"):
        (here / place).mkdir(parents=True)
        (here / place / "__init__.py").write_text(CANARY.format(canary))
    (here / "conf/train.yaml").write_text("steps: 77\n")
    done = installed(here, "train", "model=mlp", *QUICK, *SMALL, "out=run")
    assert done.returncode == 0, done.stderr
    assert not Path(canary).exists()


def test_hydras_allow_list_in_the_environment_opens_nothing(good: dict[str, Any], here: Path) -> None:
    canary = here / "canary"
    write(changed(good, "config.model", {"_target_": "os.system", "_args_": [f"touch {canary}"]}), here / "a.pt")
    done = installed(
        here, "sample", "ckpt=a.pt", "device=cpu", HYDRA_INSTANTIATE_ALLOWLIST_OVERRIDE="os.system:builtins.exec:*"
    )
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert not canary.exists()


def test_secrets_of_the_environment_are_in_no_file_of_a_run(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "hunter2-hunter2")
    assert main(["train", "model=mlp", *QUICK, *SMALL, "out=run"]) == 0
    assert main(["sample", "ckpt=run", "n=2", "device=cpu", "out=made.png"]) == 0
    for path in here.rglob("*"):
        assert not path.is_file() or b"hunter2-hunter2" not in path.read_bytes(), path


def test_an_interpolation_in_a_checkpoint_tells_no_secret(
    good: dict[str, Any], here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SECRET", "hunter2-hunter2")
    for number, place in enumerate(("dataset.root", "hooks.console.seconds", "model.generator.leak")):
        write(changed(good, f"config.{place}", "${oc.env:SECRET}"), here / f"{number}.pt")
        assert main(["train", f"resume={number}.pt", "steps=3"]) == 2
        assert main(["sample", f"ckpt={number}.pt", "device=cpu", "out=made.png"]) == 2
    printed = capfd.readouterr()
    assert "hunter2" not in printed.out + printed.err
    for path in here.rglob("*"):
        assert not path.is_file() or b"hunter2-hunter2" not in path.read_bytes(), path


def test_the_yaml_of_a_foreign_run_is_never_read(good_run: Path, here: Path) -> None:
    """An alias bomb, a call, a list 2000 deep and 100 MB: a run goes on from its checkpoint alone."""
    shutil.copytree(good_run, here / "run")
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n"
    for one, two in zip("abcdefghijk", "bcdefghijkl", strict=True):
        bomb += f"{two}: &{two} [{', '.join([f'*{one}'] * 9)}]\n"
    (here / "run/.hydra/config.yaml").write_text(bomb)
    (here / "run/.hydra/overrides.yaml").write_text("[" * 2000 + "]" * 2000)
    (here / "run/.hydra/hydra.yaml").write_text(f"!!python/object/apply:os.mkdir ['{here / 'canary'}']\n")
    with open(here / "run/status.json", "wb") as file:
        file.truncate(100 * 10**6)
    assert main(["train", "resume=run", "steps=2", "device=cpu"]) == 0
    assert main(["sample", "ckpt=run", "n=2", "device=cpu", "out=made.png"]) == 0
    assert not (here / "canary").exists()


def test_a_foreign_folder_that_holds_something_is_not_written_into(here: Path, refused: Callable[..., str]) -> None:
    (here.parent / "theirs").mkdir()
    (here.parent / "theirs/thesis.txt").write_text("years of work")
    assert "is not empty" in refused("train", "model=mlp", *QUICK, *SMALL, f"out={here.parent / 'theirs'}")
    assert [path.name for path in (here.parent / "theirs").iterdir()] == ["thesis.txt"]


def test_hydras_rerun_which_opens_a_pickle_is_refused(here: Path, refused: Callable[..., str]) -> None:
    (here / "x.pickle").write_bytes(b"cos\nsystem\n(S'touch canary'\ntR.")
    assert "opens a pickle" in refused("train", "--experimental-rerun", "x.pickle")
    assert not (here / "canary").exists()
