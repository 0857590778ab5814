"""ganrun from Python: `ganrun.train` trains a run, `ganrun.load` opens one; both return a `Run`."""

from __future__ import annotations

import contextlib
import json
import logging
import numbers
import operator
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ganrun.checkpoints.find import find_checkpoint
from ganrun.checkpoints.load import load_checkpoint
from ganrun.checkpoints.restore import load_system, pixels_of
from ganrun.cli import overrides
from ganrun.cli.run_command import use_config_dir
from ganrun.cli.run_train import folder_of, train_here
from ganrun.commands.train import train as train_command
from ganrun.common import torchrun
from ganrun.common.command_line import begin_line
from ganrun.common.device import pick_device, set_threads, threads_for
from ganrun.common.errors import UserError
from ganrun.common.folders import check_run_folder
from ganrun.common.precision import settings_kept
from ganrun.common.quoting import needs_no_quotes, quoted
from ganrun.common.regular_files import read_text
from ganrun.common.types import Config
from ganrun.config.build import FROM_A_FILE, targets
from ganrun.config.tree import group_choices
from ganrun.systems.drawing import draw, render
from ganrun.systems.system import System
from ganrun.systems.translation import PictureToPicture


class Run:
    """A checkpoint that is ready to draw.

    Attributes:
        checkpoint: the file that it came from.
        config: the whole config of the run, as plain dicts.
        step: how many steps it has trained.
        system: the game (a `torch.nn.Module`), in eval mode, on its device.
    """

    def __init__(self, checkpoint: Path, state: Config, system: System) -> None:
        self.checkpoint, self.config, self.system = checkpoint, state["config"], system
        self.step: int = state["progress"]["step"]
        self._threads, self._pixels = threads_for(None, state), pixels_of(state)

    def __repr__(self) -> str:
        return f"<ganrun.Run {self.checkpoint}, {type(self.system).__name__}, step {self.step}>"

    @property
    def folder(self) -> Path:
        """The folder of the run."""
        inside = self.checkpoint.parent.name == "checkpoints"
        return self.checkpoint.parent.parent if inside else self.checkpoint.parent

    @property
    def generator(self) -> nn.Module:
        """The network that draws, in eval mode. CycleGAN: a module that holds both."""
        return self.system.ema_module()

    def sample(
        self,
        n: int | None = None,
        *,
        seed: int = 0,
        labels: int | Sequence[int] | None = None,
        truncation: float | None = None,
        sweep: str | None = None,
        batch_size: int = 64,
    ) -> Tensor:
        """Draw pictures: (n, C, H, W) uint8 on the CPU, the same as `ganrun sample n= seed= labels=` writes.

        Args:
            n: how many pictures; None: 64, with `sweep` as many whole rows as 64 pictures have.
            seed: the same seed gives the same pictures, whatever the batch size and the device.
            labels: classes to draw, in turn, for a class-conditional model; None: all classes in turn.
            truncation: less variety and fewer odd pictures, as `ganrun sample truncation=`; None: no truncation.
            sweep: "c1", "c2", …: a code of InfoGAN to walk through, as `ganrun sample sweep=`; None: no sweep.
            batch_size: pictures drawn at a time. It changes speed and memory, not the pictures.

        Raises:
            UserError: for a model that draws from pictures, for labels or codes that it does not have, and for a
                truncation that it has no use for.
        """
        n = None if n is None else _whole("n", n, 1)
        seed, batch_size = _whole("seed", seed, 0), _whole("batch_size", batch_size, 1)
        given = labels if labels is None or isinstance(labels, (Sequence, Tensor)) else [labels]
        wanted = None if given is None else [_whole("labels", label, 0) for label in given]
        psi = None if truncation is None else _real("truncation", truncation)
        code = None if sweep is None else str(sweep)
        with _threads(self._threads, self._pixels):
            return torch.cat(list(render(self.system, draw(self.system, n, seed, wanted, psi, code), batch_size)))

    @torch.inference_mode()
    def translate(self, images: Tensor, *, direction: str | None = None) -> Tensor:
        """Restore, enlarge or translate pictures: (N, C, h, w) in [-1, 1] -> (N, C, H, W) in [-1, 1].

        Args:
            images: pictures of any size, with as many channels as the run was trained on.
            direction: "ab" or "ba" for a model that goes both ways, such as CycleGAN.

        Raises:
            UserError: for a model that draws from noise, and for a direction that there is not.
        """
        if not isinstance(self.system, PictureToPicture):
            raise UserError("this model draws from noise and takes no pictures: use sample()")
        device = next(self.system.parameters()).device
        try:
            return self.system.translate(images.to(device), direction)
        except ValueError as error:
            raise UserError(str(error)) from None


def load(
    run: str | os.PathLike[str] = "last",
    *,
    weights: str = "ema",
    device: str = "auto",
    trust: str | Sequence[str] = (),
) -> Run:
    """Open a run without its data set.

    Args:
        run: a folder of a run, the file of a checkpoint, or "last": the newest run under outputs/.
        weights: "ema" (the weight average, which draws better) or "raw".
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        trust: packages, besides ganrun and torch, whose classes the checkpoint may name. Their code is run.

    Raises:
        UserError: if there is no such run, or it cannot be opened.
    """
    if weights not in ("ema", "raw"):
        raise UserError(f"weights={weights!r} is unknown: ema or raw")
    if not isinstance(run, (str, os.PathLike)):
        raise UserError(f'run={run!r} must be a path or "last"')
    path = find_checkpoint(os.fspath(run), "run").absolute()
    state = load_checkpoint(str(path), "run")
    with _as_before():  # the system draws first weights, which the stored weights replace
        system = load_system(state, weights, _names(trust))
    return Run(path, state, system.to(pick_device(device)))


