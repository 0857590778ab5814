"""doctor: before a long run, are its data, networks and rates in order? A line each, with the way out."""

from __future__ import annotations

import itertools
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ganrun.common.errors import FailedChecks, UserError
from ganrun.common.log_capture import captured_log
from ganrun.common.seeding import Purpose, reseed
from ganrun.common.types import Config
from ganrun.systems.roles import Role
from ganrun.systems.system import Batch, Turn
from ganrun.training import runs
from ganrun.training.planning.late_step import ALL_PENALTIES
from ganrun.training.planning.measure import Choice, settled
from ganrun.training.planning.plan import plan
from ganrun.training.rendering import examples, load_batch
from ganrun.training.trainer import Trainer
from ganrun.training.watch.advice import tamer_game, with_rate
from ganrun.training.watch.measures import sight, spread

OK, WARN, FAIL = "ok", "warn", "FAIL"
FOR_TRAINING = ("resume", "init_from")
HASHED = 20_000  # pictures that are compared with each other
NAMED = 5  # files that are named; the others are counted
FAINT = 3  # levels of 255: a smaller standard deviation is noise on a single colour
NOISE, STRAY, UNSURE = (
    8,
    0.01,
    30,
)  # so few of its pixels more levels off; a larger standard deviation means more pixels
ENOUGH = 0.9  # accuracy of a discriminator that has only an untrained generator to tell from reals


class Line(NamedTuple):
    """One check: how it went, what it is about, what was seen and the way out."""

    state: str
    about: str
    seen: str

    def __str__(self) -> str:
        return f"{self.state:<5} {self.about:<14} {self.seen}"


def check(config: Config) -> None:
    """Refuse what cannot be trained, as `train` does: networks that do not fit the data are named here."""
    for key in FOR_TRAINING:
        if config[key] is not None:
            raise UserError(f"{key}={config[key]}: doctor looks at a run before it starts: leave it away")
    plan(config)


def examine(config: Config) -> str:
    """Print a line a check. Returns the sum of them, or raises FailedChecks with it."""
    with tempfile.TemporaryDirectory(prefix="ganrun-doctor-") as folder:
        config, choice = settled(config)
        trainer = runs.assemble({**config, "hooks": {}, "compile": False, "graphs": False}, Path(folder))
        trainer.system.train()
        lines = []
        for line in itertools.chain(lines_of(trainer, config), speed_of(choice)):
            print(line, flush=True)
            lines.append(line)
    bad = {state: [line.about for line in lines if line.state == state] for state in (FAIL, WARN)}
    if bad[FAIL]:
        raise FailedChecks(f"{len(bad[FAIL])} of {len(lines)} checks failed: {', '.join(bad[FAIL])}")
    return f"{len(lines)} checks, none failed" + (f"; look at: {', '.join(bad[WARN])}" if bad[WARN] else "")


def lines_of(trainer: Trainer, config: Config) -> Iterator[Line]:
    """Every check that has a meaning for this system and these data, in order: the later ones train a little."""
    data: Any = trainer.stream.data
    some = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))[: config["doctor"]["images"]]
    with captured_log("ganrun.data") as heard:  # of pictures that are decoded when they are drawn
        batch = data.take(some.to(data.device))
    yield from pictures(batch)
    yield from solid(data, batch, some)
    if data.names or data.faults or heard:
        yield files([*data.faults, *heard.warnings], data.unnamed_faults)
    yield duplicates(getattr(data, "kept", []), batch)
    labels = getattr(data, "labels", None)
    if labels is not None:
        yield balance(labels.cpu(), getattr(data, "class_names", []))
        yield visible(batch)
    yield from drawing(trainer)
    system = trainer.system
    judge = next((name for name in system.players() if system.role(name) is Role.DISCRIMINATOR), None)
    if judge is not None:
        yield judging(trainer, config, judge)
    yield from gradients(trainer, config)
    for player in system.players():
        if player != judge:
            yield moving(trainer, config, player)


