"""A third player under names of its own: trainer, watchdog, doctor, resume and CUDA graphs know it by its role."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from ganrun.checkpoints import load
from ganrun.checkpoints.checkpoint import to_builtin
from ganrun.commands import doctor
from ganrun.losses.adversarial import Wasserstein
from ganrun.networks.latents import Normal
from ganrun.networks.mlp import MLPDiscriminator, MLPGenerator
from ganrun.systems.roles import Role
from ganrun.training import runs
from ganrun.training.cuda_graphs import Graphs
from ganrun.training.planning.notes import loss_remarks
from ganrun.training.trainer import Trainer
from ganrun.training.watch.gradients import GradientVanishes
from tests.same import differences
from tests.systems.three_players import EncodedGAN
from tests.training.test_cuda_graphs import Recorder, trained

Config = dict[str, Any]


@pytest.fixture
def game(tiny):
    def of(*words: str) -> Config:
        quiet = [] if "hooks=quiet" in words else ["hooks.tensorboard=null"]
        config = tiny("model=mlp", "steps=8", "log.every=4", *quiet, *words)
        model = copy.deepcopy(config["model"])
        for key in ("generator_steps", "feature_matching", "augmentation"):
            del model[key]
        model["_target_"] = f"{EncodedGAN.__module__}.EncodedGAN"
        model["encoder"] = {
            "_target_": "ganrun.networks.dcgan.DCGANDiscriminator",
            "channels": 1,
            "image_size": config["dataset"]["image_size"],
            "base_channels": 4,
            "heads": model["latent"]["size"],
        }
        return {**config, "model": model}

    return of


def weights(trainer: Trainer) -> dict[str, list[torch.Tensor]]:
    players = trainer.system.players().items()
    return {name: [weight.detach().clone() for weight in module.parameters()] for name, module in players}


def test_each_moves_in_its_turn_and_only_then(game, tmp_path: Path) -> None:
    trainer = runs.assemble(game("hooks=quiet", "loss.discriminator_steps=2"), tmp_path)
    play, moved = trainer.play, []

    def watched(turn, parts) -> None:
        before = weights(trainer)
        play(turn, parts)
        after = weights(trainer)
        changed = {name for name in after if not all(map(torch.equal, before[name], after[name]))}
        moved.append((turn.player, changed))

    trainer.play = watched
    trainer.length.steps = 2
    trainer.fit()
    assert moved == [(name, {name}) for name in ("judge", "encoder", "judge", "painter", "encoder")]


def test_roles_are_known_without_names(game, tmp_path: Path) -> None:
    trainer = runs.assemble(game(), tmp_path)
    roles = {player: trainer.system.role(player) for player in trainer.system.players()}
    assert roles == {"judge": Role.DISCRIMINATOR, "painter": Role.GENERATOR, "encoder": Role.OTHER}
    said = list(loss_remarks(small(Wasserstein(clip=None)), trainer.optimizers))
    assert said == ["loss.clip=null without penalties: nothing bounds the discriminator; use loss=wgan or loss=wgan_gp"]


def small(loss) -> EncodedGAN:
    return EncodedGAN(MLPGenerator(4, 1, 8), MLPDiscriminator(1, 8), Normal(4), loss, MLPDiscriminator(1, 8))


def test_the_watchdog_tells_symptoms_who_is_who(game, tmp_path: Path) -> None:
    """A gradient that vanishes is a discriminator's right, and nobody else's."""
    trainer = runs.train(game(), tmp_path)
    (watchdog,) = [hook for hook in trainer.hooks if type(hook).__name__ == "Watchdog"]
    (vanishing,) = [one for one in watchdog.symptoms.values() if isinstance(one, GradientVanishes)]
    assert vanishing.discriminates("judge")
    assert not vanishing.discriminates("encoder")
    for step in range(0, 1000, 50):
        norm = 1.0 if step < 500 else 0.0
        row = {"step": 100 + step, "judge/gradient_norm": norm, "judge/weight_norm": 1.0}
        assert vanishing.look(row, trainer.hooks[0].config) is None
        row = {"step": 100 + step, "encoder/gradient_norm": norm, "encoder/weight_norm": 1.0, "judge/gradient_norm": 1}
        finding = vanishing.look(row, trainer.hooks[0].config)
    assert finding is not None
    assert "encoder's gradient vanishes" in finding.saw
    assert finding.advice.startswith("optimizer.players.judge.lr=")
    row = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    assert {"judge/weight_norm", "painter/weight_norm", "encoder/weight_norm", "samples/diversity"} <= row.keys()


def test_doctor_looks_at_all_three(game, capsys) -> None:
    config = {**game("batch_size=16"), "doctor": {"images": 32, "steps": 20}}
    doctor.examine(config)
    lines = capsys.readouterr().out
    assert "trained alone against an untrained generator" in lines
    about = {line[6:20].strip() for line in lines.splitlines()}
    assert {"painter", "encoder", "discriminator"} <= about
    assert "judge" not in about


def test_a_resumed_run_is_the_unbroken_one(game, tmp_path: Path) -> None:
    config = game()
    whole = runs.train(config, tmp_path / "whole")
    runs.train({**config, "steps": 4}, tmp_path / "parts")
    resumed = runs.train(config, tmp_path / "parts", state=load.load_checkpoint(str(tmp_path / "parts"), "resume"))
    assert differences(to_builtin(whole.state_dict()), to_builtin(resumed.state_dict())) == []
    assert (tmp_path / "whole/metrics.jsonl").read_bytes() == (tmp_path / "parts/metrics.jsonl").read_bytes()


def test_recorded_steps_are_the_steps_and_steps_of_other_players_have_their_own(game, tmp_path: Path) -> None:
    config = game("hooks=quiet", "steps=40", "log.every=100", "loss.discriminator_steps=2")
    eager = trained(config, tmp_path / "eager", None)
    recorders: list[Recorder] = []

    def graphs(trainer: Trainer) -> Graphs:
        recorders.append(Recorder(trainer))
        return Graphs(trainer, recorders[-1])

    replayed = trained(config, tmp_path / "replayed", graphs)
    assert differences(to_builtin(eager.state_dict()), to_builtin(replayed.state_dict())) == []
    assert recorders[0].recorded == 2, "with and without the painter"
    assert eager.system.graph_key(0) == eager.system.graph_key(2) != eager.system.graph_key(1)
