"""Writes the results of a study: rows while it runs; a table, its settings and a plot at its end."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path

from ganrun import __version__
from ganrun.commands.study.figure import plot_arms
from ganrun.commands.study.material import Material, held_out
from ganrun.common.atomic import append, make_folder, remove, write_text
from ganrun.common.errors import UserError
from ganrun.common.plurals import plural
from ganrun.common.types import Config
from ganrun.common.untrusted import printable
from ganrun.common.versions import INSTALL
from ganrun.evaluation.metrics.intervals import Interval, gain, interval

FILES = ("study.csv", "study.json", "study.md", "study.png")
PROTOCOL = ("dataset", "classifier", "transforms", "ratios", "seeds", "steps", "batch_size", "lr")
CAVEAT = (
    "The intervals are 95 % intervals of Student's t over the seeds. A seed decides a classifier's first weights, the "
    "order of its pictures, and which synthetic pictures are used. Other real pictures, or another training of the "
    "GAN, would make the intervals wider. Gains are paired: each seed is compared with itself. Of twenty comparisons "
    "without an effect, about one looks clear by chance."
)


class Report:
    """Collects accuracies by arm and seed, and writes them to a folder. Raises UserError if it cannot be written.

    `images` maps the name of an arm to its numbers of real and synthetic pictures.
    """

    def __init__(self, config: Config, material: Material, images: Mapping[str, tuple[int, int]]) -> None:
        self.config, self.material, self.images = config, material, images
        self.out = Path(str(config["out"])).expanduser()
        self.width = max(map(len, images))
        self.found: dict[str, list[float]] = {name: [] for name in images}
        try:
            make_folder(self.out)
            for name in FILES:  # those of an earlier study; its plot beside a new table would mislead
                remove(self.out / name)
            self.append("arm", "seed", "images_real", "images_synthetic", "accuracy")
        except OSError as error:
            raise UserError(f"out={self.out} cannot be written: {error.strerror}") from None

    @property
    def count(self) -> int:
        return sum(map(len, self.found.values()))

    def add(self, arm: str, seed: int, accuracy: float) -> None:
        """Store the accuracy (0 to 1) of one classifier, and write it at once."""
        self.found[arm].append(accuracy)
        self.append(arm, seed, *self.images[arm], accuracy)

    def append(self, *row: object) -> None:
        with append(self.out / FILES[0], newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(row)

    def finish(self) -> str:
        """Write the table, the settings and the plot. Returns the table, the answers and the folder, as text."""
        answers, table, about = self.answers(), self.table(), self.about()
        text = "\n\n".join(
            ["# Does synthetic data help?", about, table, "\n".join(f"- {it}" for it in answers), CAVEAT]
        )
        text += "".join(f"\n\nNote: {note}." for note in self.material.notes)
        write_text(self.out / "study.md", text + "\n")
        write_text(self.out / "study.json", json.dumps(self.protocol(answers), indent=2) + "\n")
        percent = {name: [100 * value for value in own] for name, own in self.found.items()}
        try:
            plot_arms(percent, self.out / "study.png", about, "test accuracy in %, mean and 95 % interval over seeds")
            plotted = []
        except ImportError:
            plotted = [f"study.png was not drawn: {INSTALL}"]
        return "\n".join(["", table, "", *answers, *plotted, f"the results are in {printable(str(self.out))}"])

    def about(self) -> str:
        train, test, config = self.material.train, self.material.test, self.config
        steps, seeds = config["steps"], config["seeds"]
        return (
            f"{len(train)} real training pictures, {len(test)} test pictures, {train.classes} classes; "
            f"{steps} {plural('step', steps)} of {config['batch_size']}, {seeds} {plural('seed', seeds)}"
        )

    def table(self) -> str:
        """A markdown table, | arm | images real | synthetic | accuracy | gain |, with aligned columns."""
        rows = [("arm", "images real", "synthetic", "accuracy %", "gain over real")]
        for name, own in self.found.items():
            real, synthetic = self.images[name]
            over = "" if name == "real" else in_percent(gain(own, self.found["real"]), "+")
            rows.append((name, str(real), str(synthetic), in_percent(interval(own)), over))
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = [
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
        ]
        return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])

    def answers(self) -> list[str]:
        """One sentence for each arm that has synthetic pictures beside real ones: what they add."""
        pairs = [(name, "real+classic" if name.endswith("+classic") else "real") for name, (real, more) in
                 self.images.items() if real and more]  # fmt: skip
        return [
            f"{name} against {base}: {verdict(gain(self.found[name], self.found[base]))}"
            for name, base in pairs
            if base in self.found
        ]

    def protocol(self, answers: list[str]) -> Config:
        material = self.material
        arms = [
            {
                "arm": name,
                "images_real": self.images[name][0],
                "images_synthetic": self.images[name][1],
                "accuracies": own,
                "accuracy": interval(own)._asdict(),
                "gain_over_real": gain(own, self.found["real"])._asdict(),
            }
            for name, own in self.found.items()
        ]
        return {
            "ganrun": __version__,
            "images": {"real": len(material.train), "test": len(material.test)},
            "synthetic": material.synthetic.about,
            "test": held_out(self.config),
            **{key: self.config[key] for key in PROTOCOL},
            "optimizer": "Adam, half a cosine from lr to 0",
            "intervals": CAVEAT,
            "notes": material.notes,
            "answers": answers,
            "arms": arms,
        }


def in_percent(found: Interval, sign: str = "") -> str:
    """An interval of accuracies in percent: 0.9312 ± 0.004 -> 93.12 ± 0.40."""
    return f"{100 * found.mean:{sign}.2f}" + ("" if found.half is None else f" ± {100 * found.half:.2f}")


def verdict(found: Interval) -> str:
    """A gain in percent points, and whether it is larger than its interval."""
    if found.half is None:
        return f"{in_percent(found, '+')} points from one seed, which is no evidence: use seeds=5"
    clear = (
        "they help" if found.mean > found.half else "they harm" if -found.mean > found.half else "no clear difference"
    )
    return f"{in_percent(found, '+')} points: {clear}"
