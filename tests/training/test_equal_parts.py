"""A batch that packs do not divide is refused in one line, before anything is written."""

from __future__ import annotations

import pytest

from ganrun.common.errors import UserError
from ganrun.training.planning.plan import plan


def test_packs_that_do_not_divide_a_batch_are_refused_with_the_nearest_batches(tiny) -> None:
    with pytest.raises(
        UserError, match=r"^model\.discriminator\.pack=3 must divide batch_size=8: try batch_size=6 or batch_size=9$"
    ):
        plan(tiny("batch_size=8", "model.discriminator.pack=3"))
    with pytest.raises(UserError, match=r"batch_size=8 in each of accumulate=2: try batch_size=6 or batch_size=12$"):
        plan(tiny("batch_size=8", "model.discriminator.pack=3", "accumulate=2"))
    two = ["model=gman", "model.discriminators.first.pack=3", "model.discriminators.second.pack=2"]
    with pytest.raises(UserError, match=r"first\.pack=3 and model\.discriminators\.second\.pack=2 must divide"):
        plan(tiny("batch_size=8", *two))
    assert plan(tiny("batch_size=12", *two, "steps=2")).length.steps == 2


def test_a_model_that_names_the_class_of_each_image_packs_none(tiny) -> None:
    with pytest.raises(UserError, match=r"discriminator\.pack=2, but AC-GAN names the class of each image"):
        plan(tiny("model=acgan", "+model.discriminator.pack=2"))
