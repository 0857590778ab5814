"""What of an earlier command's outputs still holds and is kept, what is done again, and what is removed."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ganrun.commands.apply.fidelity import RESULTS
from ganrun.commands.apply.places import PAGE, STRIPS
from ganrun.commands.apply.record import Entry, Record, Settings, differences, read_record, stamp
from ganrun.commands.apply.tile_plan import AUTO, TilePlan
from ganrun.commands.apply.work import Album
from ganrun.common.atomic import clear
from ganrun.common.errors import UserError
from ganrun.common.plurals import plural
from ganrun.common.types import Config

KEYS = ("weights", "direction", "tile", "overlap", "strips", "format")


def settings_of(
    config: Config, identity: str, own: Mapping[str, Any], kinds: Sequence[str], scorers: Sequence[str] = ()
) -> Settings:
    """What the files in the folder depend on, besides the inputs. The number of workers and batches changes nothing.

    kinds: of the devices, cpu or cuda: each rounds in its own way.
    """
    return {
        "checkpoint": identity,
        "device": "+".join(sorted(set(kinds))),
        **own,
        **{key: config[key] for key in KEYS},
        "target": config["target"] is not None,
        "border": None if config["target"] is None else config["border"],
        "lpips.weights": None if config["target"] is None else [*scorers],
    }


def begin_anew(album: Album, settings: Settings, plan: TilePlan) -> Record:
    """An empty record. What an earlier command left, and this one does not write over, is removed."""
    with contextlib.suppress(UserError):  # a damaged record: overwrite=true is the way out of that
        if (before := read_record(album.out)) is not None:
            remove_stale(album, before)
    return Record(album.out, settings, plan.side)


def remove_stale(album: Album, before: Record) -> None:
    """Remove the table, the page and, of these inputs, outputs of other names and strips that are no longer wanted.

    They are of another model or of other settings. Only files that the record names go, if they are as it says.
    """
    stale = [album.out / RESULTS, album.out / PAGE]
    for name, known in before.done.items():
        if name not in album.names:
            continue
        with contextlib.suppress(OSError, ValueError):  # it is not there, or no name of ours
            file = album.place(known.file)
            if known.file != album.names[name] and file.stat().st_size == known.output:
                stale.append(file)
            if before.settings.get("strips") is True and not album.strips:
                stale.append(album.strip(name))
    protected = album.protected()
    for path in stale:
        with contextlib.suppress(OSError):
            if path.is_file() and path.resolve() not in protected:
                path.unlink()


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
        remove_stale(album, before)
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
            if known.file != album.names[picture.name] or (album.strips and not album.strip(picture.name).is_file()):
                continue
            if album.place(known.file).stat().st_size == known.output:
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
