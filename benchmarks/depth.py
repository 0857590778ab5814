"""What pictures of 16 bits cost: python benchmarks/depth.py. CPU seconds of reading, of writing, and of a batch."""

from __future__ import annotations

import io
import time
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image

from ganrun.common import png16, tiffs
from ganrun.common.pixels import read_whole
from ganrun.data.loading.stream import prepare

HEIGHT, WIDTH = 1500, 2000


def smooth() -> np.ndarray:
    """(H, W, 3) uint16: slopes and some noise, as a photograph has."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    slopes = [30000 + 20000 * np.sin(x / 200 + band) + 10000 * np.cos(y / 150) for band in range(3)]
    noise = np.random.default_rng(0).normal(0, 200, (HEIGHT, WIDTH, 3))
    return (np.stack(slopes, axis=2) + noise).clip(0, 65535).astype(np.uint16)


def seconds(action: Callable[[], object], times: int = 5) -> float:
    """The least CPU seconds of one call."""
    found = []
    for _ in range(times):
        start = time.process_time()
        action()
        found.append(time.process_time() - start)
    return min(found)


def main() -> None:
    torch.set_num_threads(1)
    deep = smooth()
    eight = (deep >> 8).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(eight).save(buffer, "PNG")
    files = {
        "8-bit .png by Pillow": buffer.getvalue(),
        "16-bit .png": png16.encoded(deep),
        "16-bit .tif, deflate": tiffs.encoded(deep, False, None, None),
    }
    megapixels = HEIGHT * WIDTH / 1e6
    for name, data in files.items():
        taken = seconds(lambda d=data: read_whole(d)) / megapixels
        print(f"read {name:22} {len(data) / 2**20:6.1f} MiB {taken:.3f} s/MP")
    print(f"write 16-bit .png {seconds(lambda: png16.encoded(deep), 2) / megapixels:.3f} s/MP")
    for kind in (np.uint8, np.uint16):
        batch = {"image": torch.from_numpy(np.random.default_rng(0).integers(0, 255, (64, 3, 64, 64)).astype(kind))}
        taken = seconds(lambda b=batch: [prepare(b, torch.device("cpu")) for _ in range(20)]) / 20
        print(f"prepare 64 pictures of 64x64, {np.dtype(kind).name}: {1000 * taken:.2f} ms")


if __name__ == "__main__":
    main()
