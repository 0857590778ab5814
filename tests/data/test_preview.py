"""A plan needs the names of pictures and the size of a few, not what is in them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pictures import noise

from ganrun.cli.composition import compose_plain
from ganrun.cli.main import main
from ganrun.config.builders import _load_dataset, load_dataset
from ganrun.data.decode import Decoder
from ganrun.data.storage import PREVIEWED, preview

COUNT = 60
TINY = ["batch_size=16", "steps=2", "device=cpu", "threads=1", "hooks=quiet"]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """How many pictures were decoded, counted in threads of this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ganrun"])
    _load_dataset.cache_clear()
    calls: list[int] = []
    real = Decoder.__call__

    def counted(self: Decoder, data: bytes):
        calls.append(1)
        return real(self, data)

    monkeypatch.setattr(Decoder, "__call__", counted)
    return calls


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(COUNT):
        place = tmp_path / "mine" / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        noise(number, (16, 16)).save(place / f"{number:02}.png")
    return tmp_path / "mine"


CASES = [
    ["dataset=folder", "dataset.root=mine", "model=mlp"],
    ["dataset=folder", "dataset.root=mine.zip", "model=mlp"],
    ["dataset=folder", "dataset.root=mine", "model=cgan"],
    ["dataset=folder", "dataset.root=mine", "model=mlp", "dataset.mode=stream"],
    ["dataset=paired", "dataset.root_source=mine", "dataset.root_target=mine", "model=pix2pix"],
    ["dataset=paired", "dataset.root=mine", "model=pix2pix", "dataset.image_size=16"],
    ["dataset=unpaired", "dataset.root_a=mine", "dataset.root_b=mine", "model=cyclegan"],
    ["dataset=unpaired", "dataset.root_a=mine", "dataset.class_a=a", "dataset.class_b=b", "model=cyclegan"],
    ["dataset=damaged", "dataset.source=folder", "dataset.root=mine", "model=restoration"],
]


@pytest.mark.parametrize("words", CASES, ids=lambda words: " ".join(words[:2]))
def test_a_dry_run_decodes_a_few_pictures(words: list[str], root: Path, decoded, zipped, capsys) -> None:
    zipped(root).rename("mine.zip")
    assert main(["train", *words, *TINY, "dry_run=true"]) == 0
    assert 0 < len(decoded) <= 8
    said = capsys.readouterr().out
    images = 30 if "dataset.class_a=a" in words else COUNT
    assert said.startswith(f"data        {images} images of 16×16, 3 channels")


@pytest.mark.parametrize("words", CASES, ids=lambda words: " ".join(words[:2]))
def test_the_bytes_that_are_told_are_those_of_the_data_that_are_read(words: list[str], root: Path, zipped) -> None:
    zipped(root).rename(root.parent / "mine.zip")
    words = [word.replace("=mine", f"={root}") for word in words]
    config = compose_plain("train", words)
    glimpsed, read = (load_dataset(config, pixels=pixels) for pixels in (False, True))
    assert glimpsed.nbytes == read.nbytes
    assert (len(glimpsed), glimpsed.image_size, glimpsed.class_names) == (len(read), read.image_size, read.class_names)
    assert glimpsed.workers == read.workers


def test_a_run_reads_its_data_whole_and_once(root: Path, decoded, capsys) -> None:
    small = ["model.generator.widths=[8]", "model.discriminator.widths=[8]"]
    assert main(["train", "dataset=folder", "dataset.root=mine", "model=mlp", *small, *TINY, "out=run"]) == 0
    assert COUNT <= len(decoded) <= COUNT + 8


def test_broken_pictures_are_refused_before_a_folder_is_made(root: Path, decoded, capsys) -> None:
    (root / "b" / "59.png").write_bytes(b"nothing")
    words = ["train", "dataset=folder", "dataset.root=mine", "model=mlp", *TINY, "out=run"]
    assert main([*words, "dataset.broken=refuse"]) == 2
    assert "1 of 60 images are broken" in capsys.readouterr().err
    assert main([*words, "batch_size=60"]) == 2
    assert "batch_size=60 is larger than the data: 59 images" in capsys.readouterr().err
    assert not Path("run").exists()


def test_a_dry_run_of_nothing_but_broken_pictures_is_refused_and_of_a_few_says_so(root: Path, decoded, capsys) -> None:
    words = ["train", "dataset=folder", "dataset.root=mine", "model=mlp", *TINY, "dry_run=true"]
    (root / "a" / "00.png").write_bytes(b"nothing")
    assert main(words) == 0
    said = capsys.readouterr()
    assert "note        'a/00.png' is broken" in said.out
    assert said.err == ""
    for path in root.rglob("*.png"):
        path.write_bytes(b"nothing")
    _load_dataset.cache_clear()
    assert main(words) == 2
    assert "60 of 60 images are broken" in capsys.readouterr().err


def test_a_glimpse_ends_with_its_block() -> None:
    def fail() -> None:
        with preview():
            assert PREVIEWED.get()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not PREVIEWED.get()
