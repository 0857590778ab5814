"""Reads the yaml files of conf/ as text: the groups, their choices and their keys. Needs neither Hydra nor torch."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import yaml

from ganrun.common.types import Config

GROUPS = ("experiment", "dataset", "model", "loss", "optimizer", "schedule", "hooks", "classifier", "features")


def conf_folder() -> Path:
    """The folder of ganrun's own yaml: ganrun/conf in an installed wheel, conf/ beside ganrun/ in a clone."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


@lru_cache
def group_choices(config_dir: Path | None = None, page: str = "train") -> dict[str, dict[str, str]]:
    """{"loss": {"hinge": "its first line", ...}, ...}: the groups of a command, their choices, a line for each choice.

    The choices come from ganrun's own yaml and from the user's `config_dir`. `page` is the name of the command's yaml.
    """
    found: dict[str, dict[str, str]] = {name: {} for name in GROUPS}
    for folder in (conf_folder(), config_dir):
        if folder is None:
            continue
        for path in sorted(folder.rglob("*.yaml"), key=lambda path: (len(path.parts), path)):  # paper/ after the others
            *parents, name = path.relative_to(folder).with_suffix("").parts
            if parents and parents[0] != "hydra" and "shared" not in parents and path.is_file():
                group = found.setdefault(parents[0], {})
                group.setdefault("/".join([*parents[1:], name]), description(path))
    used = groups_of(page)
    return {name: found[name] for name in found if name in used or not (conf_folder() / name).is_dir()}


def groups_of(page: str) -> set[str]:
    """The groups in the defaults list of a command's yaml, `page`, and of the yaml that it includes."""
    text = (conf_folder() / f"{page}.yaml").read_text(encoding="utf-8")
    return set(re.findall(r"^  - (\w+): ", text, re.MULTILINE)).union(*map(groups_of, parents_of(page)))


def parents_of(page: str) -> set[str]:
    """The yaml of other commands that the yaml of this command includes."""
    text = (conf_folder() / f"{page}.yaml").read_text(encoding="utf-8")
    return set(re.findall(r"^  - ([a-z]\w*)$", text, re.MULTILINE))


def hidden_by_ours(config_dir: Path) -> list[str]:
    """The user's yaml files that are never read, because ganrun has a file of the same name."""
    own = conf_folder()
    return [
        str(path.relative_to(config_dir))
        for path in sorted(config_dir.rglob("*.yaml"))
        if (own / path.relative_to(config_dir)).exists()
    ]


def description(path: Path) -> str:
    """The line of a yaml file for --help: its first comment line that is not for Hydra and not a command; else ""."""
    try:
        # a file that is not UTF-8 is reported when it is loaded
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read(4096).splitlines()
    except OSError:
        return ""
    for line in lines:
        if not line.startswith("#"):
            break
        if not line.startswith(("# @package", "# ganrun train ")):
            return line.lstrip("# ").rstrip()
    return ""


@lru_cache
def keys_of(page: str) -> Config:
    """The keys and values in a command's yaml, `page`, and in the yaml that it includes, without their groups."""
    content = yaml.safe_load((conf_folder() / f"{page}.yaml").read_text(encoding="utf-8"))
    found: Config = {}
    for parent in parents_of(page):
        found |= keys_of(parent)
    return found | {key: value for key, value in content.items() if key not in ("defaults", "hydra")}