def speed_of(choice: Choice) -> Iterator[Line]:
    """What was measured on this machine; a precision that was asked for and is slow here is a warning."""
    for key, reason in choice.reasons.items():
        if key in choice.settings:
            yield Line(OK, key, f"{key}={choice.settings[key]}: {reason}")
        else:
            yield Line(WARN, key, reason)


# -- the data -----------------------------------------------------------------------------------------------------


def pictures(batch: Batch) -> Iterator[Line]:
    """Raw pictures, uint8: do they use their range?"""
    for name, images in batch.items():
        if images.dtype != torch.uint8 or images.ndim != 4:
            continue
        low, high = images.min().item() / 127.5 - 1, images.max().item() / 127.5 - 1
        mean = images.float().mean().item() / 127.5 - 1
        state = WARN if high - low < 1 else OK
        hint = "; they use less than half of the range -1 to 1: were they scaled twice?" if state == WARN else ""
        yield Line(state, "data range", f"{name}: {len(images)} from {low:.2f} to {high:.2f}, mean {mean:.2f}{hint}")


def files(faults: Sequence[str], more: int) -> Line:
    """What was left out when the data were read; `more` faults are only counted."""
    if not faults:
        return Line(OK, "files", "none was left out")
    return Line(WARN, "files", f"{some_of(faults, '; ', more)}; mend them or take them out")


def some_of(words: Sequence[str], between: str, more: int = 0) -> str:
    """The first few, then how many more there are."""
    rest = len(words[NAMED:]) + more
    return between.join([*words[:NAMED], *([f"and {rest:,} more"] if rest else [])])


def solid(data: Any, batch: Batch, some: Tensor) -> Iterator[Line]:
    """Which pictures show nothing: among those in memory, or among a few where they are streamed."""
    whole = getattr(data, "images", None)
    if isinstance(whole, Tensor) and len(getattr(data, "kept", [])) == 1:  # sources and domains have no names
        batch, some = {"image": whole[:HASHED]}, torch.arange(min(HASHED, len(whole)))
    for name, images in batch.items():
        if images.dtype == torch.uint8 and images.ndim == 4:
            yield constant(name, images, [data.names[i] for i in some.tolist()] if data.names else [])


def constant(what: str, images: Tensor, names: Sequence[str]) -> Line:
    """How many pictures are of one colour, each channel by itself, or nearly."""
    parts = [levels_of(part) for part in images.split(500)]
    empty, faint = (torch.cat(each).cpu() for each in zip(*parts, strict=True))
    shares = {"of one colour": empty, "nearly of one colour": faint}
    share = (empty | faint).double().mean().item()
    text = ", ".join(f"{each.double().mean().item():.1%} are {word}" for word, each in shares.items() if each.any())
    named = some_of([repr(names[i]) for i in (empty | faint).nonzero().flatten().tolist()], ", ") if names else ""
    state = FAIL if share > 0.5 else WARN if share else OK
    hint = f"; take them out{f': {named}' if named else ''}" if share else ""
    return Line(state, "constant", f"{what}: {text or '0.0% are of one colour'}{hint}")


def levels_of(images: Tensor) -> tuple[Tensor, Tensor]:
    """(N, C, H, W) uint8 -> (N,) whether each channel is all one level, (N,) whether it nearly is: but for faint noise,
    or but for a few pixels.
    """
    flat = images.flatten(2)
    empty = (flat.amin(2) == flat.amax(2)).all(1)
    spread = flat.float().std(2, correction=0).amax(1)
    faint = spread < FAINT
    unsure = ((spread >= FAINT) & (spread < UNSURE)).nonzero().flatten()  # medians take long: only where they decide
    if len(unsure):
        few = flat[unsure].short()
        away = (few - few.median(2, keepdim=True).values).abs() > NOISE
        faint[unsure] = (away.float().mean(2) < STRAY).all(1)
    return empty, faint & ~empty


