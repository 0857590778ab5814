"""A run of before took the numbers of picture files as they were; a run of today brings colours to sRGB."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from ganrun.cli.composition import compose_plain
from ganrun.config.added import TODAY, with_profiles
from ganrun.config.builders import load_dataset
from ganrun.training import runs
from tests.common.test_pixels import linear_profile

FOLDER = "ganrun.data.folder.Folder"


def test_a_stored_config_without_profiles_ignores_them(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), (128, 128, 128)).save(tmp_path / "x.png", icc_profile=linear_profile())
    words = ["model=dcgan", "dataset=folder", f"dataset.root={tmp_path}", "dataset.image_size=8"]
    today = compose_plain("train", words)["dataset"]
    before = {key: value for key, value in today.items() if key != "profiles"}
    for node, trust, grey in ((today, ("ganrun",), 188), (before, ("ganrun",), 128), (before, None, 188)):
        image = load_dataset({"dataset": node}, trust).take(torch.tensor([0]))["image"]
        assert image.float().mean().item() == pytest.approx(grey, abs=1)


def test_a_new_run_stores_the_key_also_for_a_yaml_that_lacks_it() -> None:
    node = {"_target_": "ganrun.data.damaged.Damaged", "clean": {"_target_": FOLDER}, "flip": True}
    assert with_profiles(node, TODAY) == {**node, "clean": {"_target_": FOLDER, "profiles": "convert"}}
    assert with_profiles({"_target_": FOLDER, "profiles": "ignore"}, TODAY)["profiles"] == "ignore"


def test_a_run_of_before_goes_on_by_resume_auto() -> None:
    stored = {**dict.fromkeys(runs.LENGTHS), "threads": None, "device": "auto", "precision": "fp32"}
    old = {"_target_": FOLDER, "root": "x"}
    asked = {**stored, "dataset": {**old, "depth": 8, "profiles": "convert"}}
    assert runs.continued_if_same({**stored, "dataset": old}, asked, Path("run"))["dataset"] == old
