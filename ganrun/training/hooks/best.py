"""Finds the checkpoint with the best score so far."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganrun.common.atomic import remove, write_text
from ganrun.common.regular_files import read_text
from ganrun.common.untrusted import is_count, is_number

log = logging.getLogger("ganrun")

LOWER = ("fid", "kid", "shares_tv", "ppl", "copied", "reverse_kl", "l1", "lpips")
HIGHER = (
    "is", "precision", "recall", "density", "coverage", "label_accuracy", "tstr", "trts", "authentic", "modes",
    "high_quality", "psnr", "psnr_y", "ssim", "ssim_y",
)  # fmt: skip
AUTO = "auto"
MAX_RECORD = 2**16  # bytes of best.json


@dataclass
class Best:
    """Stores the best value of `score` in the file `path`, beside best.pt. "auto" means the first score of the run.

    Raises ValueError for a score that is in neither LOWER nor HIGHER.
    """

    path: Path
    score: str
    name: str = ""
    value: float = 0.0

    def __post_init__(self) -> None:
        if self.score not in (AUTO, *LOWER, *HIGHER):
            raise ValueError(f"checkpoint.best={self.score} is none of: auto, {', '.join((*LOWER, *HIGHER))}, or null")

    def start(self, step: int) -> None:
        """Read the stored value. If it is of a later step than `step`, that step was undone: remove best.pt, too."""
        self.name = ""
        stored = self.read_record()
        if stored and stored["step"] <= step:
            self.name, self.value = stored["score"], float(stored["value"])
        elif stored:
            for path in (self.path, self.path.with_suffix(".pt")):
                remove(path, self.path.parent.parent)

    def read_record(self) -> dict[str, Any] | None:
        """The content of the file. None if there is no valid file."""
        try:
            found = json.loads(read_text(self.path, MAX_RECORD))
            valid = is_count(found["step"]) and is_number(found["value"]) and bool(kind(found["score"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
        return found if valid else None

    def beaten(self, scores: Mapping[str, float]) -> bool:
        """Whether the watched score in `scores` is better than all before. If so, it becomes the best."""
        name = next((name for name in scores if kind(name) and self.score in (AUTO, kind(name))), None)
        if name is None or (self.name == name and not better(name, scores[name], self.value)):
            return False
        self.name, self.value = name, scores[name]
        return True

    def record(self, step: int) -> str:
        """The text for `write`. It is made in the step itself, because a thread writes it later."""
        return json.dumps({"score": self.name, "value": self.value, "step": step}) + "\n"

    def write(self, record: str) -> None:
        write_text(self.path, record, self.path.parent.parent)


def kind(name: str) -> str:
    """label_accuracy_mnistcnn@2k -> label_accuracy; "" for an unknown score."""
    known = [score for score in (*LOWER, *HIGHER) if name == score or name.startswith((f"{score}_", f"{score}@"))]
    return max(known, key=len, default="")


def better(name: str, value: float, than: float) -> bool:
    return value < than if kind(name) in LOWER else value > than
