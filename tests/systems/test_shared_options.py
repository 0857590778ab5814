"""What every game like GAN can be told stands once: in `GANOptions` and in conf/model/shared/gan.yaml."""

from __future__ import annotations

import inspect
import typing
from pathlib import Path

import pytest
import yaml
from torch import nn

from ganrun.common.errors import UserError
from ganrun.config.build import build
from ganrun.systems.acgan import ACGAN
from ganrun.systems.gan import GAN, GANOptions
from ganrun.systems.gman import GMAN
from ganrun.systems.infogan import InfoGAN
from ganrun.systems.system import System

CONF = Path(__file__).parents[2] / "conf/model"
NODE = {
    "latent": {"_target_": "ganrun.networks.latents.Normal", "size": 4},
    "generator": {"_target_": "ganrun.networks.mlp.MLPGenerator", "latent_size": 4, "channels": 1, "image_size": 8},
    "loss": {"_target_": "ganrun.losses.adversarial.Hinge"},
}
JUDGE = {"_target_": "ganrun.networks.mlp.MLPDiscriminator", "channels": 1, "image_size": 8}
GMAN_NODE = {**NODE, "_target_": "ganrun.systems.gman.GMAN", "discriminators": {"a": JUDGE, "b": JUDGE}}


def test_the_options_are_those_of_gan_and_have_their_defaults_there() -> None:
    hints = typing.get_type_hints(GAN.__init__, include_extras=True)
    options = typing.get_type_hints(GANOptions, include_extras=True)
    assert {name: hints[name] for name in options} == options
    in_yaml = yaml.safe_load((CONF / "shared/gan.yaml").read_text())
    defaults = {name: inspect.signature(GAN).parameters[name].default for name in options}
    assert in_yaml == defaults


@pytest.mark.parametrize("cls", [ACGAN, GMAN, InfoGAN])
def test_no_other_game_repeats_them(cls: type) -> None:
    assert not typing.get_type_hints(GANOptions).keys() & inspect.signature(cls).parameters.keys()


def test_no_model_of_the_yaml_repeats_all_four() -> None:
    for path in CONF.glob("*.yaml"):
        lines = path.read_text().splitlines()
        own = {line.split(":")[0] for line in lines} & typing.get_type_hints(GANOptions).keys()
        assert len(own) < 4, path


def test_a_game_that_takes_them_by_name_checks_names_kinds_and_ranges() -> None:
    system = build({**GMAN_NODE, "generator_steps": 2, "share_fakes": False}, System, "model")
    assert isinstance(system, GMAN)
    assert (system.generator_steps, system.share_fakes, system.augmentation) == (2, False, None)
    for key, value, said in (
        ("generator_step", 2, "GMAN has no such setting; nearest: generator_steps"),
        ("generator_steps", 0, "model.generator_steps=0 must be"),
        ("share_fakes", "maybe", "model.share_fakes=maybe must be"),
        ("feature_matching", 1, "GMAN has no such setting"),
    ):
        with pytest.raises(UserError, match=said):
            build({**GMAN_NODE, key: value}, System, "model")


class Anything(nn.Module):
    """Takes whatever it is given, as before."""

    def __init__(self, **settings: object) -> None:
        super().__init__()
        self.settings = settings


def test_a_users_class_with_keywords_of_its_own_still_takes_any() -> None:
    built = build({"_target_": f"{__name__}.Anything", "depth": 3}, nn.Module, "model.generator")
    assert built.settings == {"depth": 3}
