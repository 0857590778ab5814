"""truncation=: the same from the command line and from Python, recorded beside the seed, refused where it is no use."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ganrun
from ganrun.cli.main import main
from tests.trained import trained

TINY = ["steps=2", "batch_size=4", "dataset.limit=16", "hooks=quiet", "device=cpu", "threads=1", "model.latent.size=4"]
STYLES = [*(f"model.{part}.base_channels=4" for part in ("generator", "discriminator")), "model.generator.style_size=4"]
MLP = ["model=mlp", "model.generator.widths=[8]", "model.discriminator.widths=[8]"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def sampled(*words: str) -> torch.Tensor:
    assert main(["sample", "ckpt=run", "n=6", "out=x.npz", "overwrite=true", "device=cpu", *words]) == 0
    return torch.from_numpy(np.load("x.npz")["images"]).permute(0, 3, 1, 2)


@pytest.mark.parametrize("words", [("model=stylegan2", *STYLES), tuple(MLP)], ids=["styles", "latents"])
def test_sample_truncates_and_python_draws_the_same(words: tuple[str, ...]) -> None:
    trained(*words, *TINY)
    plain, cut = sampled(), sampled("truncation=0.5")
    assert not torch.equal(plain, cut)
    run = ganrun.load("run", device="cpu")
    assert torch.equal(run.sample(6, truncation=np.float32(0.5), batch_size=4), cut)
    assert torch.equal(sampled("truncation=null"), plain)
    with pytest.raises(ganrun.UserError, match=r"truncation='0\.5' must be a number"):
        run.sample(1, truncation="0.5")  # type: ignore[arg-type]


def test_a_set_of_pictures_and_a_picture_tell_their_truncation() -> None:
    trained("model=stylegan2", *STYLES, *TINY)
    assert main(["synthesize", "ckpt=run", "out=set", "per_class=1", "truncation=0.5", "device=cpu"]) == 0
    assert json.loads(Path("set/manifest.json").read_text(encoding="utf-8"))["truncation"] == 0.5
    assert main(["sample", "ckpt=run", "n=1", "out=x.png", "truncation=0.5", "device=cpu"]) == 0
    assert Image.open("x.png").text["truncation"] == "0.5"


@pytest.mark.parametrize(
    ("words", "truncation", "reason"),
    [
        (("model=stylegan2", *STYLES), "1.5", "truncation=1.5: for styles it is 0 (the mean picture) to 1"),
        (("model=stylegan2", *STYLES), "-1", "truncation=-1 must be a number from 0 up, or null"),
        (tuple(MLP), "0", "truncation=0: normal latents are cut off at ±truncation, so it is above 0"),
        ((*MLP, "model.latent._target_=ganrun.networks.latents.Uniform"), "1", "Uniform latents have no tails"),
        (
            ("model=pix2pix", *(word for word in STYLES if "style" not in word), "dataset=paired"),
            "1",
            "translates pictures",
        ),
    ],
)
def test_a_truncation_that_is_no_use_is_refused_in_one_line(
    words: tuple[str, ...], truncation: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    paired = any("paired" in word for word in words)
    trained(*words, *(word for word in TINY if not paired or "latent" not in word))
    capsys.readouterr()
    assert main(["sample", "ckpt=run", "n=2", f"truncation={truncation}", "device=cpu"]) == 2
    said = capsys.readouterr().err
    assert reason in said
    assert len(said.splitlines()) == 1