def duplicates(kept: list[object], batch: Batch) -> Line:
    """How many pictures are there twice, among those in memory, or among a few where they are streamed."""
    images = next((one for one in kept if isinstance(one, Tensor)), None)
    images = images[:HASHED] if images is not None else next(one for one in batch.values() if one.ndim == 4)
    weights = torch.randint(2**31, images[0].shape, generator=torch.Generator().manual_seed(0)).flatten()
    images = images.contiguous().view(torch.int32) if images.dtype == torch.float32 else images  # points: their bits
    sums = torch.cat([(part.flatten(1).cpu().long() * weights).sum(1) for part in images.split(500)])
    share = 1 - len(sums.unique()) / len(sums)
    state = FAIL if share > 0.5 else WARN if share > 0.01 else OK
    hint = "; a discriminator learns them by heart: take them out" if state != OK else ""
    return Line(state, "duplicates", f"{share:.1%} of {len(sums):,} pictures are there already{hint}")


def balance(labels: Tensor, names: list[str]) -> Line:
    """How much smaller the smallest class is than an equal share."""
    sizes = labels.bincount(minlength=len(names))
    least, most = int(sizes.argmin()), int(sizes.argmax())
    share = sizes[least].item() * len(names) / len(labels)
    state = FAIL if share == 0 else WARN if share < 0.2 else OK
    hint = "" if state == OK else "; add pictures of it, or leave the class away"
    text = f"{len(names)} classes, {names[least]} has {sizes[least]:,} pictures, {names[most]} {sizes[most]:,}{hint}"
    return Line(state, "label balance", text)


def visible(batch: Batch) -> Line:
    """Whether pictures that look alike have the same label more often than chance."""
    images = next(one for one in batch.values() if one.ndim == 4)
    seen = sight(images, batch["label"])
    state = OK if seen.errors >= 4 else WARN
    text = f"the most similar of {len(images)} other pictures has the same label {seen.share:.0%} of the time"
    hint = "; do dataset.labels belong to these pictures?" if state == WARN else ""
    return Line(state, "labels", f"{text}, by chance {seen.chance:.0%}{hint}")


# -- the networks -------------------------------------------------------------------------------------------------


def drawing(trainer: Trainer) -> Iterator[Line]:
    """Pictures of fixed inputs: of the data's size, and not all the same."""
    inputs = examples(trainer, 32)
    real = load_batch(trainer, 0)
    with torch.no_grad():  # in training mode: an untrained BatchNorm has no running means yet
        drawn = trainer.system.render(inputs).float()
    wanted = next((real[name] for name in ("image", "target", "b") if name in real), drawn)
    fits = drawn.shape[1:] == wanted.shape[1:]
    size, of = "×".join(map(str, drawn.shape[1:])), "×".join(map(str, wanted.shape[1:]))
    hint = "" if fits else f", the data have {of}: set dataset.image_size"
    yield Line(OK if fits else FAIL, "size", f"the networks draw {size}{hint}")
    if len(drawn) > 1 and fits:
        ratio = (spread(drawn) / spread(wanted).clamp_min(1e-9)).item()
        state = OK if ratio > 1e-3 else FAIL
        hint = "" if state == OK else "; the generator does not look at its input: check its first layer and its norm"
        yield Line(state, "samples differ", f"by {ratio:.2g} of what real pictures do, before any training{hint}")


def judging(trainer: Trainer, config: Config, judge: str) -> Line:
    """The discriminator alone, against pictures of a generator that never moves."""
    accuracy, step = 0.0, 0
    try:
        while step < config["doctor"]["steps"] and accuracy <= ENOUGH:
            for _ in range(10):
                step += 1
                play(trainer, ALL_PENALTIES + step, lambda turn: turn.player == judge)
            accuracy = trainer.meter.read_and_clear(step).get(f"{judge}/accuracy", 1.0)
    except FloatingPointError as error:
        return Line(FAIL, "discriminator", str(error))
    alone = f"alone, tells reals from an untrained generator's: accuracy {accuracy:.2f} after {step} steps"
    if accuracy > ENOUGH:
        return Line(OK, "discriminator", alone)
    noise = examples(trainer, 1).keys() <= {"latent", "label"}  # others may begin with pictures that are nearly real
    return Line(
        FAIL if noise else WARN, "discriminator", f"{alone}; try {with_rate(config, judge, 5)} or another model.{judge}"
    )


