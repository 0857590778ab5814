"""Names that command a terminal: whatever is called so, no command says it; names of every script pass as they are."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import QUICK
from payloads import changed, write
from PIL import Image

from ganrun.checkpoints import checkpoint
from ganrun.cli.main import main
from ganrun.common import terminal
from ganrun.common.untrusted import printable
from tests.waiting import HANG

EVIL = "e\x1b[31m\x9b2J\x07\r\n\x7f\u202eevil\u2066\u2028"
GOOD = "数据\u3000集 é ‌नम"
BARE = "\udc9b31m"  # the byte 0x9B alone, as Python reads it from the name of a file
FORBIDDEN = [*map(chr, (*range(9), *range(11, 32), *range(127, 160))), *"\u061c\u200e\u200f\u202e\u2066\u2028"]


@pytest.fixture
def quiet_terminal(capfdbinary: pytest.CaptureFixture[bytes]) -> Any:
    """Runs a command; what it printed must hold letters, spaces, tabs and line ends alone. Returns it and the code."""

    def run(*words: str) -> tuple[int, str]:
        capfdbinary.readouterr()
        code = main(list(words))
        raw = capfdbinary.readouterr()
        text = (raw.out + raw.err).decode("utf-8")  # no bare byte either
        assert not [letter for letter in FORBIDDEN if letter in text], repr(text)
        return code, text

    return run


def spoilt(here: Path, good_run: Path, name: str) -> Path:
    return Path(shutil.copytree(good_run, here / name))


def pictures(folder: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), 20 * number, np.uint8)).save(folder / name)
    return folder


def test_letters_of_every_script_pass_and_commands_do_not() -> None:
    assert printable(GOOD) == GOOD
    assert (
        printable("a\u200db\u00adc\ufeff\U0001f468\u200d\U0001f469")
        == "a\u200db\u00adc\ufeff\U0001f468\u200d\U0001f469"
    )
    assert printable(EVIL) == "e?[31m?2J?????evil??"
    assert printable(BARE) == "?31m"
    assert printable("a\n\tb\r", keep="\n\t") == "a\n\tb?"


@pytest.mark.parametrize(
    "words",
    [
        ["train", "resume={}", "steps=2"],
        ["train", "model=mlp", "init_from={}"],
        ["train", "model={}"],
        ["train", "loss={}"],
        ["train", "{}=1"],
        ["train", "model=mlp", "dataset=folder", "dataset.root={}"],
        ["train", "--config-dir", "{}"],
        ["train", "device={}"],
        ["train", "--{}"],
        ["sample", "ckpt={}"],
        ["sample", "ckpt={}/x.pt"],
        ["synthesize", "ckpt={}", "out=made"],
        ["apply", "ckpt={}", "input={}", "out=made"],
        ["eval", "ckpt={}"],
        ["eval", "real={}", "fake={}"],
        ["eval", "compare=[{}]"],
        ["eval", "ckpt=x", "scores={}"],
        ["plot", "run={}"],
        ["augment-study", "ckpt={}"],
        ["augment-study", "synthetic={}"],
        ["bench", "model={}"],
        ["bench", "out={}/x.json"],
        ["doctor", "dataset=folder", "dataset.root={}"],
        ["info", "{}"],
        ["{}"],
        ["train", "--help", "--config-dir", "{}"],
        ["train", "--cfg", "job", "out={}"],
    ],
    ids=" ".join,
)
def test_what_is_not_there_is_named_without_its_codes(words: list[str], quiet_terminal: Any) -> None:
    for name in (EVIL, EVIL.replace("\n", ""), "'" + EVIL.replace("\n", "") + "'"):
        code, text = quiet_terminal(*(word.replace("{}", name) for word in words))
        if code:
            assert code == 2, text
            assert len(text.splitlines()) <= 2, text


@pytest.mark.parametrize("name", [EVIL, GOOD, BARE], ids=["evil", "good", "bare byte"])
def test_runs_and_folders_of_every_name_are_spoken_of(
    name: str, good_run: Path, here: Path, quiet_terminal: Any
) -> None:
    run = spoilt(here, good_run, name)
    told = [
        quiet_terminal("sample", f"ckpt={name}", "n=2", "device=cpu"),
        quiet_terminal("sample", f"ckpt={name}", "n=2", "device=cpu", f"out={name}/{name}.png"),
        quiet_terminal("sample", f"ckpt={name}", "n=2", "device=cpu", f"out={name}/{name}.png"),  # it is there
        quiet_terminal("plot", f"run={name}"),
        quiet_terminal("synthesize", f"ckpt={name}", "out=made"),
        quiet_terminal("apply", f"ckpt={name}", f"input={name}", "out=made"),
        quiet_terminal("train", f"resume={name}", "steps=2", "device=cpu"),
        quiet_terminal("train", f"resume={name}"),
    ]
    (run / "link").symlink_to(name)
    told.append(quiet_terminal("train", f"resume={name}", "steps=3"))
    (run / "link").unlink()
    (run / "checkpoints/last.pt").write_bytes(b"cut")
    told.append(quiet_terminal("train", f"resume={name}", "steps=3"))
    if name == GOOD:
        assert [code for code, _ in told] == [0, 0, 2, 0, 2, 2, 0, 0, 2, 0]
        assert all(GOOD in text for _, text in told)
    for log in run.rglob("*.log"):
        assert not [letter for letter in FORBIDDEN if letter in log.read_text(encoding="utf-8")]


def test_classes_files_and_notes_of_a_data_set(here: Path, quiet_terminal: Any) -> None:
    flat = EVIL.replace("\n", "")
    names = [f"{cls}/{number}{flat}.png" for cls in (flat, GOOD, BARE) for number in range(4)]
    pictures(here / "data", *names)
    for broken in (f"{flat}/broken{flat}.png", f"{GOOD}/broken.png"):
        (here / "data" / broken).write_bytes(b"no picture")
    words = ["model=cgan", "dataset=folder", "dataset.root=data", "dataset.image_size=8", "dataset.cache=null", *QUICK]
    words.remove("dataset.limit=32")
    assert quiet_terminal("doctor", *words, "doctor.steps=2", "doctor.images=16")[0] in (0, 1, 2)
    assert quiet_terminal("train", *words, "dry_run=true")[0] == 0
    assert quiet_terminal("train", *words, "out=run")[0] == 0
    assert not [letter for letter in FORBIDDEN if letter in (here / "run/train.log").read_text(encoding="utf-8")]
    kept = checkpoint.load(here / "run/checkpoints/last.pt")["data"]["class_names"]
    assert GOOD in kept
    code, _ = quiet_terminal("synthesize", "ckpt=run", "per_class=1", "device=cpu", "out=made")
    assert code == 0


def test_a_checkpoint_and_a_yaml_that_speak(good: dict[str, Any], here: Path, quiet_terminal: Any) -> None:
    for place, value in (
        ("config.dataset._target_", EVIL),
        ("config.model.latent.size", EVIL),
        ("progress", {EVIL: 1}),
    ):
        write(changed(good, place, value), here / "a.pt")
        assert quiet_terminal("sample", "ckpt=a.pt", "device=cpu")[0] == 2
        assert quiet_terminal("train", "resume=a.pt", "steps=3")[0] == 2
    (here / "mine/model").mkdir(parents=True)
    (here / "mine/model/own.yaml").write_text("# what\x1b]0;title\x07 \x9b31m it is\n_target_: torch.nn.Linear\n")
    code, text = quiet_terminal("train", "--config-dir", "mine", "--help")
    assert (code, "what?]0;title? ?31m it is" in text) == (0, True)
    (here / "mine/model/own.yaml").write_text('# what \u202e it is\n_target_: "evil\\e[31m\\x9b\\r\\u202e"\n')
    for words in (["--help"], ["model=own"], ["--cfg", "job", "model=own"], ["model=own", "dry_run=true"]):
        quiet_terminal("train", "--config-dir", "mine", *words)


def test_a_log_line_is_one_line(tmp_path: Path) -> None:
    handler = terminal.LogFile(tmp_path / "x.log")
    handler.setFormatter(terminal.OneLine("%(message)s"))
    try:
        raise ValueError(EVIL)
    except ValueError:
        handler.handle(logging.LogRecord("x", 20, "", 0, "a %s b", (EVIL,), sys.exc_info()))
    handler.close()
    first, *trace = (tmp_path / "x.log").read_text(encoding="utf-8").splitlines()
    assert first == f"a {printable(EVIL)} b"
    assert trace[0].startswith("Traceback")
    assert not [letter for letter in FORBIDDEN if letter in "\n".join(trace)]


def test_streams_are_themselves_again_and_bars_speak_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    before = sys.stdout, sys.stderr
    with terminal.cleaned():
        assert sys.stdout is not before[0]
        assert sys.stdout.fileno() == before[0].fileno() if hasattr(before[0], "fileno") else True
        with terminal.cleaned():
            pass
        bar = terminal.bar(total=1, disable=False)
        assert bar.fp == before[1]
        bar.close()
    assert (sys.stdout, sys.stderr) == before


def test_what_ends_in_a_traceback_is_cleaned_too(monkeypatch: pytest.MonkeyPatch, here: Path) -> None:
    import subprocess

    root = Path(__file__).resolve().parents[2]
    script = "import sys; from ganrun.cli.main import main; sys.exit(main(['sample', '--debug', sys.argv[1]]))"
    done = subprocess.run(
        [sys.executable, "-c", script, f"ckpt={EVIL}"],
        cwd=here, env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, text=True, timeout=HANG,
    )  # fmt: skip
    assert "Traceback" in done.stderr
    assert not [letter for letter in FORBIDDEN if letter in done.stderr]
    torch.set_num_threads(1)
