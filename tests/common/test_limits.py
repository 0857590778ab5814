"""What trains opens: at each limit a run is made, sampled and resumed; beyond it nothing is written."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ganrun.cli.main import main
from ganrun.common import limits
from ganrun.common.errors import UserError
from ganrun.common.untrusted import check_config, first_wrong, wrong_text
from ganrun.config import schema

QUICK = [
    "model=mlp", "model.generator.widths=[2]", "model.discriminator.widths=[2]", "model.latent.size=2", "batch_size=4",
    "dataset.limit=8", "device=cpu", "steps=1", "grids.count=4", "hooks=quiet",
]  # fmt: skip
WIDE = ["dataset=folder", "dataset.root=in", "dataset.channels=1", "dataset.limit=null", "batch_size=1"]
R1 = "+loss.penalties.r1={_target_: ganrun.losses.penalties.R1, gamma: 10000000}"

AT = {  # name -> words of a run at or near a limit
    "a seed of 64 bits": [f"seed={limits.INTEGER}"],
    "a latent of 70,000": ["model.latent.size=70000"],
    "a latent as large as any": [f"model.latent.size={limits.SETTING}", "model.generator.widths=[1]"],
    "a penalty's weight of ten million": [R1],
    "a rate that is tiny": ["optimizer.lr=1e-30"],
    "a half-life of 3e38": ["average.half_life=3e38"],
    "all threads": [f"threads={limits.THREADS}"],
    "grids of 5000": ["hooks=default", "hooks.tensorboard=null", "hooks.watchdog=null", "grids.count=5000"],
    "a very wide picture": [*WIDE, f"dataset.image_size=[1,{limits.SIDE}]"],
    "names of all scripts": [*WIDE, "dataset.root=数据　集 é 🎉 a=b", "dataset.image_size=4"],
}
FEW = 500  # settings, as the limit of its test: Hydra takes a minute to read ten thousand on a command line
BEYOND = {
    "a seed of 65 bits": ([f"seed={limits.INTEGER + 1}"], "seed"),
    "a latent": ([f"model.latent.size={limits.SETTING + 1}"], "model.latent.size"),
    "a side": ([*WIDE, f"dataset.image_size=[1,{limits.SIDE + 1}]"], "dataset.image_size"),
    "a grid": (["hooks=default", f"grids.count={limits.COUNT + 1}"], "grids.count"),
    "threads": ([f"threads={limits.THREADS + 1}"], "threads"),
    "a text": (["+loss.note=" + "x" * (limits.TEXT + 1)], "loss.note"),
    "settings": (["+loss.note=[" + ",".join(["1"] * FEW) + "]"], "settings"),
    "depth": (["+loss.note=" + "[" * 40 + "]" * 40], "nested too deeply"),
    "nan": (["+loss.note=nan"], "loss.note"),
    "inf": (["+loss.note=.inf"], "loss.note"),
    "an interpolation that is meant": ([*WIDE, "dataset.root='\\${x}'"], "is not allowed here"),
    "a newline": (["+loss.note='a\nb'"], "control characters"),
    "an escape": (["+loss.note='\x1b[2J'"], "control characters"),
    "C1": (["+loss.note='\x9b'"], "control characters"),
    "a key that is no word": (["+loss.note={1: 2}"], "loss.note"),
}


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ganrun"])
    monkeypatch.setattr(
        "ganrun.config.builders.torch.set_num_threads", lambda count: None
    )  # a thousand would be started
    for folder in ("in", "数据　集 é 🎉 a=b", "${x}"):
        (tmp_path / folder).mkdir()
        for number in range(2):
            Image.new("L", (4, 4), 100 * number).save(tmp_path / folder / f"{number}.png")


@pytest.mark.parametrize("name", AT)
def test_what_trains_opens(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *QUICK, *AT[name], "out=run"]) == 0, capsys.readouterr().err
    assert main(["sample", "ckpt=run", "n=1", "device=cpu", "out=x.png"]) == 0, capsys.readouterr().err
    assert main(["train", "resume=run", "steps=2", "device=cpu"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("name", BEYOND)
def test_beyond_a_limit_training_refuses_in_one_line_and_writes_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words, says = BEYOND[name]
    if name == "settings":
        monkeypatch.setattr(limits, "SETTINGS", FEW)
    before = set(tmp_path.rglob("*"))
    assert main(["train", *QUICK, *words, "out=run"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
    assert set(tmp_path.rglob("*")) == before


CONFIGS: dict[str, tuple[dict[str, Any], bool]] = {
    "the longest text": ({"a": "x" * limits.TEXT}, True),
    "one letter more": ({"a": "x" * (limits.TEXT + 1)}, False),
    "the largest number": ({"a": limits.INTEGER, "b": -limits.INTEGER}, True),
    "one more": ({"a": limits.INTEGER + 1}, False),
    "10**400": ({"a": 10**400}, False),
    "the largest size": ({"model": {"a": limits.SETTING}}, True),
    "one larger": ({"model": {"a": [limits.SETTING + 1]}}, False),
    "a weight in a model": ({"model": {"kl_weight": 10**12, "pretrain_steps": 10**12, "x": 1e30}}, True),
    "a weight in a loss": ({"loss": {"penalties": {"r1": {"weight": 10**12}}}}, True),
    "a side": ({"dataset": {"image_size": [limits.SIDE, 1]}}, True),
    "a larger side": ({"model": {"image_size": limits.SIDE + 1}}, False),
    "as many pictures": ({"grids": {"count": limits.COUNT}, "hooks": {"x": {"n": limits.COUNT}}}, True),
    "more pictures": ({"hooks": {"x": {"count": limits.COUNT + 1}}}, False),
    "more samples": ({"hooks": {"scores": {"n": 10**9}}}, False),
    "a user's own count": ({"dataset": {"count": 10**9}}, True),
    "threads": ({"threads": limits.THREADS + 1}, False),
    "as many settings": ({"a": [1] * (limits.SETTINGS - 2)}, True),
    "nan": ({"a": float("nan")}, False),
    "-inf": ({"a": [float("-inf")]}, False),
    "bytes": ({"a": b"x"}, False),
    "a key that is a number": ({"a": {1: 2}}, False),
    "a key that paints": ({"a": {"\x1b": 2}}, False),
    "spaces and letters of all scripts": ({"数据　集": "数据　集 é 🎉 \u2003 \u200d"}, True),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_ones_own_config_and_one_out_of_a_file_have_the_same_limits(name: str) -> None:
    config, fine = CONFIGS[name]
    if fine:
        check_config(config)
        schema.check_own(config)
        assert first_wrong(config) is None
        return
    with pytest.raises(UserError) as own:
        schema.check_own(config)
    with pytest.raises(ValueError, match="its config"):
        check_config(config)
    assert len(str(own.value)) < 500
    assert str(own.value).isprintable()


def test_only_control_characters_count_as_such() -> None:
    for number in (*range(0x20), *range(0x7F, 0xA0)):
        assert wrong_text(f"a{chr(number)}") is not None, hex(number)
    for letter in "　 \u2003\u200d\u00ad\ufeff数é🎉’":
        assert wrong_text(f"a{letter}") is None, letter
