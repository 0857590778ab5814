"""graphs: replaying a recorded step is playing it. What stands in for a recording here plays the step again as it was
when it was recorded, so that whatever a recording would wrongly remember is remembered here too."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ganrun.checkpoints.checkpoint import to_builtin
from ganrun.data.loading.stream import Stream
from ganrun.training import runs
from ganrun.training.cuda_graphs import Graphs, Play, make_capturable
from ganrun.training.trainer import Trainer
from tests.same import differences
from tests.training.hooks.last import Last

MOVING = [f"loss.penalties.{name}.{key}" for name in ("r1", "r2") for key in ("gamma=10", "gamma_end=0")]
GAMES = {
    "dcgan": [],
    "wgan_gp": ["loss=wgan_gp"],
    "lazy r1 and r2": ["loss=r3gan", "loss.penalties.r1.every=3", "loss.penalties.r2.every=2"],
    "moving gamma": ["loss=r3gan", *MOVING],
    "lecam": ["loss=lecam"],
    "clipping": ["model=mlp", "loss=wgan"],
    "diffaugment": ["augmentation=diffaugment"],
    "ada": ["augmentation=ada", "model.augmentation.p=0.5", "model.augmentation.kimg=1"],
    "two generator steps": ["model=mlp", "model.generator_steps=2", "model.share_fakes=false"],
    "acgan": ["model=acgan"],
    "infogan": ["model=infogan"],
    "cgan": ["model=cgan", "schedule=cosine"],
    "gman": ["model=gman"],
    "fewshot": ["model=fewshot", "augmentation=diffaugment"],
    "stylegan2": ["model=stylegan2", "model.size=paper"],
    "growing stylegan2": ["model=stylegan2", "model.growth=4", "model.growth_share=0.9"],
    "pix2pix": ["model=pix2pix", "dataset=paired"],
    "cyclegan": ["model=cyclegan", "dataset=unpaired", "loss=lsgan"],
    "cut": ["model=cut"],
    "fastcut": ["model=fastcut"],
    "restoration": ["model=restoration", "dataset=damaged"],
    "vae": ["model=vae"],
    "vaegan": ["model=vaegan"],
}


class Again:
    """Stands in for a CUDA graph: the step that was recorded, played with the inputs, weights and seeds of now."""

    def __init__(self, trainer: Trainer, play: Play) -> None:
        self.trainer, self.play, self.step = trainer, play, trainer.step

    def replay(self) -> None:
        now, counts = self.trainer.step, Counter(self.trainer.meter.counts)
        self.trainer.step = self.step
        self.play()
        self.trainer.step, self.trainer.meter.counts = now, counts


class Recorder:
    """Counts what it recorded."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.recorded = trainer, 0

    def __call__(self, play: Play) -> Again:
        self.recorded += 1
        names = played(self.trainer, play)
        self.trainer.meter.counts.update(names)
        return Again(self.trainer, play)


def played(trainer: Trainer, play: Play) -> Counter[str]:
    """The meter's names that a step adds to, found without anything moving."""
    before, counts = copy.deepcopy(trainer.state_dict()), Counter(trainer.meter.counts)
    random = torch.get_rng_state()
    play()
    names = Counter(trainer.meter.counts) - counts
    step = trainer.step
    trainer.load_state_dict(before)
    trainer.step, trainer.meter.counts = step, counts
    torch.set_rng_state(random)
    return names


def trained(config: dict, folder: Path, make: Callable[[Trainer], Graphs] | None) -> Trainer:
    trainer = runs.assemble(config, folder)
    trainer.recorder = make
    trainer.hooks.append(Last())
    trainer.fit()
    return trainer


def last_means(trainer: Trainer) -> dict[str, float] | None:
    """What the last step logged."""
    return next(hook.record.means for hook in trainer.hooks if isinstance(hook, Last))


