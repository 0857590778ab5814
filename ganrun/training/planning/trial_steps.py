"""Runs a few trial steps before a run starts: do its parts fit each other, and how much memory do they need?"""

from __future__ import annotations

import re

import torch

from ganrun.common import torchrun
from ganrun.common.errors import UserError
from ganrun.common.types import Config
from ganrun.data.dataset import Dataset
from ganrun.data.loading.stream import prepare
from ganrun.systems.packing import pack_of
from ganrun.systems.system import Batch, System
from ganrun.training.planning import estimates
from ganrun.training.planning.activations import peak_of_a_step
from ganrun.training.planning.late_step import ALL_PLAYERS
from ganrun.training.planning.systems import Systems

TRIAL_STEPS = (*range(5), ALL_PLAYERS)  # step numbers: the first ones, and one after all warm-up phases
MOST_WEIGHTS = 50_000_000  # the real turns of larger networks would take too long before a run


def run_trial_steps(config: Config, dataset: Dataset, systems: Systems) -> int | None:
    """Peak bytes of the tensors that a step makes, without weights and gradients. None if they cannot be counted.

    They are counted once for a run: `systems` keeps the answer for a later plan of the same run with another length.
    Raises UserError if the parts do not fit each other.
    """
    share, bf16 = config["batch_size"] // torchrun.size(), config["precision"].startswith("bf16")
    asked = share, config.get("accumulate", 1), bf16
    if asked not in systems.trials:
        systems.trials[asked] = trial(config, dataset, systems, *asked)
    return systems.trials[asked]


def trial(config: Config, dataset: Dataset, systems: Systems, share: int, accumulate: int, bf16: bool) -> int | None:
    """First, turns run with real tensors of two images. Then a step on a whole batch runs with fake tensors.

    Fake tensors need no memory. A user's own class gets none: it may store one outside of its instances, where the run
    would find it later.
    """
    weights = sum(weight.numel() for weight in systems.on_meta.parameters())
    saved = bytes_of_real_turns(config, dataset, systems, share) if weights <= MOST_WEIGHTS else None
    if not systems.ours:
        return saved
    items = first_items(dataset)
    shapes = tuple((name, tuple(tensor.shape[1:]), tensor.dtype) for name, tensor in items.items())
    found = peak_of_a_step(systems.on_meta, shapes, share, accumulate, bf16)
    return found if found is not None else saved


def first_items(dataset: Dataset, count: int = 2) -> Batch:
    """The first `count` items, prepared as a turn gets them: float images in [-1, 1], on the CPU."""
    raw = dataset.take(torch.arange(count) % len(dataset))
    return dataset.transform(prepare(raw, torch.device("cpu")))


def bytes_of_real_turns(config: Config, dataset: Dataset, systems: Systems, share: int) -> int:
    """Bytes that autograd saves for the backward passes of a step on `share` images.

    They are extrapolated from turns on two and on four images, or packs of images. Raises UserError if the parts do
    not fit each other.
    """
    system, bf16 = systems.copy(), config["precision"].startswith("bf16")
    pack = pack_of(system)

    def saved(images: int, step: int) -> int:
        return estimates.saved_bytes(system, system.turns(step), first_items(dataset, pack * images), bf16)

    try:
        two = {step: saved(2, step) for step in TRIAL_STEPS}
        largest = max(two, key=two.__getitem__)
        return estimates.extrapolate(two[largest], saved(4, largest), share // pack)
    except UserError:
        raise
    except (RuntimeError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
        reason = missing_input(error) or (str(error).splitlines() or [type(error).__name__])[0]
        if isinstance(error, KeyError) and error.args[0] == "image":
            names = ", ".join(dataset.take(torch.arange(2) % len(dataset)))
            reason = f"this model needs image, but the data give {names}: choose another model= or dataset="
        raise UserError(f"model: the parts do not fit each other: {reason}") from None
    except OSError as error:  # some parts open a file at their first use
        raise UserError(f"{place_of(error, system)}{error}") from None


def place_of(error: OSError, system: System) -> str:
    """ "model.perceptual." for a file of the system's part `perceptual`; "" where the error does not name its part."""
    owner = getattr(error, "owner", None)
    return next((f"model.{name}." for name, part in system.named_modules() if name and part is owner), "")


def missing_input(error: Exception) -> str | None:
    """A line for a network whose `forward` needs an input that the system does not give it. None for other errors."""
    found = re.search(r"(\w+)\.forward\(\) missing .*: '(\w+)'", str(error))
    if found is None:
        return None
    way = ": is model.classes=${dataset.classes}?" if found[2] == "labels" else ""
    return f"{found[1]} needs {found[2]}, which this model does not give it{way}"
