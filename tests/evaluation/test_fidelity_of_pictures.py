"""Scores of pictures that have an answer: numbers by hand, borders, depth, LPIPS files, and intervals."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ganrun.common.errors import UserError
from ganrun.evaluation.fidelity import Fidelity, at_depth, gain_of, mean_of
from ganrun.evaluation.metrics.fidelity import cropped, l1, luma, psnr, ssim
from ganrun.evaluation.metrics.intervals import Interval
from ganrun.evaluation.results import said
from ganrun.networks.lpips import KINDS, empty, linear_names


def colour(red: int, green: int, blue: int, side: int = 16) -> Tensor:
    """(1, 3, side, side) uint8 of one colour."""
    return torch.tensor([red, green, blue], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, side, side).clone()


def test_psnr_of_the_luma_is_that_by_hand() -> None:
    """Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255: an error of 10 levels of red is one of 2.568 levels of Y."""
    found = Fidelity(["psnr", "psnr_y", "l1"], 3)(colour(110, 50, 60), colour(100, 50, 60))
    assert found["psnr_y"].item() == pytest.approx(20 * math.log10(255 / (65.481 * 10 / 255)), abs=1e-9)
    assert found["psnr"].item() == pytest.approx(10 * math.log10(255**2 / (100 / 3)), abs=1e-9)
    assert found["l1"].item() == pytest.approx(10 / 255 / 3)
    black, white = (((luma(torch.full((1, 3, 1, 1), value)) + 1) * 127.5).item() for value in (-1.0, 1.0))
    assert (black, white) == (pytest.approx(16), pytest.approx(235))


def test_grey_is_its_own_luma_and_five_bands_have_none() -> None:
    grey = torch.rand(2, 1, 16, 16) * 2 - 1
    assert torch.equal(luma(grey), grey.double())
    assert Fidelity(None, 1).names == ["psnr", "ssim", "l1"]
    assert Fidelity(None, 3).names == ["psnr", "psnr_y", "ssim", "ssim_y", "l1"]
    assert Fidelity(["psnr_y"], 1)(grey, -grey).keys() == {"psnr_y"}
    with pytest.raises(UserError, match=r"^x\.scores=psnr_y: the Y of 5 channels is not known"):
        Fidelity(["psnr_y"], 5, key="x.")


def test_a_border_is_cut_off_as_wide_as_the_scale_unless_said_otherwise() -> None:
    """The error lies in the outermost two pixels alone."""
    target = torch.zeros(1, 1, 16, 16, dtype=torch.uint8)
    wrong = target.clone()
    wrong[..., :2, :], wrong[..., 14:, :] = 9, 9
    assert Fidelity(["psnr"], 1)(wrong, target, scale=1)["psnr"].isfinite()
    assert Fidelity(["psnr"], 1)(wrong, target, scale=2)["psnr"].isinf()
    assert Fidelity(["psnr"], 1, border=1)(wrong, target, scale=2)["psnr"].isfinite()
    assert Fidelity(["psnr"], 1, border=0).pixels_cut(4) == 0
    assert cropped(wrong, 3).shape == (1, 1, 10, 10)
    with pytest.raises(UserError, match="border=8 leaves nothing of a picture of 16×16 pixels"):
        Fidelity(["psnr"], 1, border=8)(wrong, target)


def test_sixteen_bits_are_scored_in_their_own_range() -> None:
    """One level of 65,535 is 20 log10(65535) dB; in eight bits the two pictures would be the same."""
    target = torch.full((1, 1, 16, 16), 30000, dtype=torch.int32).to(torch.uint16)
    off = torch.full((1, 1, 16, 16), 30001, dtype=torch.int32).to(torch.uint16)
    assert Fidelity(["psnr"], 1)(off, target)["psnr"].item() == pytest.approx(20 * math.log10(65535), abs=1e-6)
    fine = torch.tensor([[0.0, 1 / 65535, 2.0]])
    assert ((at_depth(fine, torch.uint16) + 1) * 32767.5).tolist() == [[pytest.approx(32768), 32768, 65535]]
    assert ((at_depth(fine, torch.uint8) + 1) * 127.5).tolist() == [[128, 128, 255]]


def test_ssim_of_the_luma_is_ssim_of_the_luma_and_small_pictures_have_none() -> None:
    torch.manual_seed(0)
    x, y = (torch.rand(2, 3, 20, 20) * 2 - 1 for _ in range(2))
    assert torch.equal(Fidelity(None, 3)(x, y)["ssim_y"], ssim(luma(x), luma(y)))
    assert torch.equal(Fidelity(None, 3)(x, y)["psnr"], psnr(x, y))
    assert Fidelity(None, 3)(x[..., :8, :8], y[..., :8, :8]).keys() == {"psnr", "psnr_y", "l1"}
    assert l1(x, x).tolist() == [0, 0]


def test_means_have_intervals_and_gains_are_paired() -> None:
    """Mean 3, s = 1, n = 3: the half width is 4.303 / √3. A picture that equals its target has no finite PSNR."""
    assert mean_of([2.0, 3.0, 4.0, math.inf]) == (3, pytest.approx(4.303 / math.sqrt(3)))
    assert gain_of([2.0, 3.0, math.inf], [1.0, 2.0, 3.0]) == (1, 0)
    assert mean_of([math.inf]) == (math.inf, None)
    shown = [said(Interval(26.8471, half)) for half in (0.0312, 1.24, 12.0, None, 0.0)]
    assert shown == ["26.847 ± 0.031", "26.8 ± 1.2", "27 ± 12", "26.85", "26.85 ± 0"]


# -- LPIPS ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def alex(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """alexnet with random weights, and linear weights: every channel of tap l counts l + 1."""
    folder = tmp_path_factory.mktemp("lpips")
    torch.manual_seed(0)
    shapes = {name: tensor.shape for name, tensor in empty("alex").state_dict().items()}
    network = {f"features.{name}": torch.randn(shape) * 0.05 for name, shape in shapes.items()}
    torch.save(network, folder / "alexnet.pth")
    counts = KINDS["alex"].channels
    rows = {
        name: torch.full((1, n, 1, 1), tap + 1.0)
        for tap, (name, n) in enumerate(zip(linear_names("alex"), counts, strict=True))
    }
    torch.save(rows, folder / "alex.pth")
    return str(folder / "alexnet.pth"), str(folder / "alex.pth")


def test_lpips_is_its_formula(alex: tuple[str, str]) -> None:
    """Σ_l mean over pixels of (l + 1) |x̂ − ŷ|² for unit vectors, whose squared distance is 2 − 2 cos."""
    x, y = torch.rand(2, 3, 40, 48) * 2 - 1, torch.rand(2, 3, 40, 48) * 2 - 1
    mean, std = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    a, b = ((image / 2 + 0.5 - mean) / std for image in (x, y))
    layers, by_hand, tap = empty("alex"), torch.zeros(2), 0
    state = {name.removeprefix("features."): part for name, part in torch.load(alex[0]).items()}
    layers.load_state_dict(state, assign=True)
    with torch.no_grad():
        for number, layer in enumerate(layers):
            a, b = layer(a), layer(b)
            if number in (1, 4, 7, 9, 11):
                tap += 1
                by_hand += tap * (2 - 2 * torch.cosine_similarity(a, b, dim=1)).mean((1, 2))
    measure = Fidelity(["lpips"], 3, weights=alex[::-1])
    assert measure(x, y)["lpips"].tolist() == pytest.approx(by_hand.tolist(), rel=1e-4)
    assert measure(x, x)["lpips"].tolist() == [0, 0]
    assert len(measure.settings()["lpips"]["lpips_weights"]) == 2
    assert measure.settings() == Fidelity(["lpips"], 3, weights=alex).settings(), "their order says nothing"
    assert measure(x[..., :30, :], y[..., :30, :]) == {}, "too small for it"


def test_files_that_do_not_go_together_are_refused_in_one_line(alex: tuple[str, str], tmp_path: Path) -> None:
    rows = dict(zip(linear_names("vgg"), KINDS["vgg"].channels, strict=True))
    vgg, other = str(tmp_path / "vgg.pth"), str(tmp_path / "other.pth")
    torch.save({name: torch.ones(1, count, 1, 1) for name, count in rows.items()}, vgg)
    torch.save({"features.0.weight": torch.ones(2)}, other)
    for files, why in (
        ([alex[0], vgg], r"the network is alex, but the linear weights are those for vgg"),
        ([alex[0], other], r"other.pth is neither torchvision's alexnet or vgg16 nor the linear weights of LPIPS"),
        ([alex[0], alex[0]], r"neither file has the linear weights of LPIPS"),
        ([alex[0]], r"needs two files, a network and its linear weights, and there are 1"),
        ([alex[0], "gone.pth"], r"gone.pth: there is no such file"),
        ([alex[0], __file__], r"cannot be opened as weights"),
    ):
        with pytest.raises(UserError, match=f"^lpips.weights: .*{why}") as raised:
            Fidelity(None, 3, weights=files)
        assert "\n" not in str(raised.value)
    with pytest.raises(UserError, match=r"scores=lpips needs its files: give lpips.weights="):
        Fidelity(["lpips"], 3)
    with pytest.raises(UserError, match="scores=psnry is not a score of pictures with a target; nearest: psnr"):
        Fidelity(["psnry"], 3)
