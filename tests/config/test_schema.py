"""Every key of a command stands once: its default and words in conf/, its type and range in the schema."""

from __future__ import annotations

from itertools import product

import pytest
import yaml

from ganrun.cli.composition import compose
from ganrun.common.bounds import Group, described, fitted
from ganrun.config.comments import choice_entries, chosen, page_entries
from ganrun.config.schema import KEYS
from ganrun.config.signatures import hint_of
from ganrun.config.tree import group_choices, groups_of

ELSEWHERE = ("transforms.",)  # arguments of classes, which have their own hints


@pytest.mark.parametrize("page", KEYS)
def test_every_key_of_a_command_has_a_row_and_every_row_a_key(page: str) -> None:
    entries = page_entries(page)
    leaves = {key for key, entry in entries.items() if entry.default}
    assert {key for key in leaves if not key.startswith(ELSEWHERE)} <= KEYS[page].keys()
    groups = groups_of(page)
    for key, hint in KEYS[page].items():
        assert key in entries or key.split(".")[0] in groups, key
        assert hint is Group or key in leaves or key == "optimizer.lr", key


@pytest.mark.parametrize("page", KEYS)
def test_every_key_of_a_command_has_words(page: str) -> None:
    entries = page_entries(page)
    for key, entry in entries.items():
        inside = [other.words for name, other in entries.items() if name.startswith(f"{key}.")]
        assert entry.words or (not entry.default and any(inside)), f"conf/{page}.yaml: {key} has no comment"


@pytest.mark.parametrize("page", KEYS)
def test_every_default_fits_its_own_row(page: str) -> None:
    for key, entry in page_entries(page).items():
        if key in KEYS[page] and entry.default not in ("", "???"):
            fitted(compose_value(entry.default), KEYS[page][key])
            assert described(KEYS[page][key]) != "something else", key


def compose_value(text: str) -> object:
    """A default as Hydra reads it: 1e-3 is a number there, for PyYAML it is text."""
    value = yaml.safe_load(text)
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


@pytest.mark.parametrize(
    ("page", "picked"),
    [
        *(("train", {"model": model, "loss": loss}) for model, loss in product(
            ("dcgan", "mlp", "cyclegan", "srgan_vgg", "pix2pix"), ("hinge", "wgan", "wgan_gp", "r3gan"))),
        *(("train", {"experiment": name}) for name in group_choices()["experiment"]),
        ("train", {"experiment": "digits", "loss": "wgan"}), ("train", {"optimizer": "sgd", "loss": "wgan"}),
        ("train", {}), ("bench", {"model": "mlp"}), ("augment_study", {}), ("eval", {"features": "inception"}),
    ],
)  # fmt: skip
def test_the_choices_of_a_line_are_those_that_hydra_finds(page: str, picked: dict[str, str]) -> None:
    words = [f"{group}={choice}" for group, choice in picked.items()]
    theirs = compose(page, words, None).config.hydra.runtime.choices
    ours = chosen(page, picked)
    for group in groups_of(page):
        brought = [theirs[key] for key in theirs if key.split("@")[0] == group]
        assert ours.get(group) in (brought or [None]), group


def test_a_default_and_a_comment_are_read_as_the_file_has_them() -> None:
    entries = choice_entries("model", "srgan_vgg")
    assert entries["model.pretrain_steps"].default == "1000"
    assert entries["model.pretrain_steps"].words.startswith("steps of pretraining on the content loss")
    assert entries["model.perceptual.weights"].default == "???"  # its own, beside those of srgan
    assert (
        "of each picture are written to out/results.csv" in page_entries("apply")["target"].words
    )  # two lines of comment


@pytest.mark.parametrize(
    ("target", "argument", "words"),
    [
        ("ganrun.networks.resnet.ResNetTranslator", "blocks", "a whole number from 1 to 1000, or null"),
        ("ganrun.networks.mlp.MLPGenerator", "widths", "a list [...], each a whole number from 1 up"),
        ("ganrun.networks.dcgan.DCGANGenerator", "image_size", "a number of pixels, or [height, width]"),
        ("ganrun.systems.gan.GAN", "share_fakes", "true or false"),
        ("ganrun.systems.pix2pix.Pix2Pix", "l1_weight", "a number from 0 up"),
        ("ganrun.systems.acgan.ACGAN", "generator_steps", "a whole number from 1 to 1000"),
        ("torch.optim.Adam", "lr", "a number above 0"),
        ("torch.optim.Adam", "betas", "a list of 2, each a number from 0 to below 1"),
    ],
)
def test_an_arguments_hint_is_read_without_its_class(target: str, argument: str, words: str) -> None:
    assert described(hint_of(target, argument)) == words


def test_what_has_no_readable_hint_is_left_out() -> None:
    assert hint_of("my_package.Net", "width") is None
    assert hint_of("ganrun.systems.gan.GAN", "nothing") is None
    assert hint_of("", "x") is None
