"""augment-study, as a user meets it: arms, protocol, what is refused, what repeats."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from ganrun.cli.composition import compose_plain
from ganrun.cli.main import main
from ganrun.commands.study import study
from ganrun.commands.study.material import Material, Synthetic
from ganrun.commands.study.report import Report
from ganrun.config.tree import group_choices
from ganrun.data.dataset import Dataset
from ganrun.data.digits import Digits
from ganrun.evaluation import classifier
from tests.trained import trained

SMALL = ["dataset.image_size=8", "classifier.base_channels=4", "device=cpu", "batch_size=16", "test.limit=100"]
QUICK = [*SMALL, "dataset.limit=40", "seeds=2", "steps=3"]
NAMES = ["real", "real+classic", "synthetic", "real+1x", "real+1x+classic"]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ganrun"])
    return tmp_path


def tree(root: Path, digits: Digits, first: int, count: int) -> Path:
    """Pictures as `ganrun synthesize` lays them out."""
    for number in range(first, first + count):
        (root / str(int(digits.labels[number]))).mkdir(parents=True, exist_ok=True)
        Image.fromarray(digits.images[number, 0].numpy()).save(root / str(int(digits.labels[number])) / f"{number}.png")
    return root


@pytest.fixture
def synthetic(tmp_path: Path) -> Path:
    """Stand-ins for a GAN's pictures: training digits that a study with limit=40 may not have."""
    return tree(tmp_path / "synthetic", Digits(split="train", image_size=8), 300, 60)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    small = ["model.generator.network.base_channels=4", "model.discriminator.network.base_channels=4"]
    quick = ["dataset.limit=64", "batch_size=8", "steps=2", "device=cpu", "grids.count=4", "dataset.image_size=8"]
    return trained("model=cgan", *small, *quick, "dataset.split=train")


def rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "study.csv").read_text().splitlines()))


def test_a_study_of_a_run_leaves_rows_a_table_and_the_whole_protocol(run: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["augment-study", "ckpt=run", *QUICK, "out=s", "ratios=[1]"]) == 0
    said = capsys.readouterr().out
    assert [(row["arm"], row["seed"]) for row in rows(Path("s"))] == [(name, seed) for seed in "01" for name in NAMES]
    assert {row["arm"]: (row["images_real"], row["images_synthetic"]) for row in rows(Path("s"))} == {
        "real": ("40", "0"), "real+classic": ("40", "0"), "synthetic": ("0", "40"),
        "real+1x": ("40", "40"), "real+1x+classic": ("40", "40"),
    }  # fmt: skip
    protocol = json.loads(Path("s/study.json").read_text())
    assert protocol["images"] == {"real": 40, "test": 100}
    assert len(protocol["synthetic"]["checkpoint_sha256"]) == 64
    assert protocol["test"]["split"] == "test"
    assert [len(arm["accuracies"]) for arm in protocol["arms"]] == [2] * 5
    assert "the GAN was trained with dataset.limit=64 (here 40)" in said
    assert said.count("seed 1") == 5
    assert (table := [line for line in said.splitlines() if line.startswith("| real+1x ")])
    assert table[0] in Path("s/study.md").read_text()
    assert "real+1x+classic against real+classic:" in said


def test_the_same_command_gives_the_same_figures_and_a_seed_means_the_same_in_any_choice_of_arms(
    synthetic: Path,
) -> None:
    words = ["augment-study", f"synthetic={synthetic}", *QUICK, "ratios=[1]"]
    assert main([*words, "out=a"]) == main([*words, "out=b"]) == main([*words, "out=c", "arms=[real+1x+classic]"]) == 0
    assert rows(Path("a")) == rows(Path("b"))
    assert rows(Path("c")) == [row for row in rows(Path("a")) if row["arm"] in ("real", "real+1x+classic")]


def test_an_arm_draws_from_the_union_and_every_arm_takes_the_same_steps(synthetic: Path, monkeypatch) -> None:
    steps: dict[str, int] = {}
    real_trained = classifier.trained

    def watched(config, arm, data, seed, device):
        optimizer_step = torch.optim.Adam.step
        monkeypatch.setattr(
            torch.optim.Adam, "step", lambda *a, **k: (steps.update({arm.name: steps.get(arm.name, 0) + 1}),
                                                       optimizer_step(*a, **k))[1],
        )  # fmt: skip
        assert len(data) == sum(study.images_of(arm, train))
        assert all((image == data.images).flatten(1).all(1).any() for image in (train.images if arm.real else ()))
        network = real_trained(config, arm, data, seed, device)
        monkeypatch.setattr(torch.optim.Adam, "step", optimizer_step)
        return network

    train = Digits(split="train", image_size=8, limit=40)
    monkeypatch.setattr(study, "trained", watched)
    words = ["augment-study", f"synthetic={synthetic}", *QUICK, "seeds=1", "ratios=[1,1.5]", "out=s"]
    assert main(words) == 0
    assert set(steps.values()) == {3}
    assert len(steps) == 7


