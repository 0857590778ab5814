"""`${infer:...}`: a data set's class tells the facts of its files, from the keys that its `infer` takes."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from PIL import Image

from ganrun.cli import composition
from ganrun.common.errors import UserError
from ganrun.data.facts import WITHOUT_TORCH

BARS = """
import json
import pathlib

import torch

from ganrun.data.dataset import Dataset


class Bars(Dataset):
    def __init__(self, root_bars, image_size, channels, classes=0, kimg=1):
        images = torch.arange(64, dtype=torch.uint8).view(-1, 1, 1, 1)
        super().__init__(images.repeat(1, channels, image_size, image_size), kimg=kimg)

    @classmethod
    def infer(cls, root_bars: str, wide: bool = False):
        size = json.loads((pathlib.Path(root_bars) / "bars.json").read_text())
        return {"image_size": size, "channels": 1, "kimg": size / 16}
"""
YAML = """# bars
_target_: my_bars.Bars
root_bars: ???
image_size: ${infer:image_size}
channels: ${infer:channels}
classes: 0
kimg: ${infer:kimg}
"""


@pytest.fixture
def bars(tmp_path: Path) -> Path:
    """A user's --config-dir with a data set of its own, beside the files that it reads."""
    (tmp_path / "dataset").mkdir()
    (tmp_path / "my_bars.py").write_text(BARS)
    (tmp_path / "dataset" / "bars.yaml").write_text(YAML)
    (tmp_path / "bars.json").write_text("16")
    return tmp_path


def ganrun(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "ganrun", "train", "--config-dir", ".", *words]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True)


def test_a_users_own_class_tells_facts_from_keys_of_its_own(bars: Path) -> None:
    shown = ganrun(bars, "dataset=bars", "dataset.root_bars=.", "--cfg", "job", "--resolve")
    node = yaml.safe_load(shown.stdout)["dataset"]
    assert (node["image_size"], node["channels"], node["kimg"]) == (16, 1, 1.0), shown.stderr
    words = ["model=mlp", "hooks=quiet", "steps=1", "precision=fp32", "threads=1", "batch_size=8", "out=run"]
    done = ganrun(bars, "dataset=bars", "dataset.root_bars=.", *words)
    assert done.returncode == 0, done.stderr
    (bars / "moved (1)").mkdir()
    (bars / "bars.json").rename(bars / "moved (1)" / "bars.json")
    more = ["resume=run", "steps=2", "trust=my_bars"]
    done = ganrun(bars, *more, "dataset.root_bars=moved (1)")
    assert done.returncode == 0, done.stderr
    done = ganrun(bars, *more, "dataset.root_a=elsewhere")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "dataset.root_a=elsewhere: the data of this run, Bars, have no root_a" in done.stderr


@pytest.mark.parametrize(
    ("yaml_line", "said"),
    [
        ("channels: ${infer:chanels}", "nearest: channels"),
        ("channels: ${infer:channels}\nwide: 3", "dataset.wide=3 must be true or false"),
    ],
)
def test_a_fact_or_a_key_that_is_wrong_is_one_line(bars: Path, yaml_line: str, said: str) -> None:
    path = bars / "dataset" / "bars.yaml"
    path.write_text(YAML.replace("channels: ${infer:channels}", yaml_line))
    done = ganrun(bars, "dataset=bars", "dataset.root_bars=.")
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("@staticmethod\n    def infer(root): return {}['x']", r"mine\.py, line 4: KeyError: 'x'"),
        ("@staticmethod\n    def infer(root): raise SystemExit(3)", "SystemExit: 3"),
        ("def infer(self, root): return {}", "must be a @staticmethod or a @classmethod"),
        ("infer = None", "must be a @staticmethod or a @classmethod"),
        ("@staticmethod\n    def infer(root): return 3", "it gives no mapping"),
        ("@staticmethod\n    def infer(channels): return {}", "leads back to itself"),
    ],
)
def test_a_users_infer_that_is_wrong_is_one_line(
    body: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dataset").mkdir()
    text = f"from ganrun.data.dataset import Dataset\nclass Mine(Dataset):\n    {body}\n"
    (tmp_path / "infer_of_mine.py").write_text(text)
    (tmp_path / "dataset" / "mine.yaml").write_text(
        "_target_: infer_of_mine.Mine\nroot: here\nchannels: ${infer:channels}\nimage_size: 16\nclasses: 0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "infer_of_mine", raising=False)
    with pytest.raises(UserError, match=said):
        composition.compose_plain("train", ["dataset=mine"], tmp_path)


def test_a_key_that_infer_needs_and_the_yaml_lacks_is_named(tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "mine.yaml").write_text(
        "_target_: ganrun.data.folder.Folder\nchannels: ${infer:channels}\n"
    )
    with pytest.raises(UserError, match=r"looks at dataset\.root, which this data set has not"):
        composition.compose_plain("train", ["dataset=mine"], tmp_path)


@pytest.mark.parametrize("name", ["found", "infer"])
def test_yaml_with_the_earlier_name_gives_the_same(name: str, tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (20, 20)).save(tmp_path / "pictures" / "a.png")
    facts = "".join(f"{fact}: ${{{name}:{fact}}}\n" for fact in ("channels", "image_size", "classes"))
    (tmp_path / "dataset" / "mine.yaml").write_text(f"_target_: ganrun.data.folder.Folder\nroot: null\n{facts}")
    node = composition.compose_plain("train", ["dataset=mine", f"dataset.root={tmp_path}/pictures"], tmp_path)[
        "dataset"
    ]
    assert (node["channels"], node["image_size"], node["classes"]) == (3, 20, 0)


@pytest.mark.parametrize("name", ["found_pair", "found_domains"])
def test_the_earlier_names_for_pairs_and_domains_still_work(name: str, tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    facts = "".join(f"{fact}: ${{{name}:{fact}}}\n" for fact in ("channels", "image_size", "kimg"))
    (tmp_path / "dataset" / "mine.yaml").write_text(f"_target_: mine.Mine\nclasses: 0\n{facts}")
    node = composition.compose_plain("train", ["dataset=mine"], tmp_path)["dataset"]
    assert (node["channels"], node["image_size"], node["kimg"]) == (1, 16, 100)  # the embedded digits


def test_facts_that_are_told_without_torch_are_those_of_the_class() -> None:
    for target, function in WITHOUT_TORCH.items():
        module, _, name = target.rpartition(".")
        assert getattr(import_module(module), name).infer is function
