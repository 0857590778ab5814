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

# the content of list_eval_partition.txt: the split of a picture is decided by the number in its name
SPLITS = {
    "train": range(1, 162_771),
    "valid": range(162_771, 182_638),
    "test": range(182_638, 202_600),
    "all": range(1, 202_600),
}
IMAGES, ARCHIVE = "celeba/img_align_celeba", "celeba/img_align_celeba.zip"  # torchvision's layout


class CelebA(Dataset):
    """Faces without labels; the central square of 178×218 pixels is scaled to `image_size`.

    They are read from the folder img_align_celeba or its .zip, in `root`/celeba. Raises FileNotFoundError when there is
    neither, ValueError for an unknown split and when the download needs gdown.
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
    """The pictures whose number belongs to the split. Raises ValueError when there are none."""
    numbers = [PurePosixPath(picture.name).stem for picture in listing.pictures]
    chosen_rows = [i for i, number in enumerate(numbers) if number.isdecimal() and int(number) in SPLITS[split]]
    if not chosen_rows:
        raise ValueError(
            f"dataset.split={split}: {listing.source.root} has no picture of that split, such as 000001.jpg"
        )
    return listing.pick(chosen_rows)


def find(root: str, download: bool) -> Path:
    """The path of the folder of faces, or of its .zip, which is downloaded if `download` is true and neither exists."""
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
    """Downloads the .zip of faces (1.4 GB); torchvision verifies its checksum. Raises ValueError without gdown."""
    if importlib.util.find_spec("gdown") is None:
        raise ValueError("dataset.download=true: CelebA's download needs gdown: pip install 'ganrun[celeba]'")
    identity, md5, name = Original.file_list[0]
    with downloading("CelebA", archive.parent):
        download_file_from_google_drive(identity, archive.parent, name, md5)
    return archive
