"""CelebA: 202,599 aligned faces, unlabelled here (Liu et al., 2015)."""

from __future__ import annotations

import importlib.util
from pathlib import Path, PurePosixPath
from typing import Unpack

from torchvision.datasets import CelebA as Original
from torchvision.datasets.utils import download_file_from_google_drive

from ganrun.common.bounds import Count, Positive, Whole
from ganrun.data.dataset import Dataset, Size, chosen
from ganrun.data.downloads import downloading
from ganrun.data.folder import load, make_decoder
from ganrun.data.listing import Listing, list_images
from ganrun.data.storage import Storage, StorageOptions
from ganrun.data.streamed import Names

# list_eval_partition.txt in three lines: the numbers that name the pictures, in order
SPLITS = {
    "train": range(1, 162_771),
    "valid": range(162_771, 182_638),
    "test": range(182_638, 202_600),
    "all": range(1, 202_600),
}
IMAGES, ARCHIVE = "celeba/img_align_celeba", "celeba/img_align_celeba.zip"  # torchvision's layout


class CelebA(Dataset):
    """Faces of 178x218 pixels, cut to the centred square and scaled to `image_size`.

    Read from the folder img_align_celeba or straight from its .zip, both in `root`/celeba; no labels.
    Raises FileNotFoundError without either, ValueError when a download needs gdown.
    """

    def __init__(
        self,
        root: str = "data",
        split: str = "train",
        download: bool = False,
        image_size: Size = 64,
        channels: int = 3,
        classes: Whole | None = None,
        limit: Count | None = None,
        flip: bool = True,
        kimg: Positive = 3000,
        **options: Unpack[StorageOptions],
    ) -> None:
        storage = Storage(**options)
        if split not in SPLITS:
            raise ValueError(f"dataset.split={split} must be one of {', '.join(SPLITS)}")
        decoder = make_decoder(image_size, channels, "crop")
        faces = of_split(list_images(find(root, download), labelled=False), split)
        images, faces = load(faces.pick(chosen(len(faces), limit).tolist()), decoder, storage=storage)
        super().__init__(images, flip=flip, kimg=kimg, classes=classes, resident=storage.resident)
        self.names = Names(faces.pictures)


def of_split(listing: Listing, split: str) -> Listing:
    """The pictures whose number lies in the split. Raises ValueError when there are none."""
    numbers = [PurePosixPath(picture.name).stem for picture in listing.pictures]
    kept = [i for i, number in enumerate(numbers) if number.isdecimal() and int(number) in SPLITS[split]]
    if not kept:
        raise ValueError(
            f"dataset.split={split}: {listing.source.root} has no picture of that split, such as 000001.jpg"
        )
    return listing.pick(kept)


def find(root: str, download: bool) -> Path:
    """The folder of faces or its .zip, fetched when asked for."""
    for path in (Path(root).expanduser() / IMAGES, Path(root).expanduser() / ARCHIVE):
        if path.exists():
            return path
    if download:
        return fetch(Path(root).expanduser() / ARCHIVE)
    raise FileNotFoundError(
        f"dataset.root={root}: CelebA is neither in {Path(root, IMAGES).absolute()} nor in {Path(root, ARCHIVE).name} "
        "beside it; put one there or set dataset.download=true"
    )


def fetch(archive: Path) -> Path:
    """Downloads the .zip of faces (1.4 GB), its checksum verified by torchvision."""
    if importlib.util.find_spec("gdown") is None:
        raise ValueError("dataset.download=true: CelebA's download needs gdown: pip install 'ganrun[celeba]'")
    identity, md5, name = Original.file_list[0]
    with downloading("CelebA", archive.parent):
        download_file_from_google_drive(identity, archive.parent, name, md5)
    return archive
