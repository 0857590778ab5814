"""Checkpoints: tensors and plain data in one file that carries its own checksum."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganrun import __version__
from ganrun.finding import CheckpointError

FORMAT_VERSION = 1
_MARK = b"ganrun sha256 "
_COMMENT_SIZE = len(_MARK) + 64


def save(state: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write `state` to `path`, whole or not at all.

    `state` holds tensors and plain values (dict, list, str, int, float, bool, None); `format_version` and
    `ganrun_version` are added. The file is an ordinary torch zip (`torch.load(path, weights_only=True)` opens
    it) whose archive comment is the SHA-256 of everything before it. It is written beside `path`, flushed
    to the disk and renamed. Raises TypeError for anything that is not plain, OSError when it cannot be written.
    """
    path = Path(path)
    document = {"format_version": FORMAT_VERSION, "ganrun_version": __version__, **plain(state)}
    buffer = io.BytesIO()
    torch.save(document, buffer)
    data = buffer.getvalue()
    # the last two bytes of a zip say how long its comment is
    body = data[:-2] + struct.pack("<H", _COMMENT_SIZE)
    comment = _MARK + hashlib.sha256(body).hexdigest().encode()

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            file.write(body)
            file.write(comment)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    flush_folder(path.parent)


def load(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> dict[str, Any]:
    """Read what `save` wrote. Never runs code from the file.

    Raises CheckpointError when it is missing, damaged, not a checkpoint, or of a newer format.
    """
    path = Path(path)
    try:
        data = path.read_bytes()  # one read: what is checked is what is loaded
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    body, comment = data[:-_COMMENT_SIZE], data[-_COMMENT_SIZE:]
    if not data.startswith(b"PK") or not comment.startswith(_MARK):
        raise CheckpointError(f"{path} is not a checkpoint of ganrun, or was cut short")
    if comment[len(_MARK) :] != hashlib.sha256(body).hexdigest().encode():
        raise CheckpointError(f"{path} is damaged: its checksum does not match its content")
    try:
        _refuse_inflation(data)
        state = torch.load(io.BytesIO(data), map_location=device, weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:  # whatever the reader trips over, the file is not ours
        raise CheckpointError(f"{path} cannot be opened safely: {str(error).splitlines()[0]}") from None
    if not isinstance(state, dict) or "format_version" not in state:
        raise CheckpointError(f"{path} is not a checkpoint of ganrun")
    if state["format_version"] > FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format {state['format_version']}, this ganrun reads up to {FORMAT_VERSION}: update ganrun"
        )
    return state


def plain(value: Any, where: str = "state") -> Any:
    """The same content in dicts, lists and plain scalars. Raises TypeError that names the place of anything else."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, Mapping):
        return {_plain_key(key, where): plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, f"{where}[{number}]") for number, item in enumerate(value)]
    raise TypeError(f"{where} is a {type(value).__name__}: a checkpoint holds tensors and plain values only")


def _plain_key(key: Any, where: str) -> str | int:
    if not isinstance(key, (str, int)):
        raise TypeError(f"{where} has the key {key!r}: keys are strings or whole numbers")
    return key


def _refuse_inflation(data: bytes) -> None:
    """torch stores tensors uncompressed; a compressed member could grow without bound."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members) or (
        sum(member.file_size for member in members) > len(data)
    ):
        raise CheckpointError("compressed members are not part of the format")


def flush_folder(folder: Path) -> None:
    """Make a rename durable; some file systems cannot, and that is no reason to stop."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
