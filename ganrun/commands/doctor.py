"""`ganrun doctor`: checks data, networks and learning rates before a long run, with one line for each check."""

from __future__ import annotations

import itertools
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ganrun.common.errors import FailedChecks, UserError
from ganrun.common.images import HALF, eight_bits, to_unit
from ganrun.common.log_capture import captured_log
from ganrun.common.seeding import Purpose, reseed
from ganrun.common.types import Config
from ganrun.data.damaged import Damaged
from ganrun.data.dataset import Dataset
from ganrun.evaluation.damage_sheet import check_place, save_sheet
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
HASHED = 20_000  # the first so many pictures are compared with each other
NAMED = 5  # so many files are named; the others are only counted
FAINT = 3  # levels of 255; a picture with a smaller standard deviation has one colour with noise
# A picture nearly has one colour if less than STRAY of its pixels are more than NOISE levels from the median. With a
# standard deviation above UNSURE, more pixels must be.
NOISE, STRAY, UNSURE = 8, 0.01, 30
ENOUGH = 0.9  # accuracy that a discriminator must reach against an untrained generator


class Line(NamedTuple):
    """The result of one check."""

    state: str  # OK, WARN or FAIL
    about: str  # what was checked
    seen: str  # what was found, and what to do about it

    def __str__(self) -> str:
        return f"{self.state:<5} {self.about:<14} {self.seen}"


def check(config: Config) -> None:
    """Check the config as `train` does. Raises UserError, for example for networks that do not fit the data."""
    for key in FOR_TRAINING:
        if config[key] is not None:
            raise UserError(f"{key}={config[key]}: doctor checks a run before it starts: leave this key out")
    if config["doctor"]["sheet"] is not None:
        check_place(Path(config["doctor"]["sheet"]))
    plan(config)


def examine(config: Config) -> str:
    """Print a line for each check. Returns a summary. Raises FailedChecks, with the summary, if a check fails."""
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
    return f"{len(lines)} checks, none failed" + (f"; warnings: {', '.join(bad[WARN])}" if bad[WARN] else "")


def lines_of(trainer: Trainer, config: Config) -> Iterator[Line]:
    """All checks that apply to this system and these data. The last ones train the players for some steps."""
    data = trainer.stream.data
    assert isinstance(data, Dataset)
    some = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))[: config["doctor"]["images"]]
    with captured_log("ganrun.data") as heard:  # streamed pictures are decoded here, and broken ones are logged
        batch = data.take(some.to(data.device))
    yield from pictures(batch)
    yield from solid(data, batch, some)
    if data.names or data.faults or heard:
        yield files([*data.faults, *heard.warnings], data.unnamed_faults)
    yield duplicates(data.image_stores, batch)
    if data.labels is not None:
        yield balance(data.labels.cpu(), data.class_names)
        yield visible(batch)
    if isinstance(data, Damaged) and config["doctor"]["sheet"] is not None:
        yield damage(data, Path(config["doctor"]["sheet"]), config["seed"])
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
    """The values that were measured on this machine. A precision that the user chose and that is slow is a warning."""
    for key, reason in choice.reasons.items():
        if key in choice.settings:
            yield Line(OK, key, f"{key}={choice.settings[key]}: {reason}")
        else:
            yield Line(WARN, key, reason)


# -- the data -----------------------------------------------------------------------------------------------------


def pictures(batch: Batch) -> Iterator[Line]:
    """Whether the raw pictures use their range of values."""
    for name, images in batch.items():
        if images.ndim != 4 or (images.dtype not in HALF and images.shape[2:] == (1, 1)):
            continue
        units = to_unit(images)
        low, high, mean = units.min().item(), units.max().item(), units.mean().item()
        state = WARN if high - low < 1 else OK
        hint = "; they use less than half of the range from -1 to 1: were they scaled twice?" if state == WARN else ""
        yield Line(state, "data range", f"{name}: {len(images)} from {low:.2f} to {high:.2f}, mean {mean:.2f}{hint}")


def files(faults: Sequence[str], more: int) -> Line:
    """The files that were left out: `faults` are named, `more` is the number of further ones."""
    if not faults:
        return Line(OK, "files", "no file was left out")
    return Line(WARN, "files", f"{some_of(faults, '; ', more)}; repair or remove them")


def some_of(words: Sequence[str], between: str, more: int = 0) -> str:
    """The first `NAMED` words, joined by `between`, then how many more there are."""
    rest = len(words[NAMED:]) + more
    return between.join([*words[:NAMED], *([f"and {rest:,} more"] if rest else [])])


