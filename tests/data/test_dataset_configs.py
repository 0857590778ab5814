"""conf/dataset: each yaml says what its class takes, in the open."""

import inspect
from importlib import import_module
from pathlib import Path
from typing import Unpack, get_type_hints

import pytest
import yaml

from ganrun.data.clean import read_node
from ganrun.data.storage import PictureOptions, PictureStorage, Storage, StorageOptions

FOLDER = Path(__file__).resolve().parents[2] / "conf" / "dataset"
PAGES = sorted(FOLDER.glob("*.yaml"))
SHARED = "shared/storage"  # its keys are those of `StorageOptions`
PIXELS = "shared/pixels"  # and those that `PictureOptions` adds
KEPT = {Unpack[StorageOptions]: Storage, Unpack[PictureOptions]: PictureStorage}


def parents(path: Path) -> list[str]:
    """What a page builds on."""
    return [part.removesuffix("@_here_") for part in yaml.safe_load(path.read_text()).get("defaults", ["_self_"])]


VARIANTS = [
    path for path in PAGES if not set(parents(path)) <= {"_self_", SHARED, PIXELS}
]  # pages that change another one
CONFIGS = [path for path in PAGES if path not in VARIANTS]


def passed_on(kind: type) -> dict[str, object]:
    """The defaults of the base class, of what `kind` takes as **options."""
    return {key: it.default for key, it in inspect.signature(kind.__base__).parameters.items() if has_default(it)}


def has_default(argument: inspect.Parameter) -> bool:
    return argument.default is not inspect.Parameter.empty


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_keys_are_the_arguments_and_the_values_the_defaults(path):
    config = read_node(path.stem, [FOLDER.parent])
    module, _, name = config.pop("_target_").rpartition(".")
    kind = getattr(import_module(module), name)
    arguments = inspect.signature(kind).parameters
    defaults = {key: argument.default for key, argument in arguments.items() if key != "options"}
    options = get_type_hints(kind.__init__).get("options")
    if options is not None:
        defaults |= vars(KEPT[options]()) if options in KEPT else passed_on(kind)
    assert set(config) == set(defaults)
    assert (SHARED in parents(path)) == (options in KEPT)
    assert (PIXELS in parents(path)) == (options == Unpack[PictureOptions])
    for key, value in config.items():
        # runs of before have no minutes
        if key not in ("classes", "minutes") and "${" not in str(value):
            assert value == defaults[key], key


def test_storage_has_the_options_that_it_is_given_and_one_yaml_says_them():
    assert yaml.safe_load((FOLDER / f"{SHARED}.yaml").read_text()) == vars(Storage())
    assert vars(Storage()).keys() == StorageOptions.__annotations__.keys()
    added = yaml.safe_load((FOLDER / f"{PIXELS}.yaml").read_text()).keys()
    assert vars(PictureStorage()).keys() == vars(Storage()).keys() | added
    assert PictureOptions.__annotations__.keys() >= added


@pytest.mark.parametrize(
    "path", [*CONFIGS, FOLDER / f"{SHARED}.yaml", FOLDER / f"{PIXELS}.yaml"], ids=lambda path: path.stem
)
def test_each_file_and_each_key_is_explained(path):
    first, *keys = path.read_text().splitlines()
    assert first.startswith("# ")
    config = yaml.safe_load(path.read_text())
    keys = [line for line in keys if line and not line.startswith(("defaults:", "  - _self_", "_target_: "))]
    assert [line for line in keys if "  # " not in line] == []
    assert "_target_" not in config or {"channels", "image_size", "classes", "limit", "flip", "kimg"} <= config.keys()
    assert "_target_" in config or path.parent != FOLDER


@pytest.mark.parametrize("path", VARIANTS, ids=lambda path: path.stem)
def test_a_variant_says_what_it_is_and_changes_only_keys_that_are_there(path):
    config = yaml.safe_load(path.read_text())
    (base,) = config.pop("defaults")
    assert path.read_text().startswith("# ")
    assert config.keys() <= yaml.safe_load(path.with_name(f"{base}.yaml").read_text()).keys()
