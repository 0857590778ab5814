"""`ganrun apply`: applies an image-to-image model to pictures of the user."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganrun.checkpoints.find import find_checkpoint
from ganrun.checkpoints.load import load_checkpoint
from ganrun.checkpoints.restore import load_system
from ganrun.commands.apply.album import Pictures, find_pictures, inside, is_file, keep_apart, output_names, partners
from ganrun.commands.apply.tiling import in_tiles
from ganrun.common import images
from ganrun.common.atomic import write_text
from ganrun.common.device import pick_device, set_threads, threads_for
from ganrun.common.errors import UserError
from ganrun.common.folders import check_writable
from ganrun.common.images import enlarged_to
from ganrun.common.output_places import check_free, refuse_suffix
from ganrun.common.plurals import plural
from ganrun.common.terminal import bar
from ganrun.common.types import Config
from ganrun.common.untrusted import printable
from ganrun.data.decode import decode_whole
from ganrun.data.sources import IN_FULL, Picture, Tree
from ganrun.evaluation.metrics.fidelity import psnr, ssim
from ganrun.systems.drawing import device_of
from ganrun.systems.translation import PictureToPicture

STRIPS, RESULTS = "strips", "results.csv"
COLUMNS = ("psnr", "ssim", "input_psnr", "input_ssim")


@dataclass
class Report:
    """Counts and notes for the lines at the end."""

    done: int = 0
    left_out: list[str] = field(default_factory=list)
    unmeasured: list[str] = field(default_factory=list)
    converted: int = 0  # grey pictures for a colour model, colour ones for a grey model
    results: list[dict[str, Any]] = field(default_factory=list)


def check(config: Config) -> Path:
    """Check the device, the checkpoint, the pictures and the output place. Returns the place. Raises UserError."""
    pick_device(config["device"])
    load_checkpoint(str(config["ckpt"]), "ckpt")
    given = find_pictures(config["input"], "input")
    if config["target"] is not None:
        partners(given, find_pictures(config["target"], "target"))
    out = Path(str(config["out"])).expanduser()
    refuse_suffix(out, ".png")
    if is_file(out):
        if not given.single:
            raise UserError(f"out={out}: {config['input']} may hold many pictures, so out= must be a folder")
        if config["strips"] or config["target"] is not None:
            raise UserError(f"out={out}: strips=true and target= write more than one file, so out= must be a folder")
    for key in ("input", "target"):
        if config[key] is not None:
            keep_apart(out, key, Path(str(config[key])).expanduser())
    if config["strips"] and any(picture.name.startswith(f"{STRIPS}/") for picture in given.listed):
        raise UserError(
            f"input={config['input']} has a folder {STRIPS}, where strips=true writes: leave out strips=true"
        )
    if out.exists() and not out.is_dir() and not is_file(out):
        raise UserError(f"out={out} is a file: choose a folder, or x.png for one picture")
    check_free(out, config["overwrite"])
    check_writable(out)
    return out


def apply(config: Config) -> str:
    """Translate every picture of `input`. Returns lines for the user. Raises UserError if no picture could be done."""
    path = find_checkpoint(str(config["ckpt"]), "ckpt")
    state = load_checkpoint(str(path), "ckpt")
    set_threads(threads_for(config["threads"], state))
    system = load_system(state, config["weights"], config["trust"]).to(pick_device(config["device"]))
    if not isinstance(system, PictureToPicture):
        raise UserError(f"ckpt={path}: this model draws pictures from noise: use ganrun sample")
    channels = state["config"].get("dataset", {}).get("channels")
    if channels not in (1, 3):
        raise UserError(
            f"ckpt={path}: its data have {channels} channels, but ganrun apply reads only grey and colour pictures"
        )
    check_direction(system, channels, config["direction"])
    given = find_pictures(config["input"], "input")
    found = None if config["target"] is None else find_pictures(config["target"], "target")
    work = Work(system, channels, config, given, found, {"step": state["progress"]["step"]})
    report = work.do()
    if not report.done:
        raise UserError(f"input={config['input']}: no picture could be done; the first problem: {report.left_out[0]}")
    return "\n".join(lines(report, channels, work.out))


class Work:
    """Translates the pictures of one command, one at a time."""

    def __init__(
        self,
        system: PictureToPicture,
        channels: int,
        config: Config,
        given: Pictures,
        found: Pictures | None,
        about: Mapping[str, object],
    ) -> None:
        self.system, self.channels, self.config, self.given, self.found = system, channels, config, given, found
        self.about = {**about, "weights": config["weights"]}
        self.out = Path(str(config["out"])).expanduser()
        self.targets = {} if found is None else partners(given, found)
        trees = [held for held in (given, found) if held is not None and isinstance(held.source, Tree)]
        self.read = {held.source.root.resolve() / picture.name for held in trees for picture in held.listed}
        self.report = Report(left_out=[printable(note) for note in given.source.notes])

    def do(self) -> Report:
        """Translate all pictures. A picture that cannot be done is left out and reported."""
        names = output_names([picture.name for picture in self.given.listed])
        for picture in bar(self.given.listed, unit="picture", disable=None, leave=False):
            try:
                read = decode_whole(self.given.source.read(picture), self.channels)
            except Exception as error:  # a damaged or hostile file makes Pillow and zipfile raise anything
                self.report.left_out.append(f"{printable(picture.name)}: {in_one_line(error)}")
                continue
            try:
                self.one(picture, names[picture.name], *read)
            except (ValueError, OSError) as error:  # an impossible name, or a size that the model refuses
                self.report.left_out.append(f"{printable(picture.name)}: {in_one_line(error)}")
        if self.found is not None and self.report.results:
            try:
                write_text(self.out / RESULTS, table(self.report.results))
            except OSError as error:
                raise UserError(f"out={self.out / RESULTS} cannot be written: {error.strerror}") from None
        return self.report

    def one(self, picture: Picture, name: str, pixels: np.ndarray, colour: bool) -> None:
        file = self.out if is_file(self.out) else inside(self.out, name)
        before = torch.from_numpy(pixels.copy())[None]
        if file.resolve() in self.read:
            raise ValueError("its output would overwrite a picture of input= or target=")
        after = self.translate(before)
        root = None if file == self.out else self.out
        images.save_png(after[0], file, self.about, root)
        self.report.done += 1
        self.report.converted += colour != (self.channels == 3)
        target = self.target(picture)
        if target is not None:
            self.measure(name, before, after, target)
        if self.config["strips"]:
            strips = inside(self.out / STRIPS, name)
            images.save_png(strip(before, after, target), strips, self.about, self.out)

    @torch.inference_mode()
    def translate(self, before: Tensor) -> Tensor:
        """(1, C, h, w) -> (1, C, H, W), both uint8 on the CPU."""
        device = device_of(self.system)

        def network(tile: Tensor) -> Tensor:
            return self.system.translate(tile.to(device).float() / 127.5 - 1, self.config["direction"])

        return images.to_uint8(in_tiles(network, before, self.config["tile"], self.config["overlap"]))

    def target(self, picture: Picture) -> Tensor | None:
        """The target, (1, C, H, W) uint8. None, and a note in the report, if there is none or it cannot be read."""
        if self.found is None:
            return None
        if picture.name not in self.targets:
            self.report.unmeasured.append(f"{printable(picture.name)}: no target of this name")
            return None
        try:
            data = self.found.source.read(self.targets[picture.name])
            return torch.from_numpy(decode_whole(data, self.channels)[0].copy())[None]
        except Exception as error:  # a damaged or hostile file, as in `do`
            self.report.unmeasured.append(f"{printable(picture.name)}: its target: {in_one_line(error)}")
            return None

    def measure(self, name: str, before: Tensor, after: Tensor, target: Tensor) -> None:
        if after.shape != target.shape:
            sizes = [f"{image.shape[3]}x{image.shape[2]}" for image in (after, target)]
            self.report.unmeasured.append(f"{printable(name)}: {sizes[0]} pixels, but its target has {sizes[1]}")
            return
        measured = {"file": name, **fidelity(after, target)}
        as_given = fidelity(enlarged_to(before, target), target)
        self.report.results.append(measured | {f"input_{key}": value for key, value in as_given.items()})


def check_direction(system: PictureToPicture, channels: int, direction: str | None) -> None:
    """Raises UserError for a direction that the model does not have."""
    if direction is None:
        return
    try:
        with torch.inference_mode():
            system.translate(torch.zeros(1, channels, 32, 32, device=device_of(system)), direction)
    except ValueError as error:
        raise UserError(str(error)) from None


# -- how close the outputs are to their targets -------------------------------------------------------------------


def fidelity(picture: Tensor, target: Tensor) -> dict[str, float | None]:
    """PSNR in dB and SSIM of two pictures, (1, C, H, W) uint8. SSIM is None if they are smaller than its window."""
    x, y = (image.float() / 127.5 - 1 for image in (picture, target))
    try:
        similarity: float | None = ssim(x, y).item()
    except ValueError:
        similarity = None
    return {"psnr": psnr(x, y).item(), "ssim": similarity}


def strip(before: Tensor, after: Tensor, target: Tensor | None) -> Tensor:
    """input | output | target as one picture (C, H, W + ...), each as large as the output."""
    shown = [enlarged_to(before, after), after, *([] if target is None else [enlarged_to(target, after)])]
    return torch.cat(shown, dim=3)[0]


def table(results: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["file", *COLUMNS])
    for result in results:
        numbers = ("" if result[key] is None else f"{result[key]:.6g}" for key in COLUMNS)
        rows.writerow([result["file"], *numbers])
    return text.getvalue()


def lines(report: Report, channels: int, out: Path) -> Iterator[str]:
    """The lines at the end."""
    yield f"{report.done} {plural('picture', report.done)} in {printable(str(out))}"
    if report.converted:
        was, now = ("grey", "colour") if channels == 3 else ("colour", "grey")
        yield f"{report.converted} {was}, converted to {now}, because the model was trained on {now} pictures"
    if report.results:
        decibels, likeness, *as_given = (mean(report.results, key) for key in COLUMNS)
        yield f"PSNR {decibels:.2f} dB, SSIM {likeness:.4f} over {len(report.results)} (of the inputs: " + (
            f"{as_given[0]:.2f} dB, {as_given[1]:.4f}); each in {printable(str(out / RESULTS))}"
        )
    yield from listed("not measured", report.unmeasured)
    yield from listed("left out", report.left_out)


def in_one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return printable(" ".join(str(error).split())) or type(error).__name__


def mean(results: list[dict[str, Any]], key: str) -> float:
    """The mean over the pictures that have a finite value; NaN if none has. The PSNR of equal pictures is infinite."""
    values = [result[key] for result in results if result[key] is not None and math.isfinite(result[key])]
    return sum(values) / len(values) if values else float("nan")


def listed(what: str, which: list[str]) -> Iterator[str]:
    """How many pictures there are, then the first of them."""
    if which:
        yield f"{len(which)} {what}:"
        yield from (f"  {line}" for line in which[:IN_FULL])
    if len(which) > IN_FULL:
        yield f"  ... and {len(which) - IN_FULL} more"
