"""The command line, as a user meets it: real configs, real commands, one line for each mistake."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganrun.checkpoints import checkpoint
from ganrun.cli import overrides
from ganrun.cli.main import main
from ganrun.commands import command
from ganrun.common.errors import UserError
from tests.same import differences
from tests.trained import trained
from tests.waiting import HANG, until

QUICK = ["dataset.limit=64", "batch_size=8", "grids.count=4", "log.every=2", "device=cpu", "model=mlp", "steps=4"]
QUICK += ["model.generator.widths=[8]", "model.discriminator.widths=[8]", "hooks.console.seconds=0"]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ganrun"])
    return tmp_path


@pytest.fixture
def run(in_an_empty_folder: Path) -> Path:
    return trained(*QUICK)


def ganrun(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A process of its own, as from a shell."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(
        [sys.executable, "-m", "ganrun", *words], cwd=cwd, env=env, capture_output=True, text=True, timeout=HANG
    )


# -- train ----------------------------------------------------------------------------------------------------------


def test_a_run_leaves_what_the_readme_promises(run: Path) -> None:
    names = {str(path.relative_to(run)) for path in run.rglob("*")}
    assert {
        ".hydra/config.yaml", "checkpoints/last.pt", "grids/step_000001.png", "grids/step_000004.png", "grids/real.png",
        "metrics.jsonl", "status.json", "train.log",
    } <= names  # fmt: skip
    assert any(name.startswith("events.out.tfevents") for name in names)
    assert json.loads((run / "status.json").read_text()) == {"state": "finished", "step": 4, "reason": None}
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 4]
    assert {"discriminator/adversarial", "discriminator/gradient_norm", "generator/gradient_norm"} <= lines[0].keys()
    with Image.open(run / "grids" / "step_000004.png") as grid:
        assert grid.text == {"step": "4", "images": "32", "seed": "0", "columns": "2", "rows": "2"}


def test_tensorboard_has_every_number_the_grids_and_the_config(run: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run))
    events.Reload()
    tags = events.Tags()
    logged = {"discriminator/adversarial", "generator/adversarial", "generator/gradient_norm"}
    assert logged | {"run/images_per_second", "run/memory_MiB"} <= set(tags["scalars"])
    assert tags["images"] == ["grid"]
    assert "config/text_summary" in tags["tensors"]
    assert [point.step for point in events.Scalars("generator/adversarial")] == [1, 2, 4]


def test_resume_goes_on_in_the_same_folder_as_if_it_had_never_stopped(run: Path, tmp_path: Path) -> None:
    assert main(["train", f"resume={run}", "steps=8"]) == 0
    assert main(["train", *QUICK[:-4], *QUICK[-3:], "steps=8", "out=whole"]) == 0
    whole = tmp_path / "whole"
    assert (run / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    assert (run / "grids/step_000008.png").read_bytes() == (whole / "grids/step_000008.png").read_bytes()
    a, b = (checkpoint.load(folder / "checkpoints/last.pt") for folder in (run, whole))
    assert differences(a, b) == []
    assert (run / ".hydra" / "overrides.yaml").read_text().count("steps=4") == 1, "the first run's record is kept"


def test_the_total_length_changes_nothing_else(tmp_path: Path) -> None:
    for steps, out in ((4, "short"), (6, "long")):
        assert main(["train", *QUICK, f"steps={steps}", f"out={out}", "checkpoint.every=4"]) == 0
    short = checkpoint.load(tmp_path / "short/checkpoints/last.pt")
    long = checkpoint.load(tmp_path / "long/checkpoints/step_000004.pt")
    assert differences(short["system"], long["system"]) == []
    assert differences(short["average"], long["average"]) == []


def test_a_job_of_a_sweep_equals_the_same_job_alone(tmp_path: Path) -> None:
    quick = [word for word in QUICK if "widths" not in word and "model=" not in word]
    sweep = ["-m", "model=mlp,dcgan", "loss=non_saturating,hinge", *quick, "out=sweep"]
    assert main(["train", *sweep]) == 0
    folders = sorted(path.name for path in (tmp_path / "sweep").iterdir() if path.is_dir())
    assert folders == ["0-mlp-non_saturating", "1-mlp-hinge", "2-dcgan-non_saturating", "3-dcgan-hinge"]
    assert main(["train", "model=dcgan", "loss=hinge", *quick, "out=alone"]) == 0
    swept = checkpoint.load(tmp_path / "sweep/3-dcgan-hinge/checkpoints/last.pt")
    alone = checkpoint.load(tmp_path / "alone/checkpoints/last.pt")
    assert differences(swept, alone) == []


def test_the_default_place_is_named_after_model_and_loss(tmp_path: Path) -> None:
    assert main(["train", *QUICK, "loss=hinge"]) == 0
    (folder,) = (tmp_path / "outputs" / "mlp-hinge").iterdir()
    assert (folder / "checkpoints/last.pt").exists()
    assert main(["train", "resume=last", "steps=5"]) == 0
    assert (folder / "grids/step_000005.png").exists()


def test_fine_tuning_starts_from_the_averaged_weights_of_another_run(run: Path, tmp_path: Path) -> None:
    assert main(["train", *QUICK, f"init_from={run}", "out=tuned", "optimizer.lr=1e-30"]) == 0
    old = checkpoint.load(run / "checkpoints/last.pt")["average"]
    new = checkpoint.load(tmp_path / "tuned/checkpoints/last.pt")["average"]
    assert all(torch.allclose(old[name], new[name]) for name in old)


def test_a_dry_run_says_the_plan_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "experiment=t1_mlp", "dataset=digits", "dataset.image_size=28", "dry_run=true"]) == 0
    said = capsys.readouterr().out
    assert "generator 1,486,352" in said
    assert "discriminator 533,505" in said
    assert "100.0 epochs" in said
    assert not list(tmp_path.iterdir())


def test_a_users_own_yaml_and_class_work_by_name(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine" / "loss").mkdir(parents=True)
    (tmp_path / "my_loss_of_this_test.py").write_text(
        "from ganrun.losses.adversarial import Hinge\nclass Mine(Hinge):\n    '''Mine.'''\n"
    )
    (tmp_path / "mine/loss/mine.yaml").write_text("# My own loss\n_target_: my_loss_of_this_test.Mine\n")
    (tmp_path / "mine/loss/hinge.yaml").write_text("# Never reached\n_target_: nowhere.Nothing\n")
    assert main(["train", "--config-dir", "mine", "loss=mine", *QUICK, "out=run"]) == 0
    assert "hinge.yaml has the name of one of ganrun's own" in capfd.readouterr().err
    assert main(["train", "--config-dir", "mine", "--help"]) == 0
    assert "My own loss" in capfd.readouterr().out
    # what lies in a checkpoint is data: its own class is only built when it is trusted by name
    assert main(["train", "resume=run", "steps=6"]) == 2
    assert "trust=my_loss_of_this_test" in capfd.readouterr().err
    assert main(["train", "resume=run", "steps=6", "trust=my_loss_of_this_test", "--config-dir", "mine"]) == 0
    assert main(["sample", "ckpt=run"]) == 0, "drawing needs no loss"


def test_a_run_that_breaks_keeps_its_last_good_checkpoint(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = [word for word in QUICK if not word.startswith(("steps", "log"))]
    broken = ["loss=lsgan", "optimizer=sgd", "optimizer.lr=100", "log.every=1000", "out=run"]
    assert main(["train", *words, *broken, "steps=40", "checkpoint.every=1"]) == 1
    assert "not a finite number" in capfd.readouterr().err
    assert json.loads((tmp_path / "run/status.json").read_text())["state"] == "failed"
    state = checkpoint.load(tmp_path / "run/checkpoints/last.pt")
    assert all(torch.isfinite(tensor).all() for tensor in state["system"].values())


def test_resuming_a_run_at_its_end_says_so_and_changes_nothing(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert main(["train", f"resume={run}"]) == 0
    assert "has already reached its end, step 4" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_run_resumed_from_an_older_checkpoint_forgets_the_newer_ones(tmp_path: Path) -> None:
    assert main(["train", *QUICK, "steps=6", "checkpoint.every=2", "checkpoint.keep=9", "out=run"]) == 0
    assert main(["train", "resume=run/checkpoints/step_000002.pt", "steps=3"]) == 0
    names = sorted(path.name for path in (tmp_path / "run/checkpoints").iterdir())
    assert names == ["last.pt", "step_000002.pt", "step_000003.pt"]


def test_fine_tuning_may_change_the_loss(run: Path) -> None:
    assert main(["train", *QUICK, f"init_from={run}", "loss=lecam", "out=tuned"]) == 0


def test_unreadable_pictures_are_named_in_the_plan_and_in_the_log(tmp_path: Path) -> None:
    for number in range(9):
        Image.new("L", (16, 16), number).save(tmp_path / f"{number}.png")
    (tmp_path / "broken.png").write_bytes(b"nothing")
    folder = ["dataset=folder", f"dataset.root={tmp_path}"]
    assert main(["train", *[word for word in QUICK if "limit" not in word], *folder, "out=run"]) == 0
    assert "broken.png" in (tmp_path / "run/train.log").read_text()


# -- who wins -------------------------------------------------------------------------------------------------------


def composed(*words: str) -> dict:
    (config,) = overrides.read_command_line("train", list(words)).configs()
    return config


def test_a_loss_brings_its_papers_settings() -> None:
    config = composed("model=dcgan", "loss=wgan_gp")
    assert (config["optimizer"]["lr"], config["optimizer"]["betas"]) == (1e-4, [0.0, 0.9])
    assert config["model"]["discriminator"]["norm"] == "none"
    assert config["loss"]["discriminator_steps"] == 5
    assert composed("model=mlp")["optimizer"]["betas"] == [0.9, 0.999], "the model's, where the loss has none"
    assert composed("model=mlp", "loss=wgan_gp")["optimizer"]["betas"] == [0.0, 0.9], "the loss's before the model's"


def test_an_optimizer_by_name_wins_over_the_loss_and_the_command_line_over_all() -> None:
    named = composed("loss=wgan_gp", "optimizer=rmsprop")["optimizer"]
    assert named["_target_"] == "torch.optim.RMSprop"
    assert "betas" not in named
    config = composed("loss=wgan_gp", "optimizer=adam", "optimizer.lr=0.5", "model.discriminator.norm=layer")
    assert config["optimizer"]["lr"] == 0.5
    assert config["model"]["discriminator"]["norm"] == "layer"


def test_an_experiment_wins_over_the_loss_and_loses_to_the_command_line() -> None:
    config = composed("experiment=t3_dcgan28", "loss=wgan_gp")
    assert config["optimizer"]["betas"] == [0.5, 0.999]
    assert config["steps"] == 4000
    config = composed("experiment=t3_dcgan28", "epochs=2", "batch_size=16")
    assert (config["steps"], config["epochs"], config["batch_size"]) == (None, 2, 16)


def test_a_rate_for_every_player_and_a_rate_for_one() -> None:
    own = composed("optimizer.lr=1e-3", "optimizer.players.generator.lr=1e-5")["optimizer"]
    assert (own["lr"], own["players"]) == (1e-3, {"generator": {"lr": 1e-5}})
    ttur = composed("optimizer=adam_ttur", "optimizer.lr=1e-3")["optimizer"]
    assert ttur["players"]["discriminator"]["lr"] == pytest.approx(4e-3), "lr moves both, their ratio stays"


def test_gamma_follows_image_size_and_batch() -> None:
    assert composed("loss=r1")["loss"]["penalties"]["r1"]["gamma"] == 10
    large = composed("loss=r1", "dataset.image_size=256", "batch_size=32")
    assert large["loss"]["penalties"]["r1"]["gamma"] == pytest.approx(2e-4 * 256**2 / 32)
    assert composed("loss=r1", "loss.penalties.r1.gamma=3")["loss"]["penalties"]["r1"]["gamma"] == 3


# -- sample ---------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes_whatever_the_batch_size(run: Path, tmp_path: Path) -> None:
    for out, words in {"a.png": [], "b.png": ["batch_size=3"], "c.png": ["seed=1"], "d.png": ["weights=raw"]}.items():
        assert main(["sample", f"ckpt={run}", "n=8", f"out={out}", *words]) == 0
    a, b, c, d = ((tmp_path / name).read_bytes() for name in ("a.png", "b.png", "c.png", "d.png"))
    assert a == b
    assert a != c
    assert a != d


def test_samples_as_npz_and_as_a_folder_are_the_same_pictures(run: Path, tmp_path: Path) -> None:
    assert main(["sample", f"ckpt={run}", "n=5", "out=s.npz"]) == 0
    assert main(["sample", f"ckpt={run}/checkpoints/last.pt", "n=5", "out=folder"]) == 0
    pictures = np.load(tmp_path / "s.npz")["images"]
    assert pictures.shape == (5, 16, 16, 1)
    assert pictures.dtype == np.uint8
    files = sorted((tmp_path / "folder").iterdir())
    assert [path.name for path in files] == [f"{n:06d}.png" for n in range(5)]
    for picture, file in zip(pictures, files, strict=True):
        assert np.array_equal(np.asarray(Image.open(file)), picture[:, :, 0])


@pytest.mark.slow
def test_sampling_needs_no_data_and_no_yaml(run: Path, tmp_path: Path) -> None:
    """The checkpoint alone, in another folder, by another process."""
    alone = tmp_path / "elsewhere"
    alone.mkdir()
    (run / "checkpoints/last.pt").rename(alone / "epoch=3 (best).pt")
    done = ganrun("sample", "ckpt=epoch=3 (best).pt", "n=4", "out=x.png", cwd=alone)
    assert done.returncode == 0, done.stderr
    assert (alone / "x.png").exists()


# -- showing --------------------------------------------------------------------------------------------------------


def test_help_lists_every_choice_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    from ganrun.config.tree import group_choices

    assert main(["train", "--help"]) == 0
    said = capsys.readouterr().out
    for group, choices in group_choices().items():
        assert f"{group}=" in said
        for name, text in choices.items():
            assert "/" in name or (name in said and text in said)


def test_cfg_job_shows_the_outcome(tmp_path: Path) -> None:
    done = ganrun("train", "loss=wgan_gp", "--cfg", "job", "--resolve", cwd=tmp_path)
    assert done.returncode == 0
    assert "norm: none" in done.stdout
    assert "${" not in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("words", [["--info", "defaults"], ["--hydra-help"]])
def test_hydras_own_flags_work(words: list[str], tmp_path: Path) -> None:
    done = ganrun("train", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "expected"),
    [("ganrun tr", "train"), ("ganrun train loss=wg", "loss=wgan_gp"), ("ganrun sample we", "weights=")],
)
def test_the_shell_completes_commands_groups_and_keys(line: str, expected: str, tmp_path: Path) -> None:
    done = ganrun("--shell-completion", "query=bash", cwd=tmp_path, COMP_LINE=line)
    assert expected in done.stdout.split(), done


def test_version_and_info(capsys: pytest.CaptureFixture[str]) -> None:
    from ganrun import __version__

    assert main(["--version"]) == 0
    assert main(["info"]) == 0
    said = capsys.readouterr().out
    assert f"ganrun {__version__}" in said
    assert "torchvision" in said
    assert "cpu, " in said


@pytest.mark.parametrize(
    "words",
    [["--help"], ["train", "--help"], ["--version"], ["trian"], ["train", "modle=mlp"], ["train", "model=nope"],
     ["train", "lr=1"], ["train", "steps=0"], ["sample"], ["train", "--cfg", "job"], ["sample", "ckpt=nowhere"],
     ["train", "resume=nowhere"], ["bench", "--help"], ["bench", "bench.rounds=0"],
     ["doctor", "--help"], ["doctor", "doctor.steps=0"], ["plot", "--help"], ["plot"]],
    ids=" ".join,
)  # fmt: skip
def test_help_and_mistakes_come_at_once_without_torch(words: list[str], tmp_path: Path) -> None:
    script = (
        "import sys; sys.argv[1:] = sys.argv[1:]; from ganrun.cli.main import main\n"
        "code = main(); assert 'torch' not in sys.modules, 'torch was imported'; sys.exit(code)"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script, *words], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode in (0, 2), done.stderr
    assert "Traceback" not in done.stderr


# -- mistakes -------------------------------------------------------------------------------------------------------

REAL = "train dataset=damaged dataset.damage=real_world dataset.damages.real_world"
MISTAKES = {
    # the words themselves
    "trian": "nearest: train",
    "train modle=mlp": "nearest: model",
    "train model=mpl": "nearest: mlp",
    "train lr=0.1": "did you mean optimizer.lr",
    "train optimizer.lrr=0.1": "nearest: lr",
    "train +foo=1": "foo: no such key",
    "train --batch-size 3": "--help shows",
    "train steps": "key=value",
    "train loss=hinge,wgan": "-m",
    "train --config-dir nowhere": "no such folder",
    "train model.generator.widths=[3]": "widths",
    "train +model.generator.foo=3": "has no such setting",
    "train ~seed": "cannot be taken away",
    # values
    "train steps=10 epochs=2": "one length",
    "train steps=0": "steps=0",
    "train steps=-5": "steps=-5",
    "train kimg=nan": "kimg=nan",
    "train minutes=soon": "minutes=soon",
    "train batch_size=0": "batch_size=0",
    "train batch_size=many": "batch_size=many",
    "train batch_size=2000": "larger than the data: 1797",
    "train seed=x": "seed=x",
    "train seed=-1": "seed=-1",
    "train optimizer.lr=fast": "optimizer.lr=fast",
    "train optimizer.lr=nan": "optimizer.lr=nan",
    "train optimizer.lr=-1": "optimizer.lr=-1",
    "train optimizer.players.generator.lr=x": "optimizer.players.generator.lr=x",
    "train optimizer.players.critic.lr=1": "['discriminator', 'generator']",
    "train optimizer.beta=1": "nearest: betas",
    "train precision=fp16": "nearest: bf16, fp32",
    "train device=gpu": "device=gpu",
    "train device=cuda:99": "device=auto",
    "train threads=0": "threads=0",
    "train checkpoint.every=0": "checkpoint.every=0",
    "train checkpoint.keep=0": "checkpoint.keep=0",
    "train average.half_life=-1": "average.half_life=-1",
    "train loss.discriminator_steps=0": "discriminator_steps=0",
    "train schedule=linear minutes=1": "steps, epochs or kimg",
    "train schedule=linear optimizer.schedule.start=2": "start=2",
    # parts that do not fit
    "train dataset.image_size=13": "image_size=13",
    "train loss=wgan_gp model.discriminator.norm=batch": "model.discriminator.norm=none",
    "train model.discriminator.norm=bath": "batch",
    "train dataset.classes=3": "classes=3",
    "train dataset.limit=0": "limit=0",
    "train model=null": "no such choice",
    "train model.generator.base_channels=-4": "model.generator",
    "train model.generator.latent_size=7": "do not fit each other",
    "train hooks.console.seconds=fast": "hooks.console",
    "train -m optimizer.lr=interval(1e-4,1e-3)": "does not support sweep type",
    "train experiment=mnist_dcgan dataset=digits dataset.image_size=28 loss=hinge": "_target_",
    "train +hooks.mine={_target_:nowhere.Thing}": "cannot be imported",
    "train init_from=a_file": "not a checkpoint",
    "train init_from=mlp.pt model=dcgan": "its networks differ",
    # data
    "train dataset=folder": "dataset.root",
    "train dataset=folder dataset.root=nowhere": "nowhere",
    "train dataset=folder dataset.root=empty": "empty",
    "train dataset=folder dataset.root=flat dataset.labelled=true": "labelled",
    "train dataset=folder dataset.root=flat dataset.split=train": "train",
    "train dataset=folder dataset.root=flat dataset.labels=nowhere.csv": "there is no such file, neither",
    "train dataset=folder dataset.root=flat dataset.labels=others.csv": "the rows name 'b.png', the images 'a.png'",
    "train model=srgan_vgg": "model.perceptual.weights is needed",
    "train model=srgan_vgg model.perceptual.weights=nowhere": "model.perceptual.weights=nowhere: there is no such file",
    "train model=srgan_vgg model.perceptual.weights=a_file": "cannot be opened as the state dict of torchvision",
    "train model=fewshot model.reconstruction._target_=ganrun.networks.perceptual.VGGDistance "
    "+model.reconstruction.weights=nowhere": "model.reconstruction.weights=nowhere: there is no such file",
    "train model=srgan dataset=digits": "use dataset=low_res, or dataset=paired dataset.scale=2",
    "train dataset=mnist dataset.root=nowhere": "dataset.download=true",
    "train profile=-1": "profile=-1",
    # bench
    "bench bench.rounds=0": "bench.rounds=0",
    "bench bench.seconds=0": "bench.seconds=0",
    "bench bench.naive=perhaps": "bench.naive=perhaps",
    "bench bench.step=-1": "bench.step=-1",
    "bench steps=10 epochs=2": "one length",
    "bench loss=wgan_gp model.discriminator.norm=batch": "model.discriminator.norm=none",
    "doctor doctor.steps=0": "doctor.steps=0 must be a whole number",
    "train watchdog.action=shout": "watchdog.action=shout must be warn | stop | rollback",
    "train hooks.watchdog.symptoms.mode_collapse.leest=1": "no such key",
    "bench resume=last": "bench starts from new weights",
    "bench out=x.txt": "must be a file that ends in .json",
    "bench out=nowhere/x.json": "there is no folder nowhere",
    # more of train
    "info foo": "info takes no words, but got 'foo': give it none",
    "train resume=auto": "out=FOLDER",
    "train out=taken resume=auto": "holds other files and no run",
    "train non_finite.policy=explode": "must be stop | skip | rollback",
    "train non_finite.limit=0": "non_finite.limit=0 must be",
    "train checkpoint.keep_kimg=0": "checkpoint.keep_kimg=0 must be",
    "train checkpoint.keep_kimg=x": "checkpoint.keep_kimg=x must be",
    "train hydra.run.dir=x": "out=FOLDER",
    "train augmentation=foo": "there is: ada, diffaugment",
    "train model=gman optimizer.players.discriminator.lr=1": "optimizer.players.discriminators.lr=",
    "train model=cyclegan optimizer=adam_ttur": "optimizer.players.discriminators.lr=",
    "train model=gman loss=r1 model.discriminators.first.norm=batch": "model.discriminators.first.norm=none",
    "train model=cyclegan loss=r1 model.discriminator_a.norm=batch": "model.discriminator_a.norm=none",
    "train dataset=damaged dataset.damage=fog": "must be one of noise",
    f"{REAL}.parts.last.parts.sinc.p=1.5": "last.parts.sinc.p=1.5 must be a number from 0 to 1",
    f"{REAL}.parts.first.parts.resize._target_=ganrun.data.resizing.Resize": "nearest: RandomResize",
    f"{REAL}.parts.size._target_=ganrun.data.resizing.RandomResize": "parts end at random sizes, but factor=1 needs 1",
    f"{REAL}.factor=0": "real_world.factor=0 must be",
    "train dataset=paired dataset.root_source=flat": "dataset.root_target is needed",
    "train dataset=paired model=dcgan": "needs image, but the data give source, target",
    "train dataset=unpaired dataset.class_a=cat": "dataset.root_a: give that too",
    "train model=cgan dataset=folder dataset.root=flat batch_size=1": "needs labelled data",
    "train model=pix2pix dataset=digits": "use dataset=damaged or dataset=paired",
    # places
    "train out=taken": "not empty",
    "train out=a_file/run": "cannot be written",
    "train resume=nowhere": "does not exist",
    "train resume=empty": "not the folder of a run",
    "train resume=a_file": "not a checkpoint",
    "train resume=last": "no run with a checkpoint",
    "train resume=empty model=mlp": "keeps its own config",
    "train init_from=nowhere": "does not exist",
    # sample
    "sample": "ckpt is needed",
    "sample ckpt=nowhere": "does not exist",
    "sample ckpt=a_file": "not a checkpoint",
    "sample ckpt=empty": "not the folder of a run",
    "sample ckpt=last": "no run with a checkpoint",
    "sample ckpt=taken n=0": "n=0",
    "sample ckpt=taken labels=[a]": "labels=['a']",
    "sample ckpt=taken weights=best": "weights=best",
    "sample ckpt=taken model=mlp": "model: no such key",
    # augment-study
    "augment-studi": "nearest: augment-study",
    "augment-study": "give one of the two",
    "augment-study ckpt=taken synthetic=flat": "give one of the two",
    "augment-study ckpt=nowhere": "does not exist",
    "augment-study synthetic=nowhere": "synthetic=nowhere",
    "augment-study synthetic=flat": "synthetic: these pictures have no labels",
    "augment-study synthetic=flat out=taken": "not empty",
    "augment-study synthetic=flat out=a_file": "is a file",
    "augment-study synthetic=flat ratios=[]": "ratios=[]",
    "augment-study synthetic=flat ratios=[0]": "ratios=[0]",
    "augment-study synthetic=flat seeds=0": "seeds=0",
    "augment-study synthetic=flat arms=[real+2x]": "real+1x",
    "augment-study synthetic=flat arms=real": "names of arms",
    "augment-study synthetic=flat epochs=3": "epochs: no such key",
    "augment-study synthetic=flat model=mlp": "model: no such key",
    "augment-study synthetic=flat classifier=vgg": "there is: cnn",
    "augment-study synthetic=flat dataset.split=test": "the same as the training data",
    "augment-study synthetic=flat dataset.split=all test.split=test": "share pictures",
    "augment-study synthetic=flat test.split=valid": "test.split=valid must be one of",
    "augment-study synthetic=flat test.root=flat": "this data set has no root",
    "augment-study synthetic=flat dataset=unpaired": "labelled",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_gets_one_line_and_exit_code_2(line: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for folder in ("empty", "taken", "flat"):
        (tmp_path / folder).mkdir()
    (tmp_path / "taken" / "thing").write_text("precious")
    (tmp_path / "a_file").write_text("not a checkpoint")
    Image.new("L", (16, 16)).save(tmp_path / "flat" / "a.png")
    (tmp_path / "flat" / "others.csv").write_text("image,class\nb.png,3\n")
    if "mlp.pt" in line:
        checkpoint.save({"config": {}, "system": {}, "average": {}, "progress": {}}, tmp_path / "mlp.pt")
    before = sorted(tmp_path.rglob("*"))

    assert main(line.split()) == 2

    said = capfd.readouterr().err
    assert said.startswith("ganrun: ")
    assert said.count("\n") == 1
    assert MISTAKES[line] in said
    assert "Traceback" not in said
    assert len(said) < 500
    assert sorted(tmp_path.rglob("*")) == before, "nothing was written"


DRAWING_MISTAKES = {
    "sample ckpt=run n=100000000000000 out=x.png": "do not fit into memory",
    "sample ckpt=run out=x.jpg": "x.png, x.npz or a folder",
    "sample ckpt=run labels=[] out=x.png": "must be class numbers",
    "synthesize ckpt=run": "out is needed",
    "synthesize ckpt=run out=x per_class=0": "per_class=0 must be",
    "synthesize ckpt=run out=x.rar": "x.zip or a folder",
    "synthesize ckpt=run out=run": "overwrite=true",
    "apply ckpt=run input=run out=x tile=8": "tile=8 must be",
    "apply ckpt=run input=run/grids out=x.jpg": "x.tiff or a folder",
    "apply ckpt=run input=run/grids out=x direction=up": "must be ab | ba, or null",
    "apply ckpt=run input=run/grids out=x": "draws pictures from noise",
}


def test_a_mistake_about_a_trained_run_gets_one_line_and_changes_nothing(
    run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.rglob("*"))
    capfd.readouterr()
    for line, expected in DRAWING_MISTAKES.items():
        assert main(line.split()) == 2, line
        said = capfd.readouterr().err
        assert expected in said, line
        assert said.count("\n") == 1, line
        assert sorted(tmp_path.rglob("*")) == before, line


@pytest.mark.skipif(importlib.util.find_spec("joblib") is not None, reason="the extra may be installed")
def test_a_missing_extra_is_named_with_its_install_command(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "hydra/launcher=joblib"]) == 2
    assert "pip install 'ganrun[parallel]'" in capfd.readouterr().err


def test_labels_asked_of_an_unconditional_model_are_refused(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", f"ckpt={run}", "labels=3"]) == 2
    said = capfd.readouterr().err
    assert "unconditional" in said
    assert said.count("\n") == 1


def test_a_conditional_run_is_asked_for_classes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    small = ["model.generator.network.base_channels=4", "model.discriminator.network.base_channels=4"]
    words = [word for word in QUICK if "widths" not in word and "model=" not in word]
    assert main(["train", "model=cgan", *words, *small, "out=run"]) == 0
    assert main(["sample", "ckpt=run", "labels=3,7", "n=4", "out=x.npz"]) == 0
    assert np.load(tmp_path / "x.npz")["labels"].tolist() == [3, 3, 7, 7]
    assert main(["sample", "ckpt=run", "labels=12", "out=y.npz"]) == 2
    assert "knows the classes 0 to 9" in capfd.readouterr().err


def test_synthetic_data_are_what_imagefolder_reads(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import zipfile

    from torchvision.datasets import ImageFolder

    small = ["model.generator.network.base_channels=4", "model.discriminator.network.base_channels=4"]
    words = [word for word in QUICK if "widths" not in word and "model=" not in word]
    assert main(["train", "model=cgan", *words, *small, "out=run"]) == 0
    for out in ("tree", "a.zip", "b.zip"):
        assert main(["synthesize", "ckpt=run", "per_class=2", f"out={out}"]) == 0
    tree = ImageFolder(str(tmp_path / "tree"))
    assert tree.classes == [str(digit) for digit in range(10)]
    assert tree.targets == [digit for digit in range(10) for _ in range(2)]
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.read("3/000001.png") == (tmp_path / "tree/3/000001.png").read_bytes()
        assert json.loads(archive.read("manifest.json"))["seed"] == 0
        assert len(archive.read("manifest.csv").splitlines()) == 21
    assert main(["synthesize", "ckpt=run", "out=tree"]) == 2
    assert "overwrite=true" in capfd.readouterr().err


def test_only_a_conditional_run_synthesizes(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["synthesize", f"ckpt={run}", "out=x"]) == 2
    assert "unconditional" in capfd.readouterr().err


def test_a_conditional_model_needs_labels(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for number in range(8):
        Image.new("L", (16, 16), number).save(tmp_path / f"{number}.png")
    assert main(["train", "model=cgan", "dataset=folder", f"dataset.root={tmp_path}", "batch_size=4"]) == 2
    assert "needs labelled data" in capfd.readouterr().err


def test_labels_from_a_file_tell_the_networks_how_many_classes_there_are(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for number in range(8):
        Image.new("L", (16, 16), number).save(tmp_path / f"{number}.png")
    (tmp_path / "labels (1).csv").write_text("".join(f"{number}.png,{number % 3}\n" for number in range(8)))
    words = ["dataset=folder", f"dataset.root={tmp_path}", "dataset.labels=labels (1).csv", "batch_size=4"]
    assert main(["train", "model=cgan", *words, "dry_run=true"]) == 0
    assert "8 images of 16×16, 1 channel, 3 classes" in capfd.readouterr().out


@pytest.mark.slow
def test_a_torchvision_built_for_another_torch_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision/__init__.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    done = ganrun("train", "steps=1", cwd=tmp_path, PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "reinstall both together" in done.stderr


def test_a_sweep_of_samples_into_one_place_is_refused(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", "-m", f"ckpt={run}", "seed=0,1", "out=x.png"]) == 2
    assert "overwrite each other" in capfd.readouterr().err
    assert main(["sample", "-m", f"ckpt={run}", "seed=0,1", "out=x_${seed}.png"]) == 0


def test_an_existing_sample_is_not_overwritten_unasked(run: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.png").write_text("precious")
    assert main(["sample", f"ckpt={run}", "out=mine.png"]) == 2
    assert (tmp_path / "mine.png").read_text() == "precious"
    assert main(["sample", f"ckpt={run}", "out=mine.png", "overwrite=true"]) == 0


@pytest.mark.slow
def test_an_interrupted_run_finishes_its_step_and_saves(tmp_path: Path) -> None:
    import signal

    words = [word for word in QUICK if not word.startswith("steps")]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "ganrun", "train", *words, "steps=1000000", "out=run"], cwd=tmp_path, env=env
    )
    until(lambda: (tmp_path / "run/grids/step_000050.png").exists() or process.poll() is not None)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 143
    status = json.loads((tmp_path / "run/status.json").read_text())
    assert status["state"] == "stopped"
    assert checkpoint.load(tmp_path / "run/checkpoints/last.pt")["progress"]["step"] == status["step"]


def test_debug_shows_the_traceback() -> None:
    with pytest.raises(UserError):
        main(["train", "model=nope", "--debug"])


def test_plot_without_matplotlib_says_so_before_torch_is_imported(monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(command, "require_torch", lambda: pytest.fail("torch was imported first"))
    assert main(["plot", "run=anything"]) == 2
    assert capsys.readouterr().err == "ganrun: plot needs matplotlib: pip install 'ganrun[plot]'\n"
