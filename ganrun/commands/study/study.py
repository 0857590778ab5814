"""`ganrun augment-study`: trains a classifier with and without a GAN's pictures, from several seeds."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganrun.commands.study.material import Material, gather
from ganrun.commands.study.report import FILES, Report
from ganrun.common.device import pick_device, set_threads
from ganrun.common.errors import UserError, nearest
from ganrun.common.folders import check_writable
from ganrun.common.plurals import plural
from ganrun.common.seeding import Purpose, generator
from ganrun.common.types import Config
from ganrun.data.dataset import Dataset
from ganrun.data.loading.stream import prepare
from ganrun.evaluation.classifier import Arm, classifier_of, tested, trained, transforms_of


def arms_of(ratios: Sequence[float]) -> list[Arm]:
    """All arms of a study. The others are compared with the first one."""
    mixed = [
        Arm(f"real+{ratio:g}x{'+classic' * classic}", True, ratio, classic)
        for ratio in ratios
        for classic in (False, True)
    ]
    alone = Arm("synthetic", False, max(ratios), False)
    return [Arm("real", True, 0, False), Arm("real+classic", True, 0, True), alone, *mixed]


def chosen_arms(config: Config) -> list[Arm]:
    """The arms that `arms` names, and always the arm `real`. Raises UserError for an unknown name."""
    arms = {arm.name: arm for arm in arms_of(config["ratios"])}
    for name in config["arms"] or ():
        if name not in arms:
            raise UserError(f"arms: there is no {name} with ratios={config['ratios']}; {nearest(name, arms)}")
    wanted = {"real", *(config["arms"] or arms)}
    return [arm for arm in arms.values() if arm.name in wanted]


# -- the command --------------------------------------------------------------------------------------------------


def check(config: Config) -> Path:
    """Check the data, the classifier and the output place before any training. Returns the place. Raises UserError."""
    device = pick_device(config["device"])
    out = Path(str(config["out"])).expanduser()
    if out.exists() and not out.is_dir():
        raise UserError(f"out={out} is a file: choose another name for the study's folder")
    if out.is_dir() and any(out.iterdir()) and not config["overwrite"]:
        raise UserError(f"out={out} is not empty: choose another folder, or overwrite=true")
    check_writable(out)
    arms = chosen_arms(config)
    material = gather(config)
    refuse_too_few(config, arms, material)
    transforms_of(config)
    try_classifier(config, material.train, device)
    return out


def study(config: Config) -> str:
    """Train every arm from every seed, and write the results. Returns the table. Raises UserError."""
    device, arms, material = pick_device(config["device"]), chosen_arms(config), gather(config)
    set_threads(config["threads"], math.prod(material.train.image_size))
    for note in material.notes:
        print(f"note: {note}", flush=True)
    most = max(count_of(arm, material.train) for arm in arms)
    pool = material.synthetic.take(most) if most else None
    report = Report(config, material, {arm.name: images_of(arm, material.train) for arm in arms})
    try:
        for seed in range(config["seeds"]):  # arms inside, so that after a stop all arms have the same seeds
            for arm in arms:
                start = time.monotonic()
                data = mixed(arm, material.train, pool, seed)
                accuracy = tested(trained(config, arm, data, seed, device), material.test, device)
                report.add(arm.name, seed, accuracy)
                seconds = time.monotonic() - start
                print(f"seed {seed}  {arm.name:<{report.width}}  {accuracy:7.2%}  ({seconds:.1f} s)", flush=True)
    except KeyboardInterrupt:
        print(f"stopped: {report.count} {plural('result', report.count)} in {report.out / FILES[0]}", flush=True)
        raise
    return report.finish()


def refuse_too_few(config: Config, arms: list[Arm], material: Material) -> None:
    """Raises UserError if an arm has fewer pictures than a batch, or `synthetic` fewer than `ratios` needs."""
    most, available = max(count_of(arm, material.train) for arm in arms), material.synthetic.available
    if available is not None and available < most:
        raise UserError(
            f"synthetic={config['synthetic']} holds {available} pictures, but ratios={config['ratios']} needs {most}: "
            "make more with ganrun synthesize per_class=…, or take smaller ratios"
        )
    least = min(sum(images_of(arm, material.train)) for arm in arms)
    if config["batch_size"] > least:
        raise UserError(
            f"batch_size={config['batch_size']} is larger than the data: {least} images; try batch_size={least}"
        )


# -- data of an arm -----------------------------------------------------------------------------------------------


def count_of(arm: Arm, train: Dataset) -> int:
    """How many synthetic pictures an arm has."""
    return max(1, round(arm.ratio * len(train))) if arm.ratio else 0


def images_of(arm: Arm, train: Dataset) -> tuple[int, int]:
    """How many real and how many synthetic pictures an arm has."""
    return len(train) if arm.real else 0, count_of(arm, train)


def mixed(arm: Arm, train: Dataset, pool: Dataset | None, seed: int) -> Dataset:
    """The training data of an arm: all real pictures, and synthetic pictures of `pool` that `seed` chooses."""
    parts = [train] if arm.real else []
    if arm.ratio and pool is not None:
        picks = torch.randperm(len(pool), generator=generator(seed, Purpose.STUDY_PICTURES))[: count_of(arm, train)]
        parts.append(Dataset(**renamed(pool.take(picks)), class_names=train.class_names))
    together = {key: torch.cat([part.take(torch.arange(len(part)))[key] for part in parts]) for key in KEYS}
    return Dataset(**renamed(together), class_names=train.class_names)


KEYS = {"image": "images", "label": "labels"}  # key in a batch -> argument of Dataset


def renamed(batch: dict[str, Tensor]) -> dict[str, Any]:
    return {KEYS[key]: tensor for key, tensor in batch.items()}


# -- one classifier -----------------------------------------------------------------------------------------------


def try_classifier(config: Config, train: Dataset, device: torch.device) -> None:
    """Run the classifier on two pictures. Raises UserError if it does not return (2, classes) logits."""
    network = classifier_of(config, 0, device)
    batch = prepare(train.take(torch.arange(2) % len(train)), device)
    try:
        logits = network(batch["image"].contiguous())
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise UserError(f"classifier: it cannot process these pictures: {str(error).splitlines()[0]}") from None
    found = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if found != [2, train.classes]:
        raise UserError(
            f"classifier: for 2 pictures of {train.classes} classes it returns {found}, not [2, {train.classes}] logits"
        )
    if not any(weight.requires_grad for weight in network.parameters()):
        raise UserError("classifier: it has no weights that can be trained")
