"""checks: values that no run could use, refused by name. No Hydra, no torch."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, Any

from ganrun.common.bounds import At, Unfit, fitted, shown
from ganrun.common.errors import UserError, nearest
from ganrun.common.limits import COUNT, INTEGER, SETTING, SIDE, STEPS, TEXT, THREADS
from ganrun.common.types import Config
from ganrun.common.untrusted import first_wrong, printable

AUTO = "auto"  # of a precision: measured when the run starts
NAME = 255  # bytes: the most that file systems take for one name
LENGTHS = ("steps", "epochs", "kimg", "minutes")
MOVABLE = tuple(f"dataset.{place}" for place in ("root", "root_source", "root_target", "root_a", "root_b", "labels"))
WITH_RESUME = {  # a run keeps all else
    *LENGTHS, *MOVABLE, "resume", "device", "threads", "trust", "dry_run", "ranks.timeout",
}  # fmt: skip
NEWER = ("dataset.minutes",)  # settings inside of a group that older runs have not
RESUMED = (  # what a run cannot go on without
    *LENGTHS, "batch_size", "seed", "device", "precision", "threads", "average", "log",
    "dataset", "model", "loss", "hooks", "optimizer",
)  # fmt: skip


def _like(hint: Any) -> Any:
    """A check by the type hint that a parameter of this kind would have."""

    def wrong(value: Any) -> str | None:
        try:
            fitted(value, hint)
        except Unfit as error:
            return str(error)
        return None

    return wrong


def _whole(low: int = 1, null: bool = False, most: int = INTEGER) -> Any:
    hint = Annotated[int, At(low, most)]
    return _like(hint | None if null else hint)


def _number(low: float = 0.0, above: bool = True, null: bool = False) -> Any:
    hint = Annotated[float, At(above=low) if above else At(low)]
    return _like(hint | None if null else hint)


def _one_of(*choices: str | None) -> Any:
    named = [choice for choice in choices if choice is not None]
    return lambda value: None if value in choices else f"is unknown; {nearest(shown(value), named)}"


def _one_of_these(*choices: Any) -> Any:
    named = " | ".join(str(choice).lower() for choice in choices)
    alike = {(type(choice), choice) for choice in choices}  # 1 == True, but says something else
    return lambda value: None if _plain(value) and (type(value), value) in alike else f"must be {named}"


def _plain(value: Any) -> bool:
    return not isinstance(value, (list, Mapping))


def _boolean(value: Any) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


def _text(value: Any) -> str | None:
    number = isinstance(value, int) and not isinstance(value, bool)  # a folder that is called 3
    fits = value is None or number or (isinstance(value, str) and value.strip() and len(value) <= TEXT)
    if not fits:
        return "must be a path"
    longest = max(len(os.fsencode(part)) for part in re.split(r"[/\\]", str(value)[:TEXT]))
    return None if longest <= NAME else f"must be a path; no file's name has more than {NAME} letters"


def _device(value: Any) -> str | None:
    if isinstance(value, str) and re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", value):
        return None
    return f"is unknown; {nearest(str(value), ('auto', 'cpu', 'cuda', 'cuda:0', 'mps'))}"


def _names(value: Any) -> str | None:
    items = [value] if isinstance(value, str) else value
    fits = isinstance(items, list) and all(isinstance(item, str) for item in items)
    return None if fits else "must be names of packages: [my_package]"


def _labels(value: Any) -> str | None:
    items = value if isinstance(value, list) else [value]
    fits = value is None or (items and not any(map(_whole(0, most=SETTING), items)))
    return None if fits else "must be class numbers: 3 or [3, 7]"


def _ratios(value: Any) -> str | None:
    fits = isinstance(value, list) and value and not any(map(_number(), value))
    return None if fits else "must be numbers above 0, synthetic pictures per real one: [1, 5]"


def _some_names(value: Any) -> str | None:
    fits = value is None or (value and isinstance(value, list) and all(isinstance(item, str) for item in value))
    return None if fits else "must be names of arms, [real, real+1x], or null for all"


def _places(value: Any) -> str | None:
    items = value if isinstance(value, list) and value else [value]
    return None if all(_text(item) is None for item in items) else "must be a path, or a list of them: [a,b]"


def _size(value: Any) -> str | None:
    sides = value if isinstance(value, list) else [value, value]
    fits = len(sides) == 2 and not any(map(_whole(most=SIDE), sides))
    return None if value is None or fits else "must be a number of pixels, [height,width] or null"


DRAWING: dict[str, Any] = {  # what every command has that reads a checkpoint and writes pictures
    "ckpt": _text,
    "out": _text,
    "device": _device,
    "weights": _one_of("ema", "raw"),
    "threads": _whole(null=True, most=THREADS),
    "overwrite": _boolean,
    "trust": _names,
}

CHECKS: dict[str, dict[str, Any]] = {
    "train": {
        "steps": _whole(null=True, most=STEPS),
        "epochs": _number(null=True),
        "kimg": _number(null=True),
        "minutes": _number(null=True),
        "batch_size": _whole(),
        "seed": _whole(0),
        "device": _device,
        "precision": _one_of(AUTO, "fp32", "tf32", "bf16", "bf16_all"),
        "graphs": _one_of_these("auto", True, False),
        "compile": _boolean,
        "threads": _whole(null=True, most=THREADS),
        "out": _text,
        "resume": _text,
        "init_from": _text,
        "dry_run": _boolean,
        "trust": _names,
        "accumulate": _whole(),
        "ranks.timeout": _number(),
        "ranks.batchnorm": _one_of("per_rank", "synchronised"),
        "average.half_life": _number(above=False),
        "log.every": _whole(),
        "grids.every": _whole(),
        "grids.count": _whole(most=COUNT),
        "grids.verdicts": _boolean,
        "checkpoint.every": _whole(),
        "checkpoint.keep": _whole(),
        "checkpoint.keep_kimg": _number(null=True),
        "checkpoint.best": _text,
        "non_finite.policy": _one_of("stop", "skip", "rollback"),
        "non_finite.limit": _whole(),
        "profile": _whole(0),
        "watchdog.action": _one_of("warn", "stop", "rollback"),
        "optimizer.lr": _number(),
        "dataset": None,
        "model": None,
        "loss": None,
        "hooks": None,
        "optimizer": None,
    },
    "sample": {
        "n": _whole(),
        "seed": _whole(0),
        "labels": _labels,
        "batch_size": _whole(),
        **DRAWING,
    },
    "synthesize": {
        "per_class": _whole(),
        "seed": _whole(0),
        "batch_size": _whole(),
        **DRAWING,
    },
    "apply": {
        "input": _text,
        "target": _text,
        "direction": _one_of("ab", "ba", None),
        "strips": _boolean,
        "tile": _whole(16, null=True),
        "overlap": _whole(0),
        **DRAWING,
    },
    "augment_study": {
        **DRAWING,
        "synthetic": _text,
        "dataset": None,
        "classifier": None,
        "transforms": None,
        "test": None,
        "test.split": _text,
        "test.root": _text,
        "test.limit": _whole(null=True),
        "ratios": _ratios,
        "arms": _some_names,
        "seeds": _whole(),
        "steps": _whole(),
        "batch_size": _whole(),
        "lr": _number(),
        "seed": _whole(0),
    },
    "eval": {
        **DRAWING,
        "ckpt": _places,
        "real": _text,
        "fake": _text,
        "compare": _places,
        "scores": lambda value: None if isinstance(value, str) else _some_names(value),
        "n": _whole(),
        "n_real": _whole(null=True),
        "split": _text,
        "root": _text,
        "image_size": _size,
        "channels": lambda value: _one_of_these(1, 3, None)(value) and "must be 1 (grey), 3 (colour) or null",
        "kid.subsets": _whole(),
        "kid.size": _whole(2),
        "splits": _whole(),
        "tstr.steps": _whole(),
        "tstr.batch_size": _whole(),
        "tstr.lr": _number(),
        "features": None,
        "seed": _whole(0),
        "batch_size": _whole(),
        "cache": _text,
    },
}

CHECKS["bench"] = {  # a run, and how to measure it
    **CHECKS["train"],
    "bench": None,
    "bench.seconds": _number(),
    "bench.warmup": _number(above=False),
    "bench.rounds": _whole(),
    "bench.naive": _boolean,
    "bench.step": _whole(0),
    "overwrite": _boolean,
}


CHECKS["doctor"] = {**CHECKS["train"], "doctor": None, "doctor.steps": _whole(), "doctor.images": _whole(16)}
CHECKS["plot"] = {"run": _text, "out": _text, "overwrite": _boolean, "samples": _whole(), "times": _whole(2)}


def check(page: str, config: Config) -> None:
    """Refuse values that no run could use. Raises UserError that names the key, the value and what would do."""
    for key, wrong in CHECKS[page].items():
        value = _found(config, key)
        message = wrong(value) if wrong else None if isinstance(value, Mapping) else "must be a group of settings"
        if message:
            raise UserError(f"{key}={shown(value)} {message}")
    if page == "apply" and config["tile"] is not None and config["overlap"] > config["tile"] // 2:
        raise UserError(f"overlap={config['overlap']} must be at most half of tile={config['tile']}")
    if page == "augment_study" and (config["ckpt"] is None) == (config["synthetic"] is None):
        raise UserError("the synthetic pictures come from ckpt=RUN or from synthetic=FOLDER|x.zip: give one of the two")
    if page == "eval":
        given = [key for key in ("ckpt", "real", "compare") if config[key] is not None]
        if len(given) != 1 or (config["real"] is None) != (config["fake"] is None):
            raise UserError("give one of ckpt=RUN, real=A with fake=B, or compare=[a.json,b.json]")
    if page in ("train", "bench", "doctor"):
        given = [name for name in LENGTHS if config[name] is not None]
        if len(given) > 1:
            raise UserError(f"{' and '.join(f'{name}={config[name]}' for name in given)}: a run has one length")
        _check_players(config["optimizer"].get("players"))


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
        if message := _number()((own or {}).get("lr", 1.0)):
            raise UserError(f"optimizer.players.{player}.lr={shown((own or {})['lr'])} {message}")


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
    for key, wrong in CHECKS["train"].items():
        value: Any = config
        if not whole and key.split(".")[0] not in config:
            continue
        for name in key.split("."):
            value = value.get(name, wrong) if isinstance(value, Mapping) else None
        if value is wrong and wrong is not None:  # it is not there
            if whole and key.split(".")[0] in RESUMED:
                raise UserError(f"its config holds no {key}")
            continue
        message = wrong(value) if wrong else None if isinstance(value, Mapping) else "must be a group of settings"
        if message:
            raise UserError(f"its config's {key}={shown(value)} {message}")
