"""Tiny made-up pictures, and the way to the real ones beside the project."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    file = BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def noise(seed: int, size: tuple[int, int] = (8, 8), channels: int = 3) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)
    return Image.fromarray(pixels.squeeze())


def real(name: str) -> Path:
    """A real data set beside the project, or the test is skipped."""
    path = REAL / name
    if not path.exists():
        pytest.skip(f"../shared/data/{name} is not there")
    return path