def solid(data: Dataset, batch: Batch, some: Tensor) -> Iterator[Line]:
    """Pictures of one colour, among those in memory, or among `batch` if the data are streamed."""
    whole = data.images
    if (
        isinstance(whole, Tensor) and len(whole) == len(data) and len(data.image_stores) == 1
    ):  # sources and domains have no names
        batch, some = {"image": whole[:HASHED]}, torch.arange(min(HASHED, len(whole)))
    for name, images in batch.items():
        if images.ndim == 4 and (images.dtype in HALF or images.shape[2:] != (1, 1)):
            yield constant(name, eight_bits(images), [data.names[i] for i in some.tolist()] if data.names else [])


def constant(what: str, images: Tensor, names: Sequence[str]) -> Line:
    """How many pictures have, or nearly have, one colour: the same value in all pixels of a channel."""
    parts = [levels_of(part) for part in images.split(500)]
    empty, faint = (torch.cat(each).cpu() for each in zip(*parts, strict=True))
    shares = {"of one colour": empty, "nearly of one colour": faint}
    share = (empty | faint).double().mean().item()
    text = ", ".join(f"{each.double().mean().item():.1%} are {word}" for word, each in shares.items() if each.any())
    named = some_of([repr(names[i]) for i in (empty | faint).nonzero().flatten().tolist()], ", ") if names else ""
    state = FAIL if share > 0.5 else WARN if share else OK
    hint = f"; remove them{f': {named}' if named else ''}" if share else ""
    return Line(state, "constant", f"{what}: {text or '0.0% are of one colour'}{hint}")


def levels_of(images: Tensor) -> tuple[Tensor, Tensor]:
    """(N, C, H, W) uint8 -> (N,) whether all channels are constant, (N,) whether they are nearly constant.

    Nearly constant means: with faint noise, or with a few pixels of another value.
    """
    flat = images.flatten(2)
    empty = (flat.amin(2) == flat.amax(2)).all(1)
    spread = flat.float().std(2, correction=0).amax(1)
    faint = spread < FAINT
    unsure = ((spread >= FAINT) & (spread < UNSURE)).nonzero().flatten()  # medians are slow, so only where they decide
    if len(unsure):
        few = flat[unsure].short()
        away = (few - few.median(2, keepdim=True).values).abs() > NOISE
        faint[unsure] = (away.float().mean(2) < STRAY).all(1)
    return empty, faint & ~empty


def duplicates(stores: Sequence[object], batch: Batch) -> Line:
    """How many pictures are duplicates, among those in memory, or among `batch` if the data are streamed."""
    images = next((one for one in stores if isinstance(one, Tensor)), None)
    images = images[:HASHED] if images is not None else next(one for one in batch.values() if one.ndim == 4)
    weights = torch.randint(2**31, images[0].shape, generator=torch.Generator().manual_seed(0)).flatten()
    images = images.contiguous().view(torch.int32) if images.dtype == torch.float32 else images  # points: their bits
    sums = torch.cat([(part.flatten(1).cpu().long() * weights).sum(1) for part in images.split(500)])
    share = 1 - len(sums.unique()) / len(sums)
    state = FAIL if share > 0.5 else WARN if share > 0.01 else OK
    hint = "; a discriminator memorises them: remove them" if state != OK else ""
    return Line(state, "duplicates", f"{share:.1%} of {len(sums):,} pictures are duplicates{hint}")


def balance(labels: Tensor, names: list[str]) -> Line:
    """The sizes of the smallest and the largest class."""
    sizes = labels.bincount(minlength=len(names))
    least, most = int(sizes.argmin()), int(sizes.argmax())
    share = sizes[least].item() * len(names) / len(labels)
    state = FAIL if share == 0 else WARN if share < 0.2 else OK
    hint = "" if state == OK else "; add pictures to the smallest class, or remove the class"
    text = (
        f"{len(names)} classes, {names[least]} has {sizes[least]:,} pictures, {names[most]} has {sizes[most]:,}{hint}"
    )
    return Line(state, "label balance", text)


def visible(batch: Batch) -> Line:
    """Whether similar pictures have the same label more often than by chance."""
    images = next(one for one in batch.values() if one.ndim == 4)
    seen = sight(images, batch["label"])
    state = OK if seen.errors >= 4 else WARN
    text = f"the most similar of {len(images)} pictures has the same label in {seen.share:.0%} of cases"
    hint = "; does dataset.labels belong to these pictures?" if state == WARN else ""
    return Line(state, "labels", f"{text}, by chance {seen.chance:.0%}{hint}")


def damage(data: Damaged, path: Path, seed: int) -> Line:
    """What the damage does, in decibels and as a picture."""
    try:
        values = save_sheet(data, path, seed)
    except OSError as error:
        raise UserError(f"doctor.sheet={path}: {error.strerror or error}") from error
    low, high = min(values), max(values)
    state = WARN if low == float("inf") else OK
    hint = "; it changes nothing: check its settings" if state == WARN else ""
    return Line(state, "damage", f"{data.name}: sources of {low:.1f} to {high:.1f} dB{hint}; pictures in {path}")


