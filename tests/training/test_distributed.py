"""Ranks: several processes train one run, and it is the run that one process would have trained."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn

from benchmarks import ranks_equal
from benchmarks.ranks_equal import error, floats, trainer_of, worst
from ganrun.augmentations.ada import ADA
from ganrun.checkpoints import load
from ganrun.cli.main import main
from ganrun.common import torchrun as launch
from ganrun.common.distributed import RanksError, World, lost, rendezvous, running_means
from ganrun.common.errors import UserError
from ganrun.networks.synced import SyncedBatchNorm
from ganrun.systems.gan import once
from ganrun.systems.pool import ImagePool
from ganrun.training import runs
from ganrun.training.hooks.hook import Hook
from ganrun.training.planning import plan
from ganrun.training.record import StepRecord
from ganrun.training.trainer import Trainer
from tests.same import differences
from tests.training.ranks import forked, ganrun
from tests.waiting import HANG

ROOT = Path(__file__).resolve().parents[2]
STEPS = 4
QUICK = ["dataset=digits", "dataset.limit=64", "batch_size=8", "log.every=2", "device=cpu", "model=mlp", "hooks=quiet"]
QUICK += ["model.generator.widths=[8]", "model.discriminator.widths=[8]"]
QUICK += ["precision=fp32"]  # auto is measured, and a busy machine may measure otherwise in the second of two runs


# -- in two processes, and in four ----------------------------------------------------------------------------------


def as_rank(rank: int, size: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=size)
    found = {"played": ranks_equal.play(rank, size, STEPS)}
    if size == 2:
        with ranks_equal.noise_of_the_whole_batch(rank, size):
            found |= {"habits": habits(rank, size)}
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def habits(rank: int, size: int) -> dict[str, Any]:
    """What two ranks do where only one of them knows, fails or has something."""
    world, found = World(rank, size), {}

    weights = [nn.Parameter(torch.zeros(2)) for _ in range(3)]
    weights[0].grad = torch.tensor([1.0, 2.0]) + rank
    if rank == 0:
        weights[1].grad = torch.ones(2)
    world.average_gradients(weights)
    found["gradients"] = [None if weight.grad is None else weight.grad.tolist() for weight in weights]

    pictures = [torch.full((1 + (number < 4), 3), number, dtype=torch.uint8) for number in range(5)]
    collected = world.collected(iter(pictures[rank::size]), [len(part) for part in pictures])
    found["collected"] = [part.tolist() for part in collected]

    trainer = trainer_of("R1", "none", world, 20)
    trainer.hooks = [Asks(rank)]
    trainer.fit()
    found["stopped"] = [trainer.step, trainer.control.exit_code, trainer.hooks[0].saves]
    world.wishes[1].wait()

    trainer = trainer_of("R1", "none", World(rank, size), 20)
    trainer.guard.limit = 1
    if rank:
        trainer.stream.data.images = trainer.stream.data.images * float("nan")
    with pytest.raises(FloatingPointError, match="1 times in a row"):
        trainer.fit()
    found["skipped"] = trainer.step

    ada, signs = ADA(target=0.6, kimg=0.32), torch.tensor([1.0, 1, 1, 1, -1, 1, 1, 1])
    for _ in range(ada.every):
        ada.observe(signs.chunk(size)[rank])
        ada.after_turn()
    found["p"] = ada.p.item()

    with pytest.raises(RanksError, match="not the same any more"):
        world.compare([torch.zeros(3), torch.tensor([1.0, 1.0 + 1e-7 * rank])])
    with pytest.raises(RanksError, match="start at the steps 0 to 1"):
        world.share([], rank)
    return found


class Asks(Hook):
    """Rank 1 asks for a checkpoint at step 3 and for an end at step 6."""

    def __init__(self, rank: int) -> None:
        self.rank, self.saves = rank, []

    def on_step(self, trainer: Trainer, record: StepRecord) -> None:
        if record.save_due:
            self.saves.append(trainer.step)
        if self.rank == 1 and trainer.step == 3:
            trainer.control.save()
        if self.rank == 1 and trainer.step == 6:
            trainer.control.stop("enough", exit_code=7)


@pytest.fixture(scope="module", params=[2, 4])
def ranks(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        forked(as_rank, request.param, request.param, folder)
        return [torch.load(Path(folder) / f"{rank}.pt", weights_only=True) for rank in range(request.param)]


@pytest.fixture(scope="module")
def alone() -> dict[tuple[str, str], dict[str, Any]]:
    return ranks_equal.play(0, 1, STEPS)


def test_ranks_with_shares_of_a_batch_are_one_process_with_all_of_it(ranks, alone) -> None:
    for loss, norm in ranks_equal.CASES:
        one, of_all = alone[loss, norm], [found["played"][loss, norm] for found in ranks]
        assert all(differences(of_all[0]["state"], other["state"]) == [] for other in of_all), "all save the same"
        assert min(worst(each["local"], one["shared"]) for each in of_all) > 1e-3, "or no exchange at all would do"
        gradients = max(worst(each["shared"], one["shared"]) for each in of_all)
        weights = error(floats(of_all[0]["state"]), floats(one["state"]))
        if norm == "per_rank":  # statistics of its own images: another game, by choice
            assert min(gradients, weights) > 1e-3
        else:
            assert max(gradients, weights) < 1e-12, (loss, norm)
            meter, meters = one["state"]["meter"], of_all[0]["state"]["meter"]
            assert all(meters[name]["sum"].item() == pytest.approx(meter[name]["sum"].item()) for name in meter)


def test_what_one_rank_knows_all_act_on(ranks) -> None:
    if len(ranks) != 2:
        pytest.skip("worked out by hand for two")
    for rank, found in enumerate(each["habits"] for each in ranks):
        assert found["gradients"] == [[1.5, 2.5], None if rank else [0.5, 0.5], None]
        assert found["collected"] == ([] if rank else [[[n] * 3] * (1 + (n < 4)) for n in range(5)])
        assert found["stopped"] == [8, 7, [5]], "one step after it was exchanged, which is one after it was asked"
        assert found["skipped"] == 0
        assert found["p"] == pytest.approx(0.1), "32 of 320 reals, with r_t = .75; one rank alone would see .5"


# -- in this process ----------------------------------------------------------------------------------------------


def test_a_batch_in_parts_makes_the_same_step(alone) -> None:
    with ranks_equal.noise_of_the_whole_batch(0, 1):
        trainer = trainer_of("R1", "none", World(), STEPS, accumulate=4)
        trainer.fit()
    assert error(floats(trainer.state_dict()), floats(alone["R1", "none"]["state"])) < 1e-12


def test_each_part_of_a_batch_keeps_its_own_fakes() -> None:
    fakes, (a, b) = once(lambda batch: [batch]), ({"image": torch.zeros(1)}, {"image": torch.zeros(1)})
    first = fakes(a)
    assert fakes(b)[0] is b
    assert fakes(a) is first


def test_pictures_of_another_rank_do_not_blend_into_a_pool() -> None:
    system = nn.Sequential(ImagePool(2, 1, 4), nn.BatchNorm1d(3))
    assert [buffer.shape for buffer in running_means(system)] == [(3,), (3,)]


def test_synchronised_batchnorm_in_one_process_is_batchnorm(tmp_path: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        for momentum in (0.1, None):
            plain, synced = nn.BatchNorm2d(3, momentum=momentum), SyncedBatchNorm(3, momentum=momentum)
            images = 5 + torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
            for norm in (plain, synced):
                for scale in (1, 2):
                    norm.seen = norm(scale * images)
            torch.testing.assert_close(plain.seen, synced.seen)
            torch.testing.assert_close(plain.state_dict(), synced.state_dict())
            assert torch.equal(plain.eval()(images), plain(images))
            torch.testing.assert_close(plain(images), synced.eval()(images))
    finally:
        dist.destroy_process_group()


def test_ranks_that_come_back_do_not_meet_those_of_an_earlier_start() -> None:
    store = dist.HashStore()
    store.set_timeout(timedelta(seconds=HANG))
    store.set("hello/1", "of-the-dead")
    names: list[str] = []
    first = threading.Thread(target=lambda: names.append(rendezvous(store, 0, 2, 1)))
    first.start()
    store.get("session/1/of-the-dead")  # the first rank has answered the one that is no more
    names.append(rendezvous(store, 1, 2, 1))
    first.join()
    assert len(names) == 2
    assert names[0] == names[1]


def test_only_the_silence_of_a_rank_is_told_as_such() -> None:
    assert "is gone" in (lost(RuntimeError("[gloo/transport/tcp/pair.cc] Connection closed by peer")) or "")
    assert "in time" in (lost(RuntimeError("[gloo/x.cc] Timed out waiting 3000ms for recv")) or "")
    assert lost(RuntimeError("mat1 and mat2 must have the same dtype")) is None
    assert lost(ValueError("gloo")) is None


@pytest.fixture
def as_rank_1_of_2(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("train -m seed=0,1", "rank 1: -m starts many runs"),
        ("train ranks.batchnorm=global", "rank 1: ranks.batchnorm=global must be per_rank | synchronised"),
        ("train device=cuda:0", "rank 1: device=cuda:0 with 2 ranks: leave device=auto"),
        ("apply ckpt=x input=y out=z", "rank 1: apply is the work of one process"),
    ],
)
def test_mistakes_under_torchrun_are_one_line(words, line, as_rank_1_of_2, capfd) -> None:
    assert main(words.split()) == 2
    assert line in capfd.readouterr().err


def test_a_batch_has_to_go_into_equal_parts(tiny, as_rank_1_of_2) -> None:
    assert launch.size() == 2
    with pytest.raises(UserError, match="batch_size=10 is not divisible by 2 ranks × accumulate=2: choose a multiple"):
        plan.plan(tiny("model=mlp", "batch_size=10", "accumulate=2"))
    packed = (
        r"model\.discriminator\.pack=3 must divide batch_size=8 in each of 2 ranks × accumulate=2: try batch_size=12$"
    )
    with pytest.raises(UserError, match=packed):
        plan.plan(tiny("model=mlp", "batch_size=8", "accumulate=2", "model.discriminator.pack=3"))


# -- torchrun -------------------------------------------------------------------------------------------------------


class Dies(Hook):
    """Rank 1 is killed at a step of its first start, where the environment says so."""

    def elsewhere(self) -> Hook:
        return self

    def on_step(self, trainer: Trainer, record: StepRecord) -> None:
        if f"{trainer.step}" == os.environ.get("DIE_AT") and trainer.world.rank == 1 and not launch.restarts():
            os.kill(os.getpid(), signal.SIGKILL)


def torchrun(words: list[str], cwd: Path, *flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *flags]
    return subprocess.run(
        [*command, "-m", "ganrun", *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=HANG,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="needs torchrun and SIGKILL")
def test_a_killed_rank_costs_nothing_and_one_process_can_go_on(tmp_path: Path, monkeypatch, caplog) -> None:
    train = ["train", *QUICK, "steps=9", "checkpoint.every=3", f"+hooks.dies._target_={__name__}.Dies", "trust=tests"]
    _, said = ganrun([*train, "out=whole"], tmp_path)
    assert said == ""
    # torchrun ends the other rank as soon as it looks: not before that one has noticed by itself
    killed = torchrun(train, tmp_path, "--max-restarts", "1", "--monitor-interval", "3", DIE_AT="5")
    assert killed.returncode == 0, killed.stderr
    assert "ganrun: lost another rank at step 5: it is gone" in killed.stderr
    (folder,) = tmp_path.glob("outputs/*/*")  # both starts, both ranks
    saved = [path / "checkpoints/last.pt" for path in (tmp_path / "whole", folder)]
    assert saved[0].read_bytes() == saved[1].read_bytes()
    assert (tmp_path / "whole/metrics.jsonl").read_bytes() == (folder / "metrics.jsonl").read_bytes()

    monkeypatch.chdir(tmp_path)
    state = load.load_checkpoint("whole", "resume")
    assert state["progress"] | {"seconds": 0} == {"step": 9, "images": 72, "seconds": 0, "setbacks": 0, "ranks": 2}
    with caplog.at_level("INFO", "ganrun"):
        trainer = runs.train({**state["config"], "steps": 10}, tmp_path / "whole", state=state)
    assert "saved by 2 ranks and continues on 1" in caplog.text
    assert (trainer.step, trainer.images) == (10, 80)


@pytest.mark.skipif(sys.platform == "win32", reason="needs torchrun")
def test_ranks_draw_together_what_one_would_draw(tiny, tmp_path: Path, monkeypatch, capfd) -> None:
    runs.train(tiny("model=mlp", "steps=1", "hooks=quiet"), tmp_path / "run")
    words = ["sample", "ckpt=run", "n=10", "batch_size=4", "device=cpu", "threads=1"]
    said, _ = ganrun([*words, "out=two.npz"], tmp_path)
    assert said.count("10 samples") == 1
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ganrun"])
    assert main([*words, "out=one.npz"]) == 0
    assert Path("one.npz").read_bytes() == Path("two.npz").read_bytes()

    words = ["eval", *words[1:], "features=random_conv", "scores=[kid,prdc]"]
    said, _ = ganrun([*words, "out=two.json"], tmp_path)
    assert said.count("kid_random_conv@10") == 1
    assert main([*words, "out=one.json"]) == 0
    assert Path("one.json").read_bytes() == Path("two.json").read_bytes()
