"""What somebody who means harm would put into a checkpoint, each under a valid checksum."""

from __future__ import annotations

import copy
import hashlib
import io
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ganrun.checkpoints import checkpoint

State = dict[str, Any]
RESNET = {"_target_": "ganrun.networks.resnet.ResNetTranslator", "channels": 1, "image_size": 8, "base_channels": 4}
CPU_LAYER = {"_target_": "torch.nn.Linear", "in_features": 1000, "out_features": 1000, "device": "cpu"}
DCGAN = {"_target_": "ganrun.networks.dcgan.DCGANGenerator", "channels": 1, "latent_size": 8}
PENALTY = {"_target_": "ganrun.losses.penalties.GradientPenalty"}


def sealed(data: bytes) -> bytes:
    """A zip with the checksum that ganrun asks for: the attacker can compute it too."""
    body = data[:-2] + struct.pack("<H", checkpoint._COMMENT_SIZE)
    return body + checkpoint._MARK + hashlib.sha256(body).hexdigest().encode()


def write(state: Any, path: Path) -> Path:
    """Any object at all, as torch pickles it."""
    buffer = io.BytesIO()
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(50_000)
    try:
        torch.save(state, buffer)
    finally:
        sys.setrecursionlimit(limit)
    path.write_bytes(sealed(buffer.getvalue()))
    return path


def changed(state: State, place: str, value: Any) -> State:
    """A copy with another value at config.model.generator or the like."""
    state = copy.deepcopy(state)
    *way, last = place.split(".")
    node = state
    for name in way:
        node = node[name]
    node[last] = value
    return state


class Calls:
    """Pickled as a call: unpickling it would make it."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def zip_of(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def members_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def nested(depth: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


def laughs() -> list[Any]:
    """Ten lists of ten lists of ..., twelve deep: a kilobyte that takes for ever to walk through."""
    found: list[Any] = ["ha"]
    for _ in range(12):
        found = [found] * 10
    return found


def circle() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


# name -> (where in the state, what is put there, what the one line says)
GREEDY: dict[str, tuple[str, Callable[[], Any], str]] = {
    "a billion elements of stride 0": ("system.x", lambda: torch.zeros(1).expand(10**9), "larger tensors than it"),
    "a thousand views of one tensor": (
        "average",
        lambda: {str(n): tensor for n, tensor in enumerate([torch.zeros(10**5)] * 1000)},
        "larger tensors than it holds",
    ),
    "a tensor on the meta device": ("system.x", lambda: torch.empty(10**12, device="meta"), "names"),
    "a sparse tensor": ("system.x", lambda: torch.eye(2).to_sparse(), "names"),
    "a bytearray": ("system.x", lambda: Calls(bytearray, 2**34), "bytearray"),
    "a million lists": ("data.x", lambda: [[] for _ in range(10**6)], "4 MiB"),
    "a list 2000 deep": ("config.notes", lambda: nested(2000), "nested too deeply"),
    "a list in itself": ("config.notes", circle, "nested too deeply"),
    "a billion laughs": ("config.notes", laughs, "too many parts"),
    "a hundred thousand settings": ("config.notes", lambda: list(range(100_000)), "more than 10000 settings"),
    "a latent of 10^12": ("config.model.latent.size", lambda: 10**12, "is a number beyond"),
    "10^9 channels": ("config.model.generator.channels", lambda: 10**9, "is a number beyond"),
    "channels of 65536": ("config.model.generator.channels", lambda: 2**16, "larger than the weights"),
    "an image_size of 10^9": ("config.model.generator.image_size", lambda: 10**9, "beyond 16384"),
    "sizes that nothing fits": (
        "config.model.generator",
        lambda: {**DCGAN, "image_size": [4095, 3001]},
        "DCGAN doubles a grid",
    ),
    "a width of 10^5 digits": ("config.model.generator.widths", lambda: [10**100_000], "cannot be opened safely"),
    "fifty wide layers": ("config.model.generator.widths", lambda: [2**16] * 50, "larger than the weights"),
    "a thousand layers": ("config.model.generator.widths", lambda: [1000] * 1000, "larger than the weights"),
    "400 layers that ask for the CPU": (
        "config.model.generator",
        lambda: {"_target_": "torch.nn.ModuleList", "modules": [CPU_LAYER] * 400},
        "larger than the weights",
    ),
    "10^9 blocks": ("config.model.generator", lambda: {**RESNET, "blocks": 10**9}, "is a number beyond"),
    "65536 blocks": ("config.model.generator", lambda: {**RESNET, "blocks": 2**16}, "from 1 to 1000"),
    "65536 halvings": ("config.model.generator", lambda: {**RESNET, "halvings": 2**16}, "from 0 to 14"),
    "60000 copies of a layer": (
        "config.model.generator",
        lambda: {"_target_": "torch.nn.Transformer", "d_model": 8, "nhead": 1, "num_encoder_layers": 60_000},
        "larger than the weights",
    ),
    "60000 recurrent layers": (
        "config.model.generator",
        lambda: {"_target_": "torch.nn.GRU", "input_size": 1, "hidden_size": 1, "num_layers": 60_000},
        "larger than the weights",
    ),
    "4000 penalties": ("config.loss.penalties", lambda: {f"p{n}": PENALTY for n in range(4000)}, "far larger than"),
    "a deep dataset of huge digits": ("config.dataset.image_size", lambda: 10**6, "beyond 16384"),
    "a grid of 10^9 samples": ("config.grids.count", lambda: 10**9, "beyond 65536"),
}  # fmt: skip