def gradients(trainer: Trainer, config: Config) -> Iterator[Line]:
    """Gradient norms of every player in float32, and in the precision that was asked for."""
    asked, found = trainer.settings.bf16, {}
    for bf16 in sorted({False, asked}):
        trainer.settings.bf16 = bf16
        name = config["precision"] if bf16 == asked else "fp32"
        norms = gradient_norms(trainer)
        found[name] = norms
        broken = [player for player, norm in norms.items() if not math.isfinite(norm)]
        text = ", ".join(f"{player} {norm:.2g}" for player, norm in norms.items())
        way = "precision=fp32" if bf16 else "a lower optimizer.lr, or loss=non_saturating"
        yield Line(FAIL if broken else OK, "gradients", f"{name}: {text}" + f"; try {way}" * bool(broken))
    trainer.settings.bf16 = asked


def gradient_norms(trainer: Trainer) -> dict[str, float]:
    """One turn of each player; their optimizers step."""
    norms: dict[str, float] = {}
    for step in range(ALL_PENALTIES, ALL_PENALTIES + 50):
        if norms.keys() == trainer.optimizers.keys():
            break
        play(trainer, step, lambda turn: turn.player not in norms)
        for player, optimizer in trainer.optimizers.items():
            grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
            if grads and player not in norms:
                norms[player] = nn.utils.get_total_norm(grads).item()
                optimizer.zero_grad(set_to_none=True)
    return norms


def moving(trainer: Trainer, config: Config, player: str) -> Line:
    """One step on a batch: weights move, and the loss on that batch and that noise falls."""
    batch = load_batch(trainer, 1)
    weights = [p for group in trainer.optimizers[player].param_groups for p in group["params"]]
    old = [weight.detach().clone() for weight in weights]
    turn = next(
        (
            t
            for step in range(ALL_PENALTIES, ALL_PENALTIES + 50)
            for t in trainer.system.turns(step)
            if t.player == player
        ),
        None,
    )
    if turn is None:
        return Line(WARN, player, "it does not move within 50 steps: look at loss.discriminator_steps")
    before = loss_of(trainer, player, batch)
    reseed(trainer.settings.seed, Purpose.DOCTOR_NOISE)
    trainer.play(turn, [batch])
    after = loss_of(trainer, player, batch)
    change = nn.utils.get_total_norm([new.detach() - was for new, was in zip(weights, old, strict=True)])
    moved = (change / nn.utils.get_total_norm(old).clamp_min(1e-12)).item()
    text = f"one step moves its weights by {moved:.2%}, its loss on that batch goes from {before:.4g} to {after:.4g}"
    if not math.isfinite(after) or not moved:
        return Line(FAIL, player, f"{text}; try {with_rate(config, player, 0.1 if moved else 10)}")
    if after >= before:
        return Line(WARN, player, f"{text}: no fall; try {with_rate(config, player, 0.25)} or {tamer_game(config)}")
    return Line(OK, player, text)


def loss_of(trainer: Trainer, player: str, batch: Batch) -> float:
    """What a player's turn minimises, with the noise that is always the same."""
    reseed(trainer.settings.seed, Purpose.DOCTOR_NOISE)
    for step in range(ALL_PENALTIES, ALL_PENALTIES + 50):
        for turn in trainer.system.turns(step):
            if turn.player == player:
                with torch.no_grad(), trainer.autocast():
                    return turn.objective(batch).total.item()
    return math.nan


def play(trainer: Trainer, step: int, wanted: Callable[[Turn], bool]) -> None:
    """The wanted turns of one step, on its own batch."""
    reseed(trainer.settings.seed, step)
    batch = trainer.prepare_batch(trainer.stream[step - ALL_PENALTIES])
    for turn in trainer.system.turns(step):
        if wanted(turn):
            trainer.play(turn, [batch])
