"""spelling: the words of a command line as people write them, made into words that Hydra's grammar reads."""

from __future__ import annotations

import re

from ganrun.common.quoting import quoted, quoted_path
from ganrun.config.schema import is_place

PATHS = (
    "ckpt", "resume", "init_from", "run", "input", "out", "target", "synthetic", "test.root", "dataset.cache",
    "model.perceptual.weights", "model.reconstruction.weights", "features.weights", "real", "fake", "train", "compare",
    "root", "cache",
)  # fmt: skip
BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")


def is_path(key: str) -> bool:
    """Whether the value of a key is a path, or several."""
    return key in PATHS or is_place(key)


LISTS = {"labels": r"\d+(,\d+)+", "device": r"[a-z]+(:\d+)?(,[a-z]+(:\d+)?)+"}  # without -m, a,b means [a,b]
SHORT = {("apply", "model"): "model.name"}  # Hydra takes a word for a choice where it has a group of that name


def as_meant(word: str, sweeps: bool, page: str = "train") -> str:
    """epoch=3.pt, x(1).pt and 数据 are fine names, but grammar errors for Hydra; labels=3,7 would be a sweep."""
    key, equals, value = word.partition("=")
    if not sweeps and re.fullmatch(LISTS.get(key, "(?!)"), value) and (key != "device" or page == "apply"):
        return f"{key}=[{value}]"
    if (page, key) in SHORT:
        return f"{SHORT[page, key]}{equals}{value}"
    if is_path(key.lstrip("+")):
        return f"{key}{equals}{quoted_path(value)}"
    foreign = BEYOND_ASCII.search(value) and value[:1] not in "'\"["
    return f"{key}{equals}{quoted(value)}" if foreign else word


def allow_absent(word: str, resumes: bool) -> str:
    """Two keys need no plus sign: the model knows its players, a stored run whether its data have a root."""
    absent = word.startswith(("optimizer.players.", "optimizer.players=")) or (
        resumes and is_place(word.partition("=")[0])
    )
    return f"++{word}" if absent else word
