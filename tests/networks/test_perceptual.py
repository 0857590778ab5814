"""VGGDistance: pictures compared by VGG19's features."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import vgg19 as torchvisions

from ganrun.networks.perceptual import DEPTHS, LAYERS, VGGDistance, VGGLayers


def distance(words: list[str]) -> VGGDistance:
    return VGGDistance(*(word.partition("=")[2] for word in words))


@pytest.fixture
def red(tmp_path: Path) -> VGGDistance:
    """A VGG19 whose first feature is the red channel, and all others nothing."""
    weight = torch.zeros(64, 3, 3, 3)
    weight[0, 0, 1, 1] = 1
    torch.save({"features.0.weight": weight, "features.0.bias": torch.zeros(64)}, tmp_path / "red.pth")
    return VGGDistance(str(tmp_path / "red.pth"), "conv1_1")


def test_a_layer_is_counted_with_its_relu_before_the_pooling() -> None:
    with torch.device("meta"):
        layers = torchvisions(weights=None).features
    names, block, number = {}, 1, 0
    for depth, layer in enumerate(layers, 1):
        if isinstance(layer, nn.MaxPool2d):
            block, number = block + 1, 0
        elif isinstance(layer, nn.ReLU):
            number += 1
            names[f"conv{block}_{number}"] = depth
    assert names == DEPTHS
    assert list(DEPTHS)[-1] == "conv5_4"


def test_the_distance_of_white_and_black_is_worked_out_by_hand(red: VGGDistance) -> None:
    """White is (1 − 0.485) / 0.229 = 2.2489 in ImageNet's red, black is negative: the ReLU makes it 0."""
    white, black = torch.ones(2, 3, 4, 4), -torch.ones(2, 3, 4, 4)
    assert red(white, black).item() == pytest.approx(2.2489083**2 / 64 / 12.75**2)
    assert red(white, white).item() == 0


def test_a_grey_picture_counts_as_three_equal_channels(vgg19: list[str]) -> None:
    compare = distance(vgg19)
    one, other = torch.rand(2, 2, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert compare(one, other).item() > 0
    assert torch.equal(compare(one, other), compare(one.expand(-1, 3, -1, -1), other.expand(-1, 3, -1, -1)))


def test_gradients_reach_the_images_alone_and_nothing_is_kept(vgg19: list[str]) -> None:
    compare = distance(vgg19)
    images, targets = torch.zeros(2, 3, 8, 8, requires_grad=True), torch.ones(2, 3, 8, 8, requires_grad=True)
    compare(images, targets).backward()
    assert images.grad.abs().sum() > 0
    assert targets.grad is None
    assert compare.state_dict() == {}
    assert list(compare.parameters()) == []
    assert all(weight.grad is None for weight in compare.network(images.device).parameters())


def test_the_file_is_opened_once_and_when_a_distance_is_asked_for(red: VGGDistance) -> None:
    pictures = torch.zeros(1, 3, 4, 4)
    red(pictures, pictures)
    Path(red.weights).unlink()
    red(pictures, pictures)
    with pytest.raises(OSError, match=r"^weights=.*red\.pth: there is no such file"):
        VGGDistance(red.weights, "conv1_1")(pictures, pictures)


def test_a_file_that_ends_before_the_layer_and_an_unknown_layer_are_refused(red: VGGDistance) -> None:
    pictures = torch.zeros(1, 3, 4, 4)
    with pytest.raises(OSError, match=r"cannot be opened as .* vgg19 \(KeyError: 'features\.2\.weight'\)"):
        VGGDistance(red.weights, "conv1_2")(pictures, pictures)
    with pytest.raises(ValueError, match=r"layer=conv6_1 must be one of conv1_1, .*conv5_4"):
        VGGDistance(red.weights, "conv6_1")


@pytest.mark.parametrize(("layer", "side", "way"), [("conv5_4", 15, "conv4_4"), ("conv2_1", 1, "conv1_2")])
def test_pictures_of_which_the_poolings_leave_nothing_are_refused(layer: str, side: int, way: str) -> None:
    pictures = torch.zeros(1, 3, 20, side)
    with pytest.raises(ValueError, match=rf"layer={layer} needs sides of .* these pictures have 20×{side}: .*{way}$"):
        VGGDistance("nowhere", layer)(pictures, pictures)
    with pytest.raises(OSError, match="there is no such file"):  # one pixel more is enough
        VGGDistance("nowhere", layer)(*[torch.zeros(1, 3, 20, side + 1)] * 2)


def test_several_layers_are_weighed_by_their_features_before_the_relu(red: VGGDistance) -> None:
    """White is 2.2489 in ImageNet's red, black −0.485 / 0.229 = −2.1179, which a ReLU would have made 0."""
    white, black = torch.ones(2, 3, 4, 4), -torch.ones(2, 3, 4, 4)
    compare = VGGLayers(red.weights, {"conv1_1": 0.5, "conv1_2": 0})
    assert compare(white, black).item() == pytest.approx(0.5 * (2.2489083 + 2.1179039) / 64)
    assert compare(white, white).item() == 0


def test_each_layer_adds_its_own_part(vgg19: list[str]) -> None:
    one, other = torch.rand(2, 1, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    path = vgg19[0].partition("=")[2]
    first, second, both = (
        VGGLayers(path, layers)(one, other).item()
        for layers in ({"conv1_1": 0.1}, {"conv1_2": 1}, {"conv1_2": 1, "conv1_1": 0.1})
    )
    assert both == pytest.approx(first + second)
    assert min(first, second) > 0


def test_the_papers_layers_are_the_default_and_what_cannot_be_is_refused() -> None:
    assert VGGLayers("nowhere").layer == "conv5_4"
    assert list(LAYERS.values()) == [0.1, 0.1, 1, 1, 1]
    pictures = torch.zeros(1, 3, 16, 16)
    with pytest.raises(OSError, match=r"^weights=FILE is needed"):
        VGGLayers()(pictures, pictures)
    with pytest.raises(ValueError, match=r"layers=conv6_1 must be one of"):
        VGGLayers("nowhere", {"conv1_1": 1, "conv6_1": 1})
    with pytest.raises(ValueError, match=r"at least one layer"):
        VGGLayers("nowhere", {"conv1_1": 0})
    with pytest.raises(ValueError, match=r"VGGLayers\.layers=conv5_4 needs sides of 16 .*: use layers=conv4_4$"):
        VGGLayers("nowhere")(pictures[..., :15], pictures[..., :15])
