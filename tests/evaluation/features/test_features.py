"""Feature networks: learnt once, the same everywhere, and never confused with another."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from ganrun.cli.composition import compose_plain
from ganrun.common.errors import UserError
from ganrun.config.build import build
from ganrun.config.schema import check
from ganrun.config.tree import group_choices
from ganrun.data.dataset import Dataset
from ganrun.evaluation.features import default
from ganrun.evaluation.features.default import Default
from ganrun.evaluation.features.extractor import Extractor, Features, data_fingerprint, weights_hash
from ganrun.evaluation.features.inception import FILE, Inception
from ganrun.evaluation.features.random_conv import RandomConv

CPU = torch.device("cpu")


@pytest.fixture
def two_classes() -> Dataset:
    """Dark and bright noise, 120 pictures of 8×8."""
    images = torch.randint(0, 100, (120, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    labels = torch.arange(120) % 2
    return Dataset(images + 150 * labels[:, None, None, None].to(torch.uint8), labels, ["dark", "bright"])


def test_a_classifier_is_learnt_once_and_knows_its_accuracy(two_classes: Dataset, tmp_path: Path, monkeypatch) -> None:
    first = Default(features=6, steps=60).open(two_classes, tmp_path, CPU)
    monkeypatch.setattr(default, "trained", None)  # the second must not learn
    again = Default(features=6, steps=60).open(two_classes, tmp_path, CPU)
    assert first.name == again.name == "datasetcnn"
    assert first.hash == again.hash
    assert first.about["accuracy"] == again.about["accuracy"] == 1
    features, logits = again([two_classes.images[:5], two_classes.images[5:7]])
    assert features.shape == (7, 6)
    assert logits is not None
    assert logits.argmax(1).tolist() == two_classes.labels[:7].tolist()


def test_other_data_or_settings_learn_another_network(two_classes: Dataset, tmp_path: Path) -> None:
    settings = [{}, {"steps": 4}, {"seed": 1}]
    networks = [Default(**{"features": 6, "steps": 3, **own}).open(two_classes, tmp_path, CPU) for own in settings]
    fewer = Dataset(two_classes.images[1:], two_classes.labels[1:], two_classes.class_names)
    networks.append(Default(features=6, steps=3).open(fewer, tmp_path, CPU))
    assert len({network.hash for network in networks}) == len(list(tmp_path.iterdir())) == 4


def test_a_damaged_cache_is_learnt_again(two_classes: Dataset, tmp_path: Path) -> None:
    hashes = []
    for _ in range(2):
        hashes.append(Default(features=6, steps=3).open(two_classes, tmp_path, CPU).hash)
        (kept,) = tmp_path.iterdir()
        kept.write_bytes(kept.read_bytes()[:-400])
    assert hashes[0] == hashes[1]


def test_opening_a_network_leaves_the_randomness_of_a_run_alone(two_classes: Dataset, tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    Default(features=6, steps=3).open(two_classes, tmp_path, CPU)
    assert torch.equal(torch.rand(3), expected)


def test_data_without_labels_get_a_random_network_that_is_named_so(two_classes: Dataset, tmp_path: Path) -> None:
    unlabelled = Dataset(two_classes.images)
    network = Default().open(unlabelled, tmp_path, CPU)
    assert (network.name, network.size, network.named) == ("random_conv", 256, False)
    assert not list(tmp_path.iterdir())
    same, other = (RandomConv(seed).open(unlabelled, tmp_path, CPU).hash for seed in (0, 1))
    assert network.hash == same != other
    features, logits = network([unlabelled.images])
    assert features.shape == (120, 256)
    assert features.std(0).min() > 0
    assert logits is None


@pytest.mark.parametrize("choice", sorted(group_choices(None, "eval")["features"]))
def test_every_choice_of_features_composes_and_builds(choice: str) -> None:
    config = compose_plain("eval", ["ckpt=any", f"features={choice}"])
    check("eval", config)
    assert isinstance(build(config["features"], Features, "features"), Features)


def test_more_features_than_256_are_refused() -> None:
    with pytest.raises(ValueError, match="from 1 to 256"):
        Default(features=257)


def test_hashes_see_every_weight_and_every_picture(two_classes: Dataset) -> None:
    network = torch.nn.Linear(3, 3)
    before, fingerprint = weights_hash(network), data_fingerprint(two_classes)
    with torch.no_grad():
        network.weight[2, 2] += 1e-6
    assert weights_hash(network) != before
    two_classes.images[-1, 0, 7, 7] ^= 1
    assert data_fingerprint(two_classes) != fingerprint


def test_an_extractor_without_pictures_says_so() -> None:
    network = torch.nn.Linear(1, 1)
    with pytest.raises(ValueError, match="no pictures"):
        Extractor("some", network, 1)([])


# -- Inception ------------------------------------------------------------------------------------------------------


def test_inception_without_weights_names_both_ways_out(two_classes: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("torch_fidelity")
    with pytest.raises(UserError, match=r"features\.weights=FILE .* or features.download=true"):
        Inception().open(two_classes, tmp_path, CPU)


def test_inception_offline_is_one_line(two_classes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch_fidelity")

    def offline(*args: object, **kwargs: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(UserError, match=r"cannot be downloaded \(no route to host\)"):
        Inception(download=True).open(two_classes, tmp_path, CPU)


class Evil:
    def __reduce__(self):
        return (print, ("ran",))


@pytest.mark.parametrize("content", [{"fc.weight": torch.zeros(3)}, [1, 2], Evil()], ids=["another", "list", "code"])
def test_a_file_of_another_network_is_refused_in_one_line(content, two_classes, tmp_path: Path, capsys) -> None:
    pytest.importorskip("torch_fidelity")
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(UserError, match=f"is not torch-fidelity's {FILE}") as raised:
        Inception(weights=str(tmp_path / "other.pth")).open(two_classes, tmp_path, CPU)
    assert "\n" not in str(raised.value)
    assert "ran" not in capsys.readouterr().out


@pytest.mark.slow
def test_inception_sees_what_torch_fidelitys_extractor_sees(two_classes: Dataset, tmp_path, monkeypatch) -> None:
    theirs = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    kind = theirs.FeatureExtractorInceptionV3
    with monkeypatch.context() as patch:  # random weights: the true ones are 91 MB
        patch.setattr(theirs, "load_state_dict_from_url", lambda *args, **kwargs: {})
        patch.setattr(kind, "load_state_dict", lambda self, state: None)
        reference = kind("reference", ["2048", "logits_unbiased"])
    torch.save(reference.state_dict(), tmp_path / "weights.pth")
    network = Inception(weights=str(tmp_path / "weights.pth")).open(two_classes, tmp_path, CPU)
    images: Tensor = two_classes.images[:2]
    features, logits = network([images])
    with torch.inference_mode():
        expected = reference(images.expand(-1, 3, -1, -1))
    assert torch.equal(features, expected[0])
    assert logits is not None
    assert torch.equal(logits, expected[1])
