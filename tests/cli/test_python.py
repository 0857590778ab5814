"""ganrun from Python: the same runs and pictures as from the command line, and nothing left behind."""

from __future__ import annotations

import ast
import doctest
import json
import logging
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

import ganrun
from ganrun.cli.main import main
from ganrun.cli.python import as_word

ROOT = Path(__file__).resolve().parents[2]
TINY = {"model": "mlp", "steps": 2, "precision": "fp32", "threads": 1, "hooks": "quiet", "quiet": True}
TINY |= {"dataset.limit": 64, "batch_size": 8}


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ganrun"])
    monkeypatch.setattr(sys, "path", [*sys.path])


def test_a_run_from_python_is_the_run_of_the_command_line() -> None:
    run = ganrun.train(**TINY, out="python", loss="wgan_gp")
    words = [f"{key}={value}" for key, value in TINY.items() if key != "quiet"]
    assert main(["train", *words, "out=line", "loss=wgan_gp"]) == 0
    one, two = (Path(name, "checkpoints/last.pt").read_bytes() for name in ("python", "line"))
    assert one == two
    assert (run.step, run.folder) == (2, Path("python").absolute())
    assert Path("python/.hydra/config.yaml").is_file()


def test_samples_are_those_of_the_command_line() -> None:
    run = ganrun.train(**{**TINY, "model": "cgan"}, out="run")
    assert main(["sample", "ckpt=run", "n=9", "seed=3", "labels=[1,4]", "out=x.npz"]) == 0
    drawn = run.sample(9, seed=3, labels=[1, 4], batch_size=4)
    assert drawn.dtype == torch.uint8
    assert np.array_equal(drawn.permute(0, 2, 3, 1).numpy(), np.load("x.npz")["images"])
    assert torch.equal(ganrun.load("run").sample(9, seed=3, labels=[1, 4]), drawn)
    assert not torch.equal(ganrun.load("run", weights="raw").sample(9, seed=3, labels=[1, 4]), drawn)


