"""A run on crops: it goes on as it was, whatever decodes them, and its plan counts what a worker needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganrun.checkpoints import load
from ganrun.common.errors import UserError
from ganrun.training import runs
from ganrun.training.planning.memory import WORKER
from ganrun.training.planning.plan import plan
from tests.same import differences

CROPS = ["dataset.crop=16", "dataset.crop_scale=[0.5,1]", "dataset.flip=true", "dataset.turns=true", "batch_size=4"]
STREAMED = ["dataset.mode=stream"]
GAME = ["model=srgan", "model.size=small", "model.pretrain_steps=1", "dataset=low_res", "dataset.source=folder"]


@pytest.fixture(autouse=True)
def in_a_folder_with_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pictures").mkdir()
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 256, (30 + i, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(f"pictures/{i}.png")


@pytest.mark.parametrize("way", [["dataset.mode=memory"], [*STREAMED, "dataset.workers=2"]])
def test_a_run_on_crops_goes_on_as_it_was_whatever_decodes_them(way: list[str], tiny, tmp_path: Path) -> None:
    words = [*GAME, *CROPS, "dataset.root=pictures", "dataset.limit=null", "hooks=quiet"]
    whole = runs.assemble(tiny(*words, *STREAMED, "dataset.workers=0", "steps=4"), tmp_path / "whole")
    whole.fit()
    config = tiny(*words, *way, "steps=4")
    runs.train({**config, "steps": 2}, tmp_path / "parts")
    resumed = runs.train(config, tmp_path / "parts", state=load.load_checkpoint(str(tmp_path / "parts"), "resume"))
    one, other = (trainer.state_dict() for trainer in (whole, resumed))
    for part in ("system", "average", "meter"):
        assert differences(one[part], other[part]) == []
    moments = ([optimizer["state"] for optimizer in state["optimizers"].values()] for state in (one, other))
    assert differences(*moments) == []


def test_a_run_from_before_crops_goes_on_with_the_same_command(tiny) -> None:
    config = tiny("dataset=folder", "dataset.root=pictures", "model=mlp")
    added = ("crop", "crop_scale", "small", "turns")
    stored = {**config, "dataset": {key: value for key, value in config["dataset"].items() if key not in added}}
    assert runs.continued_if_same(stored, config, Path("run"))["dataset"] == stored["dataset"]
    cropped = tiny("dataset=folder", "dataset.root=pictures", "model=mlp", "dataset.turns=true")
    with pytest.raises(UserError, match=r"this command has dataset.turns=True"):
        runs.continued_if_same(stored, cropped, Path("run"))


def test_a_plan_counts_the_picture_that_each_worker_decodes(tiny) -> None:
    words = ["dataset=folder", "dataset.root=pictures", "dataset.crop=16", "dataset.mode=stream", "batch_size=8"]
    made = plan(tiny(*words, "dataset.workers=3", "model=mlp", "dataset.limit=null"))
    assert made.memory.workers == 3 * (WORKER + 4 * 32 * 40)
    assert "crops of 16×16" in made.lines()[0]


def test_a_network_that_cannot_make_the_size_names_the_crop(tiny) -> None:
    config = tiny("dataset=folder", "dataset.root=pictures", "dataset.crop=19", "model=dcgan", "dataset.limit=null")
    with pytest.raises(UserError, match=r"nearest: 16 or 20 \(dataset.crop=\d+\)"):
        plan(config)
