"""Which picture belongs to which: two folders or .zips with the same names, or halves of pictures (no torch here)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ganrun.common.untrusted import printable
from ganrun.data.crops import Crop, with_crop
from ganrun.data.listing import (
    Listing,
    Name,
    Place,
    channels_of,
    depth_of,
    list_images,
    look,
    placed,
    probed,
    size_of,
    spaced,
)
from ganrun.data.memoize import memoized
from ganrun.data.sources import Picture, Source

NAMED = 5  # names of pictures without a partner that are shown
KIMG = 1000  # thousands of images a run shows when nobody says
DIGITS = {"channels": 1, "image_size": 16, "depth": 8, "kimg": 100}  # facts where no root is given: the embedded digits


def list_pairs(root_source: str | None, root_target: str | None, split: str | None) -> tuple[Listing, Listing]:
    """Sources and targets in one order, matched by their path below the split without its suffix.

    Raises ValueError that names those without a partner, and what `list_images` raises.
    """
    with speaking_of("root_source"):
        source, sources = named_pictures(root_source, split)
    with speaking_of("root_target"):
        target, targets = named_pictures(root_target, split)
    if sources.keys() != targets.keys():
        raise ValueError(
            "the pictures of dataset.root_source and dataset.root_target do not match by name: "
            f"{alone(sources, targets)} only in {root_source}; {alone(targets, sources)} only in {root_target}; "
            f"{len(sources.keys() & targets.keys())} in both"
        )
    names = sorted(sources)
    return (
        Listing(source, [sources[name] for name in names], None, [], source.notes),
        Listing(target, [targets[name] for name in names], None, [], target.notes),
    )


def named_pictures(root: str | None, split: str | None) -> tuple[Source, dict[str, Picture]]:
    """The source and {path without suffix: picture}. Raises ValueError when two pictures share a name."""
    source, pictures, places = placed(root, split)
    found: dict[str, Picture] = {}
    for picture, place in zip(pictures, places, strict=True):
        name = "/".join(place).rpartition(".")[0]
        if name in found:
            raise ValueError(f"dataset.root={root}: {found[name].name!r} and {picture.name!r} share a name")
        found[name] = picture
    return source, found


def alone(these: Mapping[str, Picture], those: Mapping[str, Picture]) -> str:
    """'2 of 9 ('a', 'b')'."""
    names = sorted(these.keys() - those.keys())
    shown = ", ".join(repr(printable(name)) for name in names[:NAMED])
    more = ", ..." if len(names) > NAMED else ""
    return f"{len(names)} of {len(these)}" + (f" ({shown}{more})" if names else "")


@contextmanager
def speaking_of(key: str) -> Iterator[None]:
    """Errors about dataset.root are about dataset.`key` here."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(str(error).replace("dataset.root", f"dataset.{key}", 1)) from error
    except ValueError as error:
        raise ValueError(str(error).replace("dataset.root", f"dataset.{key}", 1)) from error


def check_roots(root: str | None, root_source: str | None, root_target: str | None) -> None:
    """Raises ValueError unless the roots are one, the other two, or none."""
    if root and (root_source or root_target):
        raise ValueError("dataset.root is for pictures side by side: give it, or root_source and root_target, not both")
    for key, given, other in (("root_source", root_source, root_target), ("root_target", root_target, root_source)):
        if other and not given:
            raise ValueError(f"dataset.{key} is needed: a folder or .zip with the same names as the other one")


def find_pair_facts(
    root: Place | None = None,
    root_source: Place | None = None,
    root_target: Place | None = None,
    split: Name | None = None,
    swap: bool = False,
    crop: Crop | None = None,
) -> Mapping[str, Any]:
    """{"channels": 3 if either side is colour, else 1; "image_size": of the targets; "depth": of the deepest; "kimg"}.

    The digits' facts when no root is given. Remembered per process. Raises ValueError or FileNotFoundError.
    """
    return with_crop(_pair_facts(root, root_source, root_target, split, swap), crop)


@memoized(16)
def _pair_facts(
    root: str | None, root_source: str | None, root_target: str | None, split: str | None, swap: bool
) -> Mapping[str, Any]:
    check_roots(root, root_source, root_target)
    key = (root, root_source, root_target, split, swap)
    if root:
        whole = probed(list_images(root, split, False))
        probes = [probe._replace(size=(probe.size[0] // 2, probe.size[1])) for probe in whole]
        size = size_of(probes, key)
        return {"channels": channels_of(probes), "image_size": size, "depth": depth_of(probes), "kimg": KIMG}
    if not root_source:
        return DIGITS
    sources, targets = list_pairs(root_source, root_target, split)
    if swap:
        sources, targets = targets, sources
    probes = probed(targets)
    both = [*probes, *probed(sources)]
    size = size_of(probes, key)
    return {"channels": channels_of(both), "image_size": size, "depth": depth_of(both), "kimg": KIMG}


def unlike_depths(sources: Listing, targets: Listing) -> list[str]:
    """A line that names pairs whose pictures differ in depth, of those that are looked at; [] for none."""
    pairs = list(zip(spaced(sources), spaced(targets), strict=True))
    seen = [(one, look(sources.source, one), look(targets.source, other)) for one, other in pairs]
    unlike = [(one.name, x.bits, y.bits) for one, x, y in seen if x and y and x.bits != y.bits]
    if not unlike:
        return []
    named = ", ".join(f"{printable(name)!r} ({bits} bits, its target {other})" for name, bits, other in unlike[:NAMED])
    more = ", ..." if len(unlike) > NAMED else ""
    return [
        f"{len(unlike)} of {len(seen)} pairs that were looked at are of unlike depth: {named}{more}; all are brought "
        "to the larger depth, and dataset.depth=8 brings all to 8 bits"
    ]
