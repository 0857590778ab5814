"""Versions of packages, and the devices of this machine."""

from __future__ import annotations

import importlib.metadata

PACKAGES = ("torch", "torchvision", "hydra-core", "omegaconf", "tensorboard", "numpy", "pillow", "tqdm")
EXTRAS = {
    "celeba": ("gdown",),
    "parallel": ("hydra-joblib-launcher",),
    "plot": ("matplotlib",),
    "fid": ("torch-fidelity",),
}
INSTALL = "pip install 'ganrun[plot]'"


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
