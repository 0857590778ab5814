"""Results: scores with their protocols, printed as lines, stored as JSON, or compared in a table."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ganrun.common.atomic import make_folder, write_text
from ganrun.common.errors import UserError
from ganrun.common.limits import INTEGER, TEXT
from ganrun.common.regular_files import read_text
from ganrun.common.types import Config
from ganrun.common.untrusted import is_count, is_number, leaves, printable
from ganrun.evaluation.metrics.intervals import Interval

FORMAT = 1
MAX_BYTES, NAME = 2**26, 200  # limits for a file that somebody else may have made: its bytes, letters of a score's name
# computed from pixels: their names do not contain a network
WITHOUT_NETWORK = ("psnr", "psnr_y", "ssim", "ssim_y", "l1", "tstr", "trts", "modes", "high_quality", "reverse_kl")


@dataclass
class Result:
    """The scores of one set of fakes, and everything that they depend on."""

    about: Config  # where the fakes come from, such as checkpoint and step
    values: dict[str, float]  # {score: value}
    references: dict[str, float]  # {score: value of the reference}, for the scores that have one
    reference: str  # which pictures the references are computed from
    protocol: Config  # what all these scores depend on
    settings: dict[str, Config] = field(default_factory=dict)  # {score: what only this score depends on}
    halves: dict[str, float] = field(default_factory=dict)  # {score: half of its 95 % interval}, where there is one
    gains: dict[str, Interval] = field(default_factory=dict)  # {score: the mean of value - reference, in pairs}

    def name(self, score: str) -> str:
        """The score's name with its network and the number of fakes: fid -> fid_mnistcnn@10k."""
        network = self.settings.get(score, {}).get("network") or self.protocol.get("network")
        middle = f"_{network}" if network and score not in WITHOUT_NETWORK else ""
        return printable(f"{score}{middle}@{thousands(self.protocol['n_fake'])}")

    def lines(self) -> list[str]:
        """One aligned line for each score: its name, its value and its reference, if any."""
        names = {score: self.name(score) for score in self.values}
        width = max(map(len, names.values()), default=0)
        return [f"{names[score]:<{width}}  {self.told(score)}{self.beside(score)}" for score in self.values]

    def told(self, score: str) -> str:
        """The value of a score, with its 95 % interval where there is one: 27.31 ± 0.12."""
        return said(Interval(self.values[score], self.halves.get(score)))

    def beside(self, score: str) -> str:
        """The reference of a score in brackets, and the gain over it where it is known; "" without one."""
        if score not in self.references:
            return ""
        word = "input" if "input" in self.reference else "real"
        more = f", gain {said(self.gains[score], '+')}" if score in self.gains else ""
        return f"   ({word} {short(self.references[score])}{more})"

    def as_json(self) -> Config:
        """A JSON object in which every score has its complete protocol. inf and nan become null: JSON has neither."""
        scores = [
            {
                "name": self.name(score),
                "score": score,
                "value": json_number(value),
                "reference": self.references.get(score),
                "reference_is": self.reference if score in self.references else None,
                **self.spread(score),
                "protocol": self.protocol | self.settings.get(score, {}),
            }
            for score, value in self.values.items()
        ]
        return {"about": self.about, "scores": scores}

    def spread(self, score: str) -> Config:
        """The entries of a score that is a mean over pictures; {} for any other."""
        found: Config = {"half_width": self.halves[score]} if score in self.halves else {}
        if score in self.gains:
            found |= dict(zip(("gain", "gain_half_width"), map(json_number, self.gains[score]), strict=True))
        return found


def json_number(value: float | None) -> float | None:
    """The value; None for one that JSON does not have."""
    return value if value is not None and math.isfinite(value) else None


def said(value: Interval, sign: str = "") -> str:
    """27.31 ± 0.12, with the digits that the interval leaves; 27.31 where none is known."""
    if not value.half or not math.isfinite(value.half):
        return f"{value.mean:{sign}.4g}" + (" ± 0" if value.half == 0 else "")
    digits = min(8, max(0, 1 - math.floor(math.log10(value.half))))
    return f"{value.mean:{sign}.{digits}f} ± {value.half:.{digits}f}"


def thousands(count: int) -> str:
    """A count as text: 10000 -> "10k", 1797 -> "1797"."""
    return f"{count // 1000}k" if count >= 1000 and count % 1000 == 0 else str(count)


def short(value: float) -> str:
    return f"{value:.4g}"


# -- JSON -----------------------------------------------------------------------------------------------------------


def write(results: Sequence[Result], path: Path) -> None:
    """Writes a JSON file. Raises UserError when it cannot be written."""
    content = {"format": FORMAT, "results": [result.as_json() for result in results]}
    try:
        make_folder(path.parent)
        write_text(path, json.dumps(content, indent=1) + "\n")
    except OSError as error:
        raise UserError(f"out={path} cannot be written: {error.strerror}") from None


