"""ganrun eval: as a user meets it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganrun.cli.composition import compose_plain
from ganrun.cli.main import main
from ganrun.commands import evaluate
from ganrun.common.errors import UserError
from ganrun.data.dataset import Dataset
from ganrun.data.digits import Digits
from ganrun.data.unpaired import Unpaired
from ganrun.evaluation import scorer as scoring
from ganrun.evaluation.paired_scores import PairedScorer
from ganrun.evaluation.picture_sets import read_set
from ganrun.evaluation.results import Result, refuse_unlike, table, thousands
from ganrun.evaluation.scorer import Scorer
from ganrun.evaluation.scores import SCORES
from tests.trained import trained

SMALL = ["dataset.split=train", "batch_size=8", "grids.count=4", "device=cpu", "steps=2", "hooks=quiet"]
QUICK = ["device=cpu", "n=60", "features.features=8", "features.steps=20", "kid.subsets=3", "tstr.steps=3"]


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ganrun"])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    evaluate._scorers.clear()


def run(model: str = "mlp", out: str = "run", *more: str) -> None:
    widths = ["model.generator.widths=[8]", "model.discriminator.widths=[8]"] if model == "mlp" else []
    trained(f"model={model}", *widths, *SMALL, *more, out=out)


def values(text: str) -> dict[str, float]:
    """The lines `name  value` of what was printed."""
    rows = [line.split() for line in text.splitlines() if "@" in line]
    return {row[0]: float(row[1]) for row in rows}


def scored(path: str) -> dict[str, dict]:
    (result,) = json.loads(Path(path).read_text())["results"]
    return {score["score"]: score for score in result["scores"]}


# -- runs -----------------------------------------------------------------------------------------------------------


def test_a_run_is_scored_against_its_own_test_split(capsys: pytest.CaptureFixture[str]) -> None:
    run()
    capsys.readouterr()
    assert main(["eval", "ckpt=run", *QUICK, "out=scores.json"]) == 0
    printed, kept = values(capsys.readouterr().out), scored("scores.json")
    assert {"fid_digitscnn@60", "kid_digitscnn@60", "is_digitscnn@60", "precision_digitscnn@60"} <= printed.keys()
    assert kept["fid"]["value"] > 2 * kept["fid"]["reference"] > 0, "two steps of training make no digits"
    assert kept["fid"]["name"] == "fid_digitscnn@60"
    protocol = kept["kid"]["protocol"]
    told = {"real": "Digits", "real_split": "test", "n_real": 899, "n_fake": 60, "network": "digitscnn", "seed": 0}
    assert told.items() <= protocol.items()
    assert protocol["weights"] == "ema"
    assert protocol["size"] == 60
    assert {"network_hash", "real_fingerprint", "resizer", "batchnorm", "ganrun"} <= protocol.keys()
    assert kept["fid"]["reference_is"] == "60 training pictures against the 899 reals"


def test_the_second_time_nothing_is_learnt_and_no_real_picture_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    run()
    assert main(["eval", "ckpt=run", *QUICK, "out=a.json"]) == 0
    evaluate._scorers.clear()
    monkeypatch.setattr(scoring, "images_of", None)
    monkeypatch.setattr(Scorer, "compute", once(Scorer.compute))
    assert main(["eval", "ckpt=run", *QUICK, "out=b.json"]) == 0
    assert scored("a.json") == scored("b.json")


def once(method):
    """It may be called a single time: for the fakes."""
    calls = iter([method])
    return lambda *given: next(calls)(*given)


def test_a_conditional_run_is_asked_for_classes_as_the_reals_have_them(capsys: pytest.CaptureFixture[str]) -> None:
    run("cgan")
    assert main(["eval", "ckpt=run", *QUICK, "scores=all", "out=scores.json"]) == 0
    kept = scored("scores.json")
    names = {"copied", "authentic", "ppl", "tstr", "trts", "label_accuracy", "shares_tv", "share.3", "fid"}
    assert names <= kept.keys()
    assert "no class_fid: a covariance of 8 features" in capsys.readouterr().out, "60 fakes are 6 of each class"
    assert kept["tstr"]["name"] == "tstr@60"
    assert kept["ppl"]["value"] > 0
    with Image.open("scores.nearest.png") as grid:
        assert grid.width == 6 * 66 + 2
        assert grid.height == 16 * 66 + 2


def test_several_runs_stand_side_by_side_and_unlike_protocols_do_not(capsys: pytest.CaptureFixture[str]) -> None:
    sweep = ["-m", "seed=1,2", "model=mlp", "model.generator.widths=[8]", "model.discriminator.widths=[8]"]
    assert main(["train", *sweep, *SMALL, "out=sweep"]) == 0
    capsys.readouterr()
    assert main(["eval", "ckpt=sweep", *QUICK, "scores=[kid]", "out=both.json"]) == 0
    legend, other, _, row = [line for line in capsys.readouterr().out.splitlines() if "note" not in line]
    assert legend.startswith("[1] sweep")
    assert other.startswith("[2] sweep")
    assert len(row.split()) == 4
    assert main(["eval", "ckpt=sweep/0-mlp-non_saturating", *QUICK, "scores=[kid]", "weights=raw", "out=raw.json"]) == 0
    assert main(["eval", "compare=[both.json,raw.json]"]) == 2
    assert 'kid cannot be compared: weights is "ema" for' in capsys.readouterr().err
    assert main(["eval", "compare=both.json"]) == 0


def test_a_restoration_run_is_measured_against_the_right_answers(capsys: pytest.CaptureFixture[str]) -> None:
    run("restoration", "run", "dataset=damaged", "dataset.damage=noise", "dataset.limit=32")
    assert main(["eval", "ckpt=run", *QUICK, "out=scores.json"]) == 0
    kept = scored("scores.json")
    assert kept.keys() == {"psnr", "ssim", "l1"}
    assert kept["psnr"]["name"] == "psnr@60"
    assert kept["psnr"]["protocol"]["real_split"] == "test"
    assert kept["psnr"]["reference"] > 15
    run(
        "restoration",
        "wider",
        "dataset=damaged",
        "dataset.damage=noise",
        "dataset.limit=32",
        "model.generator.base_channels=8",
    )
    assert main(["eval", "ckpt=wider", *QUICK, "batch_size=7", "out=wider.json"]) == 0
    assert scored("wider.json")["psnr"]["reference"] == kept["psnr"]["reference"], "every model meets the same damage"


def test_scores_of_a_target_need_one(capsys: pytest.CaptureFixture[str]) -> None:
    run("mlp", "run")
    for folder in ("a", "b"):
        Path(folder).mkdir()
    for words, said in (
        (["ckpt=run"], "scores=psnr_y needs pictures that have a target: ckpt=RUN of an image-to-image model"),
        (["real=a", "fake=b"], "scores=psnr_y needs pictures that have a target: ckpt=RUN of an image-to-image model"),
        (["ckpt=run", "border=-2"], "border=-2 must be a number of pixels, or auto"),
    ):
        assert main(["eval", *words, *QUICK, "scores=[psnr_y]"]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert len(error.splitlines()) == 1


def test_domains_without_pairs_have_no_targets() -> None:
    config = {"scores": ["psnr_y"], "n": 4, "seed": 0}
    with pytest.raises(UserError, match=r"^scores=psnr_y: its data are unpaired, so there are no targets to compare"):
        PairedScorer(config, Unpaired(image_size=16, channels=1), {}, torch.device("cpu"))


def test_a_run_of_all_the_data_has_no_training_pictures_apart_from_the_reals() -> None:
    run("mlp", "run", "dataset.split=all")
    assert main(["eval", "ckpt=run", *QUICK, "out=scores.json"]) == 0
    kept = scored("scores.json")["fid"]
    assert kept["protocol"]["real_split"] == "all"
    assert kept["reference_is"] == "two halves of the reals, 898 each"
    assert main(["eval", "ckpt=run", *QUICK, "scores=copying"]) == 2


# -- two sets -------------------------------------------------------------------------------------------------------


@pytest.fixture
def digits() -> Dataset:
    return Digits(image_size=8, split="test", limit=80)


def save_npz(path: str, data: Dataset, labels: bool = True) -> None:
    arrays = {"images": data.images.permute(0, 2, 3, 1).numpy()}
    np.savez(path, **arrays, **({"labels": data.labels.numpy()} if labels else {}))


def save_folder(path: Path, data: Dataset) -> None:
    path.mkdir()
    for number, image in enumerate(data.images):
        Image.fromarray(image[0].numpy()).save(path / f"{number:03d}.png")


def test_a_set_is_at_no_distance_from_itself_whatever_holds_it(digits: Dataset, tmp_path: Path) -> None:
    save_npz("a.npz", digits, labels=False)
    save_folder(tmp_path / "a", digits)
    scores = ["scores=[prdc,kid]", "out=scores.json"]
    assert main(["eval", "real=a.npz", "fake=a", *QUICK, *scores, "n=80"]) == 0
    kept = scored("scores.json")
    assert kept["recall"]["value"] == kept["precision"]["value"] == kept["coverage"]["value"] == 1
    assert kept["recall"]["name"] == "recall_random_conv@80"
    assert kept["recall"]["protocol"]["resizer"] == "none"
    assert kept["kid"]["value"] == pytest.approx(0, abs=0.05)


def test_labels_of_both_sets_allow_training_on_one_and_testing_on_the_other(digits: Dataset) -> None:
    save_npz("a.npz", digits)
    assert main(["eval", "real=a.npz", "fake=a.npz", *QUICK, "scores=[tstr,fid]", "tstr.steps=60", "out=s.json"]) == 0
    assert scored("s.json")["tstr"]["value"] > 0.8
    assert scored("s.json")["fid"]["protocol"]["n_fake"] == 60


def test_sizes_are_never_changed_unless_asked(digits: Dataset, tmp_path: Path, capsys) -> None:
    save_npz("a.npz", digits)
    save_folder(tmp_path / "large", Digits(image_size=12, limit=40))
    assert main(["eval", "real=a.npz", "fake=large", *QUICK]) == 2
    assert "real= has grey pictures of 8×8, fake= grey ones of 12×12: image_size=8" in capsys.readouterr().err
    assert main(["eval", "real=a.npz", "fake=large", *QUICK, "image_size=8", "scores=kid", "out=s.json"]) == 0
    assert "fake: bicubic" in scored("s.json")["kid"]["protocol"]["resizer"]
    data, way = read_set("large", "fake", 8, 3)
    assert (data.channels, data.image_size) == (3, (8, 8))
    assert way.endswith("to 8×8")


def test_few_pictures_get_the_scores_that_they_can_have_and_hear_what_the_others_need(digits: Dataset, capsys) -> None:
    save_npz("a.npz", digits)
    words = ["eval", "real=a.npz", "fake=a.npz", *QUICK]
    assert main([*words, "n=8", "out=s.json"]) == 0
    assert {"kid", "precision", "shares_tv"} <= scored("s.json").keys()
    assert "fid" not in scored("s.json")
    said = capsys.readouterr().out
    assert "note: no fid: a covariance of 8 features (datasetcnn) needs more than 8 pictures, and there are 8" in said
    assert "note: no is: 8 pictures cannot be divided into 10 splits" in said
    assert main([*words, "n=3", "scores=[kid,prdc]", "out=t.json"]) == 0
    assert scored("t.json").keys() == {"kid"}
    assert "no prdc: 6 neighbours cannot be found among 3 pictures" in capsys.readouterr().out


def test_a_class_of_one_picture_costs_only_its_own_distance(config: dict, capsys) -> None:
    data = Digits(image_size=8, split="test", limit=300)
    rare = data.labels != 3
    rare[(~rare).nonzero()[0]] = True
    few = Dataset(data.images[rare], data.labels[rare], data.class_names)
    scorer = Scorer({**config, "scores": ["class_fid"]}, few, None, torch.device("cpu"))
    found = scorer.score([few.images], few.labels)
    assert found.keys() == {f"fid.{digit}" for digit in range(10) if digit != 3}
    assert "no class_fid: a covariance of 8 features" in scorer.notes[0]
    assert "there are 1 of the class 3: " in scorer.notes[0]


def test_a_planted_memoriser_is_caught_and_new_pictures_are_not(digits: Dataset, tmp_path: Path, capsys) -> None:
    images = Digits(image_size=8, split="train", limit=200).take(torch.arange(200))["image"]
    shaken = images[:100] + torch.randint(0, 3, images[:100].shape, generator=torch.Generator())
    shaken = shaken.clamp(max=255).byte()
    for name, part in {"learnt": images[:100], "memoriser": shaken, "new": images[100:]}.items():
        save_folder(tmp_path / name, Dataset(part, None, []))
    save_npz("a.npz", digits, labels=False)
    words = ["eval", "device=cpu", "real=a.npz", "train=learnt", "scores=copying", "n=100", "features=random_conv"]
    assert main([*words, "fake=memoriser", "out=s.json"]) == 0
    assert "the pictures repeat training pictures" in capsys.readouterr().out
    assert scored("s.json")["copied"]["value"] > 0.99
    assert scored("s.json")["authentic"]["value"] == 0
    assert Path("s.nearest.png").exists()
    assert main([*words, "fake=new", "out=n.json"]) == 0
    assert "repeat" not in capsys.readouterr().out
    assert scored("n.json")["copied"]["value"] == pytest.approx(0.5, abs=0.15)


@pytest.fixture
def learnt(digits: Dataset) -> Dataset:
    """100 pictures beside the digits; all in files: a.npz, learnt.npz."""
    save_npz("a.npz", digits)
    data = Digits(image_size=8, split="train", limit=100)
    save_npz("learnt.npz", data)
    return data


def test_copying_from_other_training_pictures_stands_in_no_table_beside_it(learnt: Dataset, capsys) -> None:
    save_npz("fewer.npz", Dataset(learnt.images[:90], learnt.labels[:90], learnt.class_names))
    for name in ("learnt", "fewer"):
        words = [f"train={name}.npz", "scores=[copying,kid]", f"out={name}.json", "features=random_conv"]
        assert main(["eval", "device=cpu", "real=a.npz", "fake=a.npz", "n=60", "kid.subsets=3", *words]) == 0
    assert scored("fewer.json")["authentic"]["protocol"]["n_train"] == 90
    assert "n_train" not in scored("fewer.json")["kid"]["protocol"]
    assert json.loads(Path("fewer.json").read_text())["results"][0]["about"]["train"] == "fewer.npz"
    assert main(["eval", "compare=[learnt.json,fewer.json]"]) == 2
    assert "copied cannot be compared: train_fingerprint is" in capsys.readouterr().err


def test_training_pictures_change_no_other_score(learnt: Dataset, capsys) -> None:
    save_npz("fakes.npz", learnt)
    words = ["eval", "real=a.npz", "fake=fakes.npz", *QUICK]
    assert main([*words, "scores=[kid,prdc,trts]", "out=without.json"]) == 0
    evaluate._scorers.clear()
    capsys.readouterr()
    assert main([*words, "scores=[kid,prdc,trts,copying]", "train=learnt.npz", "out=with.json"]) == 0
    found, others = scored("with.json"), scored("without.json")
    assert found.keys() - others.keys() == {"copied", "authentic"}
    assert {name: found[name] for name in others} == others
    assert "train= is for" not in capsys.readouterr().out
    assert main([*words, "scores=kid", "train=learnt.npz"]) == 0
    assert "note: train= is for scores=[copying], and changes no other score" in capsys.readouterr().out


def test_a_real_picture_that_was_learnt_from_is_no_measure_of_copying(learnt: Dataset, digits: Dataset, capsys) -> None:
    mixed = Dataset(torch.cat([digits.images, learnt.images[:30]]), None, [])
    save_npz("mixed.npz", mixed, labels=False)
    save_npz("fakes.npz", Dataset(learnt.images[30:], None, []), labels=False)
    words = ["fake=fakes.npz", "train=learnt.npz", "scores=copying", "features=random_conv", "device=cpu", "out=s.json"]
    assert main(["eval", "real=mixed.npz", *words]) == 0
    said = capsys.readouterr().out
    assert "train=learnt.npz: 30 of its pictures are also in real=; the score copying leaves them out of real=" in said
    assert scored("s.json")["copied"]["value"] == 1
    assert scored("s.json")["copied"]["protocol"]["n_real"] == 110


def test_reals_are_compared_with_each_other_only_where_copies_are_likely(
    config: dict, digits: Dataset, learnt: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {**config, "scores": ["copying"]}
    scorer = Scorer(config, digits, None, torch.device("cpu"), originals=learnt)
    assert scorer.score([learnt.images])["copied"] == 1
    assert "repeat training pictures" in scorer.notes[0]
    monkeypatch.setattr(scoring, "authentic", None)
    new = Digits(image_size=8, split="test", limit=300).images[100:]
    assert 0.2 < scorer.score([new])["copied"] < 0.8


def test_a_mirrored_training_picture_is_a_copy_where_the_run_mirrors(config: dict, digits: Dataset) -> None:
    data = Digits(image_size=8, split="train", limit=100, flip=True)
    scorer = Scorer({**config, "scores": ["copying"]}, digits, data, torch.device("cpu"))
    found = scorer.score([data.images[:50].flip(-1), data.images[50:]])
    assert (found["copied"], found["authentic"]) == (1, 0)
    assert scorer.settings(100)["copied"]["train_mirrored"]
    evaluate.save_nearest(scorer, data.images[:2].flip(-1), Path("s.json"))
    with Image.open("s.nearest.png") as grid:
        shown = np.asarray(grid)[..., :1]
    assert (shown[2:66, 2:66] == shown[2:66, 68:132]).all(), "it stands beside the sample"


# -- mistakes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["real=a.npz", "fake=a.npz", "n=0"], "n=0 must be a whole number from 1 up"),
        (
            ["real=a.npz", "fake=a.npz", "n=8", "scores=fid"],
            "a covariance of 8 features (datasetcnn) needs more than 8 pictures",
        ),
        (
            ["real=a.npz", "fake=a.npz", "n=3", "scores=[prdc,fid]"],
            "6 neighbours cannot be found among 3 pictures; fid cannot be computed either",
        ),
        (["real=a.npz", "fake=empty"], "fake=empty holds no images"),
        (["real=a.npz", "fake=junk.npz"], "fake=junk.npz: it has no table of contents"),
        (["real=a.npz", "fake=nothing"], "fake=nothing: there is no such folder"),
        (["real=a.npz", "fake=a.npz", "train=nothing"], "train=nothing: there is no such folder"),
        (["real=a.npz", "fake=a.npz", "train=a.npz"], "train=a.npz: 80 of its pictures are also in real="),
        (
            ["real=a.npz", "fake=a.npz", "train=single.npz"],
            "train=single.npz must hold at least two different pictures",
        ),
        (["ckpt=run", "train=a.npz"], "train=a.npz goes with real= and fake="),
        (["real=a.npz", "fake=a.npz", "scores=copying"], "scores=copying needs training pictures"),
        (["real=a.npz"], "give one of ckpt=RUN, real=A with fake=B, or compare="),
        (["real=one.npz", "fake=one.npz", "scores=is"], "scores=is needs a feature network that names classes"),
        (["real=a.npz", "fake=a.npz", "scores=[fdi]"], "scores=fdi is unknown; nearest: fid"),
        (["real=a.npz", "fake=a.npz", "scores=ppl"], "scores=ppl needs a run that draws from noise"),
        (["real=a.npz", "fake=a.npz", "out=x.txt"], "out=x.json"),
        (["compare=junk.json"], "compare=junk.json is not what ganrun eval out=x.json writes"),
        (["ckpt=nowhere"], "ckpt=nowhere does not exist"),
    ],
    ids=str,
)
def test_a_mistake_is_one_line(words, said, digits: Dataset, tmp_path: Path, capsys) -> None:
    save_npz("a.npz", digits)
    save_npz("one.npz", Dataset(digits.images, torch.zeros(80).long(), ["one"]))
    save_npz("single.npz", Dataset(digits.images[:1].repeat(2, 1, 1, 1), digits.labels[:2], digits.class_names))
    (tmp_path / "empty").mkdir()
    (tmp_path / "junk.npz").write_bytes(b"hello")
    (tmp_path / "junk.json").write_text('{"results": [{}]}')
    assert main(["eval", *QUICK, *words]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("ganrun: note")]
    assert len(lines) == 1
    assert said in lines[0]


# -- the scorer, as a hook uses it -----------------------------------------------------------------------------------


@pytest.fixture
def config() -> dict:
    """Small settings of the page `eval`."""
    return compose_plain("eval", ["ckpt=any", *QUICK, "cache=cache"])


def test_a_scorer_takes_batches_and_gives_numbers_with_their_protocol(config: dict, digits: Dataset) -> None:
    train = Digits(image_size=8, split="train", limit=100)
    scorer = Scorer(config, digits, train, torch.device("cpu"), {"weights": "ema"})
    torch.manual_seed(3)
    before = torch.get_rng_state()
    found = scorer.score(iter(train.images.split(30)), train.labels)
    assert {"fid", "kid", "is", "precision", "shares_tv"} <= found.keys()
    assert found == pytest.approx(scorer.floor(100)), "training pictures are the floor"
    assert scorer.protocol(100)["n_real"] == 80
    assert scorer.protocol(100)["weights"] == "ema"
    assert torch.equal(before, torch.get_rng_state()), "a run goes on as if it had not been scored"
    with pytest.raises(UserError, match="the fake pictures are 1×7×8"):
        scorer.score(iter([digits.images[:, :, 1:]]))


def test_labels_that_are_shuffled_show_in_their_accuracy_and_in_tstr(config: dict) -> None:
    reals, train = (Digits(image_size=8, split=split, limit=400) for split in ("test", "train"))
    wish = {"scores": ["label_accuracy", "tstr"], "tstr": {"steps": 60, "batch_size": 64, "lr": 1e-3}}
    config["features"] |= {"features": 32, "steps": 200}
    scorer = Scorer({**config, **wish}, reals, train, torch.device("cpu"))
    right = scorer.score([train.images], train.labels)
    wrong = scorer.score([train.images], train.labels.roll(1))
    assert right["label_accuracy"] > 0.85 > 0.3 > wrong["label_accuracy"]
    assert right["tstr"] > 0.7 > 0.4 > wrong["tstr"]


def test_a_generator_of_one_mode_is_seen_in_the_shares_the_inception_score_and_recall(config: dict) -> None:
    reals, train = (Digits(image_size=8, split=split, limit=400) for split in ("test", "train"))
    config["features"] |= {"features": 32, "steps": 200}
    scorer = Scorer(config, reals, train, torch.device("cpu"))
    threes = train.images[train.labels == 3][:5].repeat(20, 1, 1, 1)
    found, floor = scorer.score([threes]), scorer.floor(100)
    assert found["shares_tv"] > 0.8 > 0.3 > floor["shares_tv"]
    assert found["is"] < 2 < 5 < floor["is"]
    assert found["recall"] < 0.1 < 0.5 < floor["recall"]
    assert found["fid"] > 5 * floor["fid"]


def test_every_score_has_the_word_for_what_it_lacks() -> None:
    from ganrun.evaluation.scores import NEEDS

    assert {need for score in SCORES.values() for need in score.needs} <= NEEDS.keys()


# -- tables ---------------------------------------------------------------------------------------------------------


def result(**protocol: object) -> Result:
    kept = {"n_fake": 10_000, "network": "mnistcnn", **protocol}
    return Result({"fake": "somewhere"}, {"fid": 12.3}, {"fid": 1.0}, "reals", kept, {"fid": {"k": 3}})


def test_names_carry_the_network_and_the_number_of_pictures() -> None:
    assert result().lines() == ["fid_mnistcnn@10k  12.3   (real 1)"]
    assert [thousands(count) for count in (999, 1000, 1797, 50_000)] == ["999", "1k", "1797", "50k"]


def test_only_like_protocols_are_put_side_by_side() -> None:
    assert table([result(), result()])[-1].split() == ["fid_mnistcnn@10k", "12.3", "12.3", "1"]
    for other in ({"n_fake": 5000}, {"network_hash": "f00"}, {"network_about": {"accuracy": 0.5}}):
        with pytest.raises(UserError, match=f"fid cannot be compared: {next(iter(other))}"):
            refuse_unlike([result(), result(**other)])
