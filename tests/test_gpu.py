"""What only a GPU can show: no waiting between logs, exact resume, graphs that play what they hold, CPU samples."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ganrun.checkpoints import load, restore
from ganrun.checkpoints.checkpoint import to_builtin
from ganrun.systems import drawing
from ganrun.training import runs
from ganrun.training.cuda_graphs import Graphs
from tests.same import differences
from tests.training.hooks.last import Last

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
# γ ends at 0: a recording that kept the γ of its own step would log a large penalty at the last one
MOVING = [f"loss.penalties.{name}.{key}" for name in ("r1", "r2") for key in ("gamma=10", "gamma_end=0")]
LOSSES = ("non_saturating", "wgan_gp", "r3gan", "lecam")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("loss", LOSSES)
def test_no_step_waits_for_the_gpu(loss: str, precision: str, tiny, tmp_path: Path) -> None:
    words = [f"loss={loss}", "steps=12", "log.every=100", "device=cuda", f"precision={precision}", "graphs=false"]
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
        state = load.load_checkpoint(str(tmp_path / "run"), "resume")
        resumed = runs.train(config, tmp_path / "run", state=state)
    finally:
        torch.use_deterministic_algorithms(False)
    assert differences(to_builtin(whole.state_dict()), to_builtin(resumed.state_dict())) == []


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "words", [[f"loss={loss}"] for loss in LOSSES] + [["model=cgan", "schedule=cosine"], ["loss=r3gan", *MOVING]]
)
def test_recorded_steps_are_the_steps(words: list[str], precision: str, tiny, tmp_path: Path) -> None:
    config = tiny("model=dcgan", *words, "steps=60", "log.every=20", "hooks=quiet", "device=cuda", "dataset.flip=true")
    config["precision"] = precision
    eager = runs.assemble({**config, "graphs": False}, tmp_path / "eager")
    eager.hooks.append(last := Last())
    eager.fit()
    trainer = runs.assemble(config, tmp_path / "graphs")
    made: list[Graphs] = []
    trainer.recorder = lambda trainer: made.append(Graphs(trainer)) or made[-1]  # type: ignore[func-returns-value]
    start = torch.cat([weight.detach().flatten().clone() for weight in trainer.system.parameters()])
    trainer.hooks.append(replayed := Last())
    trainer.fit()
    assert made[0].refused is None
    assert made[0].recordings
    assert made[0].proved == made[0].recordings.keys(), "each was compared with the plain step"
    one, other = (torch.cat([w.detach().flatten() for w in run.system.parameters()]) for run in (eager, trainer))
    # Adam turns the rounding of tiny gradients into whole steps, so the measure is how far training moved
    assert (one - other).norm() < 0.05 * (one - start).norm()
    for name, value in last.logged.items():
        assert replayed.logged[name] == pytest.approx(value, rel=0.1, abs=0.05), name


def test_resume_with_recorded_steps_is_the_unbroken_run(tiny, tmp_path: Path) -> None:
    config = tiny("model=mlp", "loss=wgan_gp", "steps=60", "log.every=20", "hooks=quiet", "device=cuda")
    whole = runs.train(config, tmp_path / "whole")
    runs.train({**config, "steps": 30}, tmp_path / "run")
    resumed = runs.train(config, tmp_path / "run", state=load.load_checkpoint(str(tmp_path / "run"), "resume"))
    assert resumed.step == whole.step
    for name, tensor in whole.system.state_dict().items():  # a few of its steps were recorded, and are played now
        torch.testing.assert_close(resumed.system.state_dict()[name], tensor, rtol=1e-3, atol=1e-4)


def test_a_step_that_waits_for_the_gpu_is_played_without_a_recording(
    tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = runs.assemble(tiny("model=mlp", "steps=12", "hooks=quiet", "device=cuda"), tmp_path)
    moved = trainer.system.after_turn
    trainer.system.after_turn = lambda player: (moved(player), float(next(trainer.system.parameters()).sum()))
    with caplog.at_level("INFO", "ganrun"):
        trainer.fit()
    assert trainer.step == 12
    assert "graphs     not used" in caplog.text


def test_a_gpu_run_samples_on_a_cpu(tiny, tmp_path: Path) -> None:
    runs.train(tiny("model=dcgan", "steps=2", "hooks=quiet", "device=cuda"), tmp_path)
    state = load.load_checkpoint(str(tmp_path), "ckpt")
    system = restore.load_system(state)
    drawn = torch.cat(list(drawing.render(system, drawing.draw(system, 4, seed=0), batch_size=4)))
    on_gpu = torch.cat(list(drawing.render(system.cuda(), drawing.draw(system, 4, seed=0), batch_size=4)))
    assert (drawn.int() - on_gpu.int()).abs().max() <= 1, "the same latents, up to rounding"


def test_a_bench_sees_how_busy_the_gpu_is(tiny, tmp_path: Path) -> None:
    from ganrun.commands.bench import bench

    wishes = {"seconds": 1.0, "warmup": 0.2, "rounds": 2, "naive": True, "step": 200}
    told = bench.measure({**tiny("model=dcgan", "device=cuda"), "bench": wishes}, tmp_path)
    assert 0 < told["device_busy"] <= 1
    assert 0 < told["peak_memory_MiB"] < 4096
    assert told["ratio"]["median"] > 0
