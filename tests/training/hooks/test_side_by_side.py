"""Grids of systems that take pictures in: what went in beside what came out."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image

from ganrun.training import runs
from ganrun.training.hooks.grids import side_by_side
from ganrun.training.rendering import examples
from tests.training.hooks.last import Last


def test_panels_stand_side_by_side_and_small_ones_are_enlarged() -> None:
    left, right = torch.zeros(2, 1, 16, 8), torch.ones(2, 1, 16, 8)
    cell = side_by_side([left, right])
    assert cell.shape == (2, 1, 64, 64)
    assert not cell[..., :32].any()
    assert cell[..., 32:].all()


def test_grey_beside_colour_becomes_colour() -> None:
    cell = side_by_side([torch.zeros(2, 1, 64, 64), torch.ones(2, 3, 64, 64)])
    assert cell.shape == (2, 3, 64, 128)


def test_one_panel_is_left_alone() -> None:
    images = torch.rand(2, 1, 16, 16)
    assert side_by_side([images]) is images


def test_a_cell_of_the_grid_holds_source_output_and_target_with_the_logit_below(tiny, tmp_path: Path) -> None:
    """Four cells of three digits enlarged to 64 pixels, two in a row, two pixels between them."""
    words = ["model=pix2pix", "steps=1", "hooks.tensorboard=null", "grids.verdicts=true"]
    trainer = runs.assemble(tiny(*words), tmp_path)
    trainer.hooks.append(last := Last())
    trainer.fit()
    picture = Image.open(tmp_path / "grids/step_000001.png")
    assert picture.size == (2 * (3 * 64 + 2) + 2, 2 * (64 + 12 + 2) + 2)
    assert not (tmp_path / "grids/real.png").exists(), "the targets are in every grid"
    assert torch.equal(last.record.pictures["grid"][:1, 2:66, 130:194], shown(examples(trainer, 4)["target"][0]))


def shown(image):
    from ganrun.common.images import to_uint8

    return to_uint8(image[None]).repeat_interleave(4, 2).repeat_interleave(4, 3)[0]
