"""Mistakes: every key of every command with values that mostly mean nothing there, and what each must end in."""

from __future__ import annotations

import math
import random
import re
import resource
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from ganrun.cli.composition import compose
from ganrun.cli.main import main
from tests import fuzzing
from tests.waiting import HANG

SECONDS, LINES, MEGABYTES = 10, 3, 500
VALUES = [
    "nan", "inf", "-inf", "1e300", "-1", "0", "true", "maybe", "9" * 20, "1" * 400, "1.5", "[1]", "[1,2,3]", "{}",
    "{a:1}", "null", "", "some text", "nowhere/at/all", "'a b'", "${x}", "???",
]  # fmt: skip
FOREIGN = re.compile(
    r"not supported between|could not be converted|[Cc]ould not override|mapping values|object is not|unsupported op"
    r"|invalid literal|NoneType|unexpected keyword|Traceback|\w+Error\b|must be real number|expected scalar"
    r"|'\w+' object|can't multiply|not iterable|struct\b|mismatched input|token recognition|no viable|OmegaConf"
    r"|dtype|Tensor|positional|subscriptable|unhashable|full_key|object_type|cannot be cast|broadcast|out of range"
)

QUICK = ["dataset.limit=16", "batch_size=4", "device=cpu", "threads=1", "dry_run=true"]
TINY = ["model.latent.size=4"]
MLP = ["model=mlp", *TINY, "model.generator.widths=[8]", "model.discriminator.widths=[8]"]
SMALL = [*TINY, "model.generator.base_channels=2", "model.discriminator.base_channels=2"]
PICTURES = ["model.generator.base_channels=2", "model.discriminator.base_channels=2"]
TRAINS = {  # a name: words, whose keys are visited unless another composition before has had them
    "mlp": MLP,
    "dcgan": ["model=dcgan", *SMALL],
    "dcgan_course": ["model=dcgan_course", *SMALL],
    "deconv": ["model=deconv", *TINY, "model.generator.base_channels=2", "model.discriminator.widths=[8]"],
    "small_conv": ["model=small_conv", *SMALL],
    "cgan": [*fuzzing.CGAN],
    "acgan": ["model=acgan", *TINY, "model.generator.embedding_size=4", "model.generator.network.base_channels=2",
              "model.discriminator.base_channels=2"],
    "infogan": ["model=infogan", *SMALL, "model.discriminator.head_widths=[4]"],
    "gman": ["model=gman", *TINY, "model.generator.base_channels=2", "model.discriminators.first.base_channels=2",
             "model.discriminators.second.base_channels=2"],
    "stylegan2": ["model=stylegan2", *SMALL, "model.generator.style_size=4"],
    "vae": ["model=vae", *TINY, "model.generator.base_channels=2", "model.encoder.base_channels=2"],
    "vaegan": ["model=vaegan", *SMALL, "model.encoder.base_channels=2"],
    "pix2pix": ["model=pix2pix", *PICTURES],
    "restoration": ["model=restoration", "dataset=paired", *PICTURES],
    "cyclegan": ["model=cyclegan", "model.generator_ab.base_channels=2", "model.discriminator_a.base_channels=2"],
    "srgan": ["model=srgan", "model.generator.blocks=1", *PICTURES],
    **{loss: [*MLP, f"loss={loss}"] for loss in (
        "dragan", "hinge", "lecam", "lsgan", "minimax", "r1", "r3gan", "relativistic", "relativistic_average", "wgan",
        "wgan_gp")},
    **{name: [*MLP, f"optimizer={name}"] for name in ("adamw", "rmsprop", "sgd", "adam_ttur")},
    **{name: [*MLP, f"schedule={name}", "steps=4"] for name in ("linear", "cosine")},
    **{name: [*MLP, f"augmentation={name}"] for name in ("ada", "diffaugment", "instance_noise")},
    "scores": [*MLP, "hooks=scores"],
    "folder": [*MLP, "dataset=folder", "dataset.root=../pictures", "dataset.image_size=16"],
    "unpaired": ["model=cyclegan", "dataset=unpaired", "model.generator_ab.base_channels=2",
                 "model.discriminator_a.base_channels=2"],
    "celeba": [*MLP, "dataset=celeba"],
    "mnist": [*MLP, "dataset=mnist"],
    "cifar10": [*MLP, "dataset=cifar10"],
}  # fmt: skip
WRITES = ["device=cpu", "threads=1", "overwrite=true"]
SCORED = ["n=4", "n_real=8", "kid.subsets=1", "kid.size=2", "splits=1", "tstr.steps=1", "batch_size=4"]
OTHERS = {
    "sample": ["ckpt=../run", "n=2", "out=o.png", *WRITES],
    "synthesize": ["ckpt=../run", "per_class=1", "out=o", *WRITES],
    "apply": ["ckpt=../translator", "input=../pictures/source", "out=o", *WRITES],
    "augment-study": ["ckpt=../run", "dataset.limit=20", "test.limit=20", "steps=1", "seeds=1", "ratios=[1]",
                      "arms=[real,real+classic]", "batch_size=4", "out=o", *WRITES],
    "eval": ["ckpt=../run", *SCORED, "features=random_conv", "scores=[kid]", "out=o.json", "cache=o", *WRITES],
    "bench": [*MLP, "dataset.limit=16", "batch_size=4", "device=cpu", "threads=1", "bench.seconds=0.01",
              "bench.warmup=0", "bench.rounds=1", "bench.naive=false", "bench.step=0", "grids.count=2"],
    "doctor": [*MLP, "dataset.limit=16", "batch_size=4", "device=cpu", "threads=1", "doctor.steps=1",
               "doctor.images=16"],
    "plot": ["run=../run", "out=o.png", "overwrite=true"],
}  # fmt: skip


