"""Grids of systems that take pictures in: what went in beside what came out."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image

from ganrun.common.images import to_uint8
from ganrun.training import runs
from ganrun.training.hooks.grids import Grids, side_by_side
from tests.training.hooks.last import Last


def test_panels_stand_side_by_side_and_small_ones_are_enlarged() -> None:
    left, right = torch.zeros(2, 1, 16, 8), torch.ones(2, 1, 16, 8)
    cell = side_by_side({"": left, " ": right})
    assert cell.shape == (2, 1, 64, 64)
    assert (cell[..., :32] == 128).all()
    assert (cell[..., 32:] == 255).all()


def test_a_heading_stands_above_each_panel_of_each_cell() -> None:
    cell = side_by_side({"input": torch.full((2, 1, 64, 64), -1.0), "output": torch.full((2, 1, 64, 64), -1.0)})
    assert cell.shape == (2, 1, 12 + 64, 128)
    assert torch.equal(cell[0], cell[1])
    words, pictures = cell[0].split([12, 64], dim=1)
    assert words[..., :64].any()
    assert words[..., 64:].any()
    assert not torch.equal(words[..., :64], words[..., 64:])
    assert not pictures.any()


def test_grey_beside_colour_becomes_colour() -> None:
    cell = side_by_side({"": torch.zeros(2, 1, 64, 64), " ": torch.ones(2, 3, 64, 64)})
    assert cell.shape == (2, 3, 64, 128)


def test_five_bands_are_shown_by_the_first_three() -> None:
    cell = side_by_side({"input": torch.zeros(2, 5, 64, 64), "output": torch.ones(2, 5, 64, 64)})
    assert cell.shape == (2, 3, 12 + 64, 128)


def test_one_panel_is_left_alone() -> None:
    images = torch.rand(2, 1, 16, 16) * 2 - 1
    assert torch.equal(side_by_side({"": images}), to_uint8(images))


def test_a_cell_of_the_grid_holds_source_output_and_target_with_the_logit_below(tiny, tmp_path: Path) -> None:
    """Four cells of three digits enlarged to 64 pixels, two in a row, two pixels between them."""
    words = ["model=pix2pix", "steps=1", "hooks.tensorboard=null", "grids.verdicts=true"]
    trainer = runs.assemble(tiny(*words), tmp_path)
    trainer.hooks.append(last := Last())
    trainer.fit()
    (hook,) = [hook for hook in trainer.hooks if isinstance(hook, Grids)]
    picture = Image.open(tmp_path / "grids/step_000001.png")
    assert picture.size == (2 * (3 * 64 + 2) + 2, 2 * (12 + 64 + 12 + 2) + 2)
    assert not (tmp_path / "grids/real.png").exists(), "the targets are in every grid"
    assert torch.equal(last.record.pictures["grid"][:1, 14:78, 130:194], shown(hook.examples["target"][0]))


def shown(image):
    return to_uint8(image[None]).repeat_interleave(4, 2).repeat_interleave(4, 3)[0]