def train(
    *overrides_: str,
    out: str | os.PathLike[str] | None = None,
    config_dir: str | os.PathLike[str] | None = None,
    quiet: bool = False,
    **settings: Any,
) -> Run:
    """Train a run, as `ganrun train` does with the same settings. Returns it at its end.

    Args:
        overrides_: words of the command line: "loss.discriminator_steps=2".
        out: the folder of the run; None: outputs/<model>-<loss>/<time>.
        config_dir: a folder with yaml of your own; classes are found in it and beside it.
        quiet: print nothing. The log is in the folder of the run all the same.
        settings: any key of `ganrun train`, and any group: model="dcgan". A dict sets keys of a group, or of the choice
            that a group has: optimizer={"lr": 1e-4, "players": {"generator": {"lr": 5e-5}}}, grids={"count": 4}.
            To choose and to set at once, write the keys with their dots: loss="wgan_gp", **{"loss.penalties.…": 1}.

    Raises:
        UserError: for a setting that no run could use; nothing has been written then.
        UserError: if the watchdog or a hook stopped the run; it was saved.
        FloatingPointError: if a loss or a weight was no finite number any more.
        KeyboardInterrupt: if the run was interrupted; it was saved, and goes on with resume=.
    """
    if torchrun.launched():
        raise UserError("ganrun.train runs in one process: use torchrun … -m ganrun train for several")
    given = {**settings, **({} if out is None else {"out": os.fspath(out)})}
    begin_line()
    groups = group_choices(Path(config_dir).absolute() if config_dir is not None else None)
    words = [*overrides_, *(word for key, value in given.items() for word in _words_of(key, value, groups))]
    flags = [] if config_dir is None else ["--config-dir", os.fspath(config_dir)]
    request = overrides.read_command_line("train", [*words, *flags])
    if request.multirun or request.only_shows:
        raise UserError("ganrun.train trains one run: flags such as -m and --cfg are the command line's")
    use_config_dir(request.config_dir)
    (config,) = request.configs()
    if config["dry_run"]:
        raise UserError("dry_run=true prints a plan: ganrun train … dry_run=true on the command line")
    place = folder_of(request, config) or overrides.new_folder(request)
    check_run_folder(place, config["resume"])
    code = 0
    with _as_before():
        checked = train_command.check(config, place)
        if not checked.end:
            code, place = train_here(request, config, checked, _without_console if quiet else contextlib.nullcontext)
    if code >= 128:
        raise KeyboardInterrupt
    if code:
        said = json.loads(read_text(place / "status.json", 2**20)).get("reason") or f"exit code {code}"
        raise UserError(f"the run was stopped: {said}; it was saved, ganrun.load({str(place)!r}) opens it")
    return load(place, device=config["device"], trust=trusted_by(config, checked))


def trusted_by(config: Config, checked: train_command.Checked) -> Sequence[str]:
    """The run that was trained just now may use all classes that it was trained with."""
    named = {
        name.split(".")[0] for part in ("model", "loss") for name in targets(checked.job.config[part], FROM_A_FILE)
    }
    return [*_names(config["trust"]), *sorted(named)]


def _names(trust: str | Sequence[str]) -> list[str]:
    return [trust] if isinstance(trust, str) else list(trust)


def _whole(name: str, value: Any, least: int) -> int:
    """Python's and numpy's whole numbers as an int. Raises UserError that names the argument."""
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if isinstance(value, bool) or number < least:
        raise UserError(f"{name}={value} must be a whole number from {least} up")
    return number


def _words_of(key: str, value: Any, groups: Collection[str]) -> Iterator[str]:
    """key=value; for a dict in place of a choice one word a key: optimizer={"lr": 1} -> optimizer.lr=1."""
    inside = value.items() if key in groups and isinstance(value, Mapping) else None
    for name, item in ((key, value),) if inside is None else ((f"{key}.{name}", item) for name, item in inside):
        yield f"{name}={as_word(item)}"


def _real(name: str, value: Any) -> float:
    """Python's and numpy's numbers as a float. Raises UserError that names the argument."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise UserError(f"{name}={value!r} must be a number")
    return float(value)


def as_word(value: Any) -> str:
    """A Python value as Hydra's grammar reads it: None -> null, True -> true, text in quotes where it needs them."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {as_word(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(as_word, value)) + "]"
    if isinstance(value, numbers.Integral):  # numpy's too
        return str(int(value))
    if isinstance(value, numbers.Real):
        return repr(float(value))
    text = os.fspath(value) if isinstance(value, os.PathLike) else str(value)
    return text if needs_no_quotes(text) else quoted(text)


@contextlib.contextmanager
def _threads(count: int | None, pixels: int) -> Iterator[None]:
    """As many CPU threads as `ganrun sample` uses: sums of floats depend on it."""
    before = torch.get_num_threads()
    set_threads(count, pixels)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _as_before() -> Iterator[None]:
    """Give the caller back its logging, random numbers, threads and torch's switches as they were."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    threads = torch.get_num_threads()
    try:
        with settings_kept(), torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            yield
    finally:
        for handler in [handler for handler in root.handlers if handler not in handlers]:
            handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)
        torch.set_num_threads(threads)


@contextlib.contextmanager
def _without_console() -> Iterator[None]:
    """Print nothing; the run's own log file goes on."""
    with open(os.devnull, "w", encoding="utf-8", newline="\n") as nowhere, contextlib.redirect_stdout(nowhere):
        root = logging.getLogger()
        shown = [handler for handler in root.handlers if type(handler) is logging.StreamHandler]
        for handler in shown:
            root.removeHandler(handler)
        yield
