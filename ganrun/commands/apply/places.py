"""Checks the pictures and the place for the outputs, before anything is written."""

from __future__ import annotations

from pathlib import Path

from ganrun.commands.apply.album import FILES, Pictures, find_pictures, is_file, keep_apart, partners
from ganrun.commands.apply.record import FILE, read_record
from ganrun.common.errors import UserError
from ganrun.common.folders import check_writable
from ganrun.common.output_places import check_free, refuse_suffix
from ganrun.common.types import Config

STRIPS, PAGE = "strips", "index.html"


def check_places(config: Config) -> Path:
    """Check `input`, `target` and `out`. Returns the place of the outputs. Raises UserError."""
    given = find_pictures(config["input"], "input")
    if config["target"] is not None:
        partners(given, find_pictures(config["target"], "target"))
    out = Path(str(config["out"])).expanduser()
    refuse_suffix(out, *FILES)
    check_kind(config, out, given)
    for key in ("input", "target"):
        if config[key] is not None:
            keep_apart(out, key, Path(str(config[key])).expanduser())
    if config["strips"] and any(picture.name.casefold().startswith(f"{STRIPS}/") for picture in given.listed):
        raise UserError(
            f"input={config['input']} has a folder {STRIPS}, where strips=true writes: leave out strips=true"
        )
    check_empty(config, out)
    check_writable(out)
    return out


def check_empty(config: Config, out: Path) -> None:
    """Raises UserError for a place that is taken, unless it may be overwritten, or has a record to go on from."""
    if config["resume"] and is_file(out):
        raise UserError(f"out={out}: resume=true goes on in a folder, and this is one picture: leave out resume=true")
    recorded = read_record(out) is not None if config["resume"] else (out / FILE).is_file()
    try:
        check_free(out, config["overwrite"] or (config["resume"] and (recorded or only_leftovers(out))))
    except UserError as error:
        if config["resume"]:
            raise UserError(
                f"out={out} holds files but no record of an earlier ganrun apply, so resume=true cannot go on there: "
                "choose another name, or overwrite=true"
            ) from None
        raise UserError(f"{error}, or resume=true to go on there" if recorded else str(error)) from None


def only_leftovers(out: Path) -> bool:
    """Whether all that is there is an unfinished record of a killed command."""
    return out.is_dir() and all(path.name.startswith(f".{FILE}.") for path in out.iterdir())


def check_kind(config: Config, out: Path, given: Pictures) -> None:
    """Raises UserError for a file where a folder is needed."""
    if is_file(out):
        if not given.single:
            raise UserError(f"out={out}: {config['input']} may hold many pictures, so out= must be a folder")
        if config["strips"] or config["target"] is not None:
            raise UserError(f"out={out}: strips=true and target= write more than one file, so out= must be a folder")
        if config["page"]:
            raise UserError(f"out={out}: page=true writes index.html beside the pictures, so out= must be a folder")
    elif out.exists() and not out.is_dir():
        raise UserError(f"out={out} is a file: choose a folder, or x.png for one picture")