@dataclass
class Line:
    """A command line with one key set to a value."""

    command: str
    words: list[str]
    key: str
    value: str

    @property
    def argv(self) -> list[str]:
        kept = [word for word in self.words if word.partition("=")[0] != self.key]
        return [self.command, *kept, f"{self.key}={self.value}"]


def leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """(dotted key, the class it goes to) of a composed page, groups too."""
    target = str(node._get_node("_target_")) if "_target_" in node else ""
    for name in map(str, node):
        child, key = node._get_node(name), f"{prefix}{name}"
        if name == "hydra" or (child is not None and child._is_missing()):
            continue
        yield key, target
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_interpolation():
            yield from leaves(child, f"{key}.")


def compositions() -> Iterator[tuple[str, list[str]]]:
    for words in TRAINS.values():
        yield "train", [*words, *QUICK]
    yield from OTHERS.items()


def lines() -> Iterator[Line]:
    """Each key of each command, once for each class that has it, with each of the values."""
    seen: set[tuple[str, str, str]] = set()
    for command, words in compositions():
        page = command.replace("-", "_")
        for key, target in leaves(compose(page, list(words), None).config):
            own = command if command not in ("bench", "doctor") or key.startswith(f"{command}.") else "train"
            if key.count(".") and own == "augment-study" and key.startswith("dataset."):
                own = "train"
            if (own, key, target) in seen or (command in ("bench", "doctor") and key == "dry_run"):
                continue
            seen.add((own, key, target))
            yield from (Line(command, list(words), key, value) for value in VALUES)
        for missing in ("ckpt", "input", "out", "run"):
            if any(word.startswith(f"{missing}=") for word in words) and (command, missing, "") not in seen:
                seen.add((command, missing, ""))
                yield from (Line(command, list(words), missing, value) for value in VALUES)


def some(count: int, seed: int) -> list[Line]:
    """So many of them, a function of the seed."""
    return random.Random(seed).sample(list(lines()), count)


def memory() -> int:
    """The most that this process has held so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 2**10


def offence(line: Line, here: Path, patience: float = math.inf) -> tuple[int | None, str, str]:
    """Runs it. Returns (exit code, what it said, what no command may do: empty if nothing).

    To take more than `patience` seconds is an offence too; not for tests, as machines differ.
    """
    errors, code, wrong = here.parent / "errors", None, ""
    started, before = time.monotonic(), memory()
    with fuzzing.both_streams(errors):
        try:
            with fuzzing.alarm(HANG):
                code = main(line.argv)
        except fuzzing.TooLong:
            wrong = "does not end"
        except BaseException as error:
            wrong = f"raised {type(error).__name__}: {str(error)[:300]}"
    seconds, grown = time.monotonic() - started, memory() - before
    said = errors.read_text(errors="replace")
    for path in here.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    if not wrong and seconds > patience:
        wrong = f"took {seconds:.0f} s"
    if not wrong and grown > MEGABYTES:
        wrong = f"took {grown} MiB"
    return code, said, wrong or judged(line.key, code, said)


def judged(key: str, code: int | None, said: str) -> str:
    """What is wrong with an exit code and what was said beside it."""
    rows = [row for row in said.splitlines() if not row.startswith("ganrun: note:")]
    if code == 1 and "checks failed" in said:  # the doctor's own no
        return ""
    if code not in (0, 2):
        return f"exit code {code}: {said[:400]}"
    if code == 0:
        return f"a traceback: {said[-400:]}" if "Traceback" in said else ""
    if len(rows) > LINES or not rows:
        return f"{len(rows)} lines: {said[:400]!r}"
    if foreign := FOREIGN.search(said):
        return f"words that are not ours, {foreign[0]!r}: {said[:400]!r}"
    named = [key.split(".")[-1].split("[")[0], "dataset.root", "dataset.class_a"]  # or what is looked at before
    return "" if any(name in said for name in named) else f"does not name {named[0]}: {said[:400]!r}"


def sandbox(folder: Path) -> Path:
    here = fuzzing.sandbox(folder)
    sys.stdout.flush()
    return here


def counts(found: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(found.items()))