def test_real_digits_are_learnt_and_noise_does_not_pass_for_them(tmp_path: Path) -> None:
    torch.manual_seed(0)
    for number in range(120):
        (tmp_path / "noise" / str(number % 10)).mkdir(parents=True, exist_ok=True)
        noise = torch.randint(0, 256, (8, 8), dtype=torch.uint8).numpy()
        Image.fromarray(noise).save(tmp_path / "noise" / str(number % 10) / f"{number}.png")
    words = [word for word in SMALL if "channels" not in word]
    words += ["dataset.limit=120", "seeds=1", "steps=60", "ratios=[1]", "arms=[real,synthetic]", "out=s"]
    assert main(["augment-study", "synthetic=noise", *words]) == 0
    real, noise = (float(row["accuracy"]) for row in rows(Path("s")))
    assert real > 0.6
    assert noise < 0.35


def test_transforms_fill_with_black_and_touch_only_classic_arms() -> None:
    class Gone(nn.Module):
        def forward(self, images):
            return images * 0

    assert torch.equal(classifier.changed(torch.ones(1, 1, 2, 2), [Gone()]), -torch.ones(1, 1, 2, 2))
    images = torch.rand(2, 1, 3, 3)
    assert torch.allclose(classifier.changed(images, [nn.Identity()]), images)
    assert classifier.changed(images, []) is images


@pytest.mark.parametrize("choice", sorted(group_choices(page="augment_study")["classifier"]))
def test_every_classifier_builds(choice: str) -> None:
    config = compose_plain("augment_study", [f"classifier={choice}"])
    study.try_classifier(config, Digits(), torch.device("cpu"))


def test_flips_are_classic_only_where_the_data_allow_them() -> None:
    def flip(*words: str) -> float:
        return compose_plain("augment_study", list(words))["transforms"]["affine"]["flip"]

    assert (flip(), flip("dataset.flip=true")) == (0, 0.5)


def report(found: dict[str, list[float]], tmp_path: Path) -> Report:
    data = Dataset(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1, 0, 1]), ["a", "b"])
    material = Material(data, data, Synthetic({}, None, lambda count: data), [])
    images = {name: (0 if name == "synthetic" else 4, 4 * (name not in ("real", "real+classic"))) for name in found}
    made = Report({"out": str(tmp_path / "s"), "seeds": 2, "steps": 1, "batch_size": 2}, material, images)
    for name, own in found.items():
        for seed, accuracy in enumerate(own):
            made.add(name, seed, accuracy)
    return made


def test_the_table_and_the_answers_worked_out_by_hand(tmp_path: Path) -> None:
    """Two seeds: t is 12.706 and s of two numbers d apart is d/√2, so the half width is 6.353 d."""
    made = report({"real": [0.80, 0.82], "synthetic": [0.5, 0.5], "real+1x": [0.90, 0.92]}, tmp_path)
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in made.table().splitlines()]
    assert lines[2:] == [
        ["real", "4", "0", "81.00 ± 12.71", ""],
        ["synthetic", "0", "4", "50.00 ± 0.00", "-31.00 ± 12.71"],
        ["real+1x", "4", "4", "91.00 ± 12.71", "+10.00 ± 0.00"],
    ]
    assert made.answers() == ["real+1x against real: +10.00 ± 0.00 points: they help"]


def test_an_answer_is_no_clearer_than_its_interval(tmp_path: Path) -> None:
    assert (
        report({"real": [0.80, 0.80], "real+1x": [0.80, 0.82]}, tmp_path).answers()[0].endswith("no clear difference")
    )
    assert report({"real": [0.80], "real+1x": [0.90]}, tmp_path).answers()[0].endswith("use seeds=5")
    assert report({"real": [0.8, 0.8], "real+1x": [0.7, 0.7]}, tmp_path).answers()[0].endswith("they harm")


