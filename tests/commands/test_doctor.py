"""ganrun doctor: a patient that is well, and one for each complaint."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganrun.cli.composition import compose_plain
from ganrun.cli.main import main
from ganrun.commands import doctor
from ganrun.commands.doctor import FAIL, OK, WARN, Line
from ganrun.config.schema import check
from ganrun.data.damaged import Damaged
from ganrun.training import runs
from ganrun.training.trainer import Trainer
from tests.conftest import shrink

QUICK = ["doctor.steps=20", "device=cpu", "batch_size=8", "model.generator.widths=[16]"]
MLP = ["model=mlp", *QUICK, "model.discriminator.widths=[16]"]


def config(*words: str) -> dict:
    made = compose_plain("doctor", ["dataset.limit=256", "device=cpu", "batch_size=32", "doctor.sheet=null", *words])
    check("doctor", made)
    return {**made, "model": shrink(made["model"])}


def patient(tmp_path: Path, *words: str) -> tuple[Trainer, dict]:
    made = config(*words)
    trainer = runs.assemble({**made, "hooks": {}}, tmp_path)
    trainer.system.train()
    return trainer, made


@pytest.mark.parametrize(
    "words",
    [["model=mlp"], ["model=cgan", "loss=wgan_gp", "optimizer.lr=1e-3"], ["model=vae"], ["model=gman"],
     ["model=restoration", "dataset=damaged"], ["model=mlp", "precision=bf16"]],
    ids=" ".join,
)  # fmt: skip
def test_every_kind_of_game_can_be_examined(words, tmp_path: Path) -> None:
    trainer, made = patient(tmp_path, *words, "doctor.steps=100", "doctor.images=256")
    lines = list(doctor.lines_of(trainer, made))
    assert [line for line in lines if line.state == FAIL] == []
    assert {"data range", "duplicates", "size", "gradients"} <= {line.about for line in lines}
    assert sum("bf16" in line.seen for line in lines) == ("precision=bf16" in words)


def test_the_command_prints_a_line_a_check_writes_nothing_and_ends_with_0(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ganrun"])
    assert main(["doctor", *MLP, "batch_size=64", "doctor.steps=200"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ok    data range     image: 512 from -1.00 to 1.00")
    assert "checks, none failed" in lines[-1]
    assert list(tmp_path.iterdir()) == []


def test_a_discriminator_that_learns_nothing_fails_with_exit_code_1(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ganrun"])
    assert main(["doctor", *MLP, "optimizer.players.discriminator.lr=1e-9"]) == 1
    said = capsys.readouterr()
    (line,) = [line for line in said.out.splitlines() if line.startswith("FAIL")]
    assert "discriminator  trained alone against an untrained generator: accuracy 0." in line
    assert line.endswith("after 20 steps; try optimizer.players.discriminator.lr=5e-09 or another model.discriminator")
    assert said.err == "ganrun: 1 of 13 checks failed: discriminator\n"


def test_a_run_that_has_begun_is_no_patient(capsys) -> None:
    assert main(["doctor", "resume=last"]) == 2
    assert "doctor checks a run before it starts" in capsys.readouterr().err


def state(line: Line) -> str:
    return line.state


def images(*levels: int) -> dict[str, torch.Tensor]:
    noise = torch.randint(0, 100, (len(levels), 1, 4, 4), generator=torch.Generator().manual_seed(0))
    return {"image": torch.stack([torch.full((1, 4, 4), level) for level in levels]).add(noise).to(torch.uint8)}


def test_pictures_that_use_a_sliver_of_the_range_or_are_blank_are_told() -> None:
    (ranged,) = doctor.pictures({"image": torch.randint(0, 2, (8, 1, 4, 4)).to(torch.uint8)})
    assert state(ranged) == WARN
    assert "image: 8 from -1.00 to -0.99" in ranged.seen
    assert "scaled twice?" in ranged.seen
    blanks = torch.tensor([0, 255, 9]).view(3, 1, 1, 1).expand(3, 1, 4, 4).byte()
    (ranged,) = doctor.pictures({"image": blanks})
    blank = doctor.constant("image", blanks, [])
    assert (state(ranged), state(blank)) == (OK, FAIL)
    assert "100.0% are of one colour; remove them" in blank.seen


def test_a_solid_colour_is_no_picture_whatever_the_colour_and_neither_is_one_with_noise_or_a_speck() -> None:
    random = torch.Generator().manual_seed(0)
    sound = torch.randint(0, 256, (6, 3, 16, 16), generator=random).byte()
    red = torch.tensor([200, 30, 60]).view(3, 1, 1).expand(3, 16, 16).byte()
    noisy = (red + torch.randint(-2, 3, (3, 16, 16), generator=random)).byte()
    specked = red.clone()
    specked[:, 3, 4:6] = 255
    dark = torch.zeros(3, 16, 16).byte()
    dark[:, 2:14, 7:9] = 255  # a digit: most of it is background
    images = torch.stack([*sound, dark, red, noisy, specked])
    line = doctor.constant("image", images, [f"{number}.png" for number in range(10)])
    assert state(line) == WARN
    assert "10.0% are of one colour, 20.0% are nearly of one colour" in line.seen
    assert line.seen.endswith("remove them: '7.png', '8.png', '9.png'")
    assert state(doctor.constant("image", images[:7], [])) == OK


def examined(tmp_path: Path, *words: str) -> dict[str, Line]:
    made = compose_plain("doctor", ["dataset=folder", f"dataset.root={tmp_path / 'mine'}", *QUICK, *words])
    trainer = runs.assemble({**made, "model": shrink(made["model"]), "hooks": {}}, tmp_path / "run")
    lines = doctor.lines_of(trainer, made)
    return {line.about: line for _, line in zip(range(4), lines, strict=False)}


@pytest.mark.parametrize("mode", ["auto", "stream"])
def test_broken_and_solid_files_are_named_a_few_and_then_counted(mode: str, tmp_path: Path, capfd) -> None:
    (tmp_path / "mine").mkdir()
    for number in range(40):
        pixels = np.random.RandomState(number).randint(0, 256, (16, 16, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "mine" / f"ok{number:02}.png")
    for number in range(14):
        (tmp_path / "mine" / f"bad{number:02}.png").write_bytes(b"nothing")
    Image.new("RGB", (16, 16), "teal").save(tmp_path / "mine" / "teal.png")
    lines = examined(tmp_path, "model=mlp", f"dataset.mode={mode}")
    assert state(lines["files"]) == state(lines["constant"]) == WARN
    assert "'bad" in lines["files"].seen
    assert lines["files"].seen.endswith("; and 9 more; repair or remove them")
    assert lines["files"].seen.count("is broken") == doctor.NAMED
    assert "'teal.png'" in lines["constant"].seen
    assert capfd.readouterr().err == "", "all is in the lines"


def test_a_link_that_leads_out_is_named_too(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for number in range(8):
        pixels = np.random.RandomState(number).randint(0, 256, (16, 16, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "mine" / f"{number}.png")
    (tmp_path / "mine" / "out.png").symlink_to("/etc/passwd")
    assert "'out.png' is left out" in examined(tmp_path, "model=mlp")["files"].seen


def test_pictures_that_are_there_twice_are_counted() -> None:
    batch = images(0, 10, 20, 30)
    assert state(doctor.duplicates([], batch)) == OK
    twice = torch.cat([batch["image"], batch["image"][:1]])
    line = doctor.duplicates([twice], batch)
    assert state(line) == WARN
    assert line.seen.startswith("20.0% of 5 pictures are duplicates")


def test_all_pictures_in_memory_are_looked_at_not_only_those_of_a_batch(tmp_path: Path) -> None:
    trainer, made = patient(tmp_path, "model=mlp", "doctor.images=16")
    lines = {line.about: line for _, line in zip(range(4), doctor.lines_of(trainer, made), strict=False)}
    assert lines["duplicates"].seen.endswith("of 256 pictures are duplicates")


def test_a_class_without_pictures_fails_and_a_rare_one_is_a_warning() -> None:
    names = ["cat", "dog", "owl"]
    assert state(doctor.balance(torch.tensor([0, 1, 2] * 5), names)) == OK
    line = doctor.balance(torch.tensor([0, 1] * 5), names)
    assert state(line) == FAIL
    assert "3 classes, owl has 0 pictures, cat has 5" in line.seen
    assert state(doctor.balance(torch.tensor([0, 1] * 50 + [2]), names)) == WARN


def test_labels_that_belong_to_other_pictures_are_a_warning(tmp_path: Path) -> None:
    trainer, _ = patient(tmp_path)
    batch = trainer.stream.data.take(torch.arange(256))
    assert state(doctor.visible(batch)) == OK
    batch["label"] = batch["label"][torch.randperm(256, generator=torch.Generator().manual_seed(0))]
    line = doctor.visible(batch)
    assert state(line) == WARN
    assert "does dataset.labels belong to these pictures?" in line.seen


def test_a_generator_that_ignores_its_latents_fails(tmp_path: Path) -> None:
    trainer, _ = patient(tmp_path, "model=mlp")
    trainer.system.generator.layers[0].weight.data.zero_()
    *_, line = doctor.drawing(trainer)
    assert state(line) == FAIL
    assert "the generator ignores its input" in line.seen


def test_weights_that_one_step_does_not_move_fail_and_a_wild_step_is_a_warning(tmp_path: Path) -> None:
    trainer, made = patient(tmp_path, "model=mlp")
    assert state(doctor.moving(trainer, made, "generator")) == OK
    trainer.optimizers["generator"].param_groups[0]["lr"] = 0.0
    line = doctor.moving(trainer, made, "generator")
    assert state(line) == FAIL
    assert "one step changes its weights by 0.00%" in line.seen


def test_gradients_that_are_no_numbers_fail(tmp_path: Path) -> None:
    trainer, made = patient(tmp_path, "model=mlp")
    with torch.no_grad():
        trainer.system.generator.layers[0].weight[0, 0] = torch.nan
    (line,) = doctor.gradients(trainer, made)
    assert state(line) == FAIL
    assert "generator nan; try a lower optimizer.lr" in line.seen


@pytest.mark.parametrize("kind", ["noise", "real_world"])
def test_damaged_pictures_get_a_sheet_of_draws_and_of_every_kind(kind: str, tmp_path: Path) -> None:
    sheet = tmp_path / "seen" / "x.png"
    words = ["model=restoration", "dataset=damaged", f"dataset.damage={kind}", "dataset.image_size=16"]
    trainer, _ = patient(tmp_path / "run", *words, "doctor.images=16")
    data = trainer.stream.data
    assert isinstance(data, Damaged)
    line = doctor.damage(data, sheet, 0)
    assert (line.state, line.about) == (OK, "damage")
    assert re.fullmatch(rf"{kind}: sources of \d+\.\d to \d+\.\d dB; pictures in .*x\.png", line.seen)
    with Image.open(sheet) as picture:
        assert picture.info["damage"] == kind
        assert (picture.info["columns"], picture.info["rows"]) == ("6", "6")  # 4 pictures, then 9 kinds in two rows
        first = np.asarray(picture)
    doctor.damage(data, sheet, 0)  # the same again, in place of it
    with Image.open(sheet) as picture:
        assert np.array_equal(np.asarray(picture), first)


def test_damage_that_changes_nothing_is_a_warning_and_no_other_file_is_replaced(tmp_path: Path, capsys) -> None:
    words = ["model=restoration", "dataset=damaged", "dataset.damages.noise.sigma=0", "dataset.image_size=16"]
    trainer, _ = patient(tmp_path / "run", *words)
    assert doctor.damage(trainer.stream.data, tmp_path / "x.png", 0).state == WARN
    Image.new("L", (2, 2)).save(tmp_path / "mine.png")
    for name, why in {
        "mine.png": "exists, and doctor did not make it",
        "x.jpg": "must be a file that ends in .png",
    }.items():
        assert main(["doctor", *words, "device=cpu", f"doctor.sheet={tmp_path / name}"]) == 2
        assert why in capsys.readouterr().err