def test_pictures_are_translated() -> None:
    words = {"model": "restoration", "dataset": "damaged"}
    run = ganrun.train(**{**TINY, **words, "dataset.limit": 16}, out="run")
    images = torch.rand(2, 1, 16, 16) * 2 - 1
    translated = run.translate(images)
    assert translated.shape == images.shape
    assert not translated.requires_grad
    with pytest.raises(ganrun.UserError, match="translates pictures"):
        run.sample(1)
    with pytest.raises(ganrun.UserError, match="takes no pictures"):
        ganrun.train(**TINY, out="noise").translate(images)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"modle": "mlp"}, "modle: no such key"),
        ({"steps": 0}, "steps=0 must be"),
        ({"loss": ["hinge", "wgan"]}, "a run has one loss"),
        ({"optimizer.lr": -1.0}, "optimizer.lr=-1.0"),
        ({"dry_run": True}, "prints a plan"),
        ({"out": "taken"}, "out=taken is not empty"),
        ({"seed": "a, b"}, "seed=a, b must be"),
    ],
)
def test_a_mistake_is_a_user_error_and_leaves_nothing(settings: dict, said: str, tmp_path: Path) -> None:
    Path("taken").mkdir()
    Path("taken/mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ganrun.UserError, match=said):
        ganrun.train(**{**TINY, **settings})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["taken"]
    assert [path.name for path in Path("taken").iterdir()] == ["mine.txt"]


def test_a_dict_sets_keys_of_the_choice_that_a_group_has() -> None:
    own = {"lr": 1e-3, "players": {"generator": {"lr": 5e-4}}}
    inside = {"generator": {"widths": [4]}, "latent": {"size": 3}}
    run = ganrun.train(**{**TINY, "model.share_fakes": False}, optimizer=own, out="run")
    assert run.config["optimizer"]["_target_"] == "torch.optim.Adam"
    assert run.config["optimizer"]["lr"] == 1e-3
    assert run.config["optimizer"]["players"] == {"generator": {"lr": 5e-4}}
    settings = {key: value for key, value in TINY.items() if key != "model"}
    run = ganrun.train("model=mlp", **settings, model=inside, grids={"count": 4}, out="other")
    assert run.config["model"]["generator"]["widths"] == [4]
    assert (run.config["model"]["latent"]["size"], run.config["grids"]["count"]) == (3, 4)
    with pytest.raises(ganrun.UserError, match=r"optimizer\.lrr: no such key"):
        ganrun.train(**TINY, optimizer={"lrr": 1})


def test_wrong_arguments_are_user_errors() -> None:
    run = ganrun.train(**TINY, out="run")
    for wrong in ({"n": 0}, {"n": 2.5}, {"n": 1, "batch_size": 0}, {"n": 1, "labels": 3}):
        with pytest.raises(ganrun.UserError):
            run.sample(**wrong)
    with pytest.raises(ganrun.UserError, match="ema or raw"):
        ganrun.load("run", weights="best")
    with pytest.raises(ganrun.UserError, match="resume=nowhere does not exist"):
        ganrun.train(resume="nowhere")
    with pytest.raises(ganrun.UserError, match="run=nowhere"):
        ganrun.load("nowhere")


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="Windows has no SIGUSR1")
def test_a_command_line_from_python_puts_the_handler_of_sigusr1_back() -> None:
    def mine(number, frame) -> None: ...

    before = signal.signal(signal.SIGUSR1, mine)
    try:
        assert main(["train", "model=nope"]) == 2
        assert signal.getsignal(signal.SIGUSR1) is mine
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_nothing_is_left_behind(capsys: pytest.CaptureFixture[str]) -> None:
    handlers = logging.getLogger().handlers[:]
    signals = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    threads = torch.get_num_threads()
    ganrun.train(**TINY, out="run").sample(1)
    ganrun.train(resume="run", steps=3, quiet=True)
    ended = ganrun.train(resume="run", steps=3, quiet=True)
    assert ended.step == 3
    assert logging.getLogger().handlers == handlers
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == signals
    assert torch.get_num_threads() == threads
    assert capsys.readouterr().out == ""
    assert "draw more  ganrun sample ckpt=run" in Path("run/train.log").read_text(encoding="utf-8")


def test_it_works_in_a_thread() -> None:
    done: list[int] = []
    thread = threading.Thread(target=lambda: done.append(ganrun.train(**TINY, out="run").step))
    thread.start()
    thread.join()
    assert done == [2]


def test_classes_of_ones_own_are_trusted_by_the_run_that_trained_them() -> None:
    Path("mine/model").mkdir(parents=True)
    Path("mine/my_face.py").write_text(
        "from ganrun.networks.mlp import MLPGenerator\nclass Mine(MLPGenerator):\n    pass\n", encoding="utf-8"
    )
    text = (ROOT / "conf/model/mlp.yaml").read_text(encoding="utf-8")
    mine = text.replace("ganrun.networks.mlp.MLPGenerator", "my_face.Mine")
    Path("mine/model/mine.yaml").write_text(mine, encoding="utf-8")
    run = ganrun.train(**{**TINY, "model": "mine"}, out="run", config_dir="mine")
    assert type(run.generator).__name__ == "Mine"
    with pytest.raises(ganrun.UserError, match="trust=my_face"):
        ganrun.load("run")
    assert type(ganrun.load("run", trust=["my_face"]).generator).__name__ == "Mine"


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (None, "null"),
        (True, "true"),
        (1e-4, "0.0001"),
        ("dcgan", "dcgan"),
        ("a, b", "'a, b'"),
        (Path("x y"), "'x y'"),
        ([1, "a b"], "[1, 'a b']"),
        ({"lr": 0.5}, "{lr: 0.5}"),
        ("null", "'null'"),
        ("3", "'3'"),
    ],
)
def test_values_become_words(value: object, word: str) -> None:
    assert as_word(value) == word