def test_an_interrupted_study_keeps_its_rows(synthetic: Path, monkeypatch, capsys: pytest.CaptureFixture) -> None:
    real_tested, calls = classifier.tested, []

    def stopped(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real_tested(*arguments)

    monkeypatch.setattr(study, "tested", stopped)
    assert main(["augment-study", f"synthetic={synthetic}", *QUICK, "ratios=[1]", "out=s"]) == 130
    assert [row["arm"] for row in rows(Path("s"))] == NAMES[:2]
    assert "stopped: 2 results in s/study.csv" in capsys.readouterr().out


def test_a_plot_is_drawn_or_its_install_command_is_said(synthetic: Path, monkeypatch, capsys) -> None:
    words = ["augment-study", f"synthetic={synthetic}", *QUICK, "ratios=[1]", "out=s"]
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(words) == 0
    assert "study.png was not drawn: pip install 'ganrun[plot]'" in capsys.readouterr().out
    assert sorted(path.name for path in Path("s").iterdir()) == ["study.csv", "study.json", "study.md"]
    assert main(words) == 2, "a folder that holds something is not written into unasked"
    monkeypatch.undo()
    pytest.importorskip("matplotlib")
    assert main([*words[:-1], f"out={synthetic.parent / 's'}", "overwrite=true"]) == 0
    with Image.open(synthetic.parent / "s" / "study.png") as plot:
        assert plot.width > 500


def test_a_users_own_classifier_works_by_yaml_and_by_name(synthetic: Path, tmp_path: Path) -> None:
    (tmp_path / "mine" / "classifier").mkdir(parents=True)
    (tmp_path / "my_net_of_this_test.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self, channels, image_size, classes, base_channels=0, max_channels=0):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(channels * image_size**2, classes))\n"
    )
    (tmp_path / "mine/classifier/mine.yaml").write_text(
        "# Mine\n_target_: my_net_of_this_test.Net\nchannels: ${dataset.channels}\n"
        "image_size: ${dataset.image_size}\nclasses: ${dataset.classes}\n"
    )
    words = ["augment-study", f"synthetic={synthetic}", *QUICK, "ratios=[1]", "arms=[real]"]
    own = [word for word in words if not word.startswith("classifier.")]
    assert main([*own, "classifier=mine", "out=by_yaml", "--config-dir", "mine"]) == 0
    assert main([*words, "classifier._target_=my_net_of_this_test.Net", "out=by_name", "--config-dir", "mine"]) == 0
    assert rows(Path("by_yaml")) == rows(Path("by_name"))


REFUSED = {
    "classifier._target_=torchvision.models.resnet18": "is a function, not a class",
    "classifier._target_=torch.nn.Linear": "classifier.",
    "classifier.classes=3": "not [2, 10] logits",
    "classifier.channels=3": "cannot process these pictures",
    "ratios=[5]": "holds 60 pictures, but ratios=[5] needs 200",
    "batch_size=41": "try batch_size=40",
    "dataset.image_size=16": "grey 8×8",
    "dataset.channels=3": "dataset.channels=1",
    "transforms.shift.fraction=2": "transforms.shift",
    "synthetic=others": "has the classes 2: cat, dog",
    "synthetic=test_digits": "share pictures",
}


@pytest.mark.parametrize("word", REFUSED)
def test_what_does_not_go_together_is_refused_in_one_line(
    word: str, synthetic: Path, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    tree(tmp_path / "test_digits", Digits(split="test", image_size=8), 0, 60)
    for name in ("cat", "dog"):
        (tmp_path / "others" / name).mkdir(parents=True)
        Image.new("L", (8, 8)).save(tmp_path / "others" / name / "a.png")
    words = ["augment-study", f"synthetic={synthetic}", *[w for w in QUICK if "test.limit" not in w], "ratios=[1]"]
    words = [w for w in words if w.split("=")[0] != word.split("=")[0]]
    assert main([*words, "out=s", word]) == 2
    said = capfd.readouterr().err
    assert said.startswith("ganrun: ")
    assert said.count("\n") == 1
    assert REFUSED[word] in said
    assert not (tmp_path / "s").exists()


def test_a_run_without_classes_and_one_of_other_pictures_are_refused(
    run: Path, capfd: pytest.CaptureFixture, tmp_path: Path
) -> None:
    plain = ["model=mlp", "model.generator.widths=[8]", "model.discriminator.widths=[8]", "steps=1", "device=cpu"]
    assert main(["train", *plain, "dataset.image_size=8", "out=plain"]) == 0
    capfd.readouterr()
    assert main(["augment-study", "ckpt=plain", *QUICK, "out=s"]) == 2
    assert "unconditional" in capfd.readouterr().err
    assert main(["augment-study", "ckpt=run", *QUICK, "dataset.image_size=16", "out=s"]) == 2
    assert "grey 8×8, those of the training data are grey 16×16" in capfd.readouterr().err


def test_folders_of_ones_own_with_a_test_folder_beside_them(synthetic: Path, tmp_path: Path, capfd) -> None:
    tree(tmp_path / "pics", Digits(split="train", image_size=8), 0, 120)
    tree(tmp_path / "test", Digits(split="test", image_size=8), 0, 50)
    folder = ["dataset=folder", "dataset.root=pics", "dataset.limit=40", "steps=2", "seeds=1", "ratios=[1]"]
    words = ["augment-study", f"synthetic={synthetic}", *folder, "classifier.base_channels=4", "batch_size=16"]
    assert main([*words, "test.root=test", "out=s"]) == 0
    assert json.loads(Path("s/study.json").read_text())["images"] == {"real": 40, "test": 50}, (
        "the limit is not the test's"
    )
    assert main([*words, "out=t"]) == 2
    assert "the same as the training data" in capfd.readouterr().err
    assert main([*words, f"test.root={tmp_path}/./pics", "out=t"]) == 2, "the same place, written otherwise"


def test_help_shows_the_keys_and_the_classifiers(capsys: pytest.CaptureFixture) -> None:
    assert main(["augment-study", "--help"]) == 0
    said = capsys.readouterr().out
    for word in ("ratios: [1, 5]", "classifier=", "  cnn  ", "dataset=", "--config-dir DIR"):
        assert word in said
    assert "held_out" not in said
    assert main(["--help"]) == 0
    assert "ganrun augment-study" in capsys.readouterr().out
    assert main(["train", "--help"]) == 0
    assert "classifier=" not in capsys.readouterr().out
