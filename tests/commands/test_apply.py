"""applying: a trained run on pictures of the user's own, from the command line."""

from __future__ import annotations

import csv
import re
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganrun.checkpoints.checkpoint import load
from ganrun.cli.main import main
from ganrun.commands.apply.album import output_names
from ganrun.commands.apply.fidelity import numbers
from ganrun.evaluation.fidelity import mean_of
from tests import trained as kept_runs

QUICK = ["dataset.limit=16", "batch_size=4", "grids.count=2", "device=cpu", "steps=1", "hooks.console.seconds=0"]


def trained(model: str, *words: str) -> str:
    """A run of one step with networks of a few channels."""
    parts = ("generator_ab", "discriminator_a") if model == "cyclegan" else ("generator", "discriminator")
    small = [f"model.{part}.base_channels=4" for part in parts]
    blocks = {"cyclegan": "generator_ab", "srgan": "generator", "cut": "generator"}
    small += [f"model.{blocks[model]}.blocks=1"] if model in blocks else []
    words = (f"model={model}", *QUICK, *small, *words)
    if "dataset.root" in " ".join(words):
        assert main(["train", *words, f"out={model}"]) == 0
    else:
        kept_runs.trained(*words, out=model)
    return model


def draw(path: Path, size: tuple[int, int], mode: str = "L") -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    bands = len(Image.new(mode, (1, 1)).getbands())
    y, x = np.mgrid[: size[1], : size[0]]
    pixels = np.stack([(3 * x + 5 * y + 40 * band) % 256 for band in range(bands)], -1).astype(np.uint8)
    Image.fromarray(pixels.squeeze(-1) if bands == 1 else pixels, mode).save(path)
    return pixels


def shape(path: Path) -> tuple[str, tuple[int, int]]:
    with Image.open(path) as image:
        return image.mode, image.size


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ganrun"])


def test_a_tree_keeps_its_names_and_folders_whatever_sizes_and_modes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained("restoration")
    draw(tmp_path / "in/a.jpg", (33, 17))
    draw(tmp_path / "in/deep/er/b.bmp", (1, 1))
    draw(tmp_path / "in/deep/c.png", (300, 40), "RGB")
    (tmp_path / "in/broken.png").write_bytes(b"nothing")
    (tmp_path / "in/notes.txt").write_text("no picture")
    assert main(["apply", "ckpt=restoration", "input=in", "out=out"]) == 0
    found = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert found == {"a.png", "deep/er/b.png", "deep/c.png", ".apply.json"}
    assert shape(tmp_path / "out/a.png") == ("L", (33, 17))
    assert shape(tmp_path / "out/deep/c.png") == ("L", (300, 40))
    lines = said(capsys)
    assert "3 pictures in out" in lines
    assert "1 colour, converted to grey" in lines
    assert "1 left out:\n  broken.png: not a PNG" in lines


def test_one_picture_becomes_one_picture_and_weights_and_tiles_matter_little_enough(tmp_path: Path) -> None:
    trained("restoration")
    draw(tmp_path / "x.png", (100, 70))
    assert main(["apply", "ckpt=restoration", "input=x.png", "out=whole.png", "tile=null"]) == 0
    assert main(["apply", "ckpt=restoration", "input=x.png", "out=tiled.png", "tile=64", "overlap=32"]) == 0
    assert main(["apply", "ckpt=restoration", "input=x.png", "out=folder", "weights=raw"]) == 0
    whole, tiled = (np.asarray(Image.open(tmp_path / name)).astype(int) for name in ("whole.png", "tiled.png"))
    assert whole.shape == (70, 100)
    assert np.abs(whole - tiled).max() <= 2
    assert shape(tmp_path / "folder/x.png") == ("L", (100, 70))


