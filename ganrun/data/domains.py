"""Two domains without pairs: which pictures are of the one, which of the other (no torch here)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ganrun.data.crops import Crop, with_crop
from ganrun.data.listing import Listing, Name, Place, channels_of, list_images, probed, size_of
from ganrun.data.memoize import memoized
from ganrun.data.pairing import DIGITS, KIMG, speaking_of


def list_domains(
    root_a: str | None, root_b: str | None, split: str | None, class_a: str | None, class_b: str | None
) -> tuple[Listing, Listing]:
    """The pictures of both domains; a root_b of None is root_a again, with another class.

    Raises ValueError or FileNotFoundError that names the key.
    """
    if not root_a:
        raise ValueError("dataset.root_a is needed: a folder or .zip of images")
    if not root_b and (class_a is None or class_b is None or class_a == class_b):
        raise ValueError("dataset.root_b is needed, or two classes of root_a: dataset.class_a= dataset.class_b=")
    with speaking_of("root_a"):
        a = of_class(list_images(root_a, split), class_a, "class_a")
    with speaking_of("root_b" if root_b else "root_a"):
        b = of_class(list_images(root_b or root_a, split), class_b, "class_b")
    return a, b


def of_class(listing: Listing, name: str | None, key: str) -> Listing:
    """The pictures of one class, or all. Raises ValueError for a class that is not there."""
    if name is None:
        return listing
    if listing.labels is None or str(name) not in listing.class_names:
        there = ", ".join(listing.class_names) or "none"
        raise ValueError(f"dataset.{key}={name}: no such class in {listing.source.root}; its classes: {there}")
    wanted = listing.class_names.index(str(name))
    return listing.pick([i for i, label in enumerate(listing.labels) if label == wanted])


def find_domain_facts(
    root_a: Place | None = None,
    root_b: Place | None = None,
    split: Name | None = None,
    class_a: Name | None = None,
    class_b: Name | None = None,
    crop: Crop | None = None,
) -> Mapping[str, Any]:
    """{"channels": 3 if either domain is colour, else 1; "image_size": of both together; "kimg"}.

    The digits' facts when no root is given. Remembered per process. Raises what `list_domains` raises.
    """
    return with_crop(_domain_facts(root_a, root_b, split, class_a, class_b), crop)


@memoized(16)
def _domain_facts(
    root_a: str | None, root_b: str | None, split: str | None, class_a: str | None, class_b: str | None
) -> Mapping[str, Any]:
    if not root_a and not root_b:
        if class_a is not None or class_b is not None:
            raise ValueError("dataset.class_a= and dataset.class_b= choose from dataset.root_a: give that too")
        return DIGITS
    probes = [probed(listing) for listing in list_domains(root_a, root_b, split, class_a, class_b)]
    together = [*probes[0], *probes[1]]
    size = size_of(together, (root_a, root_b, split, class_a, class_b))
    return {"channels": max(map(channels_of, probes)), "image_size": size, "kimg": KIMG}
