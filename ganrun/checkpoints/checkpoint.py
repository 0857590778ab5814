"""Checkpoints: tensors and plain data in one file that carries its own checksum."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from ganrun import __version__
from ganrun.common.atomic import atomic_write, make_folder
from ganrun.common.errors import CheckpointError, DamagedError
from ganrun.common.regular_files import read_regular
from ganrun.common.untrusted import check_container, leaves, printable

FORMAT_VERSION = 1
_MARK = b"ganrun sha256 "
_COMMENT_SIZE = len(_MARK) + 64
MAX_BYTES = 2**38  # 256 GiB: no file that is read as a whole is larger
TIED = 4  # names that may share a tensor, which is stored once


def save(state: Mapping[str, Any], path: str | os.PathLike[str], inside: Path | None = None) -> None:
    """Write `state` to `path`, whole or not at all.

    `state` holds tensors and plain values (dict, list, str, int, float, bool, None); `format_version` and
    `ganrun_version` are added. The file is an ordinary torch zip (`torch.load(path, weights_only=True)` opens
    it) whose archive comment is the SHA-256 of everything before it. It is written beside `path`, flushed
    to the disk and renamed. Below `inside`, a run's folder, which must be there, folders are made and no link is
    followed; without it the folder of `path` is made, but not its parents. Raises TypeError for
    anything that is not plain, OSError when it cannot be written.
    """
    path = Path(path)
    document = {"format_version": FORMAT_VERSION, "ganrun_version": __version__, **to_builtin(state)}
    if inside is None:
        make_folder(path.parent, parents=False)
    with atomic_write(path, inside, durable=True) as file:
        sealed = Sha256Writer(file)
        torch.save(document, sealed)  # type: ignore[arg-type]  # it asks for `write` and `flush` alone
        sealed.end()


class Sha256Writer:
    """Writes a zip to `file` in pieces, without a copy in memory, and appends its SHA-256 as the zip comment.

    The last two bytes are held back: they say how long the comment is. What `file` raises is raised by `end`, because
    torch's writer does not stop well in the middle.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.sum, self.held = file, hashlib.sha256(), b""
        self.error: OSError | None = None

    def write(self, data: bytes | memoryview) -> int:
        size = len(data)
        if size < 2:
            data = self.held + bytes(data)
        else:
            self.put(self.held)
        self.put(data[:-2])
        self.held = bytes(data[-2:])
        return size

    def put(self, data: bytes | memoryview) -> None:
        self.sum.update(data)
        if self.error is None:
            try:
                self.file.write(data)
            except OSError as error:
                self.error = error

    def flush(self) -> None:
        """Nothing is buffered here."""

    def end(self) -> None:
        """Raises OSError for what could not be written."""
        self.put(struct.pack("<H", _COMMENT_SIZE))
        self.put(_MARK + self.sum.hexdigest().encode())
        if self.error is not None:
            raise self.error


def load(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> dict[str, Any]:
    """Read what `save` wrote. Never runs code from the file.

    Raises CheckpointError when it is missing, damaged, not a checkpoint, or of a newer format.
    """
    path = Path(path)
    try:
        data = read_regular(path, MAX_BYTES)  # one read: what is checked is what is loaded
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:  # a pipe, a device
        raise CheckpointError(str(error)) from None
    except MemoryError:
        raise CheckpointError(f"{path} is larger than this machine's memory") from None
    body, comment = memoryview(data)[:-_COMMENT_SIZE], data[-_COMMENT_SIZE:]  # the body is not copied
    if not data.startswith(b"PK") or not comment.startswith(_MARK):
        raise DamagedError(f"{path} is not a checkpoint of ganrun, or was cut short")
    if comment[len(_MARK) :] != hashlib.sha256(body).hexdigest().encode():
        raise DamagedError(f"{path} is damaged: its checksum does not match its content")
    try:
        check_container(data)
        state = torch.load(io.BytesIO(data), map_location=device, weights_only=True)
        _check_state(state, len(data))
    except ValueError as error:
        raise CheckpointError(f"{path} cannot be opened safely: {printable(str(error))}") from None
    except Exception as error:  # any error of torch's reader; its message would advise to trust the file
        raise CheckpointError(f"{path} cannot be opened safely: {type(error).__name__}") from None
    if not isinstance(state, dict) or type(state.get("format_version")) is not int:
        raise CheckpointError(f"{path} is not a checkpoint of ganrun")
    if state["format_version"] > FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format {state['format_version']}, this ganrun reads up to {FORMAT_VERSION}: update ganrun"
        )
    return state


def snapshot(state: Mapping[str, Any]) -> dict[str, Any]:
    """`state` as it is now, copied to host memory: it can be written while the next steps change the weights."""
    return to_builtin(state, take=lambda tensor: tensor.detach().to("cpu", copy=True))


def to_builtin(value: Any, where: str = "state", take: Callable[[Tensor], Tensor] = Tensor.detach) -> Any:
    """The same content in dicts, lists and plain scalars. Raises TypeError that names the place of anything else."""
    if isinstance(value, str):
        return sys.intern(str(value))  # pickle writes an object once: without this, a resumed run has other bytes
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Tensor):
        return take(value)
    if isinstance(value, Mapping):
        return {_builtin_key(key, where): to_builtin(item, f"{where}.{key}", take) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_builtin(item, f"{where}[{number}]", take) for number, item in enumerate(value)]
    raise TypeError(f"{where} is a {type(value).__name__}: a checkpoint holds tensors and plain values only")


def _builtin_key(key: Any, where: str) -> str | int:
    if not isinstance(key, (str, int)):
        raise TypeError(f"{where} has the key {key!r}: keys are strings or whole numbers")
    return sys.intern(str(key)) if isinstance(key, str) else key


def _check_state(state: Any, stored: int) -> None:
    """Raises ValueError for types that `save` never writes, and for tensors larger than the `stored` bytes of the file.

    A tensor of stride 0 declares a billion elements in a kilobyte.
    """
    claimed = 0
    for leaf in leaves(state):
        if isinstance(leaf, Tensor):
            if leaf.layout != torch.strided or leaf.device.type == "meta":
                raise ValueError("it holds a tensor without content")
            claim = leaf.numel() * leaf.element_size()
            claimed += claim
            if claim > leaf.untyped_storage().nbytes() or claimed > TIED * stored:
                raise ValueError("it declares larger tensors than it holds")
        elif leaf is not None and not isinstance(leaf, (bool, int, float, str)):
            raise ValueError(f"it holds a {type(leaf).__name__}")
