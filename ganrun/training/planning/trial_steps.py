"""rehearsal: a few turns of a run before it starts, to be thrown away: do its parts fit, and what do they take?"""

from __future__ import annotations

import re

import torch

from ganrun.common import torchrun
from ganrun.common.errors import UserError
from ganrun.common.types import Config
from ganrun.data.dataset import Dataset
from ganrun.data.loading.stream import prepare
from ganrun.systems.packing import pack_of
from ganrun.systems.system import Batch
from ganrun.training.planning import estimates
from ganrun.training.planning.activations import most_of_a_step
from ganrun.training.planning.late_step import ALL_PLAYERS
from ganrun.training.planning.systems import Systems

REHEARSED = (*range(5), ALL_PLAYERS)  # steps: the first ones, and one after all warm-up phases
REHEARSABLE = 50_000_000  # weights: beyond that real turns would take too long to wait for


def rehearse(config: Config, dataset: Dataset, systems: Systems) -> int | None:
    """Bytes that the turns of a step take besides weights and gradients; None where that cannot be found out.

    Turns with two images are played first. Raises UserError where the parts do not fit each other.
    A user's own classes meet real numbers only: what they keep outside of themselves would be empty tensors for ever.
    """
    share = config["batch_size"] // torchrun.size()
    weights = sum(weight.numel() for weight in systems.on_meta.parameters())
    kept = saved(config, dataset, systems, share) if weights <= REHEARSABLE else None
    if not systems.ours:
        return kept
    items = given(dataset)
    shapes = tuple((name, tuple(tensor.shape[1:]), tensor.dtype) for name, tensor in items.items())
    bf16 = config["precision"].startswith("bf16")
    found = most_of_a_step(systems.on_meta, shapes, share, config.get("accumulate", 1), bf16)
    return found if found is not None else kept


def given(dataset: Dataset, count: int = 2) -> Batch:
    """A few items as a turn gets them."""
    raw = dataset.take(torch.arange(count) % len(dataset))
    return dataset.transform(prepare(raw, torch.device("cpu")))


def saved(config: Config, dataset: Dataset, systems: Systems, share: int) -> int:
    """Bytes that real turns keep for their backward passes, told from two and four images, or packs of images."""
    system, bf16 = systems.copy(), config["precision"].startswith("bf16")
    pack = pack_of(system)

    def most(images: int, step: int) -> int:
        return estimates.saved(system, system.turns(step), given(dataset, pack * images), bf16)

    try:
        two = {step: most(2, step) for step in REHEARSED}
        largest = max(two, key=two.__getitem__)
        return estimates.extrapolated(two[largest], most(4, largest), share // pack)
    except UserError:
        raise
    except (RuntimeError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
        reason = unmet(error) or (str(error).splitlines() or [type(error).__name__])[0]
        if isinstance(error, KeyError) and error.args[0] == "image":
            names = ", ".join(dataset.take(torch.arange(2) % len(dataset)))
            reason = f"this model needs image, but the data give {names}: choose another model= or dataset="
        raise UserError(f"model: the parts do not fit each other: {reason}") from None
    except OSError as error:  # a file that is opened when it is first needed
        raise UserError(str(error)) from None


def unmet(error: Exception) -> str | None:
    """Which part wants what nobody gives it, as labels where there are no classes; None for any other error."""
    found = re.search(r"(\w+)\.forward\(\) missing .*: '(\w+)'", str(error))
    if found is None:
        return None
    way = ": is model.classes=${dataset.classes}?" if found[2] == "labels" else ""
    return f"{found[1]} wants {found[2]}, which this model does not give it{way}"
