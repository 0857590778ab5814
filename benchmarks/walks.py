"""Walks: prints three ways through the code, each stop with its file and line, as docs/architecture.md shows them.

python benchmarks/walks.py [--write]

A stop is named by file and function; the lines are looked up, so they are right however the code moves. With --write
the part of docs/architecture.md between its two marks is replaced.
"""

from __future__ import annotations

import argparse
import ast
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- walks: python benchmarks/walks.py --write -->", "<!-- end of walks -->"


class Stop(NamedTuple):
    """A function or class in a file under ganrun/, or a yaml in conf/ (no name), and what happens there."""

    file: str
    name: str
    what: str


WALKS = {
    "One batch, from disk to the discriminator's loss": (
        Stop("data/folder.py", "load", "reads the pictures of a folder: uint8, in memory or to be streamed"),
        Stop("data/loading/stream.py", "Stream.indices", "chooses the pictures of a step: a function of (seed, step)"),
        Stop("data/dataset.py", "Dataset.take", "gathers them: {image: (N, C, H, W) uint8, label: (N,) int64}"),
        Stop("training/trainer.py", "Trainer.prepare_batch", "copies them to the device: float in [-1, 1], mirrored"),
        Stop("training/trainer.py", "Trainer.play_turns", "goes through the turns of the step; the system names them"),
        Stop("systems/gan.py", "GAN.discriminator_turn", "makes fakes and asks the loss for an objective"),
        Stop("losses/loss.py", "AdversarialLoss.discriminator_objective", "makes logits and adds the penalties"),
        Stop("losses/adversarial.py", "Minimax.discriminator", "is the formula, −E log D(x) − E log(1 − D(G(z)))"),
    ),
    "`loss=wgan_gp`, from the command line to the object": (
        Stop("cli/main.py", "main", "finds the command and catches what goes wrong"),
        Stop("cli/run_train.py", "run_train", "reads the words, checks the run, then starts it"),
        Stop("cli/overrides.py", "read_command_line", "checks each word: `wgan_gp` must be a choice of `loss`"),
        Stop("cli/composition.py", "compose", "lets Hydra put the yaml files of conf/ together, once"),
        Stop("conf/loss/wgan_gp.yaml", "", "names the class and its numbers, and the optimizer of the paper"),
        Stop("commands/train/train.py", "check", "plans the run; a run that cannot start ends here in one line"),
        Stop("config/builders.py", "build_system", "builds the loss and gives it to the system"),
        Stop("config/build.py", "build", "checks the arguments and makes the object: `Wasserstein(...)`"),
    ),
    "A checkpoint, from the step to `ganrun sample`": (
        Stop("training/hooks/checkpoints.py", "Checkpoints.on_step", "sees that a save is due"),
        Stop("training/trainer.py", "Trainer.state_dict", "gives weights, optimizers and the step"),
        Stop(
            "training/hooks/checkpoints.py",
            "Checkpoints.write",
            "has them written in a thread, and points last.pt to them",
        ),
        Stop("checkpoints/checkpoint.py", "save", "writes the file whole or not at all"),
        Stop("commands/sample.py", "sample", "is the command: it draws and writes the pictures"),
        Stop("checkpoints/load.py", "load_checkpoint", "reads the file without running code from it"),
        Stop("checkpoints/restore.py", "restore", "builds the system of its config and loads the weights"),
        Stop("systems/drawing.py", "draw", "makes all inputs from the seed; `render` turns them into pictures"),
    ),
}


def path_of(stop: Stop) -> str:
    return stop.file if stop.file.startswith("conf/") else f"ganrun/{stop.file}"


def line_of(stop: Stop) -> int:
    """Where the stop's function, method or class is defined. Raises LookupError if it is not there any more."""
    text = (ROOT / path_of(stop)).read_text(encoding="utf-8")
    if not stop.name:
        return 1
    body: list[ast.stmt] = ast.parse(text).body
    line = 0
    for part in stop.name.split("."):
        named = [node for node in body if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == part]
        if not named:
            raise LookupError(f"{path_of(stop)} has no {stop.name}: name the stop anew in benchmarks/walks.py")
        line, body = named[0].lineno, named[0].body
    return line


def walks() -> str:
    """The walks as Markdown."""
    lines = []
    for title, stops in WALKS.items():
        lines += [f"### {title}", ""]
        for number, stop in enumerate(stops, 1):
            name, line = f" `{stop.name}`" if stop.name else "", line_of(stop)
            lines.append(f"{number}. [{path_of(stop)}:{line}](../{path_of(stop)}#L{line}){name}: {stop.what}.")
        lines.append("")
    return "\n".join(lines)


def with_walks(page: str) -> str:
    """The page with the walks as they are now between its marks."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{walks()}\n{END}{rest.split(END)[1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="replace the walks in docs/architecture.md")
    if not parser.parse_args().write:
        print(walks())
        return
    PAGE.write_text(with_walks(PAGE.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
