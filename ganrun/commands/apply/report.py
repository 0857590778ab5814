"""What `ganrun apply` did: the counts and notes, and the lines at the end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ganrun.commands.apply.fidelity import RESULTS, Row, means
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
    results: list[Row] = field(default_factory=list)

    def lines(self, channels: int, out: Path) -> Iterator[str]:
        """The lines at the end."""
        yield f"{self.done} {plural('picture', self.done)} in {printable(str(out))}"
        if self.converted:
            was, now = ("grey", "colour") if channels == 3 else ("colour", "grey")
            yield f"{self.converted} {was}, converted to {now}, because the model was trained on {now} pictures"
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
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return printable(" ".join(str(error).split())) or type(error).__name__
