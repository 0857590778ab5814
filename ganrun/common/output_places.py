"""Refuses a place for a command's files that is taken, misnamed or cannot be written. No torch."""

from __future__ import annotations

from pathlib import Path

from ganrun.common.errors import UserError
from ganrun.common.folders import check_writable


def check_pictures_place(out: Path, overwrite: bool, *suffixes: str) -> None:
    """For pictures: a folder, or a file with one of these suffixes. Raises UserError."""
    refuse_suffix(out, *suffixes)
    check_free(out, overwrite)
    check_writable(out if out.is_dir() else out.parent)


def check_file_place(out: Path, overwrite: bool, *suffixes: str) -> None:
    """For one file with one of these suffixes, in a folder that exists. Raises UserError."""
    if out.suffix not in suffixes or out.is_dir():
        raise UserError(f"out={out} must be a file that ends in {' or '.join(suffixes)}")
    if not out.parent.is_dir():
        raise UserError(f"out={out}: there is no folder {out.parent}")
    check_free(out, overwrite)
    check_writable(out.parent)


def check_free(out: Path, overwrite: bool) -> None:
    """Raises UserError for a file, or a folder that is not empty, unless it may be overwritten."""
    occupied = out.exists() and (not out.is_dir() or any(out.iterdir()))
    if occupied and not overwrite:
        raise UserError(f"out={out} exists: choose another name, or overwrite=true")


def refuse_suffix(out: Path, *written: str) -> None:
    """Raises UserError for a place such as x.rar, whose name promises what is not written; v1.5 is a fine folder."""
    if out.suffix.lower() not in ("", *written) and not out.suffix[1:].isdigit() and not out.is_dir():
        names = ", ".join(f"x{suffix}" for suffix in written)
        raise UserError(f"out={out}: {out.suffix} is not written here; {names} or a folder")
