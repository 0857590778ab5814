"""build: user's configs are code, a checkpoint's are data."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from torch import nn

from ganrun.common.errors import UserError
from ganrun.config.build import FROM_A_FILE, build
from ganrun.losses.adversarial import Wasserstein
from ganrun.losses.loss import AdversarialLoss
from ganrun.losses.penalties import GradientPenalty


def test_nested_nodes_are_built_inside_out() -> None:
    node = {
        "_target_": "ganrun.losses.adversarial.Wasserstein",
        "penalties": {"gradient": {"_target_": "ganrun.losses.penalties.GradientPenalty", "weight": 3}},
    }
    loss = build(node, AdversarialLoss, "loss", FROM_A_FILE)
    assert isinstance(loss, Wasserstein)
    assert isinstance(loss.penalties["gradient"], GradientPenalty)
    assert loss.penalties["gradient"].weight == 3


def test_an_unknown_setting_is_named_with_its_neighbours() -> None:
    with pytest.raises(UserError, match=r"loss\.clipp: Wasserstein has no such setting; nearest: clip"):
        build({"_target_": "ganrun.losses.adversarial.Wasserstein", "clipp": 1}, AdversarialLoss, "loss")


def test_a_class_that_is_not_there_is_looked_for_among_those_of_its_own_module() -> None:
    with pytest.raises(UserError, match=r"best has no Bset; nearest: Best$"):
        build({"_target_": "ganrun.training.hooks.best.Bset"}, object, "hooks.x")
    with pytest.raises(UserError, match=r"grids has no Zq; there is: Grids$"):
        build({"_target_": "ganrun.training.hooks.grids.Zq"}, object, "hooks.x")
    with pytest.raises(UserError, match="nearest: Linear"):
        build({"_target_": "torch.nn.Linaer"}, nn.Module, "x")


def test_a_missing_setting_is_named() -> None:
    with pytest.raises(UserError, match=r"p\.gamma is missing: R1 needs it"):
        build({"_target_": "ganrun.losses.penalties.R1"}, nn.Module, "p")


def test_a_constructors_complaint_comes_with_its_place() -> None:
    node = {"_target_": "ganrun.networks.latents.Uniform", "size": 3, "low": 1, "high": 0}
    with pytest.raises(UserError, match=r"z \(Uniform\): latent low=1 must be below high=0"):
        build(node, nn.Module, "z")


def test_a_class_of_the_wrong_kind_is_refused_before_it_is_called() -> None:
    node = {"_target_": "ganrun.losses.adversarial.Wasserstein", "penalties": {"x": {"_target_": "torch.nn.Linear"}}}
    with pytest.raises(UserError, match="is not a Penalty"):
        build(node, AdversarialLoss, "loss")


@pytest.mark.parametrize(
    "target",
    [
        "os.system",  # another package
        "builtins.eval",
        "torch.hub.load",  # torch, but not torch.nn or torch.optim
        "torch.nn.modules.module.torch.hub.load",  # a way round through an alias
        "ganrun.checkpoints.checkpoint.os.system",
        "ganrun.training.runs.json.loads",
        "ganrun.training.runs.Path",  # a class in our module, defined elsewhere
        "torch.nnx.Evil",
    ],
)
def test_a_file_may_only_name_classes_defined_where_we_trust(target: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    with pytest.raises(UserError):
        build({"_target_": target, "command": f"touch {canary}"}, object, "model", FROM_A_FILE)
    assert not canary.exists()


def test_a_users_package_is_trusted_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_losses.py").write_text(
        "from ganrun.losses.adversarial import Hinge\n"
        "open(__file__ + '.imported', 'w').close()\n"
        "class Mine(Hinge): ...\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    node = {"_target_": "my_losses.Mine"}
    with pytest.raises(UserError, match="trust=my_losses"):
        build(node, AdversarialLoss, "loss", FROM_A_FILE)
    assert not os.path.exists(tmp_path / "my_losses.py.imported"), "refused before it was imported"
    assert build(node, AdversarialLoss, "loss", (*FROM_A_FILE, "my_losses"))
    assert build(node, AdversarialLoss, "loss", None)
