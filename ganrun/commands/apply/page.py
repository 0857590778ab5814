"""`page=true`: out/index.html, one file that compares before and after with a slider, offline and on a phone."""

from __future__ import annotations

import base64
import hashlib
import html
import io
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from PIL import Image
from torch import Tensor

from ganrun.commands.apply.files import Read
from ganrun.commands.apply.page_parts import SCRIPT, STYLE
from ganrun.commands.apply.work import Album
from ganrun.common.atomic import write_bytes
from ganrun.common.errors import UserError
from ganrun.common.images import shown
from ganrun.common.pictures import MAX_BYTES
from ganrun.common.plurals import plural
from ganrun.common.regular_files import read_regular
from ganrun.common.untrusted import printable

FILE = "index.html"
MOST = 200  # pictures in the page; of more, every n-th
SIDES = ((12, 1200), (40, 720), (MOST, 400))  # (up to so many pictures, pixels of the longer side): at most some 20 MB
SHARP = 128  # pixels: smaller pictures are stored without loss, and shown with square pixels
QUALITY = 88  # of WebP


@dataclass(frozen=True)
class Shown:
    """One picture of the page."""

    name: str
    size: str
    before: bytes  # WebP
    after: bytes
    ratio: float  # width / height
    small: bool
    enlarged: bool  # the output has more pixels than the input
    numbers: str  # how close it is to its target, and its input


def write_page(album: Album, done: Mapping[str, Mapping[str, float | None] | None], workers: int, title: str) -> None:
    """Write out/index.html. `done`: {input: its row of results.csv, or None} of the pictures that are done.

    Pictures that cannot be read again are left out. Raises UserError where the page cannot be written.
    """
    chosen = every_nth([*done], MOST)
    side = next(side for most, side in SIDES if len(chosen) <= most)
    by_name = {picture.name: picture for picture in album.given.listed}

    def seen(name: str) -> Shown | None:
        try:
            before = album.opened(album.given.source.read(by_name[name]))
            content = read_regular(album.place(album.names[name]), MAX_BYTES)
            after = album.opened(content)
        except Exception:  # it was damaged, changed or removed meanwhile
            return None
        return entry(name, before, after, done[name], side)

    with ThreadPoolExecutor(workers) as hands:
        entries = [found for found in hands.map(seen, chosen) if found is not None]
    try:
        write_bytes(album.out / FILE, document(title, entries, len(done)).encode("utf-8", "replace"), album.out)
    except OSError as error:
        raise UserError(f"out={album.out / FILE} cannot be written: {error.strerror}") from None


def every_nth(names: Sequence[str], most: int) -> list[str]:
    """At most `most` of them, spread over the whole list."""
    return [names[number * len(names) // most] for number in range(most)] if len(names) > most else [*names]


def entry(name: str, before: Read, after: Read, row: Mapping[str, float | None] | None, side: int) -> Shown:
    height, width = after.pixels.shape[2:]
    given = f"{before.pixels.shape[3]}×{before.pixels.shape[2]}"
    size = given if before.pixels.shape == after.pixels.shape else f"{given} → {width}×{height}"
    small = max(height, width) <= SHARP
    return Shown(
        name, size, encoded(before.pixels, side), encoded(after.pixels, side), width / height, small,
        before.pixels.shape[2] < height, numbers(row),
    )  # fmt: skip


def numbers(row: Mapping[str, float | None] | None) -> str:
    """28.1 dB, SSIM 0.84 (input 24.0 dB, 0.71)."""
    if not row:
        return ""
    values = {key: f"{row[key]:.{digits}f}" if row.get(key) is not None else "–" for key, digits in (
        ("psnr", 2), ("ssim", 3), ("input_psnr", 2), ("input_ssim", 3))}  # fmt: skip
    return f"PSNR {values['psnr']} dB, SSIM {values['ssim']} (input {values['input_psnr']} dB, {values['input_ssim']})"


def encoded(pixels: Tensor, side: int) -> bytes:
    """(1, C, H, W) -> a WebP whose longer side has at most `side` pixels."""
    array = shown(pixels)[0].permute(1, 2, 0).contiguous().numpy()
    image = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array).convert("RGB")
    lossless = max(image.size) <= SHARP
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "WEBP", quality=QUALITY, lossless=lossless)
    return file.getvalue()


# -- HTML ----------------------------------------------------------------------------------------------------------


def document(title: str, entries: Sequence[Shown], of: int) -> str:
    """The page. Names come from files, which may be hostile: each is escaped, and the policy allows one script."""
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    count = f"{of} {plural('picture', of)}" + (f", {len(entries)} of them shown" if len(entries) < of else "")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{text(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<header><h1><bdi>{text(title)}</bdi></h1><p>{count}</p></header>
<main>
<figure id="stage" hidden>
<div id="frame">
<img id="after" alt="after" draggable="false"><img id="before" alt="before" draggable="false">
<span class="tag left">before</span><span class="tag right">after</span><span id="line"></span>
<input id="slider" type="range" min="0" max="100" step="0.5" value="50" aria-label="How much of the input is shown">
</div>
<figcaption>
<button id="previous" type="button" aria-label="previous picture">‹</button>
<span><bdi id="name"></bdi><span id="about"></span></span>
<button id="next" type="button" aria-label="next picture">›</button>
</figcaption>
</figure>
<p class="hint">Drag over the picture, or use ← and →. Page Up and Page Down change the picture.</p>
<ul id="list">
{"".join(items(entries))}</ul>
</main>
<noscript><p class="hint">The slider needs JavaScript. Each picture above shows its output.</p></noscript>
<script>{SCRIPT}</script>
</body>
</html>
"""


def items(entries: Sequence[Shown]) -> Iterator[str]:
    for each in entries:
        about = each.size + (f" · {each.numbers}" if each.numbers else "")
        yield (
            f'<li><button type="button" data-about="{text(about)}" data-ratio="{each.ratio:.5f}"'
            f"{' data-small' if each.small else ''}>"
            f'<img class="a" alt="" src="{uri(each.after)}"><img class="b" alt="" src="{uri(each.before)}">'
            f"<bdi>{text(each.name)}</bdi></button></li>\n"
        )


def text(value: str) -> str:
    """Text that is safe in HTML, also within quotes."""
    return html.escape(printable(value), quote=True)


def uri(data: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(data).decode()}"
