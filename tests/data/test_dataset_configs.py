"""conf/dataset: each yaml says what its class takes, in the open."""

import inspect
from importlib import import_module
from pathlib import Path

import pytest
import yaml

PAGES = sorted((Path(__file__).resolve().parents[2] / "conf" / "dataset").glob("*.yaml"))
VARIANTS = [path for path in PAGES if "defaults" in yaml.safe_load(path.read_text())]  # pages that change another one
CONFIGS = [path for path in PAGES if path not in VARIANTS]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_keys_are_the_arguments_and_the_values_the_defaults(path):
    config = yaml.safe_load(path.read_text())
    module, _, name = config.pop("_target_").rpartition(".")
    arguments = inspect.signature(getattr(import_module(module), name)).parameters
    assert set(config) == set(arguments)
    for key, value in config.items():
        if key not in ("classes", "minutes") and "${" not in str(value):  # runs of before have no minutes
            assert value == arguments[key].default, key


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_each_file_and_each_key_is_explained(path):
    first, target, *keys = path.read_text().splitlines()
    assert first.startswith("# ")
    assert target.startswith("_target_: ")
    assert [line for line in keys if "  # " not in line] == []
    assert {"channels", "image_size", "classes", "limit", "flip", "kimg"} <= {line.split(":")[0] for line in keys}


@pytest.mark.parametrize("path", VARIANTS, ids=lambda path: path.stem)
def test_a_variant_says_what_it_is_and_changes_only_keys_that_are_there(path):
    config = yaml.safe_load(path.read_text())
    (base,) = config.pop("defaults")
    assert path.read_text().startswith("# ")
    assert config.keys() <= yaml.safe_load(path.with_name(f"{base}.yaml").read_text()).keys()
