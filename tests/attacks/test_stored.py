"""What a checkpoint tells besides its tensors: no command relies on what it has not looked at."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from payloads import changed, write
from torch import nn

from ganrun.checkpoints import checkpoint, stored_facts
from ganrun.cli.main import main

Refused = Callable[..., str]
SAMPLE = ["sample", "ckpt=a.pt", "n=2", "device=cpu", "out=made.png"]
RESUME = ["train", "resume=a.pt", "steps=2", "device=cpu"]
IDENTITY = {"_target_": "torch.nn.Identity"}
LATENT = {"_target_": "ganrun.networks.latents.Normal", "size": 8}

EVERYWHERE: list[tuple[str, Any]] = [
    ("config.dataset", "text"), ("config.dataset", [1]), ("config.dataset", None), ("config.dataset.image_size", "x"),
    ("config.dataset.image_size", [8]), ("config.dataset.image_size", [8, 8, 8]), ("config.dataset.image_size", 0),
    ("config.dataset.image_size", [8, 0.5]), ("config.dataset.image_size", {}), ("config.dataset.image_size", True),
    ("config.dataset.channels", [1]), ("config.dataset.channels", "1"), ("config.dataset.channels", -1),
    ("config.dataset.classes", "10"), ("config.dataset.clean", [1]), ("config.threads", "many"),
    ("config.threads", 4096),
    ("config.seed", -1), ("config.seed", 10**30), ("config.model.latent", IDENTITY), ("config.model.latent", [1]),
    ("config.model.generator", LATENT), ("config.model.generator", "text"), ("config.model.discriminator", None),
    ("config.hooks", "text"), ("config.optimizer", []), ("config.log", 3), ("config.batch_size", 0),
    ("progress.step", 10**30), ("progress.step", 1.5), ("progress.images", [1]), ("progress.seconds", float("nan")),
    ("progress.seconds", -1), ("progress.setbacks", 10**6), ("progress.ranks", -1), ("data", [1]),
    ("data.class_names", {"a": 1}), ("data.class_names", ["x" * 5000]), ("average", {}), ("average", None),
    ("config.hooks.grids.count", 10**9), ("config.grids.every", 0), ("config.hooks.watchdog.count", 10**9),
    ("config.average.half_life", float("inf")), ("config.optimizer.lr", float("nan")),
]  # fmt: skip


@pytest.mark.parametrize("command", [SAMPLE, RESUME], ids=["sample", "resume"])
@pytest.mark.parametrize(
    ("place", "value"), EVERYWHERE, ids=lambda value: str(value)[:30].encode("unicode_escape").decode()
)
def test_sample_looks_at_what_resume_looks_at(
    good: dict[str, Any], here: Path, refused: Refused, command: list[str], place: str, value: Any
) -> None:
    write(changed(good, place, value), here / "a.pt")
    refused(*command)


def test_names_of_classes_paint_nothing(good: dict[str, Any], here: Path) -> None:
    state = {**good, "data": {"class_names": ["\x1b[2J", "数据"]}}
    stored_facts.check_facts(state)
    assert state["data"]["class_names"] == ["?[2J", "数据"]


def test_a_generator_that_does_not_fit_its_latent_is_one_line(
    good: dict[str, Any], here: Path, refused: Refused
) -> None:
    state = changed(good, "config.model.generator", {"_target_": "torch.nn.Softmax", "dim": 7})
    weights = {name: tensor for name, tensor in good["system"].items() if not name.startswith("generator")}
    write({**state, "system": weights, "average": {}}, here / "a.pt")
    assert "ckpt: its model cannot render" in refused(*SAMPLE)
    state = changed(good, "config.model.generator", IDENTITY)
    write({**state, "system": weights, "average": {}}, here / "a.pt")
    assert "not as many pictures" in refused(*SAMPLE)


def moments(state: dict[str, Any]) -> dict[str, Any]:
    return state["optimizers"]["generator"]["state"][0]


def group(state: dict[str, Any]) -> dict[str, Any]:
    return state["optimizers"]["generator"]["param_groups"][0]


OPTIMIZERS: dict[str, Callable[[dict[str, Any]], object]] = {
    "a moment of another shape": lambda state: moments(state).update(exp_avg=torch.zeros(3)),
    "a moment that is a number": lambda state: moments(state).update(exp_avg=1.0),
    "a moment that is missing": lambda state: moments(state).pop("exp_avg_sq"),
    "a step of two numbers": lambda state: moments(state).update(step=torch.zeros(2)),
    "a step that is a number": lambda state: moments(state).update(step=3),
    "betas of one number": lambda state: group(state).update(betas=[0.5]),
    "betas that are text": lambda state: group(state).update(betas="ab"),
    "another rate of decay": lambda state: group(state).update(weight_decay=5.0),
    "a rate that is text": lambda state: group(state).update(lr="fast"),
    "a rate that is nan": lambda state: group(state).update(lr=float("nan")),
    "a switch that is text": lambda state: group(state).update(fused="yes"),
    "two switches": lambda state: group(state).update(fused=True, foreach=True),
    "other weights": lambda state: group(state).update(params=[0]),
    "a weight that is not there": lambda state: state["optimizers"]["generator"]["state"].update({99: {}}),
    "no such player": lambda state: state["optimizers"].pop("generator"),
    "a mean of two numbers": lambda state: state["meter"].update(a={"sum": torch.zeros(2), "count": 1}),
    "a mean without a count": lambda state: state["meter"].update(a={"sum": torch.zeros(()), "count": 0}),
    "a mean of text": lambda state: state["meter"].update(a={"sum": "1", "count": 1}),
    "a mean of a number": lambda state: state["meter"].update(a={"sum": 1.0, "count": 1}),
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_that_would_trip_over_its_state_does_not_start(
    good_run: Path, here: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(good_run, here / "run")
    state = checkpoint.load(here / "run/checkpoints/last.pt")
    OPTIMIZERS[name](state)
    write(state, here / "run/checkpoints/last.pt")
    before = (here / "run/metrics.jsonl").read_bytes()
    assert main(["train", "resume=run", "steps=3", "device=cpu"]) == 2
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("ganrun: ")]
    assert len(lines) == 1
    assert "resume" in lines[0]
    assert (here / "run/metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    "cls", [torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD, torch.optim.RMSprop, torch.optim.NAdam]
)
def test_every_optimizer_goes_on_from_its_own_state(cls: type[torch.optim.Optimizer]) -> None:
    def made() -> tuple[nn.Module, torch.optim.Optimizer]:
        network = nn.Linear(3, 2)
        return network, cls(network.parameters(), lr=1e-3, **({"momentum": 0.9} if cls is torch.optim.SGD else {}))

    network, optimizer = made()
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    saved = checkpoint.snapshot({"x": optimizer.state_dict()})["x"]
    stored_facts.check_optimizer(made()[1], saved)
    saved["state"][0] = {name: torch.zeros(5) for name in saved["state"][0]}
    with pytest.raises(ValueError, match="of a weight of"):
        stored_facts.check_optimizer(made()[1], saved)


def test_init_from_a_file_whose_weights_are_text_is_one_line(
    good: dict[str, Any], here: Path, refused: Refused
) -> None:
    write({**good, "average": dict.fromkeys(good["average"], "text")}, here / "a.pt")
    words = ["train", "model=mlp", "model.generator.widths=[8]", "model.discriminator.widths=[8]", "steps=1"]
    assert "init_from" in refused(*words, "init_from=a.pt", "device=cpu")