def test_a_perceptual_distance_is_needed_to_train_but_not_to_apply(
    vgg19: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = shutil.copy(vgg19[0].partition("=")[2], tmp_path / "weights.pth")
    words = [f"model.perceptual.weights={weights}", vgg19[1], "log.every=1", "steps=3", "model.pretrain_steps=2"]
    trained("srgan_vgg", *words)
    played = [
        "generator/perceptual" in line for line in (tmp_path / "srgan_vgg/metrics.jsonl").read_text().splitlines()
    ]
    assert played == [False, False, True]
    saved = load(tmp_path / "srgan_vgg/checkpoints/last.pt")
    assert not any("perceptual" in name for name in saved["system"])
    Path(weights).unlink()
    draw(tmp_path / "in.png", (21, 13))
    assert main(["apply", "ckpt=srgan_vgg", "input=in.png", "out=out.png"]) == 0
    capsys.readouterr()
    assert main(["train", "resume=srgan_vgg", "steps=5"]) == 2
    assert capsys.readouterr().err == f"ganrun: model.perceptual.weights={weights}: there is no such file\n"


def test_srgan_learns_from_pairs_of_two_sizes(tmp_path: Path) -> None:
    for number in range(8):
        draw(tmp_path / f"large/{number}.png", (32, 32), "RGB")
        draw(tmp_path / f"small/{number}.png", (16, 16), "RGB")
    pairs = ["dataset=paired", "dataset.scale=2", "dataset.root_source=small", "dataset.root_target=large"]
    trained("srgan", *pairs, "steps=4", "model.pretrain_steps=2", "log.every=1")
    played = ["generator/adversarial" in line for line in (tmp_path / "srgan/metrics.jsonl").read_text().splitlines()]
    assert played == [False, False, True, True]
    draw(tmp_path / "in.png", (21, 13), "RGB")
    assert main(["apply", "ckpt=srgan", "input=in.png", "out=out.png"]) == 0
    assert shape(tmp_path / "out.png") == ("RGB", (42, 26))


def test_srgan_enlarges_by_its_scale_and_a_grey_picture_is_given_in_colour(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(8):
        draw(tmp_path / f"data/{number}.png", (16, 16), "RGB")
    words = ["dataset.source=folder", "dataset.root=data", "dataset.channels=3", "dataset.image_size=16"]
    trained("srgan", *words)
    draw(tmp_path / "in/grey.png", (21, 13))
    assert main(["apply", "ckpt=srgan", "input=in", "out=out", "tile=16", "overlap=8", "strips=true"]) == 0
    mode, (width, height) = shape(tmp_path / "out/grey.png")
    scale = width // 21
    assert scale in (2, 4)
    assert (mode, width, height) == ("RGB", scale * 21, scale * 13)
    assert shape(tmp_path / "out/strips/grey.png") == ("RGB", (2 * width, height))
    assert "1 grey, converted to colour" in said(capsys)


def test_targets_give_a_table_means_and_strips_of_three(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained("restoration")
    for name, size in (("a", (20, 20)), ("sub/b", (24, 20)), ("tiny", (8, 8)), ("odd", (20, 20)), ("alone", (20, 20))):
        pixels = draw(tmp_path / f"in/{name}.png", size)
        (tmp_path / f"want/{name}.bmp").parent.mkdir(parents=True, exist_ok=True)
        if name != "alone":
            Image.fromarray(pixels[: 10 if name == "odd" else None, :, 0] ^ 1).save(tmp_path / f"want/{name}.bmp")
    assert main(["apply", "ckpt=restoration", "input=in", "target=want", "out=out", "strips=true"]) == 0
    with (tmp_path / "out/results.csv").open() as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"a.png", "sub/b.png", "tiny.png"}
    assert float(rows["a.png"]["input_psnr"]) == pytest.approx(48.1308, abs=1e-3), "every pixel is off by one"
    assert rows["tiny.png"]["ssim"] == ""
    assert 0 < float(rows["sub/b.png"]["ssim"]) <= 1
    assert shape(tmp_path / "out/strips/sub/b.png") == ("L", (3 * 24, 20))
    assert shape(tmp_path / "out/strips/alone.png") == ("L", (2 * 20, 20))
    lines = said(capsys)
    assert "dB, SSIM" in lines
    assert "over 3 (of the inputs: 48.13 dB" in lines
    assert re.search(r"^PSNR [\d.]+ ± [\d.]+ dB, SSIM .*, L1 ", lines, re.MULTILINE), "means with their 95 % intervals"
    assert re.search(r"^gain: PSNR [+-][\d.]+ ± [\d.]+ dB, SSIM [+-]", lines, re.MULTILINE)
    assert float(rows["tiny.png"]["input_l1"]) == pytest.approx(1 / 255, rel=1e-4)
    assert main(["apply", "ckpt=restoration", "input=in", "target=want", "out=cut", "border=4"]) == 0
    assert "tiny.png: border=4 leaves nothing of a picture of 8×8 pixels" in said(capsys)
    assert "alone.png: no target of this name" in lines
    assert "20x20 pixels, but its target has 20x10" in lines


def test_a_picture_that_equals_its_target_does_not_make_the_mean_infinite() -> None:
    results = [{"psnr": float("inf")}, {"psnr": 20.0}, {"psnr": 30.0}, {"psnr": None}]
    assert mean_of(*numbers(results, "psnr")).mean == 25


def test_cyclegan_knows_two_directions_and_the_others_one(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trained("cyclegan")
    trained("pix2pix")
    draw(tmp_path / "x.png", (19, 23), "RGB")
    for direction in ("ab", "ba"):
        words = ["ckpt=cyclegan", "input=x.png", f"out={direction}.png", f"direction={direction}"]
        assert main(["apply", *words]) == 0
    assert (tmp_path / "ab.png").read_bytes() != (tmp_path / "ba.png").read_bytes()
    assert main(["apply", "ckpt=pix2pix", "input=x.png", "out=y.png"]) == 0
    assert main(["apply", "ckpt=pix2pix", "input=x.png", "out=z.png", "direction=ba"]) == 2
    assert "only from source to target" in capfd.readouterr().err
    assert main(["apply", "ckpt=pix2pix", "input=x.png", "out=z.png", "direction=up"]) == 2


def test_a_zip_is_read_in_place_and_its_names_lead_nowhere_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained("restoration")
    draw(tmp_path / "x.png", (20, 20))
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for name in (
            "good/x.png",
            "../../evil.png",
            "/evil.png",
            "a/../../evil.png",
            "a\\..\\evil.png",
            "n" * 300 + ".png",
        ):
            archive.writestr(zipfile.ZipInfo(name), (tmp_path / "x.png").read_bytes())
    (tmp_path / "room").mkdir()
    assert main(["apply", "ckpt=restoration", "input=in.zip", "out=room/out"]) == 0
    assert [path.name for path in tmp_path.rglob("*evil*")] == []
    assert (tmp_path / "room/out/good/x.png").exists()
    lines = said(capsys)
    assert "evil.png: its name leads out of the folder" in lines
    assert "'/evil.png' is left out: a link or a path out of the .zip" in lines
    assert "File name too long" in lines


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["input=nowhere", "out=y"], "input=nowhere: there is no such folder"),
        (["input=empty", "out=y"], "input=empty holds no pictures"),
        (["input=broken", "out=y"], "no picture could be done; the first problem: b.png: not a PNG"),
        (["input=in", "out=full"], "overwrite=true"),
        (["input=in", "out=in/made"], "outputs would mix with the pictures there"),
        (["input=in", "out=y.png"], "out= must be a folder"),
        (["input=in/x.png", "out=y.png", "strips=true"], "out= must be a folder"),
        (["input=in", "out=y", "target=broken"], "has the name of one of input="),
        (["input=in", "out=y", "target=nowhere"], "target=nowhere: there is no such"),
        (["input=in", "out=y", "tile=256", "overlap=200"], "at most half of tile=256"),
        (["input=in", "out=y", "tile=3"], "tile=3 must be a whole number from 16 up, or null, or auto"),
        (["input=in", "out=full/plain", "overwrite=true"], "is a file: choose a folder"),
        (["input=in", "out=full/plain/y"], "cannot be written"),
        (["out=y"], "input is needed"),
    ],
)
def test_each_mistake_gets_one_line_and_exit_code_2(
    words: list[str], message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    trained("restoration")
    draw(tmp_path / "in/x.png", (20, 20))
    (tmp_path / "empty").mkdir()
    for folder, name in (("broken", "b.png"), ("full", "mine.txt"), ("full", "plain")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).write_text("mine")
    capfd.readouterr()
    assert main(["apply", "ckpt=restoration", *words]) == 2
    err = capfd.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "y").exists()


