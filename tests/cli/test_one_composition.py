"""A command line is composed once, and its run gets from Hydra what Hydra's own main would give it."""

from __future__ import annotations

import sys
import threading
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl

from ganrun.checkpoints.load import load_checkpoint
from ganrun.checkpoints.restore import load_system
from ganrun.cli.hydra_main import hand_to_hydra
from ganrun.cli.main import main
from ganrun.cli.overrides import read_command_line
from ganrun.commands.train import train
from ganrun.systems.system import System
from ganrun.training import runs
from ganrun.training.planning.systems import Systems

QUICK = ["model=mlp", "steps=1", "precision=fp32", "threads=1", "dataset.limit=64", "batch_size=8", "hooks=quiet"]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ganrun"])


@pytest.fixture
def compositions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The pages that Hydra composes from here on."""
    seen: list[str] = []
    compose = ConfigLoaderImpl.load_configuration

    def counted(self, config_name, *arguments, **options):
        seen.append(config_name)
        return compose(self, config_name, *arguments, **options)

    monkeypatch.setattr(ConfigLoaderImpl, "load_configuration", counted)
    return seen


def test_a_run_a_resumed_run_and_a_drawing_are_composed_once_each(compositions: list[str]) -> None:
    assert main(["train", *QUICK, "out=run", "loss=wgan_gp", "optimizer.lr=1e-3"]) == 0
    assert compositions == ["train"]
    compositions.clear()
    assert main(["train", "resume=run", "steps=2"]) == 0
    assert compositions == ["train"]
    compositions.clear()
    assert main(["sample", "ckpt=run", "n=4"]) == 0
    assert compositions == ["sample"]


LINES = [
    ["loss=wgan_gp", "optimizer.lr=1e-3", "steps=3"],
    ["experiment=t1_mlp", "kimg=2", "+hooks.extra=null"],
    ["dataset.limit=9", "optimizer=adam_ttur", "optimizer.players.generator.lr=1e-5"],
    ["hydra.verbose=true", "model=cgan", "hydra/job_logging=default"],
]


@pytest.mark.parametrize("words", LINES, ids=lambda words: words[0])
def test_the_one_composition_is_what_hydra_itself_would_compose(words: list[str]) -> None:
    request = read_command_line("train", words)
    list(request.configs())
    mine = request.composition().config
    theirs: list = []

    def job(cfg) -> None:
        from hydra.core.hydra_config import HydraConfig

        theirs.extend([cfg, HydraConfig.get().runtime.choices, HydraConfig.get().overrides.task])

    hand_to_hydra("train", job, [*request.argv, "hydra.output_subdir=null", "hydra.run.dir=."])
    assert {key: mine._get_node(key) for key in mine if key != "hydra"} == {
        key: theirs[0]._get_node(key) for key in theirs[0]
    }
    assert mine.hydra.runtime.choices == theirs[1]
    assert sorted(mine.hydra.overrides.task) == sorted(theirs[2])


def test_a_line_keeps_the_order_of_its_words() -> None:
    words = ["seed=1", "loss=hinge", "steps=3", "model=mlp", "optimizer.lr=1e-3"]
    request = read_command_line("train", words)
    assert request.overrides[: len(words)] == words
    (config,) = request.configs()
    assert (config["seed"], config["loss"]["_target_"].split(".")[-1]) == (1, "Hinge")
    assert list(request.composition().config.hydra.overrides.task)[: len(words)] == words


def test_what_was_composed_is_written_beside_the_run(tmp_path: Path) -> None:
    assert main(["train", *QUICK, "out=run"]) == 0
    written = {path.name: yaml.safe_load(path.read_text()) for path in (tmp_path / "run/.hydra").iterdir()}
    assert written.keys() == {"config.yaml", "hydra.yaml", "overrides.yaml"}
    assert written["config.yaml"]["steps"] == 1
    assert "hydra" not in written["config.yaml"]
    assert set(QUICK) < set(written["overrides.yaml"])
    assert written["hydra.yaml"]["hydra"]["runtime"]["choices"]["model"] == "mlp"


def test_what_hydra_cannot_set_up_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *QUICK, "out=run", "hydra/job_logging=disabled"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("ganrun: hydra's own settings: ")
    assert len(said.splitlines()) == 1


def test_a_callback_of_the_users_is_told(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "mine/hydra/callbacks").mkdir(parents=True)
    (tmp_path / "mine/my_callback.py").write_text(
        "from hydra.experimental.callback import Callback\n"
        "class Say(Callback):\n"
        "    def on_job_start(self, config, **more): print('before', config.steps)\n"
        "    def on_run_end(self, config, **more): print('after')\n"
    )
    (tmp_path / "mine/hydra/callbacks/say.yaml").write_text("say: {_target_: my_callback.Say}\n")
    assert main(["train", *QUICK, "out=run", "hydra/callbacks=say", "--config-dir", "mine"]) == 0
    said = capsys.readouterr().out
    assert said.index("before 1") < said.index("after")


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The devices on which systems are built from here on."""
    seen: list[str] = []
    build = System.__init__

    def counted(self, *arguments, **options):
        seen.append(torch.empty(0).device.type)
        build(self, *arguments, **options)

    monkeypatch.setattr(System, "__init__", counted)
    return seen


