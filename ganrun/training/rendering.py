"""Pictures for hooks: the run's data and fixed examples, drawn with the averaged weights in eval mode."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ganrun.common.seeding import Purpose, reseed
from ganrun.data.loading.stream import Batch, Stream, cut, prepare
from ganrun.systems.translation import Compared, PictureToPicture

if TYPE_CHECKING:
    from ganrun.training.trainer import Trainer

SMALLEST_DRAWN = 8  # pictures: fewer at once would be slow, and without gradients they take little memory


def load_batch(trainer: Trainer, step: int) -> Batch:
    """Batch `step` of the data, that of all ranks, on the device: images in [-1, 1], not mirrored."""
    stream = trainer.stream
    if trainer.world.size > 1:
        stream = Stream(stream.data, stream.batch_size, trainer.settings.seed)
    return stream.data.transform(prepare(stream[step], trainer.device))


def examples(trainer: Trainer, count: int) -> Batch:
    """Inputs of `render`: the same at every call and after every resume. Training's randomness is not touched."""
    with torch.random.fork_rng(devices=[trainer.device] if trainer.device.type == "cuda" else []):
        reseed(trainer.settings.seed, Purpose.EXAMPLES)
        found = trainer.system.examples(load_batch(trainer, 0), count)
    return {name: tensor.to(trainer.device) for name, tensor in found.items()}


def many_examples(trainer: Trainer, count: int) -> Batch:
    """As `examples`, from as many batches as it takes: `count` of them, or as many as the data have."""
    size = trainer.stream.batch_size
    batches = -(-min(count, len(trainer.stream.data)) // size)
    with torch.random.fork_rng(devices=[trainer.device] if trainer.device.type == "cuda" else []):
        reseed(trainer.settings.seed, Purpose.EXAMPLES)
        found = [trainer.system.examples(load_batch(trainer, number), size) for number in range(max(1, batches))]
    return {name: torch.cat([part[name] for part in found])[:count].to(trainer.device) for name in found[0]}


def render(trainer: Trainer, inputs: Batch) -> Tensor:
    """Examples -> (N, C, H, W) images in [-1, 1], drawn with the averaged weights in eval mode."""
    with averaged_weights(trainer):
        return torch.cat([trainer.system.render(part).float() for part in _parts(trainer, inputs)])


def compared(trainer: Trainer, inputs: Batch) -> list[Compared]:
    """Examples of a system that gets pictures -> for each direction sources, translations and targets."""
    system = trainer.system
    assert isinstance(system, PictureToPicture)
    with averaged_weights(trainer):
        drawn = [system.compared(part) for part in _parts(trainer, inputs)]
    return [tuple(map(torch.cat, zip(*parts, strict=True))) for parts in zip(*drawn, strict=True)]  # type: ignore[misc]


def panels(trainer: Trainer, inputs: Batch) -> dict[str, Tensor]:
    """What a grid shows side by side, {heading: (N, C, H, W) images in [-1, 1]} on the CPU, drawn as `render` draws.

    Where the system names no panels, the headings are blank.
    """
    with averaged_weights(trainer):
        drawn = [_named(trainer.system.panels(part)) for part in _parts(trainer, inputs)]
        return {name: torch.cat([part[name].float().cpu() for part in drawn]) for name in drawn[0]}


def _named(panels: list[Tensor] | dict[str, Tensor]) -> dict[str, Tensor]:
    """The panels of a system that has headings, or that has none: blanks, of which each is another."""
    return panels if isinstance(panels, dict) else {" " * number: panel for number, panel in enumerate(panels)}


@torch.no_grad()
def verdicts(trainer: Trainer, images: Tensor, inputs: Batch) -> Tensor | None:
    """(N, C, H, W) images rendered from examples -> (N,) the discriminator's logit of each, in eval mode."""
    trainer.system.eval()
    try:
        if not trainer.system.takes_pictures:  # its discriminator may compare the images of a batch
            return trainer.system.verdicts(images, inputs)
        parts = _parts(trainer, {**inputs, "": images})
        logits = [trainer.system.verdicts(part.pop(""), part) for part in parts]
        return (
            None if any(one is None for one in logits) else torch.cat([one.cpu() for one in logits if one is not None])
        )
    finally:
        trainer.system.train()


@contextlib.contextmanager
def averaged_weights(trainer: Trainer) -> Iterator[None]:
    """Within this block the system is in eval mode with the averaged weights, and autograd is off."""
    trainer.system.eval()
    try:
        with torch.no_grad(), trainer.average.applied():
            yield
    finally:
        trainer.system.train()


def _parts(trainer: Trainer, inputs: Batch) -> list[Batch]:
    """Inputs in parts as large as those of a turn, on the device: a grid takes no more memory there than training."""
    share = trainer.stream.batch_size // (trainer.world.size * trainer.settings.accumulate)
    count = max((len(tensor) for tensor in inputs.values()), default=1)
    parts = cut(inputs, max(1, -(-count // max(SMALLEST_DRAWN, share))))
    return [{name: tensor.to(trainer.device) for name, tensor in part.items()} for part in parts]