@pytest.mark.slow
@pytest.mark.parametrize(("game", "gathers"), [*((game, False) for game in GAMES), ("dcgan", True), ("cgan", True)])
def test_recorded_steps_are_the_steps(
    game: str, gathers: bool, tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = GAMES[game]
    config = tiny(*words, "steps=26", "hooks=quiet", "log.every=7", "dataset.flip=true")
    eager = trained(config, tmp_path / "eager", None)
    monkeypatch.setattr(Stream, "on_device", gathers)
    recorders: list[Recorder] = []

    def graphs(trainer: Trainer) -> Graphs:
        recorders.append(Recorder(trainer))
        return Graphs(trainer, recorders[-1])

    replayed = trained(config, tmp_path / "replayed", graphs)
    assert recorders[0].recorded >= 1
    assert differences(to_builtin(eager.state_dict()), to_builtin(replayed.state_dict())) == []
    assert last_means(eager) == last_means(replayed)


def test_a_step_of_each_kind_is_recorded_once_after_the_warm_up(tiny, tmp_path: Path) -> None:
    recorders: list[Recorder] = []

    def graphs(trainer: Trainer) -> Graphs:
        recorders.append(Recorder(trainer))
        return Graphs(trainer, recorders[-1])

    trained(tiny("loss=wgan_gp", "steps=60", "hooks=quiet", "log.every=100"), tmp_path, graphs)
    # with and without the generator, and the first of each after a log, of which there are too few to warm up
    assert recorders[0].recorded == 2


def test_what_follows_the_progress_lies_in_memory_that_a_recording_reads(tiny, tmp_path: Path) -> None:
    """A recording keeps the numbers of Python that a step had, and reads tensors anew: γ must be a tensor."""
    trainer = runs.assemble(tiny("model=mlp", "loss=r3gan", *MOVING, "steps=8", "hooks=quiet"), tmp_path)
    system = trainer.system
    kept, places, key = numbers_of(system), addresses(system), system.graph_key(0)
    moving = {name: buffer.clone() for name, buffer in system.named_buffers() if name.endswith("weight_now")}
    system.at_progress(0.5)
    assert (numbers_of(system), addresses(system), system.graph_key(0)) == (kept, places, key)
    assert {name: buffer.item() for name, buffer in moving.items()} == dict.fromkeys(moving, 10)
    assert {name: system.get_buffer(name).item() for name in moving} == pytest.approx(dict.fromkeys(moving, 5.0))
    assert len(moving) == 2
    assert Graphs(trainer, lambda play: pytest.fail("recorded")).refused is None


def numbers_of(system: torch.nn.Module) -> dict[tuple[str, str], float]:
    """What the modules of a system keep as numbers of Python."""
    kept = ((name, key, value) for name, part in system.named_modules() for key, value in vars(part).items())
    return {(name, key): value for name, key, value in kept if isinstance(value, int | float)}


def addresses(system: torch.nn.Module) -> dict[str, int]:
    return {name: tensor.data_ptr() for name, tensor in (*system.named_parameters(), *system.named_buffers())}


def test_a_step_that_cannot_be_recorded_is_played_and_one_line_says_why(
    tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = tiny("model=mlp", "steps=12", "hooks=quiet")
    eager = trained(config, tmp_path / "eager", None)

    def refuse(play: Play) -> Again:
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    with caplog.at_level("INFO", "ganrun"):
        played_on = trained(config, tmp_path / "played", lambda trainer: Graphs(trainer, refuse))
    assert differences(to_builtin(eager.state_dict()), to_builtin(played_on.state_dict())) == []
    lines = [record.getMessage() for record in caplog.records if "graphs" in record.getMessage()]
    assert lines == ["graphs     not used: operation not permitted when stream is capturing"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["non_finite.policy=skip"], "looks at each turn's gradients"),
        (["optimizer=sgd", "schedule=cosine"], "keeps its learning rate on the CPU"),
        (["optimizer._target_=torch.optim.Adagrad", "~optimizer.betas"], "counts its steps on the CPU"),
    ],
)
def test_what_a_recording_would_get_wrong_is_refused(
    words: list[str], reason: str, tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = runs.assemble(tiny("model=mlp", "steps=4", "hooks=quiet", *words), tmp_path)
    with caplog.at_level("INFO", "ganrun"):
        assert reason in (Graphs(trainer, lambda play: pytest.fail("recorded")).refused or "")
    assert reason in caplog.text


def test_a_checkpoint_of_a_recorded_run_is_that_of_any_run(tiny, tmp_path: Path) -> None:
    trainer = runs.assemble(tiny("model=mlp", "steps=4", "hooks=quiet"), tmp_path)
    before = to_builtin(trainer.state_dict())
    for optimizer in trainer.optimizers.values():
        make_capturable(optimizer, torch.device("cpu"))
        assert isinstance(optimizer.param_groups[0]["lr"], torch.Tensor)
    after = to_builtin(trainer.state_dict())
    assert [group["capturable"] for group in after["optimizers"]["generator"]["param_groups"]] == [False]
    rate = after["optimizers"]["generator"]["param_groups"][0].pop("lr")
    assert rate == pytest.approx(before["optimizers"]["generator"]["param_groups"][0].pop("lr"), rel=1e-6)
