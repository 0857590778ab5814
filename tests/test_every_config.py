"""Every yaml in conf/ is composed and built, and every model plays every loss."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch.nn.utils.parametrize import ParametrizationList, is_parametrized

from ganrun.checkpoints import load
from ganrun.cli import composition
from ganrun.common.schedules import Schedule
from ganrun.common.types import Config
from ganrun.config import builders
from ganrun.config.build import build, resolve
from ganrun.config.schema import check
from ganrun.config.tree import conf_folder, description, group_choices
from ganrun.data.dataset import Dataset
from ganrun.losses.loss import AdversarialLoss
from ganrun.systems.system import System
from ganrun.training import optimizers as optimizers_
from ganrun.training import runs
from ganrun.training.hooks.hook import Hook
from tests.same import differences

CHOICES = group_choices()
MODELS = sorted(CHOICES["model"])
LOSSES = [name for name in sorted(CHOICES["loss"]) if not name.startswith("paper/")]  # those have other numbers only
AFFINE = ("flip=0.5", "rotate=10", "scale=0.1")
YAMLS = sorted(conf_folder().rglob("*.yaml"))


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: str(path.relative_to(conf_folder())))
def test_every_yaml_says_what_it_is_in_one_line(path: Path) -> None:
    assert 10 < len(description(path)) <= 160


BUILT = ("model", "loss", "optimizer", "schedule", "hooks", "dataset", "experiment")  # by the tests below


def composed(*words: str) -> Config:
    """The checked config of a line of `ganrun train`."""
    config = composition.compose_plain("train", list(words))
    check("train", config)
    return config


@pytest.mark.parametrize("group", sorted(CHOICES.keys() - BUILT))
def test_every_choice_of_every_other_group_composes(group: str) -> None:
    for choice in CHOICES[group]:
        composed(f"{group}={choice}")


@pytest.mark.parametrize("choice", sorted(CHOICES["model"]))
def test_every_model_builds(choice: str, vgg19: list[str]) -> None:
    config = composed(f"model={choice}", *(vgg19 if choice == "srgan_vgg" else []))
    with torch.device("meta"):
        assert isinstance(builders.build_system(config), System)


@pytest.mark.parametrize("choice", sorted(CHOICES["loss"]))
def test_every_loss_builds(choice: str) -> None:
    config = composed(f"loss={choice}")
    assert isinstance(build(config["loss"], AdversarialLoss, "loss"), AdversarialLoss)


@pytest.mark.parametrize("choice", sorted(CHOICES["optimizer"]))
def test_every_optimizer_builds_for_each_player(choice: str) -> None:
    config = composed(f"optimizer={choice}", "model=mlp")
    optimizers, schedules = optimizers_.build_optimizers(config, builders.build_system(config))
    assert optimizers.keys() == schedules.keys() == {"generator", "discriminator"}


@pytest.mark.parametrize("choice", sorted(CHOICES["schedule"]))
def test_every_schedule_builds_and_starts_at_the_full_rate(choice: str) -> None:
    config = composed(f"schedule={choice}")
    assert build(config["optimizer"]["schedule"], Schedule, "schedule").factor(0.0) == 1.0


@pytest.mark.parametrize("choice", sorted(CHOICES["hooks"]))
def test_every_set_of_hooks_builds(choice: str, tmp_path: Path) -> None:
    config = composed(f"hooks={choice}")
    for name, node in config["hooks"].items():
        if node is not None:  # a place for another choice's
            assert isinstance(build(node, Hook, f"hooks.{name}", folder=tmp_path, config=config), Hook)


@pytest.mark.parametrize("choice", sorted(CHOICES["dataset"]))
def test_every_data_set_names_a_class_and_its_facts(choice: str, tmp_path: Path) -> None:
    pictures(tmp_path)
    config = composed(f"dataset={choice}", *([f"dataset.root={tmp_path}"] if choice == "folder" else []))
    resolve(config["dataset"], Dataset, "dataset")
    assert {"channels", "image_size", "classes", "kimg", "limit", "flip"} <= config["dataset"].keys()


@pytest.mark.parametrize("choice", sorted(CHOICES["experiment"]))
def test_every_experiment_builds(choice: str, tmp_path: Path) -> None:
    """Its networks, loss and optimizers; its pictures, where they are a user's own, are stand-ins."""
    pictures(tmp_path)
    own = [f"dataset.root={tmp_path}", "dataset.classes=0"] if choice in ("t6_faces", "fewshot") else []
    config = composed(f"experiment={choice}", *own)
    with torch.device("meta"):
        system = builders.build_system(config)
        optimizers_.build_optimizers(config, system)
    if own:
        assert len(builders.load_dataset(config)) == 2, "a limit is the most, not the least"


KINDS = ("non_saturating", "r3gan", "wgan", "wgan_gp")  # of losses: of each image, of pairs, clipped, with a penalty
ALIKE = {  # these ask their loss in the turns of a model that plays all losses: the kinds are enough for their networks
    **dict.fromkeys(("biggan", "sagan", "sngan"), "wgan_gp_resnet"),  # the same residual blocks, too
    "fastcut": "cut",
    "pacgan_mlp": "mlp",
    "r3gan": "dcgan",
    "srgan_vgg": "srgan",
}
FEW = ("vae", "real_sr", "cut")  # vae has no loss; real_sr asks it in the turns of srgan, cut as pix2pix does


