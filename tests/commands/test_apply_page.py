"""apply's page of before and after: one file, nothing from elsewhere, no name is HTML."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import re
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from ganrun.cli.main import main
from ganrun.commands.apply import page
from tests.commands.test_apply import draw

HOSTILE = ['<img src=x onerror=alert(1)>"', "'><script>alert(1)<script>", "a&b;\x1b[31m\u202egnp"]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ganrun"])


def made(*words: str) -> str:
    assert main(["apply", "model=bicubic", "scale=2", "input=in", "out=out", "page=true", *words]) == 0
    return Path("out/index.html").read_text(encoding="utf-8")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows allows no such names")
def test_hostile_names_stay_text_and_the_page_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    for name in HOSTILE:
        draw(tmp_path / f"in/{name}.png", (20, 12), "RGB")
    text = made("target=in")
    assert text.count("<li>") == len(HOSTILE)
    assert text.count("<script>") == 1
    for name in HOSTILE[:2]:
        assert name not in text
        assert html.escape(name) in text
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", text)
    assert all(place.startswith("data:image/webp;base64,") for place in re.findall(r'src="([^"]*)"', text))
    assert not re.search(r"https?:|url\(|@import|<link", text)
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text


def test_the_page_shows_all_that_is_done_also_by_an_earlier_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abcd":
        draw(tmp_path / f"in/{name}.png", (20, 12))
    draw(tmp_path / "want/a.png", (40, 24))
    text = made("target=want")
    assert re.findall(r"<bdi>(\w\.png)</bdi>", text) == ["a.png", "b.png", "c.png", "d.png"]
    assert 'data-about="20×12 → 40×24 · PSNR ' in text
    monkeypatch.setattr(page, "MOST", 2)
    monkeypatch.setattr(page, "SIDES", ((2, 16),))
    text = made("target=want", "resume=true")
    assert re.findall(r"<bdi>(\w\.png)</bdi>", text) == ["a.png", "c.png"]
    assert "4 pictures, 2 of them shown" in text


def test_a_thumbnail_of_a_large_picture_is_small_and_a_small_one_is_exact() -> None:
    for side, most, exact in ((300, 64, False), (50, 64, True)):
        pixels = torch.randint(256, (1, 3, side, side // 2), dtype=torch.uint8)
        image = Image.open(io.BytesIO(page.encoded(pixels, most)))
        assert image.size == ((side // 2, side) if exact else (32, 64))
        if exact:
            assert image.convert("RGB").tobytes() == pixels[0].permute(1, 2, 0).numpy().tobytes()


def test_a_page_needs_a_folder(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    draw(tmp_path / "x.png", (20, 12))
    assert main(["apply", "model=bicubic", "input=x.png", "out=y.png", "page=true"]) == 2
    assert "page=true writes index.html beside the pictures, so out= must be a folder" in capfd.readouterr().err