def test_a_run_builds_its_system_once_for_the_plan_and_once_for_real(builds: list[str]) -> None:
    """Trial steps and measurements play with copies; a resumed run is planned with what was compared with its file."""
    assert main(["train", *QUICK, "out=run", "precision=auto", "threads=null"]) == 0
    assert builds == ["meta", "cpu"]
    builds.clear()
    assert main(["train", *QUICK, "dry_run=true"]) == 0
    assert builds == ["meta", "cpu"]
    Path("outputs").mkdir()
    Path("run").rename("outputs/run")
    for steps, words in enumerate((["resume=outputs/run"], ["resume=last"], ["resume=auto", "out=outputs/run"]), 2):
        builds.clear()
        assert main(["train", *(QUICK if "resume=auto" in words else []), *words, f"steps={steps}"]) == 0
        assert builds == ["meta", "cpu"], words


def test_a_checkpoint_that_was_compared_with_its_config_is_not_compared_again(builds: list[str]) -> None:
    assert main(["train", *QUICK, "out=run"]) == 0
    builds.clear()
    assert main(["sample", "ckpt=run", "n=2", "device=cpu", "threads=1", "out=x.png"]) == 0
    assert builds == ["meta", "meta", "cpu"], "the check reads the file, and the command reads it as it is then"
    state = load_checkpoint("run", "ckpt")
    builds.clear()
    load_system({**state})  # another state, of which nothing is known
    assert builds == ["meta", "cpu"]


def test_a_checkpoint_that_was_replaced_after_the_check_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["train", *QUICK, "out=run"]) == 0
    assert main(["train", *QUICK, "out=ahead", "steps=3"]) == 0
    check = train.check

    def overtaken(config, folder):
        checked = check(config, folder)
        Path("ahead/checkpoints/last.pt").replace("run/checkpoints/last.pt")
        return checked

    monkeypatch.setattr(train, "check", overtaken)
    began: list[int] = []
    monkeypatch.setattr(runs, "finishing_on_signals", lambda trainer: began.append(trainer.step) or nullcontext())
    assert main(["train", "resume=run", "steps=4"]) == 0
    assert began == [3]


def test_what_cannot_be_copied_is_built_again(tiny) -> None:
    systems = Systems(tiny("model=mlp"))
    systems.copy()
    assert systems.real is not None
    systems.real.lock = threading.Lock()
    other = systems.copy()
    weights = zip(systems.take().parameters(), other.parameters(), strict=True)
    assert all(torch.equal(one, two) and one is not two for one, two in weights)


@pytest.mark.parametrize("word", ["out=a,b", "dry_run=true,false", "resume=auto,null"])
def test_what_the_jobs_of_a_sweep_share_is_not_swept(word: str, tmp_path: Path, capsys) -> None:
    assert main(["train", "-m", *QUICK, word]) == 2
    assert capsys.readouterr().err.startswith(f"ganrun: {word.partition('=')[0]}")
    assert not list(tmp_path.iterdir())