@pytest.mark.parametrize(("model", "loss"), [
    (model, loss) for model in MODELS for loss in (KINDS if model in ALIKE or model in FEW else LOSSES)
])  # fmt: skip
def test_every_model_plays_every_loss(model: str, loss: str, vgg19: list[str], tiny, tmp_path: Path) -> None:
    """Every module learns, only the turn's player moves, and a resumed run equals an unbroken one bit for bit."""
    # what is before a block of R3GAN, whose last layer starts with zeros, or before self-attention, which starts with
    # γ = 0, learns from the generator's second turn on
    longer = ["steps=10"] if model in ("sagan", "biggan", "r3gan") and loss in ("wgan", "wgan_gp") else []
    plays([f"model={model}", f"loss={loss}", *longer, *(vgg19 if model == "srgan_vgg" else [])], tiny, tmp_path)


@pytest.mark.parametrize(("model", "other"), ALIKE.items())
def test_models_alike_ask_their_loss_in_the_same_turns(model: str, other: str, vgg19: list[str]) -> None:
    configs = [composed(f"model={name}", *(vgg19 if name == "srgan_vgg" else [])) for name in (model, other)]
    one, two = (resolve(config["model"], System, "model") for config in configs)
    assert other not in ALIKE
    for name in ("turns", "discriminator_turn", "generator_turn"):
        assert getattr(one, name) == getattr(two, name)


@pytest.mark.parametrize("model", sorted(name.removeprefix("paper/") for name in CHOICES["loss"] if "/" in name))
def test_every_model_plays_the_loss_of_its_own(model: str, tiny, tmp_path: Path) -> None:
    plays([f"model={model}", "model.feature_matching=1"], tiny, tmp_path)


REMEDIES = {
    "diffaugment": ["augmentation=diffaugment"],
    "ada": ["augmentation=ada", "model.augmentation.p=0.5", "model.augmentation.kimg=1"],
    "affine": ["augmentation=diffaugment", *(f"model.augmentation.policies.affine.{it}" for it in AFFINE)],
    "instance_noise": ["augmentation=instance_noise", "model.augmentation.turns=8"],
    "stddev": ["model.discriminator.minibatch=stddev"],
    "discrimination": ["model.discriminator.minibatch=discrimination"],
    "pack": ["model.discriminator.pack=2"],
    "feature_matching": ["model.feature_matching=1"],
    "generator_steps": ["model.generator_steps=2"],
}


@pytest.mark.parametrize("remedy", REMEDIES)
@pytest.mark.parametrize("loss", ["non_saturating", "r3gan", "wgan_gp", "relativistic"])
def test_every_remedy_goes_with_every_kind_of_loss(remedy: str, loss: str, tiny, tmp_path: Path) -> None:
    plays([f"loss={loss}", *REMEDIES[remedy]], tiny, tmp_path)


@pytest.mark.parametrize("model", ["acgan", "cgan", "infogan"])
def test_every_remedy_goes_with_labels_and_codes(model: str, tiny, tmp_path: Path) -> None:
    remedies = ["augmentation=diffaugment", "model.feature_matching=1", "model.generator_steps=2"]
    remedies += ["model.discriminator.network.pack=2"] if model == "cgan" else []  # AC-GAN names single images
    plays([f"model={model}", *remedies], tiny, tmp_path)


@pytest.mark.parametrize("loss", ["paper/stylegan2", "r3gan"])
def test_the_whole_of_stylegan2_plays(loss: str, tiny, tmp_path: Path) -> None:
    """With path length and style mixing, which its small form leaves out, and without labels."""
    plays(["model=stylegan2", "model.size=paper", "model.classes=0", f"loss={loss}"], tiny, tmp_path)


@pytest.mark.parametrize("model", ["biggan", "r3gan", "stylegan2", "wgan_gp_resnet"])
def test_every_family_of_networks_packs(model: str, tiny, tmp_path: Path) -> None:
    unlabelled = [] if model == "wgan_gp_resnet" else ["model.classes=0"]
    plays([f"model={model}", "model.discriminator.pack=2", *unlabelled], tiny, tmp_path)


def test_the_few_shot_game_plays_as_in_its_paper_in_bf16(tiny, tmp_path: Path) -> None:
    plays(["model=fewshot", "augmentation=diffaugment", "model.feature_matching=1", "precision=bf16"], tiny, tmp_path)


def test_the_few_shot_game_reconstructs_by_the_documented_perceptual_distance(vgg19, tiny, tmp_path: Path) -> None:
    words = (f"+{word}".replace("perceptual", "reconstruction") for word in vgg19)
    target = "model.reconstruction._target_=ganrun.networks.perceptual.VGGDistance"
    plays(["model=fewshot", target, *words], tiny, tmp_path)


