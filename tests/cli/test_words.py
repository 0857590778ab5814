"""Words without a key belong to the one key that their command declares; --config-dir is understood everywhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ganrun.cli import overrides
from ganrun.cli.help_text import help_page, overview
from ganrun.cli.main import main
from ganrun.cli.words import plain_config, without_bare
from ganrun.commands.catalogue import ALL, BY_PAGE, COMMANDS
from ganrun.common.errors import UserError

SAMPLE = replace(COMMANDS["sample"], positional="ckpt")


@pytest.mark.parametrize(
    ("words", "meant"),
    [(["n=2", "last"], ["n=2", "ckpt=last"]), (["a b.pt"], ["ckpt='a b.pt'"]), (["n=2"], ["n=2"])],
)
def test_a_word_gets_the_key_that_its_command_declares(words: list[str], meant: list[str], monkeypatch) -> None:
    monkeypatch.setitem(BY_PAGE, "sample", SAMPLE)
    assert overrides.read_command_line("sample", words).overrides == meant
    assert "[CKPT]" in SAMPLE.line
    assert "CKPT is ckpt=CKPT" in help_page(SAMPLE)
    assert without_bare(SAMPLE, ["last", "n=2", "-cd", "DIR"]) == ["n=2", "-cd", "DIR"]


@pytest.mark.parametrize("words", [["a", "b"], ["a", "ckpt=b"]])
def test_a_word_too_many_is_refused(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BY_PAGE, "sample", SAMPLE)
    with pytest.raises(UserError, match=r"sample takes one CKPT, but got 'a' and 'b|ckpt=b': give one of them"):
        overrides.read_command_line("sample", words)
    info = replace(COMMANDS["info"], positional="ckpt")
    assert plain_config(info, ["last"]) == plain_config(info, ["ckpt=last"]) == {"ckpt": "last", "config_dir": None}
    with pytest.raises(UserError, match="give one of them"):
        plain_config(info, words)


@pytest.mark.parametrize("command", ALL, ids=lambda command: command.name)
def test_help_shows_the_words_that_a_command_takes(command) -> None:
    assert command.usage.startswith(f"usage: ganrun {command.line}")
    assert f"ganrun {command.line} " in overview()


@pytest.mark.parametrize("flag", [["-cd=DIR"], ["--config-dir=DIR"], ["-cd", "DIR"], ["--config-dir", "DIR"]])
def test_every_form_of_config_dir_is_understood(flag: list[str], tmp_path: Path, capsys) -> None:
    (tmp_path / "loss").mkdir()
    (tmp_path / "loss/mine.yaml").write_text("# My own\n_target_: my.Loss\nsteepness: 3  # how steep it is\n")
    (tmp_path / "loss/bare.yaml").write_text("# Bare\n_target_: my.Loss\n")
    there = [word.replace("DIR", str(tmp_path)) for word in flag]
    assert main(["keys", "steep", *there]) == 0
    assert "loss.steepness=3" in capsys.readouterr().out
    assert main(["keys", *there, "loss=bare"]) == 0
    assert "loss=bare: its yaml gives no keys besides its class" in capsys.readouterr().out
    nowhere = [word.replace("DIR", "nowhere") for word in flag]
    for words in (["keys", "lr"], ["train", "--help"], ["info"]):
        assert main([*words, *nowhere]) == 2
        assert "--config-dir nowhere: no such folder" in capsys.readouterr().err


def test_a_config_dir_without_a_folder_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "lr", "-cd"]) == 2
    assert capsys.readouterr().err == "ganrun: -cd needs a folder: -cd DIR\n"


@pytest.mark.parametrize("words", [["help", "train"], ["-h", "train"], ["--help", "train", "help"]])
def test_help_before_a_command_is_the_help_of_that_command(words: list[str], capsys) -> None:
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("usage: ganrun train ")
    assert main(["help", "trian"]) == 2
    assert "nearest: train" in capsys.readouterr().err
    assert main(["help", "help"]) == 0
    assert "--debug" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "offered"),
    [("ganrun keys batch", "batch_size"), ("ganrun keys loss lat", ""), ("ganrun info i", ""), ("ganrun inf", "info")],
)
def test_the_shell_completes_words_by_the_command(line: str, offered: str, monkeypatch, capsys) -> None:
    monkeypatch.setenv("COMP_LINE", line)
    assert main(["--shell-completion", "query=bash"]) == 0
    assert capsys.readouterr().out == f"{offered}\n"
