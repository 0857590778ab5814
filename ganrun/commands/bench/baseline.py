"""NaiveLoop: the training loop of a usual tutorial, for any system and loss. `ganrun bench` compares with it.

In a DataLoader, each picture goes through Pillow, ToTensor and Normalize. The optimizers have torch's default settings.
Numbers are float32 in torch's default memory layout. Each backward pass computes the gradients of all players. Every
term of a loss is copied from the device and printed at every step. Networks, batch size and losses are the run's own.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils import data
from torchvision import transforms

from ganrun.common.pictures import open_picture
from ganrun.common.types import Config
from ganrun.config.builders import build_system
from ganrun.data.dataset import Dataset, chosen
from ganrun.data.folder import Folder
from ganrun.data.listing import list_images
from ganrun.training.optimizers import build_optimizers

Item = dict[str, Tensor]
PATIENCE = 120  # seconds for one batch
WORKERS = 2 if (os.cpu_count() or 1) > 1 else 0  # processes of the DataLoader, as in tutorials


class Pictures(data.Dataset[Item]):
    """The items of a data set in memory. Each becomes a Pillow image first, as in torchvision's MNIST."""

    def __init__(self, source: Dataset) -> None:
        self.source = source
        self.tensor = transforms.Compose([transforms.ToTensor(), transforms.Normalize(0.5, 0.5)])

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Item:
        """-> (C, H, W) float images in [-1, 1], and () labels."""
        item = {name: value[0] for name, value in self.source.take(torch.tensor([index])).items()}
        return self.finished({name: pillow(value) if value.ndim == 3 else value for name, value in item.items()})

    def finished(self, item: dict[str, Any]) -> Item:
        mirrored = self.source.flip and torch.rand(()) < 0.5
        for name, value in item.items():
            if isinstance(value, Image.Image):
                turned = value.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else value
                item[name] = self.tensor(turned)
        return item


class Files(Pictures):
    """The pictures of a folder. Each is decoded every time it is drawn, as in torchvision's ImageFolder."""

    def __init__(self, source: Dataset, node: Config) -> None:
        super().__init__(source)
        listing = list_images(node["root"], node.get("split"), node.get("labelled", "auto"), node.get("labels"))
        self.listing = listing.pick(chosen(len(listing), node.get("limit")).tolist())
        self.mode = "L" if source.channels == 1 else "RGB"
        self.cut = transforms.Compose(
            [transforms.RandomCrop(source.image_size, pad_if_needed=True)]
            if source.crops
            else [transforms.Resize(min(source.image_size)), transforms.CenterCrop(source.image_size)]
        )

    def __getitem__(self, index: int) -> Item:
        with open_picture(self.listing.source.read(self.listing.pictures[index])) as image:
            item: dict[str, Any] = {"image": self.cut(image.convert(self.mode))}
        if self.listing.labels is not None:
            item["label"] = torch.tensor(self.listing.labels[index])
        return self.finished(item)


def pillow(image: Tensor) -> Image.Image:
    """(C, H, W) uint8 -> a grey or colour picture."""
    array = image.permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)


def pictures(source: Dataset, node: Config) -> Pictures:
    """The files, if the data are a folder whose pictures can all be read; else the pictures in memory."""
    if isinstance(source, Folder) and Path(str(node["root"])).is_dir():
        files = Files(source, node)
        if len(files.listing) == len(source):
            return files
    return Pictures(source)


class NaiveLoop:
    """Trains the same system from the same first weights. Call `close` at the end: its workers are processes."""

    def __init__(
        self, config: Config, source: Dataset, device: torch.device, trust: Sequence[str] | None = None
    ) -> None:
        self.source, self.device, self.batch_size, self.step = source, device, config["batch_size"], 0
        self.system = build_system(config, trust).to(device).train()
        self.optimizers, _ = build_optimizers(config, self.system, trust)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                if group.get("fused"):
                    group["fused"] = None  # torch's default; fused=True is ganrun's choice
        drawn = pictures(source, config["dataset"])
        # crops of a few pictures may fill a batch, and with drop_last a shorter epoch would have none
        several = max(1, -(-self.batch_size // len(drawn)))
        self.loader = data.DataLoader(
            data.ConcatDataset([drawn] * several) if several > 1 else drawn,
            self.batch_size,
            shuffle=True,
            drop_last=True,
            num_workers=WORKERS,
            timeout=PATIENCE if WORKERS else 0,  # otherwise the loop would wait forever for a worker that hangs
            # not usual in tutorials, but otherwise a small data set starts its workers all the time
            persistent_workers=WORKERS > 0,
        )
        self.batches = self.epochs()
        self.printed = open(os.devnull, "w", encoding="utf-8", newline="\n")  # noqa: SIM115  closed in close

    def epochs(self) -> Iterator[Item]:
        while True:
            yield from self.loader

    def play(self) -> None:
        """One step: every turn of the system."""
        batch = {name: value.to(self.device) for name, value in next(self.batches).items()}
        batch = self.source.transform(batch)
        for turn in self.system.turns(self.step):
            self.optimizers[turn.player].zero_grad()
            objective = turn.objective(batch)
            objective.total.backward()
            self.optimizers[turn.player].step()
            self.system.after_turn(turn.player)
            said = {name: value.item() for name, value in {**objective.terms, **objective.monitors}.items()}
            print(self.step, turn.player, said, file=self.printed, flush=True)
        self.step += 1

    def workers_cpu(self) -> float:
        """CPU seconds of the DataLoader's processes so far. 0 if the system does not say."""
        total = 0
        for worker in getattr(self.loader._iterator, "_workers", ()):
            with contextlib.suppress(OSError):  # no /proc
                fields = (
                    Path(f"/proc/{worker.pid}/stat")
                    .read_text(encoding="utf-8", errors="replace")
                    .rsplit(")", 1)[1]
                    .split()
                )
                total += int(fields[11]) + int(fields[12])
        return total / os.sysconf("SC_CLK_TCK") if total else 0.0

    def close(self) -> None:
        del self.batches, self.loader  # ends the workers
        self.printed.close()
