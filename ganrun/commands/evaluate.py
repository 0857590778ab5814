"""`ganrun eval`: scores how close the pictures of a run, or a set of pictures, are to real ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganrun.checkpoints.find import find_checkpoint
from ganrun.checkpoints.load import load_checkpoint
from ganrun.checkpoints.restore import load_system, pixels_of
from ganrun.common import images
from ganrun.common.device import pick_device, set_threads, threads_for
from ganrun.common.distributed import World
from ganrun.common.errors import UserError, nearest
from ganrun.common.folders import check_writable
from ganrun.common.output_places import check_free
from ganrun.common.precision import set_precision
from ganrun.common.terminal import bar
from ganrun.common.types import Config
from ganrun.data.dataset import Dataset
from ganrun.evaluation.fidelity import NAMES, WITHOUT_FILES
from ganrun.evaluation.metrics.neighbours import nearest as nearest_of
from ganrun.evaluation.paired_scores import picture_scores, write_csv
from ganrun.evaluation.path_lengths import path_lengths
from ganrun.evaluation.picture_sets import learnt_from, like_reals, read_set, refuse_unlike
from ganrun.evaluation.reals import data_of, labels_like, say
from ganrun.evaluation.results import Result, read, table, write
from ganrun.evaluation.scorer import Scorer, file_hash, images_of, picked, slow_scores, too_few_for
from ganrun.evaluation.scores import SCORES, WITH_TARGETS
from ganrun.systems.drawing import draw, help_to_draw, render
from ganrun.systems.translation import PictureToPicture

SHOWN, NEIGHBOURS = 16, 5  # rows of x.nearest.png, one sample each, and training pictures in a row


# -- the command ----------------------------------------------------------------------------------------------------


def check(config: Config) -> Path | None:
    """Check the files, the names of scores and the output place before drawing. Returns the place. Raises UserError."""
    pick_device(config["device"])
    for name in names_of(config["scores"]) or ():
        if name not in SCORES and name not in NAMES and name != "all":
            raise UserError(f"scores={name} is unknown; {nearest(name, [*SCORES, *NAMES, 'all'])}")
        if name in NAMES and config["ckpt"] is None and config["compare"] is None:
            raise UserError(f"scores={name} needs {WITH_TARGETS}")
        if name == "lpips" and not config["lpips"]["weights"]:
            raise UserError(f"scores=lpips needs its files: {WITHOUT_FILES}")
    for place in listed(config["compare"]):
        read(place)
    for path in checkpoints(config):
        load_checkpoint(str(path), "ckpt")
    for key in ("real", "fake", "train"):
        if config[key] is not None and not Path(str(config[key])).expanduser().exists():
            raise UserError(f"{key}={config[key]}: there is no such folder, .zip or .npz")
    if config["out"] is None:
        return None
    out = Path(str(config["out"])).expanduser()
    if out.suffix != ".json" or out.is_dir():
        raise UserError(f"out={out}: scores are written as JSON: out=x.json")
    check_free(out, config["overwrite"])
    check_writable(out.parent)
    return out


def evaluate(config: Config, world: World | None = None) -> str:
    """Compute the scores that the config asks for. Returns the lines to print. Writes them to `out`, if given.

    All ranks of `world` draw samples of a run; the first one computes the scores. Raises UserError.
    """
    world = world or World()
    set_precision("fp32", pick_device(config["device"]))
    config = {**config, "scores": names_of(config["scores"])}
    if config["compare"] is not None:
        results = [result for place in listed(config["compare"]) for result in read(place)]
    elif config["real"] is not None:
        results = [of_sets(config)]
    else:
        results = [result for path in checkpoints(config) if (result := of_run(config, path, world))]
    if not world.first:
        return ""
    if config["out"] is not None and config["compare"] is None:
        write(results, Path(str(config["out"])).expanduser())
    return "\n".join(table(results) if len(results) > 1 else results[0].lines())


def names_of(scores: str | list[str] | None) -> list[str] | None:
    return [scores] if isinstance(scores, str) else scores


def listed(value: Any) -> list[str]:
    return [] if value is None else [str(item) for item in value] if isinstance(value, list) else [str(value)]


def checkpoints(config: Config) -> list[Path]:
    """The checkpoints that `ckpt` names: a file, a run, last, a list of these, or the folder of a sweep."""
    found: list[Path] = []
    for reference in listed(config["ckpt"]):
        folder = Path(reference).expanduser()
        jobs = sorted(folder.glob("*/checkpoints/last.pt")) if folder.is_dir() else []
        own = (folder / "checkpoints").is_dir() or (folder / "last.pt").is_file()
        found += jobs if jobs and not own else [find_checkpoint(reference, "ckpt")]
    return found


# -- a run ----------------------------------------------------------------------------------------------------------


def of_run(config: Config, path: Path, world: World | None = None) -> Result | None:
    """The scores of one checkpoint. None on the ranks that only help to draw. Raises UserError."""
    world = world or World()
    state = load_checkpoint(str(path), "ckpt")
    set_threads(threads_for(config["threads"], state), pixels_of(state))
    device = pick_device(config["device"])
    system = load_system(state, config["weights"], config["trust"]).to(device)
    reals, train, origin = data_of(config, state)
    origin |= {"weights": config["weights"], "batchnorm": "running statistics"}
    about = {"checkpoint": str(path), "checkpoint_sha256": file_hash(path), "step": state["progress"]["step"]}
    about["images"] = state["progress"]["images"]
    if isinstance(system, PictureToPicture):
        if not world.first:
            return None
        result, each, notes = picture_scores(config, system, reals, origin, about)
        say(notes)
        if config["out"] is not None:
            write_csv(each, pictures_csv(config, path))
        return result
    for name in config["scores"] or ():
        if name in NAMES:
            raise UserError(f"scores={name} needs {WITH_TARGETS}")
    if "image" not in reals.take(torch.tensor([0])):
        raise UserError(f"ckpt={path}: this model draws single pictures, but its data set has none")
    labels = labels_like(system, picked(reals, config["n_real"], config["seed"]), path)
    inputs = draw(system, config["n"], config["seed"], labels)
    drawn = render(system, inputs, config["batch_size"], world)
    if not world.first:
        help_to_draw(drawn)
        return None
    scorer = scorer_of(config, reals, train, device, origin)
    too_few_for(scorer, config["n"])
    say(slow_scores(scorer))
    drawn = with_progress(drawn, config["n"])
    values = scorer.score(drawn, inputs.get("label"), path_lengths(system, config) if "latent" in inputs else None)
    if shows_copies(config):
        spread = some_rows(config["n"])
        shown = next(render(system, {name: part[spread] for name, part in inputs.items()}, SHOWN))
        save_nearest(scorer, shown, Path(str(config["out"])).expanduser())
    return result_of(scorer, values, config["n"], about)


def pictures_csv(config: Config, path: Path) -> Path:
    """x.pictures.csv beside out=x.json; x.pictures.2.csv for the second of several checkpoints."""
    places = checkpoints(config)
    number = f".{places.index(path) + 1}" if len(places) > 1 else ""
    return Path(str(config["out"])).expanduser().with_suffix(f".pictures{number}.csv")


def result_of(scorer: Scorer, values: dict[str, float], count: int, about: Config) -> Result:
    floors = scorer.floor(count)
    say(dict.fromkeys(scorer.notes))
    scorer.notes.clear()
    return Result(about, values, floors, scorer.floor_is(count), scorer.protocol(count), scorer.settings(count))


_scorers: dict[str, Scorer] = {}  # only the last one, because the runs of a sweep have the same real pictures


def scorer_of(
    config: Config,
    reals: Dataset,
    train: Dataset | None,
    device: torch.device,
    origin: Config,
    originals: Dataset | None = None,
) -> Scorer:
    kept = {key: config[key] for key in ("scores", "seed", "n_real", "features", "kid", "splits", "tstr", "cache")}
    key = json.dumps([kept, origin, str(device), id(reals), id(train), id(originals)], default=str)
    if key not in _scorers:
        _scorers.clear()
        _scorers[key] = Scorer(config, reals, train, device, origin, originals)
        accuracy = _scorers[key].network.about.get("accuracy")
        if accuracy is not None:
            say(
                [f"features of {_scorers[key].network.name}: {accuracy:.2%} accuracy on pictures it was not trained on"]
            )
    return _scorers[key]


def with_progress(batches: Iterator[Tensor], count: int) -> Iterator[Tensor]:
    with bar(total=count, unit="picture", disable=None, leave=False) as shown:
        for batch in batches:
            yield batch
            shown.update(len(batch))


def shows_copies(config: Config) -> bool:
    return config["out"] is not None and wants_copying(config)


def wants_copying(config: Config) -> bool:
    return bool({"copying", "all"} & {*(config["scores"] or ())})


def some_rows(count: int) -> Tensor:
    """Up to SHOWN places from 0 to count - 1, spread evenly."""
    return torch.linspace(0, count - 1, min(SHOWN, count)).long()


def save_nearest(scorer: Scorer, samples: Tensor, out: Path) -> None:
    """Write out.nearest.png: in each row, a sample and the training pictures with the nearest features."""
    train, learnt = scorer.reals, scorer.real.seen.features
    if scorer.originals is not None:
        train, learnt = scorer.originals, scorer.for_copying()[0]
    which = nearest_of(scorer.network([samples]).features, learnt, min(NEIGHBOURS, len(train)))[1].cpu()
    rows = [torch.cat([sample[None], learnt_at(train, row)]) for sample, row in zip(samples, which, strict=True)]
    images.save_png(images.grid(torch.cat(rows), len(rows[0])), out.with_suffix(".nearest.png"))


def learnt_at(train: Dataset, places: Tensor) -> Tensor:
    """(n,) -> (n, C, H, W) the training pictures there, in 8 bits; from len(train) on, these are the mirrored ones."""
    learnt = train.take(places % len(train))["image"]
    learnt = images.eight_bits(learnt) if train.is_deep else learnt
    return torch.where((places >= len(train))[:, None, None, None], learnt.flip(-1), learnt)


# -- two sets of pictures -------------------------------------------------------------------------------------------


def of_sets(config: Config) -> Result:
    """The scores of fake= against real=. Raises UserError."""
    wish = (config["image_size"], config["channels"])
    (reals, way), (fakes, other) = (read_set(config[key], key, *wish) for key in ("real", "fake"))
    refuse_unlike(reals, fakes)
    train, told = learnt_from(config["train"], reals)
    if train is not None:
        say(told if wants_copying(config) else ["train= is for scores=[copying], and changes no other score"])
    device = pick_device(config["device"])
    set_threads(config["threads"], reals.image_size[0] * reals.image_size[1])
    origin = {"real": "pictures", "real_split": None, "resizer": way if way == other else f"real: {way}; fake: {other}"}
    scorer = scorer_of(config, reals, None, device, origin, train)
    labels = like_reals(reals, fakes)
    if fakes.labels is not None and reals.labels is not None and labels is None:
        say(["the classes of the fake pictures are not those of the real ones: labels are not used"])
    fakes = picked(Dataset(fakes.images, labels, reals.class_names), config["n"], config["seed"])
    too_few_for(scorer, len(fakes))
    say(slow_scores(scorer))
    values = scorer.score(images_of(fakes), fakes.labels)
    if train is not None and shows_copies(config):
        save_nearest(scorer, fakes.take(some_rows(len(fakes)))["image"], Path(str(config["out"])).expanduser())
    about = {key: str(config[key]) for key in ("real", "fake", "train") if config[key] is not None}
    return result_of(scorer, values, len(fakes), about)