# -- the networks -------------------------------------------------------------------------------------------------


def drawing(trainer: Trainer) -> Iterator[Line]:
    """Whether generated pictures have the size of the data, and differ from each other."""
    inputs = examples(trainer, 32)
    real = load_batch(trainer, 0)
    with torch.no_grad():  # in training mode, because an untrained BatchNorm has no running means yet
        drawn = trainer.system.render(inputs).float()
    wanted = next((real[name] for name in ("image", "target", "b") if name in real), drawn)
    fits = drawn.shape[1:] == wanted.shape[1:]
    size, of = "×".join(map(str, drawn.shape[1:])), "×".join(map(str, wanted.shape[1:]))
    hint = "" if fits else f", but the data have {of}: set dataset.image_size"
    yield Line(OK if fits else FAIL, "size", f"the networks draw {size}{hint}")
    if len(drawn) > 1 and fits:
        ratio = (spread(drawn) / spread(wanted).clamp_min(1e-9)).item()
        state = OK if ratio > 1e-3 else FAIL
        hint = "" if state == OK else "; the generator ignores its input: check its first layer and its normalisation"
        yield Line(state, "samples differ", f"{ratio:.2g} times as much as real pictures, before any training{hint}")


def judging(trainer: Trainer, config: Config, judge: str) -> Line:
    """Whether the discriminator learns, when it is trained alone against an untrained generator."""
    accuracy, step = 0.0, 0
    try:
        while step < config["doctor"]["steps"] and accuracy <= ENOUGH:
            for _ in range(10):
                step += 1
                play(trainer, ALL_PENALTIES + step, lambda turn: turn.player == judge)
            accuracy = trainer.meter.read_and_clear(step).get(f"{judge}/accuracy", 1.0)
    except FloatingPointError as error:
        return Line(FAIL, "discriminator", str(error))
    alone = f"trained alone against an untrained generator: accuracy {accuracy:.2f} after {step} steps"
    if accuracy > ENOUGH:
        return Line(OK, "discriminator", alone)
    # systems that do not draw from noise may begin with pictures that look almost real
    noise = examples(trainer, 1).keys() <= {"latent", "label"}
    return Line(
        FAIL if noise else WARN, "discriminator", f"{alone}; try {with_rate(config, judge, 5)} or another model.{judge}"
    )


def gradients(trainer: Trainer, config: Config) -> Iterator[Line]:
    """Gradient norms of every player in float32, and in the precision of the config."""
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
    """The gradient norm of each player in one turn. Their optimizers step."""
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
    """Whether one step on a batch changes the weights, and lowers the loss on the same batch and noise."""
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
        return Line(WARN, player, "it is not trained within 50 steps: check loss.discriminator_steps")
    before = loss_of(trainer, player, batch)
    reseed(trainer.settings.seed, Purpose.DOCTOR_NOISE)
    trainer.play(turn, [batch])
    after = loss_of(trainer, player, batch)
    change = nn.utils.get_total_norm([new.detach() - was for new, was in zip(weights, old, strict=True)])
    moved = (change / nn.utils.get_total_norm(old).clamp_min(1e-12)).item()
    text = f"one step changes its weights by {moved:.2%} and its loss on that batch from {before:.4g} to {after:.4g}"
    if not math.isfinite(after) or not moved:
        return Line(FAIL, player, f"{text}; try {with_rate(config, player, 0.1 if moved else 10)}")
    if after >= before:
        return Line(
            WARN,
            player,
            f"{text}: the loss does not fall; try {with_rate(config, player, 0.25)} or {tamer_game(config)}",
        )
    return Line(OK, player, text)


def loss_of(trainer: Trainer, player: str, batch: Batch) -> float:
    """The loss of a player on a batch. The noise is the same at each call."""
    reseed(trainer.settings.seed, Purpose.DOCTOR_NOISE)
    for step in range(ALL_PENALTIES, ALL_PENALTIES + 50):
        for turn in trainer.system.turns(step):
            if turn.player == player:
                with torch.no_grad(), trainer.autocast():
                    return turn.objective(batch).total.item()
    return math.nan


def play(trainer: Trainer, step: int, wanted: Callable[[Turn], bool]) -> None:
    """Run those turns of a step for which `wanted` is true, on the batch of the step."""
    reseed(trainer.settings.seed, step)
    batch = trainer.prepare_batch(trainer.stream[step - ALL_PENALTIES])
    for turn in trainer.system.turns(step):
        if wanted(turn):
            trainer.play(turn, [batch])
