"""Tiny folders and zips that the data tests share."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from pictures import encoded, noise


@pytest.fixture
def tree(tmp_path: Path) -> Callable[..., Path]:
    """Writes files of the given names (each a different 8x8 colour picture) below a folder."""

    def write(*names: str, root: str = "pictures") -> Path:
        folder = tmp_path / root
        folder.mkdir(exist_ok=True)
        for seed, name in enumerate(names):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(encoded(noise(seed)))
        return folder

    return write


@pytest.fixture
def zipped(tmp_path: Path) -> Callable[[Path], Path]:
    """Packs a folder into a .zip with paths relative to it."""

    def pack(folder: Path) -> Path:
        path = tmp_path / f"{folder.name}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(folder.rglob("*")):
                archive.write(file, file.relative_to(folder))
        return path

    return pack
