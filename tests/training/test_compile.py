"""compile: the networks that may be compiled can be traced, and compute what they compute uncompiled."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ganrun.training import runs
from ganrun.training.compile import Proved


@pytest.mark.slow
@pytest.mark.parametrize("model", ["biggan", "cut", "r3gan", "stylegan2"])
def test_the_networks_of_large_models_compile(model: str, tiny, tmp_path: Path, monkeypatch) -> None:
    """By torch's tracer and its autograd, without the C++ that inductor would make of it, which takes a minute."""
    compiled = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda network: compiled(network, backend="aot_eager"))
    trainer = runs.assemble(
        tiny(f"model={model}", "loss=hinge", "steps=3", "hooks=quiet", "compile=true"), tmp_path / "run"
    )
    monkeypatch.setattr(torch._dynamo.config, "suppress_errors", False)  # what cannot be traced is an error here
    torch._dynamo.utils.counters.clear()
    made: list[Proved] = []
    trainer.recorder = lambda trainer: made.append(Proved(trainer, None)) or made[-1]  # type: ignore[func-returns-value]
    trainer.fit()
    assert trainer.system.differentiated_once().keys() == {"discriminator", "generator"}
    assert torch._dynamo.utils.counters["frames"]["ok"] >= 2
    assert made[0].proved
    assert not made[0].given_up
