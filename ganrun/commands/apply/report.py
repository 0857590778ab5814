"""What `ganrun apply` did: the counts and notes, and the lines at the end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ganrun.commands.apply.fidelity import RESULTS, Row, means
from ganrun.commands.apply.record import Entry
from ganrun.common.errors import is_out_of_memory
from ganrun.common.plurals import plural
from ganrun.common.untrusted import printable
from ganrun.data.sources import IN_FULL


@dataclass
class Report:
    """Counts and notes for the lines at the end."""

    done: int = 0
    left_out: list[str] = field(default_factory=list)
    unmeasured: list[str] = field(default_factory=list)
    converted: int = 0  # grey pictures for a colour model, colour ones for a grey model
    srgb: int = 0  # of those done now: converted from another colour profile
    rows: dict[str, Row | None] = field(default_factory=dict)  # of the pictures that are done: {input: its numbers}
    kept: int = 0  # of those done: by an earlier command
    notes: list[str] = field(default_factory=list)  # what was done again, and smaller tiles
    pixels: int = 0  # of the inputs that were translated now
    seconds: float = 0.0

    def add(self, name: str, output: str, entry: Entry) -> None:
        """A picture that is done, now or earlier."""
        self.done += 1
        self.converted += entry.converted
        self.rows[name] = None if entry.row is None else {**entry.row, "file": output}
        if entry.note is not None:
            self.unmeasured.append(f"{printable(name)}: {printable(entry.note)}")

    @property
    def results(self) -> list[Row]:
        """The rows of results.csv."""
        return [row for row in self.rows.values() if row is not None]

    def lines(self, channels: int | None, out: Path) -> Iterator[str]:
        """The lines at the end."""
        earlier = f", {self.kept} of them by an earlier command" if self.kept else ""
        yield f"{self.done} {plural('picture', self.done)} in {printable(str(out))}{earlier}"
        if new := self.done - self.kept:
            rate = f"{new / max(self.seconds, 1e-9):.3g} images/s"
            yield f"{new} {plural('picture', new)}, {self.pixels / 1e6:.3g} megapixels in {self.seconds:.1f} s: {rate}"
        yield from self.notes
        if self.converted:
            was, now = ("grey", "colour") if channels == 3 else ("colour", "grey")
            yield f"{self.converted} {was}, converted to {now}, because the model was trained on {now} pictures"
        if self.srgb:
            yield f"{self.srgb} of another colour profile, converted to sRGB, because the pictures in training were"
        if self.results:
            first, *others = means(self.results)
            yield f"{first}; each in {printable(str(out / RESULTS))}"
            yield from others
        yield from listed("not measured", self.unmeasured)
        yield from listed("left out", self.left_out)


def listed(what: str, which: list[str]) -> Iterator[str]:
    """How many pictures there are, then the first of them."""
    if which:
        yield f"{len(which)} {what}:"
        yield from (f"  {line}" for line in which[:IN_FULL])
    if len(which) > IN_FULL:
        yield f"  ... and {len(which) - IN_FULL} more"


def in_one_line(error: Exception) -> str:
    """The message of an error, on one line that is safe to print."""
    if is_out_of_memory(error):
        return "there is too little memory for it"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return printable(" ".join(str(error).split())) or type(error).__name__
