"""Batches resized and recoloured, with Pillow as the judge."""

import numpy as np
import pytest
import torch
from pictures import noise
from PIL import Image

from ganrun.data.resize import resized_images


@pytest.mark.parametrize("size", [(16, 16), (5, 7)])
def test_resizing_a_batch_gives_pillows_pixels(size):
    image = noise(0, (10, 8))
    batch = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
    expected = np.asarray(image.resize(size[::-1], Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(resized_images(batch, size, 3)[0].permute(1, 2, 0).numpy() - expected).max() == 0


def test_grey_is_pillows_luma():
    image = noise(1, (32, 32))
    batch = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
    assert np.array_equal(resized_images(batch, 32, 1)[0, 0].numpy(), np.asarray(image.convert("L")))


def test_grey_becomes_three_equal_channels():
    grey = torch.randint(0, 256, (3, 1, 4, 4), dtype=torch.uint8)
    assert torch.equal(resized_images(grey, 4, 3), grey.repeat(1, 3, 1, 1))


def test_two_channels_are_refused():
    with pytest.raises(ValueError, match=r"dataset\.channels=2"):
        resized_images(torch.zeros(1, 1, 4, 4, dtype=torch.uint8), 4, 2)
