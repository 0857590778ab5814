"""Two domains without pairs: which pictures are of the one, which of the other (no torch here)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from ganrun.data.crops import Crop, with_crop
from ganrun.data.listing import Listing, Name, Place, channels_of, depth_of, list_images, probed, size_of
from ganrun.data.memoize import memoized
from ganrun.data.pairing import DIGITS, KIMG, speaking_of
from ganrun.data.rows import named_rows

Names = Annotated[str | Sequence[str], "a name or a list of names"]


class Domain(NamedTuple):
    """Where the pictures of a domain are: all of a root, or those of some classes, or those that a file lists."""

    root: str | None
    classes: tuple[str, ...]  # none: all
    listed: str | None


class Domains(NamedTuple):
    """What the keys of dataset=unpaired say of both domains."""

    a: Domain
    b: Domain
    split: str | None


def as_domains(
    root_a: str | None,
    root_b: str | None,
    split: str | None,
    class_a: str | Sequence[str] | None,
    class_b: str | Sequence[str] | None,
    list_a: str | None,
    list_b: str | None,
) -> Domains | None:
    """The two domains; None for the embedded digits, where there is neither a root nor a list.

    A domain b without a root has that of a. A domain a with a list and no root has the folder of the list.
    Raises ValueError that names the key, when the two domains are one.
    """
    classes_a, classes_b = as_names(class_a), as_names(class_b)
    if not any((root_a, root_b, list_a, list_b)):
        if classes_a or classes_b:
            raise ValueError("dataset.class_a= and dataset.class_b= choose from dataset.root_a: give that too")
        return None
    root_a = root_a or (str(Path(list_a).expanduser().parent) if list_a else None)
    if not root_a:
        raise ValueError("dataset.root_a is needed: a folder or .zip of images")
    a, b = Domain(root_a, classes_a, list_a), Domain(root_b or root_a, classes_b, list_b)
    if not root_b:
        refuse_overlap(a, b)
    return Domains(a, b, split)


def as_names(names: str | Sequence[str] | None) -> tuple[str, ...]:
    """What a user gives as one name, a list of them or null."""
    if names is None:
        return ()
    return tuple(map(str, names)) if isinstance(names, Sequence) and not isinstance(names, str) else (str(names),)


def refuse_overlap(a: Domain, b: Domain) -> None:
    """Raises ValueError where both domains of one root are all of it, or share a class or a list."""
    both = sorted({*a.classes} & {*b.classes})
    if a.listed and b.listed:
        if a.listed == b.listed and not (a.classes and b.classes and not both):
            raise ValueError(f"dataset.list_a and dataset.list_b are both {a.listed}: give two lists")
    elif not (a.classes and b.classes and not both):
        shared = f"; {both[0]} is in both" if both else ""
        raise ValueError(
            "dataset.root_b is needed, or two classes of root_a: dataset.class_a= dataset.class_b=, "
            f"or two lists: dataset.list_a= dataset.list_b={shared}"
        )


def list_domains(domains: Domains) -> tuple[Listing, Listing]:
    """The pictures of both domains. Raises ValueError or FileNotFoundError that names the key."""
    a, b = domains.a, domains.b
    with speaking_of("root_a"):
        one = list_images(a.root, domains.split)
    with speaking_of("root_b" if b.root != a.root else "root_a"):
        other = list_images(b.root, domains.split)
    return in_list(of_classes(one, a.classes, "class_a"), a.listed, "list_a"), in_list(
        of_classes(other, b.classes, "class_b"), b.listed, "list_b"
    )


def of_classes(listing: Listing, names: Sequence[str], key: str) -> Listing:
    """The pictures of these classes; of all where none is named. Raises ValueError for a class that is not there."""
    if not names:
        return listing
    for name in names:
        if listing.labels is None or name not in listing.class_names:
            there = ", ".join(listing.class_names) or "none"
            raise ValueError(f"dataset.{key}={name}: no such class in {listing.source.root}; its classes: {there}")
    wanted = {listing.class_names.index(name) for name in names}
    return listing.pick([i for i, label in enumerate(listing.labels or ()) if label in wanted])


def in_list(listing: Listing, file: str | None, key: str) -> Listing:
    """The pictures that a file names, in the order of the listing; all of them without a file."""
    if file is None:
        return listing
    return listing.pick(named_rows(file, key, listing.source, listing.pictures))


def find_domain_facts(
    root_a: Place | None = None,
    root_b: Place | None = None,
    split: Name | None = None,
    class_a: Names | None = None,
    class_b: Names | None = None,
    list_a: Place | None = None,
    list_b: Place | None = None,
    crop: Crop | None = None,
) -> Mapping[str, Any]:
    """{"channels": 3 if either domain is colour, else 1; "image_size" and "depth": of both together; "kimg"}.

    The digits' facts when there is no root and no list. Remembered per process. Raises what `list_domains` raises.
    """
    domains = as_domains(root_a, root_b, split, class_a, class_b, list_a, list_b)
    return with_crop(DIGITS if domains is None else _domain_facts(domains), crop)


@memoized(16)
def _domain_facts(domains: Domains) -> Mapping[str, Any]:
    probes = [probed(listing) for listing in list_domains(domains)]
    together = [*probes[0], *probes[1]]
    size, channels = size_of(together, domains), max(map(channels_of, probes))
    return {"channels": channels, "image_size": size, "depth": depth_of(together), "kimg": KIMG}
