"""`resume=true`: what of an earlier command's outputs still holds, and what is done again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ganrun.commands.apply.places import STRIPS
from ganrun.commands.apply.record import Entry, Record, Settings, differences, read_record, stamp
from ganrun.commands.apply.tile_plan import AUTO, TilePlan
from ganrun.commands.apply.work import Album
from ganrun.common.atomic import clear
from ganrun.common.plurals import plural
from ganrun.common.types import Config

KEYS = ("weights", "direction", "tile", "overlap", "strips", "format")


def settings_of(config: Config, identity: str, own: Mapping[str, Any], scorers: Sequence[str] = ()) -> Settings:
    """What the files in the folder depend on, besides the inputs. Workers, batches, devices change nothing."""
    return {
        "checkpoint": identity,
        **own,
        **{key: config[key] for key in KEYS},
        "target": config["target"] is not None,
        "border": None if config["target"] is None else config["border"],
        "lpips.weights": None if config["target"] is None else [*scorers],
    }


def go_on(album: Album, settings: Settings, plan: TilePlan) -> tuple[Record, list[str]]:
    """The record with the outputs that still hold, and what is done again, in words.

    A plan of tile=auto gets the tiles of the earlier command, so that the outputs are those of an unbroken one.
    """
    before = read_record(album.out)
    if before is None:
        return Record(album.out, settings, plan.side), []
    clear_leftovers(album)
    if changed := differences(settings, before.settings):
        count = len(before.done)
        what = f"{count} {plural('picture', count)} done again: {', '.join(changed)}"
        return Record(album.out, settings, plan.side), [what] if count else []
    if settings["tile"] == AUTO or (plan.side and before.side and before.side < plan.side):
        plan.side = before.side
    kept = still_right(album, before.done)
    again = sum(picture.name in before.done for picture in album.given.listed) - len(kept)
    why = "their inputs, targets or outputs changed"
    return Record(album.out, settings, plan.side, kept), (
        [f"{again} {plural('picture', again)} done again: {why}"] if again else []
    )


def still_right(album: Album, done: Mapping[str, Entry]) -> dict[str, Entry]:
    """The entries whose input, target and output are as they were."""
    targets = album.targets()
    kept: dict[str, Entry] = {}
    for picture in album.given.listed:
        known = done.get(picture.name)
        if known is None or known.input != stamp(picture) or known.target != stamp(targets.get(picture.name)):
            continue
        try:
            if album.place(album.names[picture.name]).stat().st_size == known.output:
                kept[picture.name] = known
        except (OSError, ValueError):  # it is not there
            continue
    return kept


def clear_leftovers(album: Album) -> None:
    """Remove the files that a killed command was writing."""
    for folder in folders(album):
        clear(folder, album.out)


def folders(album: Album) -> set[Path]:
    names = {name.rpartition("/")[0] for name in album.names.values()}
    return {root / name for root in (album.out, album.out / STRIPS) for name in names}
