"""The progress bar of a run: one line, as long as the terminal is wide."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

WIDTH, NARROWEST = 80, 20  # letters; WIDTH is used if the terminal reports no width, or one below NARROWEST
SHORTEST, LONGEST = 10, 30  # letters of the bar itself; a shorter bar would show too little
SHAPES = ("█", " "), ("#", ".")
GAP = "  "


@dataclass
class News:
    """What the bar shows: numbers by name, the share of the run that is done, speed and time left."""

    step: int = 0
    steps: int | None = None
    progress: float = 0.0
    numbers: Mapping[str, float] = field(default_factory=dict)
    speed: float | None = None  # images a second
    left: str | None = None


class Bar(tqdm):
    """A tqdm bar with a line of our own. tqdm decides when to draw it; the caller keeps `news` up to date."""

    def __init__(self, news: News, **settings: Any) -> None:
        self.news = news
        # the stream inside the wrapper, because the wrapper does not allow a bar to move the cursor
        stream = getattr(sys.stderr, "_wrapped", sys.stderr)
        super().__init__(total=news.steps, initial=news.step, dynamic_ncols=True, file=stream, **settings)

    def __str__(self) -> str:
        width = self.format_dict["ncols"] or 0
        width = width if width >= NARROWEST else WIDTH
        shapes = SHAPES[0 if can_encode(SHAPES[0][0], self.fp) else 1]
        text = line(self.news, width - 1, shapes)  # some terminals wrap a line of full width
        return "".join(letter if letter.isprintable() else "?" for letter in text)


def wanted() -> bool:
    """Whether stderr is a terminal that can return to the start of a line."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


@contextlib.contextmanager
def lines_above() -> Iterator[None]:
    """Within this block, log lines on the screen appear above the bar."""
    before = list(logging.root.handlers)
    with logging_redirect_tqdm(tqdm_class=Bar):
        for handler in logging.root.handlers:
            if handler not in before:
                handler.setLevel(max((old.level for old in before if old not in logging.root.handlers), default=0))
        yield


def line(news: News, width: int, shapes: tuple[str, str] = SHAPES[0]) -> str:
    """The line of the bar, at most `width` letters.

    It has full names if they fit, else initials. If those do not fit either, less important pieces are left out.
    """
    for names in (list(news.numbers), initials(list(news.numbers))):
        pieces = pieces_of(news, names)
        kept = fitting(ranked(pieces), pieces, width)
        if len(kept) == len(pieces):
            break
    room = width - sum(len(pieces[name]) + len(GAP) for name in kept) + len(GAP)
    if "bar" in kept:
        pieces["bar"] = draw_bar(news.progress, min(SHORTEST + room, LONGEST), shapes)
    return GAP.join(pieces[name] for name in pieces if name in kept)


def pieces_of(news: News, names: Sequence[str]) -> dict[str, str]:
    """The pieces of the line by name, from left to right; numbers with three digits."""
    end = f"/{news.steps}" if news.steps else ""
    numbers = {key: f"{name} {value:.3g}" for (key, value), name in zip(news.numbers.items(), names, strict=True)}
    pieces = {"share": f"{news.progress:4.0%}", "bar": draw_bar(0, SHORTEST, SHAPES[1]), "step": f"{news.step}{end}"}
    if news.speed is not None:
        pieces["speed"] = f"{news.speed:,.0f} images/s"
    pieces |= {f"number {key}": text for key, text in numbers.items() if key != "accuracy"}
    pieces |= {"number accuracy": numbers["accuracy"]} if "accuracy" in numbers else {}
    return pieces | ({} if news.left is None else {"left": f"{news.left} left"})


def ranked(pieces: Mapping[str, str]) -> list[str]:
    """Names of the pieces, the most important first: losses, share, time left, step, bar, accuracy, speed."""
    losses = [name for name in pieces if name.startswith("number ") and name != "number accuracy"]
    order = [*losses, "share", "left", "step", "bar", "number accuracy", "speed"]
    return [name for name in order if name in pieces]


def fitting(order: Sequence[str], pieces: Mapping[str, str], width: int) -> set[str]:
    """The first pieces of `order`, as many as fit into `width` letters."""
    kept: set[str] = set()
    used = -len(GAP)
    for name in order:
        used += len(pieces[name]) + len(GAP)
        if used > width:
            break
        kept.add(name)
    return kept


def initials(names: Sequence[str]) -> list[str]:
    """discriminator -> D, accuracy -> acc, photo_discriminator -> PD; full names where two initials are equal."""
    short = ["acc" if name == "accuracy" else "".join(word[:1].upper() for word in name.split("_")) for name in names]
    return short if len(set(short)) == len(short) else list(names)


def draw_bar(share: float, length: int, shapes: tuple[str, str]) -> str:
    """|███   |: a bar of `length` letters, of which `share` (0 to 1) are full."""
    full = round(min(max(share, 0.0), 1.0) * length)
    return f"|{shapes[0] * full}{shapes[1] * (length - full)}|"


def can_encode(text: str, stream: Any) -> bool:
    """Whether the encoding of a stream has all letters of a text."""
    try:
        text.encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