def test_the_example_in_the_docstring_is_true() -> None:
    tests = doctest.DocTestFinder(recurse=False).find(ganrun, "ganrun")
    assert tests[0].examples
    assert doctest.DocTestRunner().run(tests[0], out=sys.stderr.write).failed == 0


def test_the_notebook_runs_from_top_to_bottom(capsys: pytest.CaptureFixture[str]) -> None:
    book = json.loads((ROOT / "docs/python.ipynb").read_text(encoding="utf-8"))
    space: dict = {}
    shown = []
    for cell in book["cells"]:
        if cell["cell_type"] == "code":
            tree = ast.parse("".join(cell["source"]))
            last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
            exec(compile(tree, "notebook", "exec"), space)
            shown.append(eval(compile(ast.Expression(last.value), "notebook", "eval"), space) if last else None)
    assert "optimizer.learning_rate: no such key; the learning rate is optimizer.lr" in capsys.readouterr().out
    assert shown[2].size == (296, 296)
    assert shown[3] == (torch.Size([8, 1, 16, 16]), True)
    assert shown[4] == (30, 30)


def test_importing_ganrun_imports_no_torch() -> None:
    shown = "print('torch' in sys.modules, sorted(set(dir(ganrun)) & {'load', 'train'}))"
    script = f"import sys, ganrun; ganrun.UserError; {shown}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "False ['load', 'train']\n", done.stderr
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        ganrun.lod  # noqa: B018


def test_numpy_numbers_and_one_name_are_what_they_are_in_python() -> None:
    run = ganrun.train(**{**TINY, "steps": np.int64(2), "optimizer.lr": np.float32(0.001)}, out="run", trust="tests")
    assert torch.equal(run.sample(np.int64(2), seed=np.int64(3)), run.sample(2, seed=3))
    for wrong in ({"n": True}, {"seed": -1}, {"seed": 1.5}, {"labels": "a"}):
        with pytest.raises(ganrun.UserError, match=f"{next(iter(wrong))}="):
            run.sample(**{"n": 1, **wrong})
    with pytest.raises(ganrun.UserError, match="must be a path"):
        ganrun.load(None)


def test_the_same_call_again_returns_the_same_run() -> None:
    call = {**TINY, "resume": "auto", "device": "cpu"}
    one, two = ganrun.train(**call, out="run"), ganrun.train(**call, out="run")
    assert (one.checkpoint, one.step) == (two.checkpoint, two.step)


def test_the_callers_random_numbers_and_threads_stay() -> None:
    torch.manual_seed(12345)  # a state that no seed of a run leaves behind
    random, threads = torch.get_rng_state(), torch.get_num_threads()
    ganrun.train(**{**TINY, "threads": 2}, out="run")
    assert torch.equal(torch.get_rng_state(), random)
    ganrun.load("run")
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.get_num_threads() == threads


def test_a_run_that_is_stopped_by_a_hook_raises(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine/hooks").mkdir(parents=True)
    Path("mine/my_stop.py").write_text(
        "from ganrun.training.hooks.hook import Hook\nclass Stop(Hook):\n"
        "    def on_step(self, trainer, record):\n        trainer.control.stop('broken', 1)\n",
        encoding="utf-8",
    )
    Path("mine/hooks/stop.yaml").write_text("stop: {_target_: my_stop.Stop}\n", encoding="utf-8")
    words = ["+hooks.stop._target_=my_stop.Stop"]
    with pytest.raises(ganrun.UserError, match="the run was stopped"):
        ganrun.train(*words, **{**TINY, "hooks": "default"}, out="run", config_dir="mine")
    assert "Error executing job" not in capsys.readouterr().err
    assert ganrun.load("run").step == 1


def test_a_moved_module_is_found_without_ganruns_config() -> None:
    script = "from ganrun.hooks.hook import Hook; print(Hook.__module__)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "ganrun.training.hooks.hook\n", done.stderr
