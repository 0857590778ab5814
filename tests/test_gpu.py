"""What only a GPU can show: no waiting between logs, resume under deterministic algorithms, samples on a CPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ganrun import parts, runs, sampling
from ganrun.checkpoint import plain
from tests.same import differences

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
LOSSES = ("non_saturating", "wgan_gp", "r3gan", "lecam")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("loss", LOSSES)
def test_no_step_waits_for_the_gpu(loss: str, precision: str, tiny, tmp_path: Path) -> None:
    words = [f"loss={loss}", "steps=12", "log.every=100", "device=cuda", f"precision={precision}"]
    trainer = runs.assemble(tiny("model=dcgan", *words), tmp_path)
    trainer.hooks = []
    trainer.length.steps = 2
    trainer.fit()  # the first steps set things up and read the first log
    trainer.length.steps = 12
    torch.cuda.set_sync_debug_mode("error")
    try:
        trainer.fit()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert trainer.step == 12


@pytest.mark.parametrize("loss", LOSSES)
def test_resume_is_bit_exact_under_deterministic_algorithms(
    loss: str, tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    try:
        config = tiny("model=dcgan", f"loss={loss}", "steps=12", "hooks=quiet", "device=cuda")
        whole = runs.train(config, tmp_path / "whole")
        runs.train({**config, "steps": 6}, tmp_path / "run")
        state = parts.load_checkpoint(str(tmp_path / "run"), "resume")
        resumed = runs.train(config, tmp_path / "run", state=state)
    finally:
        torch.use_deterministic_algorithms(False)
    assert differences(plain(whole.state_dict()), plain(resumed.state_dict())) == []


def test_a_gpu_run_samples_on_a_cpu(tiny, tmp_path: Path) -> None:
    runs.train(tiny("model=dcgan", "steps=2", "hooks=quiet", "device=cuda"), tmp_path)
    state = parts.load_checkpoint(str(tmp_path), "ckpt")
    system = sampling.restore(state)
    drawn = torch.cat(list(sampling.render(system, sampling.draw(system, 4, seed=0), batch_size=4)))
    on_gpu = torch.cat(list(sampling.render(system.cuda(), sampling.draw(system, 4, seed=0), batch_size=4)))
    assert (drawn.int() - on_gpu.int()).abs().max() <= 1, "the same latents, up to rounding"
