"""`ganrun apply`: applies an image-to-image model to pictures of the user."""

from __future__ import annotations

import time
from pathlib import Path

from ganrun.checkpoints.load import load_checkpoint
from ganrun.commands.apply.album import find_pictures, is_file, output_names
from ganrun.commands.apply.fidelity import RESULTS, judge_of, table
from ganrun.commands.apply.files import suffix_for
from ganrun.commands.apply.model import channels_of, find_model
from ganrun.commands.apply.network import Network
from ganrun.commands.apply.page import FILE as PAGE
from ganrun.commands.apply.page import write_page
from ganrun.commands.apply.places import check_places
from ganrun.commands.apply.record import Record
from ganrun.commands.apply.report import Report
from ganrun.commands.apply.resume import go_on, settings_of
from ganrun.commands.apply.work import Album, Work, workers_for
from ganrun.common.atomic import write_text
from ganrun.common.device import pick_devices
from ganrun.common.errors import UserError
from ganrun.common.precision import set_precision
from ganrun.common.types import Config
from ganrun.common.untrusted import printable


def check(config: Config) -> Path:
    """Check the devices, the checkpoint, the pictures and the output place. Returns the place. Raises UserError."""
    pick_devices(config["device"])
    if config["ckpt"] is not None:
        load_checkpoint(str(config["ckpt"]), "ckpt")
    return check_places(config)


def apply(config: Config) -> str:
    """Translate every picture of `input`. Returns lines for the user. Raises UserError if no picture could be done."""
    given = find_pictures(config["input"], "input")
    found = None if config["target"] is None else find_pictures(config["target"], "target")
    model, devices = find_model(config, given, found), pick_devices(config["device"])
    if model.deep:
        for device in devices:
            set_precision("fp32", device)
    plan = model.plan(devices)
    names = output_names(
        [picture.name for picture in given.listed],
        lambda name: suffix_for(name, config["format"], model.channels or 3, model.span),
    )
    out = Path(str(config["out"])).expanduser()
    album = Album(given, found, names, out, model.channels, model.span, model.to_srgb, config["strips"], model.about)
    judge = judge_of(config, model.channels or channels_of(given), devices[0])
    record: Record | None = None
    notes: list[str] = []
    if not is_file(out):
        settings = settings_of(config, model.identity, model.settings, judge.files)
        record, notes = go_on(album, settings, plan) if config["resume"] else (Record(out, settings, plan.side), [])
    networks = [
        Network(
            model.build().to(device),
            device,
            plan,
            config["overlap"],
            config["direction"],
            config["batch_size"],
            model.channels or 3,
        )
        for device in devices
    ]
    work = Work(album, networks, judge, workers_for(config["workers"]), record)
    begun = time.monotonic()
    report = work.do()
    report.seconds = time.monotonic() - begun
    if not report.done:
        raise UserError(f"input={config['input']}: no picture could be done; the first problem: {report.left_out[0]}")
    report.notes = [*notes, *plan.lines()]
    write_results(report, album)
    if config["page"]:
        write_page(album, report.rows, workers_for(config["workers"]), f"{out.absolute().name}: before and after")
        report.notes.append(f"before and after: {printable(str(out / PAGE))}")
    return "\n".join(report.lines(model.channels, out))


def write_results(report: Report, album: Album) -> None:
    """results.csv, where there are targets. Raises UserError."""
    if album.found is not None and report.results:
        try:
            write_text(album.out / RESULTS, table(report.results))
        except OSError as error:
            raise UserError(f"out={album.out / RESULTS} cannot be written: {error.strerror}") from None