def read(place: str) -> list[Result]:
    """Reads a file that `write` made. Raises UserError for any other file, and when it holds no scores."""
    path = Path(place).expanduser()
    try:
        text = read_text(path, MAX_BYTES)
    except OSError as error:
        raise UserError(f"compare={place} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"compare={error}") from None
    try:
        content = json.loads(text)
        check_contents(content)
        found = [result_of(node, path) for node in content["results"]]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise UserError(f"compare={place} is not what ganrun eval out=x.json writes") from None
    if not found:
        raise UserError(f"compare={place} holds no scores")
    return found


def check_contents(content: Any) -> None:
    """Raises ValueError for content that `write` never makes: nested too deep, or too many, too long or too large."""
    for leaf in leaves(content):
        if (isinstance(leaf, str) and len(leaf) > TEXT) or (type(leaf) is int and abs(leaf) > INTEGER):
            raise ValueError("a text is too long or a number is too large")


def result_of(node: Config, path: Path) -> Result:
    """The inverse of `as_json`.

    Raises ValueError, KeyError, TypeError, AttributeError or IndexError for a node that `as_json` did not make.
    """
    scores, about = node["scores"], node["about"]
    protocol = {key: scores[0]["protocol"][key] for key in shared(score["protocol"] for score in scores)}
    settings = {
        named(score): {key: value for key, value in score["protocol"].items() if key not in protocol}
        for score in scores
    }
    values = {named(score): number(score["value"]) for score in scores}
    references = {named(score): number(score["reference"]) for score in scores if score["reference"] is not None}
    reference = next((str(score["reference_is"]) for score in scores if score["reference_is"]), "")
    counts = [protocol["n_fake"], *(about[name] for name in ("step", "images") if name in about)]
    if not isinstance(about, dict) or not all(map(is_count, counts)):
        raise TypeError("about is not an object, or a count is not a whole number")
    halves = {named(score): number(score["half_width"]) for score in scores if score.get("half_width") is not None}
    gains = {named(score): gain_in(score) for score in scores if "gain" in score}
    return Result({"from": str(path), **about}, values, references, reference, protocol, settings, halves, gains)


def gain_in(score: Config) -> Interval:
    """The mean and the half width that `spread` wrote. Raises ValueError, KeyError or TypeError for anything else."""
    half = score["gain_half_width"]
    return Interval(number(score["gain"]), None if half is None else number(half))


def named(score: Config) -> str:
    """The name of a score. Raises ValueError when it is not a text of 1 to NAME letters."""
    name = score["score"]
    if not isinstance(name, str) or not 0 < len(name) <= NAME:
        raise ValueError("the name of a score must be a short text")
    return printable(name)


def number(value: Any) -> float:
    """The value of a score; null and nan stand for a score that could not be computed, and become nan.

    Raises ValueError for a value that is not a number.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return math.nan
    if not is_number(value) and value not in (math.inf, -math.inf):
        raise ValueError("the value of a score must be a number")
    return float(value)


def shared(protocols: Iterable[Config]) -> list[str]:
    """The keys that have the same value in all protocols, in the order of the first protocol."""
    first, *others = protocols
    return [key for key in first if all(key in other and other[key] == first[key] for other in others)]


# -- side by side ---------------------------------------------------------------------------------------------------


def refuse_unlike(results: Sequence[Result]) -> None:
    """Raises UserError when two results have the same score with different protocols; it names the first difference.

    Results that have no score in common must still agree in the protocol that all their scores share.
    """
    first = results[0]
    for other in results[1:]:
        for score in [name for name in first.values if name in other.values] or ["none"]:
            mine, theirs = (dict(flat(one.protocol | one.settings.get(score, {}))) for one in (first, other))
            for key in [*mine, *theirs]:
                if mine.get(key) != theirs.get(key):
                    what = printable(str(key))[:80]
                    raise UserError(
                        f"{score} cannot be compared: {what} is {text(mine.get(key))} for {title(first)} and "
                        f"{text(theirs.get(key))} for {title(other)}; score both again with the same settings"
                    )


def flat(node: Config, prefix: str = "") -> Iterator[tuple[str, object]]:
    """The leaves of a nested mapping, with dotted keys: {"a": {"b": 1}} -> ("a.b", 1)."""
    for key, value in node.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def table(results: Sequence[Result]) -> list[str]:
    """A legend of the sets, then a table: one row for each score, one column for each set.

    Raises UserError when a score has different protocols in two sets.
    """
    refuse_unlike(results)
    first = results[0]
    scores = list(dict.fromkeys(score for result in results for score in result.values))
    width = max(len(first.name(score)) for score in scores)
    legend = [f"[{number}] {title(result)}" for number, result in enumerate(results, 1)]
    heads = [*(f"[{number}]" for number in range(1, len(results) + 1))]
    word = "input" if "input" in first.reference else "real"
    rows = [" " * width + "".join(f"{head:>11}" for head in heads) + f"{word:>11}"]
    for score in scores:
        cells = [result.values.get(score) for result in results] + [first.references.get(score)]
        rows.append(f"{first.name(score):<{width}}" + "".join(f"{'' if c is None else short(c):>11}" for c in cells))
    return [*legend, *rows]


def title(result: Result) -> str:
    """Where the fakes come from, in a few words."""
    about = result.about
    step = f", step {about['step']}" if "step" in about else ""
    return printable(f"{about.get('checkpoint') or about.get('fake') or about.get('from')}{step}")[:200]


def text(value: object) -> str:
    """A value from a file as JSON, short and without control characters, to print it in a message."""
    return printable(json.dumps(value, ensure_ascii=False))[:80]
