"""info: what a bug report needs to say about a machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform

from ganrun import __version__

PACKAGES = ("torch", "torchvision", "hydra-core", "omegaconf", "tensorboard", "numpy", "pillow", "tqdm")
EXTRAS = {
    "celeba": ("gdown",),
    "parallel": ("hydra-joblib-launcher",),
    "plot": ("matplotlib",),
    "fid": ("torch-fidelity",),
}


def report() -> str:
    """Versions, devices and extras, a line each."""
    _leave_a_removed_folder()
    lines = [f"ganrun       {__version__}", f"python       {platform.python_version()} on {platform.platform()}"]
    lines += [f"{name:<12} {version(name) or 'missing'}" for name in PACKAGES]
    lines += [f"device       {line}" for line in devices()]
    for extra, packages in EXTRAS.items():
        there = all(version(package) for package in packages)
        lines.append(
            f"[{extra}]".ljust(13) + ("installed" if there else f"not installed: pip install 'ganrun[{extra}]'")
        )
    return "\n".join(lines)


def _leave_a_removed_folder() -> None:
    """Nothing is looked for here, but torch's libraries end a process whose current folder is gone."""
    try:
        os.getcwd()
    except OSError:
        os.chdir(os.sep)


def version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def devices() -> list[str]:
    try:
        import torch
    except (ImportError, OSError) as error:
        return [f"unknown: torch cannot be imported: {error}"]
    cpu = f"cpu, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
    cuda = [f"cuda:{n}, {torch.cuda.get_device_name(n)}" for n in range(torch.cuda.device_count())]
    return [cpu, *cuda, *(["mps"] if torch.backends.mps.is_available() else [])]
