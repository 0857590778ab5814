"""Fuzzing: command lines and checkpoints with mistakes in them, a function of a seed, and what each must end in."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import io
import os
import random
import shutil
import signal
import struct
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ganrun.checkpoints import checkpoint
from ganrun.cli.main import main
from tests.waiting import HANG

LINES = 4
ALLOWED = {0, 1, 2, 130}
MINE = ("o", "o.png", "outputs", "run")  # where a case may write, within `here`

QUICK = ["dataset.limit=32", "batch_size=4", "grids.count=4", "device=cpu", "steps=1", "log.every=1", "model=mlp"]
QUICK += ["model.generator.widths=[8]", "model.discriminator.widths=[8]", "model.latent.size=4"]
QUICK += ["hooks.tensorboard=null", "hooks.grids=null", "hooks.console=null", "threads=1"]
CGAN = ["model=cgan", "model.latent.size=4", "model.generator.embedding_size=4"]
CGAN += ["model.generator.network.base_channels=2", "model.discriminator.network.base_channels=2"]
PIX2PIX = ["model=pix2pix", "dataset=paired", "model.generator.base_channels=2", "model.discriminator.base_channels=2"]
LINES_OF = {  # command: words that are right, and those that keep it harmless
    "train": (
        [
            "model=mlp model.latent.size=8 loss=hinge optimizer.lr=1e-3 steps=4",
            "experiment=t1_mlp dataset=digits",
            "model=dcgan loss=r3gan augmentation=diffaugment schedule=cosine epochs=2 seed=3 precision=bf16",
            "dataset=folder dataset.root=../pictures dataset.image_size=[16,16] batch_size=2 kimg=0.1 model=vae",
            "-m seed=0,1 loss=wgan_gp,hinge steps=2",
            "resume=../run steps=9",
            "resume=auto out=o steps=3",
            "+optimizer.players.generator.lr=0.1 average.half_life=null hooks=quiet checkpoint.keep_kimg=1",
            "--cfg job",
        ],
        ["dry_run=true"],
    ),
    "sample": (["ckpt=../run seed=1 labels=null weights=raw batch_size=2"], ["n=2", "out=o.png", "overwrite=true"]),
    "apply": (["ckpt=../translator input=../pictures tile=16 overlap=4"], ["out=o", "overwrite=true"]),
    "synthesize": (["ckpt=../run seed=1 batch_size=4"], ["per_class=1", "out=o", "overwrite=true"]),
    "augment-study": (["ckpt=../run dataset=digits arms=[real] ratios=[1] seeds=1"], ["out=../run", "steps=1"]),
    "info": (["x=1", ""], []),
}
WORDS = r"""
${oc.env:HOME} ${oc.env:CANARY} ${ ${found:channels} ${hydra:runtime.cwd} ${steps} ${..} [[[[1,2],[3]],{a:{b:[1]}}]]
-1e999 nan \ ' " = == a= =a ~ ~model ~hooks ~dataset ~optimizer ~steps ~hydra + ++a.b.c=1 ü=ß model=🙂 a@b=c @x lr=.
loss= hydra.verbose=true
hydra.mode=MULTIRUN hydra.job.name=../../x hydra.searchpath=[pkg://os] hydra.output_subdir=../../x
hydra/launcher=joblib hydra/job_logging=none hydra.callbacks.a._target_=os.system model._target_=os.system
model=../train
+model.x._target_=os.system seed=range(0,3) seed=choice(1,2) steps=glob(*) seed=shuffle(range(9)) seed=int(3.5)
--config-dir --config-dir=../pictures --cfg --package --resolve -m --multirun --info --config-name=x -cp --hydra-help
--experimental-rerun=x --version -h --run -- - model=null hooks=null experiment=null steps=1e400 steps=null steps=[]
seed=-1 seed=18446744073709551616 batch_size={}
"""
SPICES = [
    *WORDS.split(),
    "",
    " ",
    "\n",
    "\t=",
    "\x1b[31m",
    "[" * 300,
    "{" * 50 + "}" * 50,
    "1" * 400,
    "9" * 5000,
    "a" * 20000,
]
LETTERS = "[]{}()=,.:~+-$'\"\\ \t/*@#%&|<>!?0123456789aeiouxyzüßЖ漢🙂\u202e\x7f"


@dataclass
class Case:
    """What to run, and on which bytes in place of `here/bad.pt`."""

    kind: str
    words: list[str]
    checkpoint: bytes | None = None


def sandbox(folder: Path) -> Path:
    """Runs and pictures to spoil, and the empty folder `here`, which is entered. Returns it."""
    here = folder / "here"
    for name in ("here", "pictures/source", "pictures/target", "home"):
        (folder / name).mkdir(parents=True)
    os.chdir(here)
    sys.argv = ["ganrun"]
    os.environ.update(HOME=str(folder / "home"), CANARY="secret-of-the-environment")
    for number in range(4):
        for half in ("source", "target"):
            Image.new("L", (16, 16), 60 * number).save(folder / f"pictures/{half}/{number}.png")
    quick = [word for word in QUICK if not word.startswith("model")]
    assert main(["train", *quick, *CGAN, "out=../run"]) == 0
    pairs = ["dataset.root=../pictures", "dataset.image_size=16"]
    assert main(["train", *quick, *PIX2PIX, *pairs, "out=../translator"]) == 0
    return here


# -- the config language ---------------------------------------------------------------------------------------------


def spoilt_line(rng: random.Random) -> Case:
    command = rng.choice(["train"] * 5 + list(LINES_OF))
    lines, harmless = LINES_OF[command]
    words = rng.choice(lines).split()
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(words) + 1)
        change = rng.random()
        if change < 0.35 and words:
            place %= len(words)
            words[place] = spoilt_word(words[place], rng)
        elif change < 0.6:
            words.insert(place, rng.choice(SPICES))
        elif change < 0.85 and words:
            place %= len(words)
            words[place] = f"{words[place].partition('=')[0]}={rng.choice(SPICES)}"
        elif words:
            words.insert(place, rng.choice(words))
    head = command if rng.random() > 0.02 else spoilt_word(command, rng)
    return Case("line", [head, *words, *harmless])


def spoilt_word(word: str, rng: random.Random) -> str:
    letters = list(word) or ["x"]
    for _ in range(rng.randint(1, 3)):
        place, change = rng.randrange(len(letters)), rng.random()
        if change < 0.4:
            letters[place] = rng.choice(LETTERS)
        elif change < 0.8:
            letters.insert(place, rng.choice(LETTERS))
        elif len(letters) > 1:
            del letters[place]
    return "".join(letters)


# -- checkpoints -------------------------------------------------------------------------------------------------------


def spoilt_checkpoint(rng: random.Random, run: bytes, translator: bytes) -> Case:
    way = rng.choice(list(WAYS))
    command = rng.choice(["sample", "apply", "synthesize", "train", "train dry"])
    data = WAYS[way](translator if command == "apply" else run, rng)
    words = {
        "sample": ["sample", "ckpt=bad.pt", "n=2", "out=o.png", "overwrite=true"],
        "apply": ["apply", "ckpt=bad.pt", "input=../pictures", "out=o", "overwrite=true"],
        "synthesize": ["synthesize", "ckpt=bad.pt", "per_class=1", "out=o", "overwrite=true"],
        "train": ["train", "resume=run/checkpoints/last.pt", "steps=2"],
        "train dry": ["train", "resume=run/checkpoints/last.pt", "steps=3", "dry_run=true"],
    }[command]
    return Case(way, words, data)


def flipped(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8])):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.choice([0, 1, 3, len(data) - 1, rng.randrange(len(data))])]


def spliced(data: bytes, rng: random.Random) -> bytes:
    start, other, size = rng.randrange(len(data)), rng.randrange(len(data)), rng.randrange(1, 2000)
    return data[:start] + data[other : other + size] + data[start + rng.choice([0, size]) :]


def sealed(data: bytes) -> bytes:
    """With the checksum that fits."""
    body = data[: -checkpoint._COMMENT_SIZE]
    body = body[:-2] + struct.pack("<H", checkpoint._COMMENT_SIZE)
    return body + checkpoint._MARK + hashlib.sha256(body).hexdigest().encode()


def zipped_again(data: bytes, rng: random.Random) -> bytes:
    """One member spoilt, mostly the pickle, in a zip whose own checksums fit."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        members = old.namelist()
        pickled = next(name for name in members if name.endswith(".pkl"))
        chosen = pickled if rng.random() < 0.8 else rng.choice(members)
        for name in members:
            content = old.read(name)
            if name == chosen and content:
                content = rng.choice([flipped, flipped, spliced, cut])(content, rng)
            new.writestr(name, content)
    return sealed(buffer.getvalue() + bytes(checkpoint._COMMENT_SIZE))


VALUES = [None, -1, 0, 2**62, 2**80, -0.0, float("nan"), 1e308, "", "x" * 5000, "../../evil", "${oc.env:CANARY}", True]
VALUES += [
    [],
    {},
    [[[]]],
    {"_target_": "os.system", "command": "touch canary"},
    {"a": {"b": []}},
    "ganrun.cli.main.main",
]
VALUES += [torch.zeros(0), torch.zeros(3, 5), torch.ones((), dtype=torch.int64), torch.full((8,), float("nan")), 3, 0.5]
VALUES += ["torch.nn.Linear", {"_target_": "torch.nn.Linear", "in_features": 60000, "out_features": 60000}, 4096, 1000]


def another_state(data: bytes, rng: random.Random) -> bytes:
    """One to three places of the state hold something else, or are gone; saved as ganrun saves."""
    state = torch.load(io.BytesIO(data), weights_only=True)
    for _ in range(rng.choice([1, 1, 2, 3])):
        config = state.get("config")
        change_somewhere(config if isinstance(config, dict) and rng.random() < 0.6 else state, rng)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return sealed(buffer.getvalue() + bytes(checkpoint._COMMENT_SIZE))


def change_somewhere(node: Any, rng: random.Random) -> None:
    """Each level is as likely as any other, so that the config is reached as often as the weights."""
    while True:
        places = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = rng.choice(places) if places else None
        inner = None if key is None else node[key]
        if isinstance(inner, (dict, list)) and len(inner) and rng.random() < 0.8:
            node = inner
            continue
        if isinstance(node, dict) and (key is None or rng.random() < 0.15):
            node[rng.choice(["_target_", "x", "_args_", 7, "\x1b"])] = copy.deepcopy(rng.choice(VALUES))
        elif rng.random() < 0.2 and key is not None:
            del node[key]
        elif key is not None:
            node[key] = copy.deepcopy(rng.choice(VALUES))
        return


WAYS = {
    "flip": flipped,
    "cut": cut,
    "splice": spliced,
    "sealed flip": lambda data, rng: sealed(flipped(data, rng)),
    "sealed splice": lambda data, rng: sealed(spliced(data, rng)),
    "inner": zipped_again,
    "inner ": zipped_again,
    "state": another_state,
    "state ": another_state,
    "state  ": another_state,
}


# -- running -------------------------------------------------------------------------------------------------------


class TooLong(BaseException):
    pass


@contextlib.contextmanager
def alarm(seconds: int) -> Iterator[None]:
    def ring(number: int, frame: object) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def both_streams(path: Path) -> Iterator[None]:
    """stdout and stderr of this process and of what C libraries print, into a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    with open(path, "wb") as file:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, descriptor in enumerate(kept, 1):
                os.dup2(descriptor, number)
                os.close(descriptor)


def files(folder: Path) -> set[Path]:
    mine = tuple(str(folder / "here" / name) for name in MINE)
    return {path for path in folder.rglob("*") if path.is_file() and not str(path).startswith(mine)}


def offence(case: Case, here: Path) -> tuple[int | None, float, str]:
    """Runs a case. Returns (exit code, seconds, what it did that no command may do: empty if nothing)."""
    if case.checkpoint is not None:
        for name in ("bad.pt", "run/checkpoints/last.pt"):
            (here / name).parent.mkdir(parents=True, exist_ok=True)
            (here / name).write_bytes(case.checkpoint)
    before, errors, code, wrong = files(here.parent), here.parent / "errors", None, ""
    started = time.monotonic()
    with both_streams(errors):
        try:
            with alarm(HANG):
                code = main(list(case.words))
        except TooLong:
            wrong = "does not end"
        except BaseException as error:
            wrong = f"raised {type(error).__name__}: {str(error)[:300]}"
    seconds = time.monotonic() - started
    said = errors.read_text(errors="replace")
    new = files(here.parent) - before - {errors}
    for name in ("bad.pt", *MINE):
        path = here / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for path in new:
        path.unlink()
    return code, seconds, wrong or judged(case, code, said, new)


def judged(case: Case, code: int | None, said: str, new: set[Path]) -> str:
    lines = [line for line in said.splitlines() if not line.startswith(("ganrun: note:", "Warning"))]
    if code not in ALLOWED:
        return f"exit code {code}"
    if "Traceback" in said:
        return f"a traceback: {said[-600:]}"
    if code == 2 and (len(lines) > LINES or not any(line.startswith("ganrun: ") for line in lines)):
        return f"{len(lines)} lines on stderr: {said[:400]!r}"
    if case.checkpoint is not None and "secret-of-the-environment" in said:
        return "told a secret"
    return f"left {sorted(map(str, new))}" if new else ""


def cases(seed: int, count: int, here: Path, kind: str) -> Iterator[Case]:
    """`kind` is line or checkpoint; case number i depends on the seed and i alone."""
    run, translator = ((here.parent / name / "checkpoints/last.pt").read_bytes() for name in ("run", "translator"))
    for number in range(count):
        rng = random.Random(f"{seed} {kind} {number}")
        yield spoilt_line(rng) if kind == "line" else spoilt_checkpoint(rng, run, translator)
