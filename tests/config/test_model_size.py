"""model.size: the paper's network from 64 pixels on, a small one below, and what a user says instead."""

from __future__ import annotations

from typing import Any

import pytest

from ganrun.cli import composition
from ganrun.common.errors import UserError


def model(*words: str) -> dict[str, Any]:
    return composition.compose_plain("train", ["model=cyclegan", *words])["model"]


@pytest.mark.parametrize(
    ("image_size", "size"),
    [("16", "small"), ("63", "small"), ("64", "paper"), ("[64,128]", "paper"), ("[32,256]", "small")],
)
def test_the_size_follows_the_short_side_of_the_images(image_size: str, size: str) -> None:
    assert model(f"dataset.image_size={image_size}")["size"] == size


@pytest.mark.parametrize(("size", "channels"), [("small", 16), ("paper", 64)])
def test_the_line_wins_over_the_image_size(size: str, channels: int) -> None:
    for image_size in (32, 128):
        made = model(f"dataset.image_size={image_size}", f"model.size={size}")
        assert made["generator_ab"]["base_channels"] == made["generator_ba"]["base_channels"] == channels


def test_a_number_wins_over_the_size() -> None:
    assert model("model.size=paper", "model.generator_ab.base_channels=8")["generator_ba"]["base_channels"] == 8


@pytest.mark.parametrize("size", ["large", "null", "3", "[small]"])
def test_another_size_is_refused(size: str) -> None:
    with pytest.raises(UserError, match=r"model\.size=.* must be small or paper"):
        model(f"model.size={size}")