def test_overwriting_writes_beside_what_is_there_when_asked(tmp_path: Path) -> None:
    trained("restoration")
    draw(tmp_path / "in/x.png", (20, 20))
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    assert main(["apply", "ckpt=restoration", "input=in", "out=full", "overwrite=true"]) == 0
    assert {path.name for path in (tmp_path / "full").iterdir()} == {"mine.txt", "x.png", ".apply.json"}


def test_what_is_read_is_never_written_over(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trained("restoration")
    draw(tmp_path / "in/x.png", (20, 20))
    before = (tmp_path / "in/x.png").read_bytes()
    for words in (["input=in/x.png", "out=in"], ["input=in/x.png", "out=in/x.png"], ["input=in", "out=in"]):
        assert main(["apply", "ckpt=restoration", *words, "overwrite=true"]) == 2
    assert (tmp_path / "in/x.png").read_bytes() == before


def test_a_one_sided_translator_is_applied_the_one_way_there_is(tmp_path: Path, capfd) -> None:
    trained("cut")
    draw(tmp_path / "x.png", (19, 23), "RGB")
    assert main(["apply", "ckpt=cut", "input=x.png", "out=y.png", "direction=ab"]) == 0
    assert shape(tmp_path / "y.png")[1] == (19, 23)
    assert main(["apply", "ckpt=cut", "input=x.png", "out=z.png", "direction=ba"]) == 2
    assert "translates only from a to b" in capfd.readouterr().err


def test_in_a_sweep_every_job_wants_a_place_of_its_own(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trained("cyclegan")
    draw(tmp_path / "x (1)=a.png", (20, 20))
    words = ["apply", "-m", "ckpt=cyclegan", "input=x (1)=a.png", "direction=ab,ba"]
    assert main([*words, "out=y.png"]) == 2
    assert "overwrite each other" in capfd.readouterr().err
    assert main([*words, "out=y_${direction}.png"]) == 0
    assert (tmp_path / "y_ba.png").exists()


def test_help_shows_the_keys(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["apply", "--help"]) == 0
    lines = said(capsys)
    assert "ganrun apply ckpt=RUN input=PICTURES" in lines
    assert "overlap: 32" in lines


def test_a_model_that_draws_from_noise_says_what_to_use(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    small = ["model.generator.widths=[8]", "model.discriminator.widths=[8]"]
    assert main(["train", "model=mlp", *QUICK, *small, "out=run"]) == 0
    draw(tmp_path / "x.png", (20, 20))
    capfd.readouterr()
    assert main(["apply", "ckpt=run", "input=x.png", "out=y.png"]) == 2
    assert "this model draws pictures from noise: use ganrun sample" in capfd.readouterr().err


def test_names_that_would_become_one_keep_their_suffixes() -> None:
    names = output_names(["a.jpg", "a.bmp", "b.v2.jpg", "c/a.jpg"])
    assert names == {"a.jpg": "a.jpg.png", "a.bmp": "a.bmp.png", "b.v2.jpg": "b.v2.png", "c/a.jpg": "c/a.png"}


@pytest.mark.parametrize(
    ("names", "suffix", "made"),
    [
        ("b.jpg b.bmp b.jpg.gif", ".png", "b.jpg.png b.bmp.png b.jpg.gif.png"),
        ("A.jpg a.bmp", ".png", "A.jpg.png a.bmp.png"),
        ("A.jpg a.jpg a.jpg.2", ".png", "A.jpg.png a.jpg.3.png a.jpg.2.png"),
        ("a.jpg a.png", "", "a.jpg a.png"),  # format=keep
        ("A.jpg a.jpg", "", "A.jpg.jpg a.jpg.2.jpg"),
    ],
)
def test_no_two_outputs_have_one_name(names: str, suffix: str, made: str) -> None:
    found = output_names(names.split(), lambda name: suffix or Path(name).suffix)
    assert [*found.values()] == made.split()
