"""Runs on degraded pictures: sizes, resuming, and a chain of the user's own in yaml."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ganrun.cli.main import main

TINY = ["device=cpu", "batch_size=4", "hooks=quiet", "dataset=damaged", "dataset.limit=16", "dataset.image_size=16"]
MEND = ["train", "model=restoration", "model.generator.base_channels=4", "model.discriminator.base_channels=4", *TINY]
OWN = """# dust on a scan: every picture has noise and blur in a random order, then half the size
defaults: [damaged]
damage: film
damages:
  film:
    _target_: ganrun.data.chains.Degradation
    factor: 2
    shuffled: false
    parts:
      grain:
        _target_: ganrun.data.chains.Chain
        shuffled: true
        parts:
          noise: {_target_: ganrun.data.noises.GaussianNoise, sigma: [5, 10]}
          blur: ${dataset.damages.blur}
      size: {_target_: ganrun.data.resizing.FinalSize, filters: [area]}
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def weights(run: str) -> dict[str, torch.Tensor]:
    return torch.load(f"{run}/checkpoints/last.pt", weights_only=True)["system"]


def test_a_resumed_run_is_that_of_one_piece_and_sees_two_rounds() -> None:
    words = [*MEND, "dataset.damage=real_world"]
    assert main([*words, "steps=4", "out=whole"]) == 0
    assert main([*words, "steps=2", "out=halves"]) == 0
    assert main(["train", "resume=halves", "steps=4"]) == 0
    whole, halves = weights("whole"), weights("halves")
    assert all(torch.equal(whole[name], halves[name]) for name in whole)


def test_a_factor_makes_sources_for_super_resolution(capfd: pytest.CaptureFixture[str]) -> None:
    real = "dataset.damages.real_world"
    words = ["train", "model=srgan", *TINY, "dataset.damage=real_world", f"{real}.factor=2", f"~{real}.parts.first"]
    words += ["model.generator.base_channels=4", "model.generator.blocks=1", "model.discriminator.base_channels=4"]
    assert main([*words, "steps=1", "out=enlarged"]) == 0, capfd.readouterr().err
    assert main(["eval", "ckpt=enlarged", "n=4", "out=x.json"]) == 0, capfd.readouterr().err


def test_a_users_own_chain_stands_in_a_yaml(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine/dataset").mkdir(parents=True)
    (tmp_path / "mine/dataset/scans.yaml").write_text(OWN)
    words = [word.replace("damaged", "scans") for word in TINY]
    words = ["train", "--config-dir", "mine", "model=srgan", *words, "model.generator.base_channels=4"]
    words += ["model.generator.blocks=1", "model.discriminator.base_channels=4", "steps=1", "out=own"]
    assert main(words) == 0, capfd.readouterr().err
    words += ["dataset.damages.film.parts.size._target_=ganrun.data.resizing.RandomResize", "overwrite=true"]
    assert main(words) == 2
