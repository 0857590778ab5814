"""Translates the pictures of one command."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ganrun.commands.apply.album import Pictures, inside, is_file, output_names, partners
from ganrun.commands.apply.fidelity import RESULTS, judge_of, measure, table
from ganrun.commands.apply.files import (
    Read,
    for_network,
    from_network,
    read_picture,
    suffix_for,
    write_picture,
    write_strip,
)
from ganrun.commands.apply.places import STRIPS
from ganrun.commands.apply.report import Report, in_one_line
from ganrun.commands.apply.tiling import in_tiles
from ganrun.common.atomic import write_text
from ganrun.common.errors import UserError
from ganrun.common.terminal import bar
from ganrun.common.types import Config
from ganrun.common.untrusted import printable
from ganrun.data.channels import Span
from ganrun.data.sources import Picture, Tree
from ganrun.systems.drawing import device_of
from ganrun.systems.translation import PictureToPicture


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
        span: Span | None = None,
    ) -> None:
        self.span = span
        self.system, self.channels, self.config, self.given, self.found = system, channels, config, given, found
        self.about = {**about, "weights": config["weights"]}
        self.out = Path(str(config["out"])).expanduser()
        self.targets = {} if found is None else partners(given, found)
        trees = [held for held in (given, found) if held is not None and isinstance(held.source, Tree)]
        self.read = {held.source.root.resolve() / picture.name for held in trees for picture in held.listed}
        self.judge = judge_of(config, channels, device_of(system))
        self.report = Report(left_out=[printable(note) for note in given.source.notes])

    def do(self) -> Report:
        """Translate all pictures. A picture that cannot be done is left out and reported."""
        names = output_names([picture.name for picture in self.given.listed], self.suffix)
        for picture in bar(self.given.listed, unit="picture", disable=None, leave=False):
            try:
                read = read_picture(self.given.source.read(picture), self.channels, self.span)
            except Exception as error:  # a damaged or hostile file makes Pillow and zipfile raise anything
                self.report.left_out.append(f"{printable(picture.name)}: {in_one_line(error)}")
                continue
            try:
                self.one(picture, names[picture.name], read)
            except (ValueError, OSError) as error:  # an impossible name, or a size that the model refuses
                self.report.left_out.append(f"{printable(picture.name)}: {in_one_line(error)}")
        if self.found is not None and self.report.results:
            try:
                write_text(self.out / RESULTS, table(self.report.results))
            except OSError as error:
                raise UserError(f"out={self.out / RESULTS} cannot be written: {error.strerror}") from None
        return self.report

    def suffix(self, name: str) -> str:
        """Of the output of a picture."""
        return suffix_for(name, self.config["format"], self.channels, self.span)

    def one(self, picture: Picture, name: str, before: Read) -> None:
        file = self.out if is_file(self.out) else inside(self.out, name)
        if file.resolve() in self.read:
            raise ValueError("its output would overwrite a picture of input= or target=")
        after = self.translate(before)
        write_picture(after, file, self.about, None if file == self.out else self.out, before)
        self.report.done += 1
        self.report.converted += before.colour != (self.channels == 3)
        target = self.target(picture)
        if target is not None:
            try:
                self.report.results.append(measure(name, before.pixels, after, target.pixels, self.judge))
            except ValueError as error:
                self.report.unmeasured.append(f"{printable(name)}: {error}")
        if self.config["strips"]:
            place = inside(self.out / STRIPS, name)
            shown = [before.pixels, after, *([] if target is None else [target.pixels])]
            write_strip(shown, place, self.about, self.out)

    @torch.inference_mode()
    def translate(self, before: Read) -> Tensor:
        """(1, C, H, W) the output for a picture, on the CPU."""
        device = device_of(self.system)

        def network(tile: Tensor) -> Tensor:
            return self.system.translate(for_network(tile.to(device)), self.config["direction"])

        drawn = in_tiles(network, before.pixels, self.config["tile"], self.config["overlap"])
        return from_network(drawn, before)

    def target(self, picture: Picture) -> Read | None:
        """The target. None, and a note in the report, if there is none or it cannot be read."""
        if self.found is None:
            return None
        if picture.name not in self.targets:
            self.report.unmeasured.append(f"{printable(picture.name)}: no target of this name")
            return None
        try:
            return read_picture(self.found.source.read(self.targets[picture.name]), self.channels, self.span)
        except Exception as error:  # a damaged or hostile file, as in `do`
            self.report.unmeasured.append(f"{printable(picture.name)}: its target: {in_one_line(error)}")
            return None
