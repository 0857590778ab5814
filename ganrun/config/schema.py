"""The keys of every command: what each may be, and what values must be together. No Hydra, no torch."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from ganrun.common.bounds import (
    AsPath,
    At,
    Count,
    Decay,
    Device,
    Devices,
    Group,
    Natural,
    NotEmpty,
    Package,
    PathText,
    Pictures,
    Pixels,
    Positive,
    Steps,
    Threads,
    Unfit,
    Weight,
    Whole,
    fitted,
    shown,
)
from ganrun.common.errors import UserError
from ganrun.common.limits import INTEGER, SIDE, THREADS
from ganrun.common.types import Config
from ganrun.common.untrusted import first_wrong, printable

AUTO = "auto"  # of a precision: measured when the run starts
ABSENT = object()  # stands for a key that an older config lacks
LENGTHS = ("steps", "epochs", "kimg", "minutes")
PLACE = re.compile(r"dataset\.(root|labels)(_\w+)?")  # by name: the class is unknown until the checkpoint is read
WITH_RESUME = {  # a run keeps all else but the places of its data
    *LENGTHS, "resume", "device", "threads", "trust", "dry_run", "ranks.timeout",
}  # fmt: skip
LATER = ("average.half_life_start",)  # keys of a section that older runs have not: what they default to is as before
NEWER = ("dataset.minutes",)  # settings inside of a group that older runs have not
RESUMED = (  # what a run cannot go on without
    *LENGTHS, "batch_size", "seed", "device", "precision", "threads", "average", "log",
    "dataset", "model", "loss", "hooks", "optimizer",
)  # fmt: skip

Name = Annotated[str, AsPath(), "a name"]  # the data set knows its splits, the score table its scores
Several = NotEmpty()
Border = Annotated[Annotated[int, At(0, SIDE)] | Literal["auto"], "a number of pixels, or auto"]
Paths = PathText | Annotated[Sequence[PathText], Several]

DRAWING: dict[str, Any] = {  # what every command has that reads a checkpoint and writes pictures
    "ckpt": PathText,
    "out": PathText,
    "device": Device,
    "weights": Literal["ema", "raw"],
    "threads": Threads | None,
    "overwrite": bool,
    "trust": Annotated[Package | Sequence[Package], "names of packages: [my_package]"],
}

# what each key of a command may be. Its default and its words stand beside it in conf/<command>.yaml
KEYS: dict[str, dict[str, Any]] = {
    "train": {
        "steps": Steps | None,
        "epochs": Positive | None,
        "kimg": Positive | None,
        "minutes": Positive | None,
        "test_share": Decay,
        "batch_size": Count,
        "seed": Natural,
        "device": Device,
        "precision": Literal["auto", "fp32", "tf32", "bf16", "bf16_all"],
        "graphs": Literal["auto", True, False],
        "compile": bool,
        "threads": Threads | None,
        "out": PathText | None,
        "resume": PathText | None,
        "init_from": PathText | None,
        "dry_run": bool,
        "trust": DRAWING["trust"],
        "accumulate": Count,
        "ranks.timeout": Positive,
        "ranks.batchnorm": Literal["per_rank", "synchronised"],
        "average.half_life": Weight,
        "average.half_life_start": Weight | None,
        "burn_in": Annotated[float, At(above=0, most=1)],
        "log.every": Count,
        "grids.every": Count,
        "grids.count": Pictures,
        "grids.verdicts": bool,
        "checkpoint.every": Count,
        "checkpoint.keep": Count,
        "checkpoint.keep_kimg": Positive | None,
        "checkpoint.best": Name | None,
        "non_finite.policy": Literal["stop", "skip", "rollback"],
        "non_finite.limit": Count,
        "profile": Natural,
        "watchdog.action": Literal["warn", "stop", "rollback"],
        "paper.discriminator_norm": str,
        "optimizer.lr": Positive,
        "dataset": Group,
        "model": Group,
        "loss": Group,
        "hooks": Group,
        "optimizer": Group,
    },
    "sample": {
        **DRAWING,
        "out": PathText | None,
        "n": Count | None,
        "seed": Natural,
        "labels": Annotated[Whole | Annotated[Sequence[Whole], Several] | None, "class numbers: 3 or [3, 7]"],
        "truncation": Weight | None,
        "sweep": Name | None,
        "batch_size": Count,
    },
    "synthesize": {
        **DRAWING, "per_class": Count, "seed": Natural, "truncation": Weight | None, "batch_size": Count,
    },
    "apply": {
        **DRAWING,
        "ckpt": PathText | None,
        "model.name": Literal["bicubic", "lanczos", "nearest"] | None,
        "scale": Annotated[int, At(1, 16)] | None,
        "input": PathText,
        "target": PathText | None,
        "direction": Literal["ab", "ba"] | None,
        "border": Border,
        "lpips.weights": Paths | None,
        "strips": bool,
        "page": bool,
        "resume": bool,
        "format": Literal["png", "tiff", "keep"],
        "tile": Annotated[int, At(16, INTEGER)] | None | Literal["auto"],
        "overlap": Natural,
        "batch_size": Count | Literal["auto"],
        "workers": Annotated[int, At(1, THREADS)] | Literal["auto"],
        "device": Devices,
    },
    "augment_study": {
        **DRAWING,
        "ckpt": PathText | None,
        "synthetic": PathText | None,
        "dataset": Group,
        "classifier": Group,
        "transforms": Group,
        "test": Group,
        "test.split": Name | None,
        "test.root": PathText | None,
        "test.limit": Count | None,
        "ratios": Annotated[Sequence[Positive], Several, "numbers above 0, synthetic pictures per real one: [1, 5]"],
        "arms": Annotated[Sequence[str] | None, Several, "names of arms, [real, real+1x], or null for all"],
        "seeds": Count,
        "steps": Count,
        "batch_size": Count,
        "lr": Positive,
        "seed": Natural,
    },
    "eval": {
        **DRAWING,
        "ckpt": Paths | None,
        "out": PathText | None,
        "real": PathText | None,
        "fake": PathText | None,
        "train": PathText | None,
        "compare": Paths | None,
        "scores": Annotated[str | Annotated[Sequence[str], Several] | None, "names of scores: [fid, kid], all or null"],
        "n": Count,
        "n_real": Count | None,
        "split": Name | None,
        "root": PathText | None,
        "image_size": Annotated[Pixels | tuple[Pixels, Pixels] | None, "a number of pixels, [height,width] or null"],
        "channels": Annotated[Literal[1, 3] | None, "1 (grey), 3 (colour) or null"],
        "border": Border,
        "lpips.weights": Paths | None,
        "kid.subsets": Count,
        "kid.size": Annotated[int, At(2, INTEGER)],
        "splits": Count,
        "tstr.steps": Count,
        "tstr.batch_size": Count,
        "tstr.lr": Positive,
        "features": Group,
        "seed": Natural,
        "batch_size": Count,
        "cache": PathText | None,
    },
    "plot": {
        "run": PathText,
        "out": PathText | None,
        "overwrite": bool,
        "samples": Count,
        "times": Annotated[int, At(2, INTEGER)],
    },
}  # fmt: skip
KEYS["bench"] = {  # a run, and how to measure it
    **KEYS["train"],
    "bench": Group,
    "bench.seconds": Positive,
    "bench.warmup": Weight,
    "bench.rounds": Count,
    "bench.naive": bool,
    "bench.step": Natural,
    "overwrite": bool,
}
KEYS["doctor"] = {
    **KEYS["train"], "doctor": Group, "doctor.steps": Count, "doctor.images": Annotated[int, At(16, INTEGER)],
    "doctor.sheet": PathText | None,
}  # fmt: skip
PLAYERS = {"lr": Positive}  # of a setting of one player: optimizer.players.<player>.lr


def is_place(key: str) -> bool:
    """Whether a key says where files of a data set lie, and so may change when a run goes on: root, root_a, labels."""
    return bool(PLACE.fullmatch(key))


def reason(value: Any, hint: Any) -> str | None:
    """Why a value does not fit its hint, in words that follow key=value; None where it fits."""
    try:
        fitted(value, hint)
    except Unfit as error:
        return str(error)
    return None


def check(page: str, config: Config, words: Sequence[str] = ()) -> None:
    """Refuse values that no run could use. Raises UserError that names the key, the value and what would do.

    `words` are those of the command line: a value is quoted as it was typed there, 1e3 and not 1000.0.
    """
    for key, hint in KEYS[page].items():
        value = _found(config, key)
        if why := reason(value, hint):
            raise UserError(f"{key}={as_typed(key, value, words)} {why}")
    if page in COMBINATIONS:
        COMBINATIONS[page](config)


def as_typed(key: str, value: Any, words: Sequence[str]) -> str:
    """The value of a key as a command line has it, where that stands for a number; else the value itself."""
    typed = [word.partition("=")[2] for word in words if word.lstrip("+").startswith(f"{key}=")]
    if typed and isinstance(value, float):
        with contextlib.suppress(ValueError):
            return typed[-1] if float(typed[-1]) == value else shown(value)
    return shown(value)


def _check_run(config: Config) -> None:
    refuse_several_lengths({name: config[name] for name in LENGTHS if config[name] is not None})
    _check_players(config["optimizer"].get("players"))


def refuse_several_lengths(given: Mapping[str, Any]) -> None:
    """Raises UserError for more than one of steps, epochs, kimg and minutes."""
    if len(given) > 1:
        words = " and ".join(f"{name}={value}" for name, value in given.items())
        raise UserError(f"{words}: a run has one length, give one of them")


def _check_apply(config: Config) -> None:
    name = config["model"]["name"]
    if (config["ckpt"] is None) == (name is None):
        given = "" if name is None else f"ckpt={config['ckpt']} and model={name}: "
        raise UserError(f"{given or 'ckpt is needed: '}give a checkpoint with ckpt=RUN, or a filter with model=bicubic")
    if config["scale"] is not None and name is None:
        raise UserError(f"scale={config['scale']} goes with model=bicubic|lanczos|nearest: a checkpoint has its own")
    if config["resume"] and config["overwrite"]:
        raise UserError("resume=true keeps what is done, overwrite=true does it again: give one of them")
    if isinstance(config["tile"], int) and config["overlap"] > config["tile"] // 2:
        raise UserError(f"overlap={config['overlap']} must be at most half of tile={config['tile']}")


def _check_study(config: Config) -> None:
    if (config["ckpt"] is None) == (config["synthetic"] is None):
        raise UserError("the synthetic pictures come from ckpt=RUN or from synthetic=FOLDER|x.zip: give one of the two")


def _check_eval(config: Config) -> None:
    given = [key for key in ("ckpt", "real", "compare") if config[key] is not None]
    if len(given) != 1 or (config["real"] is None) != (config["fake"] is None):
        raise UserError("give one of ckpt=RUN, real=A with fake=B, or compare=[a.json,b.json]")
    if config["train"] is not None and config["real"] is None:
        raise UserError(f"train={config['train']} goes with real= and fake=: a run (ckpt=) knows what it learnt from")


COMBINATIONS = {  # what keys of a command must be together
    "train": _check_run,
    "bench": _check_run,
    "doctor": _check_run,
    "apply": _check_apply,
    "augment_study": _check_study,
    "eval": _check_eval,
}


def _found(config: Config, key: str) -> Any:
    value: Any = config
    names = key.split(".")
    for depth, name in enumerate(names):
        if not isinstance(value, Mapping):
            raise UserError(f"{'.'.join(names[:depth])}={shown(value)} must be a group of settings, such as {key}=…")
        if name not in value:
            raise UserError(f"{key} is missing from the config: it cannot be taken away")
        value = value[name]
    return value


def _check_players(players: Any) -> None:
    way = "must be a group of settings, such as optimizer.players.generator.lr=1e-4"
    if players is not None and not isinstance(players, Mapping):
        raise UserError(f"optimizer.players={shown(players)} {way}")
    for player, own in (players or {}).items():
        if own is not None and not isinstance(own, Mapping):
            raise UserError(f"optimizer.players.{player}={shown(own)} {way.replace('generator', str(player))}")
        for key, hint in PLAYERS.items():
            if own and key in own and (why := reason(own[key], hint)):
                raise UserError(f"optimizer.players.{player}.{key}={shown(own[key])} {why}")


def check_own(config: Config) -> None:
    """Refuse what no checkpoint could hold, by the function that will look at the checkpoint. Raises UserError."""
    wrong = first_wrong(config)
    if wrong is None:
        return
    if not wrong.place:
        raise UserError(f"the config {wrong.why}: leave some away")
    what = f"{wrong.place}={printable(shown(wrong.value))[:80]}" if wrong.value is not None else wrong.place
    raise UserError(f"{what} {wrong.why}: the run that it makes could not be opened again; choose another")


def check_stored(config: Config, whole: bool = True) -> None:
    """The same for a run's config out of a checkpoint: it may be older than some settings. Raises UserError.

    A run cannot go on without some of them: `whole` asks that these are there.
    """
    for name in RESUMED if whole else ():
        if name not in config:
            raise UserError(f"its config holds no {name}")
    for key, hint in KEYS["train"].items():
        first, *names = key.split(".")
        if first not in config:
            continue
        value: Any = config[first]
        for name in names:
            value = value.get(name, ABSENT) if isinstance(value, Mapping) else None
        if value is ABSENT:
            if whole and first in RESUMED and key not in LATER:
                raise UserError(f"its config holds no {key}")
        elif why := reason(value, hint):
            raise UserError(f"its config's {key}={shown(value)} {why}")
