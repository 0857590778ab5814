"""Few-shot networks: the gate by hand, which maps it joins, crops that lie where their features do."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ganrun.networks.decoder import GLU, crop_places, cropped
from ganrun.networks.fewshot import Encoded, FewShotDiscriminator, FewShotGenerator, shrunk
from ganrun.networks.skip_excitation import SkipExcitation, skip_pairs


def test_a_gate_is_one_number_for_each_channel_of_the_larger_map() -> None:
    torch.manual_seed(0)
    layer, low, high = SkipExcitation(3, 5, doublings=1), torch.randn(2, 3, 8, 8), torch.randn(2, 5, 16, 16)
    _, wide, _, narrow, _ = layer.gate
    assert (wide.out_channels, narrow.out_channels) == (3, 5), "only the second convolution changes the channels"
    places = low.unflatten(2, (4, 2)).unflatten(4, (4, 2)).mean((3, 5))  # 8×8 -> 4×4
    hidden = torch.einsum("nchw,ochw->no", places, wide.weight) + wide.bias
    hidden = torch.where(hidden > 0, hidden, 0.2 * hidden)
    gate = torch.sigmoid(hidden @ narrow.weight[:, :, 0, 0].T + narrow.bias)
    for image in range(2):
        for channel in range(5):
            expected = gate[image, channel] * high[image, channel]
            torch.testing.assert_close(layer(low, high)[image, channel], expected)


@pytest.mark.parametrize(
    ("doublings", "pairs"), [(7, {5: 1, 6: 2, 7: 3}), (5, {5: 1}), (4, {4: 0}), (3, {3: 0}), (2, {2: 0})]
)
def test_the_gates_are_the_papers_and_a_small_image_has_one(doublings: int, pairs: dict[int, int]) -> None:
    assert skip_pairs(doublings) == pairs


def test_the_latents_reach_the_image_through_the_gate_too() -> None:
    torch.manual_seed(0)
    generator, latents = FewShotGenerator(5, 1, 32, base_channels=2, spectral=False).eval(), torch.randn(2, 5)
    before = generator(latents)
    gate = generator.gates["3"].gate[-2]
    gate.bias.data.fill_(-100)  # the sigmoid is 0: what is left is the last layer's bias, which is 0
    assert before.abs().max() > 0
    assert generator(latents).abs().max() == 0


@pytest.mark.parametrize(
    ("size", "logits", "whole", "part"),
    [(16, (1, 1), (16, 16), (8, 8)), (28, (4, 4), (28, 28), (14, 14)), (32, (5, 5), (32, 32), (16, 16)),
     ([32, 48], (5, 9), (32, 48), (16, 24)), (256, (5, 5), (128, 128), (128, 128)),
     (512, (5, 5), (128, 128), (128, 128))],
    ids=str,
)  # fmt: skip
def test_any_size_has_a_map_of_logits_and_two_reconstructions(size, logits, whole, part) -> None:
    with torch.device("meta"):
        images = FewShotGenerator(5, 3, size, base_channels=1)(torch.randn(2, 5))
        network = FewShotDiscriminator(3, size, base_channels=1)
        judged, maps = network(images, encoded=True)
        pairs = network.reconstructions(images, maps)
    assert images.shape == (2, 3, *((size, size) if isinstance(size, int) else size))
    assert judged.shape == (2, 1, *logits)
    assert [(made.shape[2:], wanted.shape[2:]) for made, wanted in pairs] == [(whole, whole), (part, part)]


def test_a_decoder_that_knows_its_pixels_is_perfect_also_of_a_part() -> None:
    """These features are the pixels, rearranged: a crop of them is that crop of the image, or its place is wrong."""
    torch.manual_seed(0)
    network, images = FewShotDiscriminator(3, 16, base_channels=1), torch.rand(9, 3, 16, 16)
    maps = Encoded(F.pixel_unshuffle(images, 2), F.pixel_unshuffle(images, 4))
    network.decode_part, network.decode_whole = nn.PixelShuffle(2), nn.PixelShuffle(4)
    (whole, wanted), (part, wanted_part) = network.reconstructions(images, maps)
    assert torch.equal(whole, images)
    assert torch.equal(whole, wanted)
    assert torch.equal(part, wanted_part)
    assert part.shape == (9, 3, 8, 8)


def test_a_crop_is_a_slice_and_every_place_is_drawn() -> None:
    images, first = torch.rand(2, 3, 6, 5), torch.tensor([[0, 2], [3, 1]])
    found = cropped(images, first, 3, 2)
    assert torch.equal(found[0], images[0, :, 0:3, 2:4])
    assert torch.equal(found[1], images[1, :, 3:6, 1:3])
    torch.manual_seed(0)
    places = crop_places(200, (3, 2), images.device)
    assert {tuple(place) for place in places.tolist()} == {(row, column) for row in range(3) for column in range(2)}


def test_a_large_image_is_wanted_as_the_mean_of_its_pixels() -> None:
    image = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])
    assert shrunk(image, 1).item() == 1.5
    assert shrunk(image, 0) is image


def test_a_norm_or_none_and_spectral_or_not() -> None:
    kinds = {
        (norm, spectral): FewShotDiscriminator(1, 16, base_channels=1, norm=norm, spectral=spectral)
        for norm in ("batch", "none", "spectral")
        for spectral in (True, False)
    }
    for (norm, spectral), network in kinds.items():
        has_norm = any(isinstance(part, nn.BatchNorm2d) for part in network.modules())
        bounded = any(name.endswith("original") for name, _ in network.named_parameters())
        assert (has_norm, bounded) == (norm == "batch", spectral or norm == "spectral")
        assert not any(name.endswith("original") for name, _ in network.decode_part.named_parameters())


@pytest.mark.parametrize("network", [FewShotDiscriminator, lambda channels, size: FewShotGenerator(4, channels, size)])
@pytest.mark.parametrize(("size", "nearest"), [(8, "nearest: 16 "), (30, "nearest: 28 or 32 ")])
def test_a_size_without_a_grid_is_refused_with_the_nearest(network, size: int, nearest: str) -> None:
    with pytest.raises(ValueError, match=f"image_size={size}: .*{nearest}"):
        network(1, size)


def test_the_gated_unit_is_torchs() -> None:
    features = torch.randn(2, 6, 3, 3)
    torch.testing.assert_close(GLU()(features), F.glu(features, 1))