@pytest.mark.parametrize("words", [["model=fastcut", "precision=bf16"], ["model=pix2pix"], ["model=cut"]], ids=str)
def test_translators_play_with_the_resize_way_back(words: list[str], tiny, tmp_path: Path) -> None:
    plays([*words, "model.generator.upsample=resize"], tiny, tmp_path)


@pytest.mark.parametrize("model", ["mlp", "deconv", "dcgan_course", "small_conv", "pacgan_mlp"])
def test_every_pair_of_networks_has_features_to_match(model: str, tiny, tmp_path: Path) -> None:
    plays([f"model={model}", "model.feature_matching=1"], tiny, tmp_path)


def plays(words: list[str], tiny, tmp_path: Path) -> None:
    longer = [] if any(word.startswith("steps=") for word in words) else ["steps=6"]
    config = tiny(*longer, *words, "hooks=quiet", "checkpoint.every=3")
    whole = runs.assemble(config, tmp_path / "whole")
    before = {name: clone(part) for name, part in leaves(whole.system)}
    learnt = watch(whole)
    whole.fit()
    assert learnt == set(before), f"no gradient ever reached {set(before) - learnt}"
    moved = {name for name, part in leaves(whole.system) if not all(map(torch.equal, before[name], clone(part)))}
    for player, module in whole.system.players().items():  # a clipped discriminator's gradients may round to nothing
        assert any(name in moved for name, part in leaves(whole.system) if part in set(module.modules())), player
        assert all(torch.isfinite(weight).all() for weight in module.parameters())

    runs.train({**config, "steps": config["steps"] // 2}, tmp_path / "parts")
    state = load.load_checkpoint(str(tmp_path / "parts"), "resume")
    resumed = runs.train(config, tmp_path / "parts", state=state)
    assert differences(state_of(whole), state_of(resumed)) == []


def watch(trainer) -> set[str]:
    """Check at each turn that only its player moves; collect the names of the modules that a gradient reached.

    Per module, not per weight: the last bias of a discriminator has no gradient under Wasserstein and relativistic
    losses.
    """
    play, learnt = trainer.play, set()

    def watched(turn, batch) -> None:
        players = trainer.system.players()
        others = {name: list(module.parameters()) for name, module in players.items() if name != turn.player}
        weights = {name: [weight.detach().clone() for weight in own] for name, own in others.items()}
        gradients = {name: [weight.grad for weight in own] for name, own in others.items()}
        play(turn, batch)
        for name, own in others.items():
            assert all(torch.equal(a, b) for a, b in zip(weights[name], own, strict=True)), (
                f"{turn.player} moved {name}"
            )
            untouched = all(weight.grad is g for weight, g in zip(own, gradients[name], strict=True))
            assert untouched, f"{turn.player}'s turn computed gradients of {name}"
        for name, part in leaves(trainer.system):
            if any(weight.grad is not None and weight.grad.any() for weight in own_weights(part)):
                learnt.add(name)

    trainer.play = watched
    return learnt


def leaves(system: torch.nn.Module) -> list[tuple[str, torch.nn.Module]]:
    """The modules that hold weights themselves."""
    modules = system.named_modules()
    return [(name, part) for name, part in modules if own_weights(part) and not isinstance(part, ParametrizationList)]


def own_weights(module: torch.nn.Module) -> list[torch.nn.Parameter]:
    """Those of the module itself; a parametrized weight is its module's."""
    inner = module.parametrizations.parameters() if is_parametrized(module) else ()
    return [*module.parameters(recurse=False), *inner]


def clone(module: torch.nn.Module) -> list[torch.Tensor]:
    return [weight.detach().clone() for weight in own_weights(module)]


def state_of(trainer) -> dict:
    from ganrun.checkpoints.checkpoint import to_builtin

    return to_builtin(trainer.state_dict())


def pictures(folder: Path) -> None:
    from PIL import Image

    for number in range(2):
        Image.new("RGB", (64, 64), (number, 2, 3)).save(folder / f"{number}.png")


@pytest.mark.parametrize("words", [*([f"loss={loss}", "model=mlp"] for loss in LOSSES), *REMEDIES.values()], ids=str)
def test_no_step_waits_for_the_device(words, tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two logs nothing reads a tensor: on a GPU each reading would stall it."""
    trainer = runs.assemble(tiny(*words, "steps=12", "log.every=100"), tmp_path)
    trainer.step = 1  # step 1 logs
    trainer.hooks = [hook for hook in trainer.hooks if type(hook).__name__ in ("Console", "MetricsFile", "Status")]
    readings: list[str] = []
    for name in ("item", "tolist", "__float__", "__bool__", "__int__", "__repr__", "__format__", "cpu", "numpy"):
        real = getattr(torch.Tensor, name)

        def counted(self, *args, _name=name, _real=real, **kwargs):
            caller = sys._getframe(1).f_code
            if "torch/optim" not in caller.co_filename:  # optimizers read their own step counts, which lie on the CPU
                readings.append(f"{_name} in {caller.co_name}")
            return _real(self, *args, **kwargs)

        monkeypatch.setattr(torch.Tensor, name, counted)
    trainer.fit()
    assert trainer.step == 12
    assert readings == []
