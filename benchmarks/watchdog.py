"""The watchdog on planted failures, on healthy runs, and what it costs; a table each.

python benchmarks/watchdog.py failures --data ../shared/data     each fault: the step of the first alarm, and its name
python benchmarks/watchdog.py healthy --data ../shared/data      runs that are well: no alarm may be raised
python benchmarks/watchdog.py cost --data ../shared/data         its share of a step, from slices with and without it

--only "NAME;NAME" takes those whose names hold one of these; --steps N is the length of a healthy run. MNIST, one
thread. A fault at step n must be flagged, by its own name, at step n + 500 or before.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ganrun.cli.composition import compose_plain
from ganrun.config.builders import load_dataset
from ganrun.config.schema import check
from ganrun.training import runs
from ganrun.training.hooks.hook import Hook
from ganrun.training.hooks.watchdog import Watchdog
from ganrun.training.record import StepRecord
from ganrun.training.rendering import examples
from ganrun.training.trainer import Trainer

SMALL = ["model.generator.base_channels=16", "model.discriminator.base_channels=16"]
CONDITIONAL = ["model.generator.network.base_channels=16", "model.discriminator.network.base_channels=16"]
ACGAN = ["model.generator.network.base_channels=16", "model.discriminator.base_channels=16"]
R3GAN = ["loss=r3gan", "loss.penalties.r1.every=4", "loss.penalties.r2.every=4", "optimizer.lr=4e-4"]


KEPT: Path | None = None  # where each run's numbers are kept


class Planted(NamedTuple):
    """A fault: what a run is made of, the step at which `deed` is done to it, the names it may be given."""

    words: list[str]
    names: set[str]
    at: int = 0
    deed: Callable[[Trainer], None] | None = None


class At(Hook):
    """Does a deed at a step, or before the first."""

    def __init__(self, step: int, deed: Callable[[Trainer], None]) -> None:
        self.step, self.deed = step, deed

    def on_start(self, trainer: Trainer) -> None:
        if not self.step:
            self.deed(trainer)

    def on_step(self, trainer: Trainer, record: StepRecord) -> None:
        if trainer.step == self.step:
            self.deed(trainer)


class Alarms(Hook):
    """The first time of each alarm."""

    def __init__(self) -> None:
        self.first: dict[str, int] = {}

    def on_step(self, trainer: Trainer, record: StepRecord) -> None:
        for name in record.means or ():
            if name.startswith("alarm/"):
                self.first.setdefault(name.removeprefix("alarm/"), trainer.step)


def rate(player: str, factor: float) -> Callable[[Trainer], None]:
    def deed(trainer: Trainer) -> None:
        for group in trainer.optimizers[player].param_groups:
            group["lr"] *= factor

    return deed


def one_mode(trainer: Trainer) -> None:
    """From now on the generator draws whatever it draws of the first latent it is given."""
    network = trainer.system.generator

    def frozen(module: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        latents, *labels = inputs
        return latents[:1].expand_as(latents) * 0 + kept.to(latents), *labels

    kept = torch.randn(1, examples(trainer, 8)["latent"].shape[1])
    network.register_forward_pre_hook(frozen)


def not_a_number(trainer: Trainer) -> None:
    with torch.no_grad():
        next(trainer.system.generator.parameters()).view(-1)[0] = torch.nan


def shuffled_labels(trainer: Trainer) -> None:
    data = trainer.stream.data
    data.labels = data.labels[torch.randperm(len(data.labels), generator=torch.Generator().manual_seed(1))]


FAILURES = {
    "D rate x100 from the start": Planted(
        ["model=dcgan", *SMALL, "++optimizer.players.discriminator.lr=2e-2"], {"rate_too_high"}
    ),
    "D rate x100 at step 600": Planted(["model=dcgan", *SMALL], {"rate_too_high"}, 600, rate("discriminator", 100)),
    "D rate x100 at step 600, mlp": Planted(["model=mlp"], {"rate_too_high"}, 600, rate("discriminator", 100)),
    "G rate 0 from the start": Planted(["model=dcgan", *SMALL], {"stands_still"}, 0, rate("generator", 0)),
    "G rate 0 at step 600, mlp": Planted(["model=mlp"], {"stands_still"}, 600, rate("generator", 0)),
    "G rate 0 at step 600, wgan_gp": Planted(
        ["model=mlp", "loss=wgan_gp"], {"stands_still"}, 600, rate("generator", 0)
    ),
    "one mode at step 1200": Planted(["model=dcgan", *SMALL], {"mode_collapse"}, 1200, one_mode),
    "one mode at step 1200, mlp": Planted(["model=mlp"], {"mode_collapse"}, 1200, one_mode),
    "one mode at step 1200, cgan": Planted(["model=cgan", *CONDITIONAL], {"mode_collapse"}, 1200, one_mode),
    "NaN at step 310": Planted(["model=mlp"], {"FloatingPointError"}, 310, not_a_number),
    "labels shuffled, cgan": Planted(["model=cgan", *CONDITIONAL], {"labels_tell_nothing"}, 0, shuffled_labels),
    "labels shuffled, acgan": Planted(["model=acgan", *ACGAN], {"labels_tell_nothing"}, 0, shuffled_labels),
}

REAL_FAILURES = {  # not planted: what these settings do by themselves
    "mlp r3gan gamma 1": ["model=mlp", "loss=r3gan"],
    "mlp beta1 0.5": ["model=mlp", "optimizer=adam"],
    "dcgan non_saturating on digits": ["model=dcgan", "dataset=digits"],
}

HEALTHY = {
    "mlp, seed 0": ["experiment=t1_mlp"],
    "mlp, seed 1": ["experiment=t1_mlp", "seed=1"],
    "mlp r3gan": ["experiment=mnist_mlp"],
    "mlp wgan": ["model=mlp", "loss=wgan"],
    "mlp wgan_gp": ["model=mlp", "loss=wgan_gp"],
    "mlp lsgan": ["model=mlp", "loss=lsgan", "optimizer.betas=[0.9,0.999]"],
    "dcgan hinge": ["model=dcgan", *SMALL, "loss=hinge"],
    "dcgan lsgan": ["model=dcgan", *SMALL, "loss=lsgan"],
    "dcgan r3gan": ["model=dcgan", *SMALL, *R3GAN],
    "dcgan wgan_gp": ["model=dcgan", *SMALL, "loss=wgan_gp"],
    "course dcgan": ["experiment=t3_dcgan28"],
    "cgan r3gan": ["model=cgan", *CONDITIONAL, *R3GAN],
    "acgan r3gan": ["model=acgan", *ACGAN, *R3GAN],
    "vae": ["model=vae"],
    "vaegan": ["model=vaegan"],
    "gman": ["model=gman", "model.generator.base_channels=16"],
    "restoration": ["model=restoration", "dataset=damaged", "dataset.source=mnist"],
}


def config_of(words: list[str], data: str, steps: int) -> dict[str, Any]:
    named = any(word.startswith(("dataset=", "experiment=")) for word in words)
    root = [] if "dataset=digits" in words else [f"dataset.root={data}"]
    quiet = [
        "hooks.tensorboard=null",
        "hooks.console=null",
        "hooks.grids=null",
        f"steps={steps}",
        "epochs=null",
        "kimg=null",
        "device=cpu",
        "threads=1",
        *([] if any(word.startswith("precision=") for word in words) else ["precision=fp32"]),
    ]
    config = compose_plain("train", [*([] if named else ["dataset=mnist"]), *words, *root, *quiet])
    check("train", config)
    return config


def watched(words: list[str], data: str, steps: int, at: int = 0, deed: Any = None) -> tuple[Trainer, dict[str, int]]:
    """Train; the first step of each alarm."""
    alarms = Alarms()
    with tempfile.TemporaryDirectory() as folder:
        trainer = runs.assemble(config_of(words, data, steps), Path(folder))
        if deed is not None:
            trainer.hooks.insert(0, At(at, deed))
        trainer.hooks.append(alarms)
        try:
            trainer.fit()
        except FloatingPointError as error:
            alarms.first[type(error).__name__] = trainer.step
        if KEPT is not None:
            KEPT.mkdir(parents=True, exist_ok=True)
            name = "-".join(words).replace("/", "_") + (f"-{deed.__qualname__.split('.')[0]}" if deed else "")
            shutil.copyfile(Path(folder) / "metrics.jsonl", KEPT / f"{name[:150]}.jsonl")
    load_dataset.__globals__["_load_dataset"].cache_clear()  # a deed may have been done to the data
    return trainer, alarms.first


def said(trainer: Trainer) -> None:
    for line in trainer.control.alarms:
        print("    " + line, flush=True)


def failures(args: argparse.Namespace) -> None:
    for name, planted in chosen(FAILURES, args.only).items():
        trainer, first = watched(planted.words, args.data, planted.at + 550, planted.at, planted.deed)
        after = {alarm: step - planted.at for alarm, step in first.items()}
        right = [step for alarm, step in after.items() if alarm in planted.names and 0 < step <= 500]
        verdict = f"flagged after {min(right)} steps" if right else "MISSED"
        verdict += ", but cried wolf" * any(step <= 0 for step in after.values())
        print(f"{name:<32} {verdict:<26} {after}", flush=True)
        said(trainer)
    for name, words in chosen(REAL_FAILURES, args.only).items():
        trainer, first = watched(words, args.data, args.steps)
        print(f"{name:<32} {'flagged' if first else 'MISSED':<26} {first}", flush=True)
        said(trainer)


def healthy(args: argparse.Namespace) -> None:
    for name, words in chosen(HEALTHY, args.only).items():
        trainer, first = watched(words, args.data, args.steps)
        print(f"{name:<20} {trainer.step} steps  {'FALSE ALARM' if first else 'no alarm'}  {first or ''}", flush=True)
        said(trainer)


class Switched(Hook):
    """A hook that starts once and may be told to look away."""

    def __init__(self, hook: Hook) -> None:
        self.hook, self.on, self.started = hook, True, False

    def on_start(self, trainer: Trainer) -> None:
        if not self.started:
            self.hook.on_start(trainer)
        self.started = True

    def on_step(self, trainer: Trainer, record: StepRecord) -> None:
        if self.on:
            self.hook.on_step(trainer, record)


def cost(args: argparse.Namespace) -> None:
    """Slices of one run with and without the watchdog, in turn; CPU time, without its start."""
    for name in ("mlp, seed 0", "dcgan hinge", "cgan r3gan"):
        if not chosen({name: 0}, args.only):
            continue
        took: dict[bool, list[float]] = {True: [], False: []}
        with tempfile.TemporaryDirectory() as folder:
            trainer = runs.assemble(config_of(HEALTHY[name], args.data, 10**9), Path(folder))
            watchdog = Switched(next(hook for hook in trainer.hooks if isinstance(hook, Watchdog)))
            trainer.hooks = [watchdog]
            for turn in range(2 * args.rounds + 2):
                watchdog.on, trainer.length.steps = turn % 2 == 0, trainer.step + args.slice
                began = time.process_time()
                trainer.fit()
                if turn > 1:
                    took[watchdog.on].append(time.process_time() - began)
        ratios = [one / other - 1 for one, other in zip(took[True], took[False], strict=True)]
        spread = f"{min(ratios):+.2%} to {max(ratios):+.2%}"
        print(f"{name:<20} {statistics.median(ratios):+.2%} of a step (median of {len(ratios)} pairs, {spread})")


def chosen(all_of_them: dict[str, Any], only: str | None) -> dict[str, Any]:
    return {key: one for key, one in all_of_them.items() if not only or any(part in key for part in only.split(";"))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("failures", "healthy", "cost"))
    parser.add_argument("--data", required=True, help="MNIST in torchvision's layout")
    parser.add_argument("--only")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--slice", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep each run's metrics.jsonl there")
    args = parser.parse_args()
    global KEPT
    KEPT = args.keep
    torch.set_num_threads(1)
    logging.getLogger("ganrun").setLevel(logging.CRITICAL)
    {"failures": failures, "healthy": healthy, "cost": cost}[args.what](args)


if __name__ == "__main__":
    main()
