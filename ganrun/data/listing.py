"""What a folder or .zip of images holds: which files, of which classes, of what size and colour (no torch here)."""

from __future__ import annotations

import logging
import os
from collections.abc import Hashable, Sequence, Set
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from ganrun.common.headers import Header, header_of
from ganrun.common.untrusted import printable
from ganrun.data.crops import Crop, with_crop
from ganrun.data.inferred_size import Sides, as_setting, infer_size, line_about, remember
from ganrun.data.labels import in_order, named_classes
from ganrun.data.memoize import memoized
from ganrun.data.sources import SUFFIXES, Picture, Source, open_source, without_arrays

log = logging.getLogger(__name__)

SPLITS = {"train", "test", "val", "valid"}
PROBES, FEW = 64, 8  # pictures that are looked at

Place = Annotated[str, "a path"]
Name = Annotated[str, "a name"]
Labelled = Annotated[bool | Literal["auto"], "auto, true or false"]


@dataclass(frozen=True)
class Listing:
    """The images of a split, sorted by name; `labels[i]` is an index into `class_names`, or labels is None."""

    source: Source
    pictures: list[Picture]
    labels: list[int] | None
    class_names: list[str]
    notes: list[str]  # what was left out or decided, for the user

    def __len__(self) -> int:
        return len(self.pictures)

    def pick(self, indices: Sequence[int]) -> Listing:
        """The listing of these pictures only; the classes stay."""
        labels = None if self.labels is None else [self.labels[i] for i in indices]
        return replace(self, pictures=[self.pictures[i] for i in indices], labels=labels)


def list_images(
    root: str | os.PathLike[str] | None,
    split: str | None = None,
    labelled: Labelled = "auto",
    labels: str | None = None,
) -> Listing:
    """The images of a folder tree or .zip, their classes taken from the first folder below the split, or from `labels`.

    A folder around everything (as `zip -r` adds) is looked through. With `split` null or "all", folders named train,
    test, val, valid are looked through too when there are no others. Pictures all in one folder are unlabelled, and
    so are pictures of which some lie beside the class folders. What shards say of classes comes first. labels: a file
    that names pictures and their classes (`named_classes`); only those pictures are taken. Raises ValueError or
    FileNotFoundError naming the key.
    """
    if labels is not None and labelled is False:
        raise ValueError(f"dataset.labels={labels} and dataset.labelled=false contradict each other: leave one out")
    source, pictures, places = placed(root, split)
    if labels is not None:
        return labelled_by(source, pictures, *named_classes(str(labels), source, pictures))
    classes = {i: source.labels[picture.name] for i, picture in enumerate(pictures) if picture.name in source.labels}
    if classes and labelled is not False:
        missing = f"{len(pictures) - len(classes)} of {len(pictures)} images have no .cls or .json and are left out"
        return labelled_by(source, pictures, classes, [missing] if len(classes) < len(pictures) else [])
    found, class_names, notes = classes_of(places, labelled, str(root))
    return Listing(source, pictures, found, class_names, [*source.notes, *notes])


def labelled_by(source: Source, pictures: list[Picture], classes: dict[int, str], notes: list[str]) -> Listing:
    """The pictures whose class is known: {index of a picture: its class}."""
    names = in_order(classes.values())
    index = {name: i for i, name in enumerate(names)}
    return Listing(
        source,
        [pictures[i] for i in classes],
        [index[name] for name in classes.values()],
        [printable(name) for name in names],
        [*source.notes, *notes],
    )


def placed(root: str | os.PathLike[str] | None, split: str | None) -> tuple[Source, list[Picture], list[list[str]]]:
    """The pictures of a split and the path of each below it, in parts. Raises what `list_images` raises."""
    source = open_source(root)
    pictures = without_arrays(source.pictures())
    if not pictures:
        raise ValueError(f"dataset.root={root} holds no images ({', '.join(SUFFIXES)})")
    kept, places = in_split([picture.name.split("/") for picture in pictures], split, str(root))
    return source, [pictures[i] for i in kept], places


def in_split(places: list[list[str]], split: str | None, root: str) -> tuple[list[int], list[list[str]]]:
    """Indices of the split's images and their paths below it."""
    wanted = None if split in (None, "all") else split
    outermost = first_folders(places)
    places = unwrapped(places, keep=SPLITS | {wanted or ""})
    first = first_folders(places)
    if wanted is None:
        parted = first <= SPLITS and all(len(place) > 1 for place in places)
        return list(range(len(places))), unwrapped([place[1:] for place in places] if parted else places)
    if wanted not in first:
        there = ", ".join(sorted(map(printable, first or outermost))) or "none"
        raise ValueError(f"dataset.split={split}: no such folder in {root}; its folders: {there}")
    kept = [i for i, place in enumerate(places) if len(place) > 1 and place[0] == wanted]
    return kept, unwrapped([places[i][1:] for i in kept])


def first_folders(places: list[list[str]]) -> set[str]:
    return {place[0] for place in places if len(place) > 1}


