"""A command, a score and a data set are added to a copy of ganrun: how many files that takes, and that they work."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

COMMAND = {
    "ganrun/commands/count.py": '''"""`ganrun count`: how many numbers a checkpoint holds."""

from ganrun.checkpoints.load import load_checkpoint
from ganrun.common.types import Config


def check(config: Config) -> None:
    """Raises UserError where there is no such checkpoint."""
    load_checkpoint(str(config["ckpt"]), "ckpt")


def count(config: Config) -> str:
    state = load_checkpoint(str(config["ckpt"]), "ckpt")
    return f"{sum(tensor.numel() for tensor in state['system'].values()) * config['times']:,} numbers"
''',
    "conf/count.yaml": """# ganrun count: how many numbers a checkpoint holds
defaults:
  - _self_
  - override hydra/job_logging: none

ckpt: ???                          # a checkpoint, a run folder, or last
times: 1                           # counted so often
""",
    "ganrun/commands/catalogue.py": (
        "ALL = (\n",
        'ALL = (\n    Command(name="count", summary="numbers of a checkpoint", module="count", work="count", '
        'usage="usage: ganrun count ckpt=RUN\\n"),\n',
    ),
    "ganrun/config/schema.py": (
        '    "plot": {\n',
        '    "count": {"ckpt": PathText, "times": Count},\n    "plot": {\n',
    ),
}
SCORE = {
    "ganrun/evaluation/scores.py": (
        "SCORES = {\n",
        'def brightness(pair: Pair) -> Values:\n    """How far the mean feature is apart."""\n'
        "    one, two = (side.seen.features.mean().item() for side in (pair.real, pair.fake))\n"
        '    return {"brightness": abs(one - two)}\n\n\nSCORES = {\n    "brightness": Score(brightness),\n',
    )
}
DATA = {
    "ganrun/data/stripes.py": '''"""Stripes: pictures of vertical bars."""

from pathlib import Path
from typing import Unpack

import torch

from ganrun.common.bounds import Count
from ganrun.data.dataset import Dataset
from ganrun.data.storage import Storage, StorageOptions


class Stripes(Dataset):
    """`count` pictures of 16x16. The folder `root_bars` has one file for each channel."""

    @staticmethod
    def infer(root_bars: str | None = None) -> dict[str, int]:
        return {"channels": len(list(Path(root_bars).iterdir())) if root_bars else 1}

    def __init__(
        self,
        root_bars: str | None = None,
        count: Count = 64,
        image_size: int = 16,
        channels: int = 1,
        classes: int = 0,
        **options: Unpack[StorageOptions],
    ) -> None:
        storage = Storage(**options)
        bars = ((torch.arange(16) // (1 + torch.arange(count)[:, None] % 4)) % 2 * 255).to(torch.uint8)
        images = bars[:, None, None, :].expand(count, channels, 16, 16).contiguous()
        super().__init__(images, resident=storage.resident)
''',
    "conf/dataset/stripes.yaml": """# pictures of vertical bars
defaults:
  - _self_
  - shared/storage@_here_

_target_: ganrun.data.stripes.Stripes
root_bars: null  # a folder
count: 64  # how many
image_size: 16
channels: ${infer:channels}
classes: 0
""",
}
TINY = ["model=mlp", "hooks=quiet", "steps=1", "precision=fp32", "threads=1", "batch_size=8"]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """ganrun in a folder of its own, to be changed."""
    for name in ("ganrun", "conf"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def add(copy: Path, files: dict[str, str | tuple[str, str]]) -> int:
    """Write new files, change those that are there. Returns how many."""
    for name, text in files.items():
        if isinstance(text, tuple):
            before = (copy / name).read_text(encoding="utf-8")
            assert before.count(text[0]) == 1, name
            text = before.replace(*text)
        (copy / name).write_text(text, encoding="utf-8")
    return len(files)


def ganrun(copy: Path, *words: str) -> str:
    env = {**os.environ, "PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-m", "ganrun", *words], cwd=copy, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_command_takes_four_files(copy: Path) -> None:
    assert add(copy, COMMAND) <= 4
    assert add(copy, DATA) <= 3
    ganrun(copy, "train", *TINY, "dataset=stripes", "out=run")
    assert ganrun(copy, "count", "ckpt=run", "times=2").endswith(" numbers\n")
    assert "times: 1                           # counted so often" in ganrun(copy, "count", "--help")
    assert "ganrun count" in ganrun(copy, "--help")


def test_a_data_set_with_facts_and_storage_of_its_own_takes_two_files(copy: Path) -> None:
    assert add(copy, DATA) <= 2
    for folder in ("three", "moved"):
        (copy / folder).mkdir()
        for name in "abc":
            (copy / folder / name).touch()
    line = [*TINY, "dataset=stripes", "dataset.root_bars=three", "dataset.resident=false", "out=run"]
    shown = ganrun(copy, "train", *line, "--cfg", "job", "--resolve")
    assert "  channels: 3\n" in shown
    ganrun(copy, "train", *line)
    ganrun(copy, "train", "resume=run", "steps=2", "dataset.root_bars=moved")
    assert "dataset.cache=auto" in ganrun(copy, "train", "dataset=stripes", "--help")


def test_a_score_takes_one_file(copy: Path) -> None:
    assert add(copy, SCORE) <= 3
    ganrun(copy, "train", *TINY, "out=run")
    said = ganrun(copy, "eval", "ckpt=run", "scores=[brightness]", "n=16", "features=random_conv")
    assert "brightness" in said
