"""A recorded or compiled step is used if it gives the result of the usual step, and given up otherwise."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch

from ganrun.checkpoints.checkpoint import to_builtin
from ganrun.data.loading.stream import Stream
from ganrun.training import compile as compiling
from ganrun.training import runs
from ganrun.training.compile import Proved
from ganrun.training.cuda_graphs import Graphs, Play
from ganrun.training.trainer import Trainer
from tests.same import differences
from tests.training.test_cuda_graphs import Recorder, last_means, trained

Wrong = Callable[[Trainer], None]


def no_generator(trainer: Trainer) -> None:
    """As if the recording had kept the generator's old weights."""
    with torch.no_grad():
        for weight in trainer.system.players()["generator"].parameters():
            weight.add_(0.01 * torch.randn_like(weight))


def other_noise(trainer: Trainer) -> None:
    torch.manual_seed(7)


def nothing_logged(trainer: Trainer) -> None:
    for total in trainer.meter.sums.values():
        total.mul_(0.5)


class WrongRecorder(Recorder):
    """A recording that also does something else."""

    def __init__(self, trainer: Trainer, before: Wrong | None, after: Wrong | None) -> None:
        super().__init__(trainer)
        self.before, self.after = before, after

    def __call__(self, play: Play):
        recording = super().__call__(play)
        honest = recording.replay

        def replay() -> None:
            if self.before:
                self.before(self.trainer)
            honest()
            if self.after:
                self.after(self.trainer)

        recording.replay = replay
        return recording


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (None, no_generator, "the weights of generator differ"),
        (other_noise, None, "differ"),
        (None, nothing_logged, "in the usual way"),
    ],
)
def test_a_recording_that_is_not_the_step_is_given_up_and_costs_nothing(
    before: Wrong | None, after: Wrong | None, said: str, tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = tiny("model=dcgan", "steps=12", "hooks=quiet", "log.every=100")
    eager = trained(config, tmp_path / "eager", None)
    with caplog.at_level("INFO", "ganrun"):
        proved = trained(config, tmp_path / "proved", lambda one: Graphs(one, WrongRecorder(one, before, after)))
    lines = [record.getMessage() for record in caplog.records if "graphs" in record.getMessage()]
    assert len(lines) == 1
    assert "not used: the recorded step gives another result" in lines[0]
    assert said in lines[0]
    assert differences(to_builtin(eager.state_dict()), to_builtin(proved.state_dict())) == []
    assert last_means(eager) == last_means(proved)


@pytest.mark.parametrize("gathers", [False, True])
def test_a_proof_plays_the_batch_of_its_step(gathers: bool, tiny, tmp_path: Path, monkeypatch) -> None:
    """Recordings that gather do not move the iterator, so whoever stands around them must not ask it."""
    monkeypatch.setattr(Stream, "on_device", gathers)
    config = tiny("model=dcgan", "loss=wgan_gp", "steps=12", "hooks=quiet", "log.every=100")
    eager = trained(config, tmp_path / "eager", None)
    proved = trained(
        config, tmp_path / "proved", lambda one: Proved(one, lambda trainer: Graphs(trainer, Recorder(trainer)))
    )
    assert differences(to_builtin(eager.state_dict()), to_builtin(proved.state_dict())) == []


def test_a_step_that_may_keep_something_elsewhere_is_not_played_twice(tiny, tmp_path: Path, monkeypatch) -> None:
    trainer = runs.assemble(tiny("model=mlp", "steps=3", "hooks=quiet"), tmp_path)
    trainer.system.graph_key = lambda step: None
    monkeypatch.setattr(compiling, "disagreement", lambda *_: pytest.fail("played twice"))
    trainer.recorder = partial(Proved, inner=None)
    trainer.fit()
    assert trainer.step == 3


class Doubled(torch.nn.Module):
    """A network that is wrong when it is compiled."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network, self.wrong = network, False

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.network(*inputs) * (0.3 if self.wrong else 1.0)


@pytest.mark.parametrize("wrong", [False, True])
def test_a_compiled_network_is_used_only_if_it_computes_the_same(
    wrong: bool, tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A stand-in for torch.compile: what a compiled network would compute is what `wrong` makes of it."""
    config = tiny("model=mlp", "steps=6", "hooks=quiet")

    def assembled(folder: Path) -> Trainer:
        trainer = runs.assemble(config, folder)
        trainer.system.generator = Doubled(trainer.system.generator)
        return trainer

    eager = assembled(tmp_path / "eager")
    eager.fit()
    trainer = assembled(tmp_path / "compiled")
    network = trainer.system.generator
    honest = network.forward
    state = {"eager": False}

    def compiled(*inputs: torch.Tensor) -> torch.Tensor:
        network.wrong = wrong and not state["eager"]
        return honest(*inputs)

    class Stance:
        """As torch's: a call lasts, a block ends."""

        def __init__(self, name: str) -> None:
            self.before, state["eager"] = state["eager"], name == "force_eager"

        def __enter__(self) -> None: ...

        def __exit__(self, *error: object) -> None:
            state["eager"] = self.before

    monkeypatch.setattr(torch.compiler, "set_stance", Stance)
    network.forward = compiled
    trainer.recorder = partial(Proved, inner=None)
    with caplog.at_level("INFO", "ganrun"):
        trainer.fit()
    assert ("compile    given up" in caplog.text) == wrong
    assert state["eager"] == wrong
    assert differences(to_builtin(eager.state_dict()), to_builtin(trainer.state_dict())) == []