def unwrapped(places: list[list[str]], keep: Set[str] = frozenset()) -> list[list[str]]:
    """Paths without the folders that hold everything, except those to keep."""
    folders = [place[:-1] for place in places]
    low, high = min(folders), max(folders)  # what these two share, all of them share
    depth = 0
    while depth < len(low) and low[depth] == high[depth] and low[depth] not in keep:
        depth += 1
    return [place[depth:] for place in places]


def classes_of(places: list[list[str]], labelled: Labelled, root: str) -> tuple[list[int] | None, list[str], list[str]]:
    """Labels, class names and notes from the first folder of each path."""
    if labelled not in (True, False, "auto"):
        raise ValueError(f"dataset.labelled={labelled} must be auto, true or false")
    loose = [place[-1] for place in places if len(place) == 1]
    if labelled is False or (labelled == "auto" and len(loose) == len(places)):
        return None, [], []
    if loose:
        problem = f"{len(loose)} of {len(places)} images lie in no class folder, such as {loose[0]!r}"
        problem += " (one folder around all images is no class)" if len(loose) == len(places) else ""
        if labelled is True:
            raise ValueError(f"dataset.labelled=true, but in {root} {problem}")
        return None, [], [f"{root} is taken as unlabelled: {problem}"]
    folders = sorted({place[0] for place in places})
    index = {folder: i for i, folder in enumerate(folders)}
    return [index[place[0]] for place in places], [printable(folder) for folder in folders], []


def find_facts(
    root: Place | None,
    split: Name | None = None,
    labelled: Labelled = "auto",
    labels: Place | None = None,
    crop: Crop | None = None,
) -> dict[str, Any]:
    """{"channels": 1, 3, ..., "image_size": pixels or [height, width], "depth": bits, "classes": 0 if unlabelled}.

    Of a folder or .zip. Up to 64 evenly spaced images are looked at: 3 channels if any is colour, the depth of the
    deepest, and the size that `infer_size` makes of theirs; with a crop, the size of that. Remembered per process.
    Raises what `list_images` raises.
    """
    return with_crop(dict(_found(root, split, labelled, labels)), crop)


@memoized(16)
def _found(root: str | None, split: str | None, labelled: Labelled, labels: str | None) -> tuple[tuple[str, Any], ...]:
    listing = list_images(root, split, labelled, labels)
    probes = probed(listing)
    return (
        ("channels", channels_of(probes)),
        ("image_size", size_of(probes, (root, split, labelled, labels))),
        ("depth", depth_of(probes)),
        ("classes", len(listing.class_names)),
    )


def probed(listing: Listing) -> list[Header]:
    """Up to 64 evenly spaced pictures, looked at; the broken ones are left out."""
    return [probe for picture in spaced(listing) if (probe := look(listing.source, picture))]


def spaced(listing: Listing, most: int = PROBES) -> list[Picture]:
    """At most so many pictures, evenly spaced."""
    count = min(most, len(listing))
    return [listing.pictures[i * len(listing) // count] for i in range(count)]


def say_kinds(listing: Listing, to_srgb: bool) -> None:
    """Lines about what is read in one of several ways: pages, sides of arrays, and profiles where they are converted.

    Only a few pictures are looked at.
    """
    few = spaced(listing, FEW)
    seen = [(picture, probe) for picture in few if (probe := look(listing.source, picture))]
    for picture, probe in [pair for pair in seen if pair[1].taken][:1]:
        log.info("%r: %s (and so for others like it)", printable(picture.name), probe.taken)
    names = sorted({probe.profile for _, probe in seen if probe.profile}) if to_srgb else []
    if names:
        log.info(
            "pictures with the colour profile %s are converted to sRGB; dataset.profiles=ignore takes their numbers as "
            "they are", ", ".join(names),
        )  # fmt: skip


def channels_of(probes: Sequence[Header]) -> int:
    """1 where all are grey, 3 where any is colour or there is none to ask; the most where any has other bands."""
    return max((probe.channels for probe in probes), default=3)


def depth_of(probes: Sequence[Header]) -> int:
    """The largest number of bits that any has: 8, 16, or 32 for floats; 8 where there is none to ask."""
    return max((probe.bits for probe in probes), default=8)


def size_of(probes: Sequence[Header], key: Hashable = None) -> int | list[int]:
    """The size to which all are brought, pixels or [height, width]; `say_size` of that key tells of it."""
    sizes = [probe.size[::-1] for probe in probes]
    size = infer_size(sizes)
    remember(key, sizes, size)
    return as_setting(size)


def say_size(size: Sides, *key: Hashable) -> None:
    """One line, where this process chose the size and it is not the pictures' own."""
    if line := line_about(key, size):
        log.info("%s", line)


def look(source: Source, picture: Picture) -> Header | None:
    """None for a broken file, which is reported when it is decoded."""
    try:
        return header_of(source.read(picture))
    except Exception:  # a damaged file makes Pillow and zipfile raise anything
        return None
