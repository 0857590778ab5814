"""Dataset: images of one kind, with the facts that networks need."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import torch
from torch import Tensor

from ganrun.common.bounds import Count, Pixels, Positive, Whole
from ganrun.data.cropped import CroppedStore
from ganrun.data.crops import Crops
from ganrun.data.inferred_size import height_by_width
from ganrun.data.listing import find_facts
from ganrun.data.sources import IN_FULL
from ganrun.data.storage import free_memory
from ganrun.data.streamed import Streamed, picked

if TYPE_CHECKING:
    from ganrun.data.modes import Modes

Images = Tensor | Streamed | CroppedStore
Size = Annotated[Pixels | Sequence[Pixels], "a number of pixels, or [height, width]"]


def as_size(size: Size) -> tuple[int, int]:
    """28 or [28, 32] -> (height, width) in pixels. Raises ValueError when neither fits."""
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise ValueError(f"dataset.image_size={size} must be a whole number of pixels or [height, width]")
    return sides[0], sides[1]


def chosen(count: int, limit: int | None) -> Tensor:
    """At most `limit` sorted indices below `count`: a fixed random subset, or all of them without a limit.

    Random, because the first images of a sorted folder are all of one class. Raises ValueError for a limit below 1.
    """
    if limit is None:
        return torch.arange(count)
    if limit < 1:
        raise ValueError(f"dataset.limit={limit} must be at least 1, or null for all of the {count} images")
    return torch.randperm(count, generator=torch.Generator().manual_seed(0))[:limit].sort().values


class Dataset:
    """uint8 or uint16 images (N, C, H, W), in memory or streamed, int64 labels (N,) or None, and the classes' names.

    A subclass fills these in its constructor and calls `super().__init__`. Whatever is decoded stays as it is:
    flips and the way to [-1, 1] happen later, on whole batches. Pictures with a range of their own, and what was never
    a picture, such as points of a plane, are float32 and in [-1, 1] already. `classes`, when given, is what the config
    promised to the networks: ValueError when the data disagree.

    `${infer:channels}` in its yaml calls `infer` before any picture is decoded. Its parameters are the keys of the yaml
    that it reads. It returns facts, such as {"channels": 3, "image_size": 64}. Here it looks at the pictures below
    `root` (`find_facts`). A subclass may define its own, a static method or a class method with other parameters.
    """

    infer: ClassVar[Callable[..., Mapping[str, Any]]] = staticmethod(find_facts)

    sided = False  # whether a mirror image would be none of them, as of digits and letters
    modes: Modes | None = None  # the parts that it is known to be made of
    crops: Crops | None = None  # its items are crops, which differ from epoch to epoch where `take` gets keys
    turns = False  # whether training turns its items by quarters

    def __init__(
        self,
        images: Images,
        labels: Tensor | None = None,
        class_names: Sequence[str] = (),
        flip: bool = False,
        limit: Count | None = None,
        kimg: Positive = 1000,
        classes: Whole | None = None,
        resident: bool | str = "auto",
        minutes: float | None = None,
    ) -> None:
        if images.dtype not in (torch.uint8, torch.uint16, torch.float32) or images.ndim != 4:
            raise TypeError(
                f"images must be uint8, uint16 or float32 (N, C, H, W), not {images.dtype} {tuple(images.shape)}"
            )
        found = 0 if labels is None else len(class_names)
        if classes is not None and classes != found:
            raise ValueError(f"dataset.classes={classes}, but the images have {found} classes; leave the key out")
        if limit is not None:
            kept = chosen(len(images), limit)
            images, labels = images[kept], None if labels is None else labels[kept]
        self.images, self.labels, self.class_names = images, labels, list(class_names)
        self.flip = flip
        self.notes: list[str] = []  # what a user should hear about these data, a line each
        self.faults: list[str] = []  # those of them that warn, mostly of files left out
        self.more_faults = 0  # so many others, which were only counted when the data were read
        self.names: Sequence[str] = ()  # the pictures' files, where they have any
        self.kimg = kimg  # thousands of images a run shows when it is given no length
        self.minutes = minutes  # such a run then takes at most so long on this machine, as measured at its start
        self.resident = resident
        self.device = torch.device("cpu")  # where the images lie
        self.pinned = False  # should batches be brought to pinned memory, ahead of the step that needs them?

    def __len__(self) -> int:
        return len(self.images)

    @property
    def channels(self) -> int:
        return self.images.shape[1]

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.images.shape[2], self.images.shape[3]

    @property
    def bits(self) -> int:
        """Of a value of its deepest pictures, as they are kept: 8, 16 or 32."""
        return max(8 * images.dtype.itemsize for images in self.image_stores)

    @property
    def is_deep(self) -> bool:
        """Whether its pictures have more than 8 bits, which bf16 would not hold. Points are no pictures."""
        return self.image_size != (1, 1) and self.bits > 8

    @property
    def classes(self) -> int:
        """How many classes the labels tell apart; 0 without labels."""
        return 0 if self.labels is None else len(self.class_names)

    @property
    def nbytes(self) -> int:
        """Bytes that the pictures take in memory."""
        return sum(images.nbytes for images in {id(images): images for images in self.image_stores}.values())

    @property
    def image_stores(self) -> list[Images]:
        """All its images."""
        return [self.images]

    @property
    def unnamed_faults(self) -> int:
        """How many faults were only counted, of pictures that are decoded when they are drawn among them."""
        streams = [images for images in self.image_stores if isinstance(images, Streamed)]
        return self.more_faults + sum(max(0, len(images.told) - IN_FULL) for images in streams)

    @property
    def workers(self) -> int | None:
        """How many processes decode while a run streams; None for images that are decoded."""
        return next((images.workers for images in self.image_stores if isinstance(images, Streamed)), None)

    @property
    def decoded_bytes(self) -> int:
        """Bytes of the largest picture that a worker decodes to cut a crop from it; 0 without crops."""
        return max((images.largest for images in self.image_stores if isinstance(images, Streamed)), default=0)

    def set_crops(self, crops: Crops | None, turns: bool) -> None:
        """Raises ValueError for quarter turns of pictures that are not square."""
        if turns and self.image_size[0] != self.image_size[1]:
            raise ValueError(
                "dataset.turns=true turns by quarters, but pictures of "
                f"{height_by_width(self.image_size)} pixels are not square: leave dataset.turns out"
            )
        self.crops, self.turns = crops, turns

    def to(self, device: torch.device) -> Self:
        """The same data for a run on `device`: they lie there, where they are to and fit in a quarter of what is free.

        `take` then wants its indices there too, and gives batches there.
        """
        moved = copy.copy(self)
        fits = (
            self.workers is None
            and self.crops is None
            and self.resident is not False
            and device.type in ("cuda", "mps")
        )
        if fits and (self.resident is True or 4 * self.nbytes < free_on(device)):
            moved.device = device
            for name, tensor in vars(self).items():
                if isinstance(tensor, Tensor):
                    setattr(moved, name, tensor.to(device))
        moved.pinned = device.type == "cuda" and moved.device != device
        return moved

    def among(self, rows: Tensor) -> Self:
        """The same items, of which one of these (n,) `rows` takes the place of a streamed picture that is broken."""
        part = copy.copy(self)
        stores: dict[int, Streamed] = {}  # of pairs, both pictures are in one
        for name, images in vars(self).items():
            if isinstance(images, Streamed) and len(images) == len(self):
                setattr(part, name, stores.setdefault(id(images), images.among(rows)))
        return part

    def add_notes(self, notes: Sequence[str], faults: Sequence[str] = (), more_faults: int = 0) -> None:
        """What was logged while the data were read; `faults` are the warnings, `more_faults` were only counted."""
        self.notes += notes
        self.faults += faults
        self.more_faults += more_faults

    def remarks(self) -> list[str]:
        """What a user should hear before a run, a line each, besides what was said when the data were read."""
        mirrored = "dataset.flip=true mirrors digits, and most digits are none in a mirror"
        turned = "dataset.turns=true turns digits, and a 6 becomes a 9"
        there = "dataset.resident=true has no effect with dataset.crop: the pictures stay in the memory of the host"
        return [
            *[mirrored] * (self.flip and self.sided),
            *[turned] * (self.turns and self.sided),
            *[there] * (self.crops is not None and self.resident is True),
        ]

    @property
    def has_no_transform(self) -> bool:
        """Whether `transform` changes nothing."""
        return type(self).transform is Dataset.transform

    def transform(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """What the trainer does to each prepared batch, floats in [-1, 1] on the device; nothing by default.

        Randomness drawn here from torch's global state is a function of (seed, step).
        """
        return batch

    def take(self, indices: Tensor, keys: Sequence[int] | None = None) -> dict[str, Tensor]:
        """(N,) indices -> {"image": (N, C, H, W) uint8, "label": (N,) int64 when there are labels}.

        keys: for each item a number that decides where its crop lies; without keys, all crops lie in the centre.
        """
        images, taken = picked(self.images, indices, keys)
        return {"image": images} if self.labels is None else {"image": images, "label": self.labels[taken]}


def free_on(device: torch.device) -> int:
    """Bytes that are free on an accelerator; 0 if unknown."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return free_memory() or 0  # it shares the machine's
