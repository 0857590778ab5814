"""Composes a page of conf/ and turns it into plain dicts and lists; what Hydra cannot compose is one line."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ganrun.cli import resolvers
from ganrun.cli.hydra_messages import ours
from ganrun.cli.infer import infer
from ganrun.cli.unknown_keys import placed, refuse_strays
from ganrun.cli.user_yaml import check_yaml
from ganrun.cli.ways_out import needed
from ganrun.common.atomic import write_text
from ganrun.common.errors import UserError
from ganrun.common.types import Config
from ganrun.config.added import TODAY, with_profiles
from ganrun.config.moved import with_current_names
from ganrun.config.tree import conf_folder


def _dataset_page(source: str, *, _parent_: DictConfig) -> DictConfig:
    """${dataset_page:mnist}: the yaml of another data set, with the settings of the node that asks for it."""
    from ganrun.data.clean import clean_node

    settings: Any = OmegaConf.to_container(_parent_, resolve=False)
    return OmegaConf.create(clean_node(source, settings, [conf_folder()]), parent=_parent_)


# they follow the image size, and model.size
SIZES = ("size_for", "by_size", "unet_levels", "latents_for_each_map", "biggan_attention")
CHOICES = ("steps_of_share", "unless_given", "from_start", "chosen")  # of a run's length, its start, a table


def register_resolvers() -> None:
    for name in ("found", "found_pair", "found_domains", "damage_scale", "gamma", "times", "plus", *SIZES, *CHOICES):
        OmegaConf.register_new_resolver(name, getattr(resolvers, name), replace=True)
    OmegaConf.register_new_resolver("infer", infer, replace=True)
    OmegaConf.register_new_resolver("dataset_page", _dataset_page, replace=True)
    OmegaConf.register_new_resolver("run_name", resolvers.run_name, replace=True)
    OmegaConf.register_new_resolver("run_folder", resolvers.run_folder, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("sweep_folder", resolvers.sweep_folder, replace=True, use_cache=True)


class _UsersYaml(FileConfigSource):
    """Reads the yaml of --config-dir; each file is checked before it is loaded."""

    last: Path | None = None  # the file that was loaded last: an error in it is reported by this name

    @staticmethod
    def scheme() -> str:
        return "checked"

    def load_config(self, config_path: str) -> ConfigResult:
        path = Path(self.path) / self._normalize_file_name(config_path)
        if path.is_file():
            type(self).last = path
            check_yaml(path)
        return super().load_config(config_path)


class Composition(NamedTuple):
    """What Hydra made of a page and overrides, with its own settings under `hydra`, and what loaded it."""

    config: DictConfig
    loader: ConfigLoader


def compose(page: str, overrides: list[str], config_dir: Path | None) -> Composition:
    """Raises UserError for what cannot be composed."""
    register_resolvers()
    SourcesRegistry.instance().register(_UsersYaml)
    _UsersYaml.last = None
    search = [f"hydra.searchpath=['{_UsersYaml.scheme()}://{config_dir}']"] if config_dir else []
    with (
        in_our_words(overrides),
        initialize_config_dir(str(conf_folder()), version_base="1.3", job_name=page),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        config = hydra_compose(page, overrides=[*search, *overrides], return_hydra_config=True)
        return Composition(config, GlobalHydra.instance().config_loader())


@contextlib.contextmanager
def in_our_words(overrides: list[str]) -> Iterator[None]:
    """Within it, what Hydra and OmegaConf cannot compose is a UserError of one line."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        if "hydra/launcher=joblib" in overrides:
            raise UserError("hydra/launcher=joblib is not installed: pip install 'ganrun[parallel]'") from None
        line = ours(str(error))
        raise UserError(f"{_UsersYaml.last}: {line}" if line.startswith("its ") else line) from None
    except UserError:
        raise
    except (RecursionError, ValueError, TypeError, AttributeError, LookupError, AssertionError, OSError) as error:
        circle = "its defaults list leads back to itself, in a circle"
        reason = circle if isinstance(error, RecursionError) else ours(str(error))
        raise UserError(f"{_UsersYaml.last or conf_folder()}: {reason}") from None


def compose_plain(page: str, overrides: list[str], config_dir: Path | None = None) -> Config:
    """The composed page as plain dicts and lists, every interpolation resolved. Raises UserError."""
    return checked_plain(page, compose(page, overrides, config_dir).config)


def checked_plain(page: str, composed: DictConfig) -> Config:
    """The same of a composition. Raises UserError for a key that nothing reads."""
    own = without_hydra(composed)
    config = plain(own)
    refuse_strays(page, config, OmegaConf.to_yaml(own))
    return config


def record(config: DictConfig, folder: Path, settings: Config) -> None:
    """Put what was measured when a run started into its .hydra/config.yaml, where Hydra has written one."""
    path = folder / ".hydra" / "config.yaml"
    if settings and path.is_file():
        text = OmegaConf.to_yaml(OmegaConf.merge(config, settings))
        write_text(path, text, inside=folder)


def without_hydra(composed: DictConfig) -> DictConfig:
    """The job's own part of a composition."""
    return OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])


def plain(config: DictConfig) -> Config:
    try:
        container = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        for cause in _causes(error):
            if isinstance(cause, (ValueError, OSError)) and not isinstance(cause, OmegaConfBaseException):
                raise UserError(str(cause)) from None  # raised by a resolver of ours, which says it better
        key = getattr(error, "full_key", None)
        if "Missing mandatory value" in str(error):
            raise UserError(needed(str(key))) from None
        raise UserError(f"{key}: {ours(str(error).splitlines()[0])}") from None
    assert isinstance(container, dict)
    return placed(with_profiles(with_current_names({str(key): value for key, value in container.items()}), TODAY))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
