"""Tiny networks, one thread, no network access."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ganrun.cli.composition import compose_plain
from ganrun.config.schema import check
from ganrun.training.planning import measure

COLLECTED = pytest.StashKey[list[pytest.Item]]()  # every test, and those that -m left out, too
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.hookimpl(tryfirst=True)  # before -m takes the others away
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    config.stash[COLLECTED] = list(items)


@pytest.fixture(autouse=True, scope="session")
def an_interrupt_is_heard() -> None:
    """A shell starts a job in the background deaf to interrupts, and its processes would inherit that."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ganrun keeps for a user stays out of this user's home."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """A rank above 0 keeps silent: a test that plays one must not silence the tests after it."""
    logger = logging.getLogger("ganrun")
    level, propagate = logger.level, logger.propagate
    yield
    logger.setLevel(level)
    logger.propagate = propagate


@pytest.fixture(autouse=True)
def no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every precision and number of threads is as fast as any other: no test depends on the machine it runs on."""
    monkeypatch.setattr(measure.Passes, "fastest", lambda self, candidates, apply: dict.fromkeys(candidates, 1.0))
    monkeypatch.setattr(measure.Passes, "whole_step", lambda self: 1e-3)
    monkeypatch.setattr(measure, "KNOWN", {})
    monkeypatch.setattr(measure, "JOBS", {})


@pytest.fixture
def mnist_root() -> Path:
    """Real MNIST in torchvision's layout."""
    if not (SHARED / "MNIST").is_dir():
        pytest.skip("needs real MNIST at ../shared/data")
    return SHARED


@pytest.fixture(scope="session")
def vgg19(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The words that give a perceptual distance its weights: VGG19 up to conv1_2, made up (the true one is 548 MB)."""
    path = tmp_path_factory.mktemp("vgg19") / "vgg19.pth"
    state = {}
    for number, channels in ((0, 3), (2, 64)):
        layer = torch.nn.Conv2d(channels, 64, 3)
        state |= {f"features.{number}.{name}": weight.detach() for name, weight in layer.named_parameters()}
    torch.save(state, path)
    return [f"model.perceptual.weights={path}", "model.perceptual.layer=conv1_2"]


def shrink(node: Any) -> Any:
    """The same config with networks of a few channels."""
    if isinstance(node, dict):
        node = {key: shrink(value) for key, value in node.items()}
        if "base_channels" in node:
            node["base_channels"] = 4
        if "style_size" in node:
            node["style_size"] = 8
        if "widths" in node:
            node["widths"] = [min(width, 16) for width in node["widths"]]
        if "head_widths" in node:
            node["head_widths"] = [8]
        if "blocks" in node:
            node["blocks"] = 1
        if "pretrain_steps" in node:
            node["pretrain_steps"] = 2
        if "latent" in node:
            node["latent"]["size"] = 8
            if "encoder" in node:
                node["encoder"]["heads"] = 2 * 8
            inner = node["generator"].get("network", node["generator"])
            codes = sum(node["latent"].get(key, 0) for key in ("codes", "continuous"))  # of InfoGAN
            inner["latent_size"] = 8 + codes + node["generator"].get("embedding_size", 0)
    return node


@pytest.fixture
def tiny() -> Callable[..., dict[str, Any]]:
    """tiny("model=mlp", "steps=4") -> a checked train config on a few digits, small and quiet."""

    def compose(*overrides: str) -> dict[str, Any]:
        quick = ["dataset.limit=64", "batch_size=8", "grids.count=4", "log.every=2", "device=cpu"]
        quick += ["precision=fp32", "threads=1"]  # what a machine would choose is no function of the seed
        words = [word for word in quick if not any(o.startswith(word.split("=")[0] + "=") for o in overrides)]
        config = compose_plain("train", [*words, *overrides])
        check("train", config)
        return {**config, "model": shrink(config["model"])}

    return compose
