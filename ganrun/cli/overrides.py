"""compose: from the words of a command line to checked, plain configs. Hydra is spoken here and in hydra_main.py.

Hydra itself makes a run's folder before it runs anything and exits 1 on its own errors. So each command line
passes through here first: what is wrong with it is said in one line, and nothing has been written yet.
"""

from __future__ import annotations

import argparse
import itertools
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.sources_registry import SourcesRegistry
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, RangeSweep
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ganrun.checkpoints.find import find
from ganrun.cli import resolvers
from ganrun.cli.hydra_messages import ours, unreadable
from ganrun.cli.spelling import PATHS, allow_absent, as_meant
from ganrun.cli.synonyms import meant, undashed
from ganrun.cli.unknown_keys import placed, refuse_strays
from ganrun.cli.user_yaml import check_folder, check_yaml
from ganrun.common.atomic import write_text
from ganrun.common.bounds import shown
from ganrun.common.errors import CheckpointError, UserError, nearest
from ganrun.common.folders import check_home
from ganrun.common.limits import SETTINGS
from ganrun.common.types import Config
from ganrun.config.moved import with_current_names
from ganrun.config.schema import CHECKS, LENGTHS, MOVABLE, check
from ganrun.config.tree import conf_folder, group_choices

JOBS_CHECKED = 100  # of a sweep, before it starts


# -- what interpolations may ask for ------------------------------------------------------------------------------


def _dataset_page(source: str, *, _parent_: DictConfig) -> DictConfig:
    """${dataset_page:mnist}: another data set's page, with the wishes of the node that asks."""
    from ganrun.data.clean import clean_page

    settings: Any = OmegaConf.to_container(_parent_, resolve=False)
    return OmegaConf.create(clean_page(source, settings, [conf_folder()]), parent=_parent_)


def new_folder(request: Request) -> Path:
    """Where Hydra would put this run: outputs/<model>-<loss>/<now>."""
    choices = _compose(request.page, request.overrides, request.config_dir, whole=True).hydra.runtime.choices
    return Path(resolvers.run_folder(None, choices.get("model"), choices.get("loss")))


def register_resolvers() -> None:
    for name in ("found", "found_pair", "found_domains", "damage_scale", "gamma", "times", "plus"):
        OmegaConf.register_new_resolver(name, getattr(resolvers, name), replace=True)
    OmegaConf.register_new_resolver("dataset_page", _dataset_page, replace=True)
    OmegaConf.register_new_resolver("run_folder", resolvers.run_folder, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("sweep_folder", resolvers.sweep_folder, replace=True, use_cache=True)


# -- the command line ---------------------------------------------------------------------------------------------


@dataclass
class Request:
    """One command line, understood: which page it is about, its overrides as Hydra will get them, and Hydra's flags."""

    page: str
    overrides: list[str]
    flags: list[str]
    config_dir: Path | None
    multirun: bool
    only_shows: bool  # --cfg, --info, --hydra-help, --shell-completion: nothing will run

    @property
    def argv(self) -> list[str]:
        return [*self.flags, *self.overrides]

    def add(self, *overrides: str) -> None:
        self.overrides.extend(overrides)

    def given(self, key: str) -> bool:
        return any(name_of(override) == key for override in self.parsed())

    def parsed(self) -> list[Override]:
        return parse_overrides(self.overrides)

    def configs(self) -> Iterator[Config]:
        """The plain, checked config of each job: one, or a sweep's first hundred. Raises UserError."""
        for overrides in itertools.islice(self._jobs(), JOBS_CHECKED):
            config = compose_plain(self.page, overrides, self.config_dir)
            check(self.page, config)
            yield config

    def _groups(self) -> dict[str, dict[str, str]]:
        return group_choices(self.config_dir, self.page)

    def _jobs(self) -> Iterator[list[str]]:
        sweeps = []
        for override in self.parsed():
            key = override.get_key_element()
            if not override.is_sweep_override():
                sweeps.append([f"{key}={override.get_value_element_as_str()}"])
            elif not self.multirun:
                raise UserError(f"{override.input_line}: several values need -m (a sweep), or quotes if they are one")
            elif override.is_discrete_sweep():
                sweeps.append([f"{key}={value}" for value in _values(override, self._groups())])
            # other sweeps belong to a sweeper plug-in that will choose the values; Hydra's own refuses them
        jobs = math.prod(map(len, sweeps))
        if jobs > SETTINGS:
            raise UserError(f"-m: these values make {jobs:,} runs; the most of one sweep are {SETTINGS:,}")
        for job in itertools.product(*sweeps):
            yield list(job)


class _OneLineParser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise UserError(f"{message}; {undashed(message)}--help shows what there is")


def read_command_line(page: str, words: list[str]) -> Request:
    """Raises UserError for unknown flags, keys and choices; leaves the words as Hydra should get them."""
    parser = get_args_parser()
    parser.__class__ = _OneLineParser
    arguments = parser.parse_intermixed_args(words)  # overrides may stand on both sides of a flag
    if arguments.experimental_rerun:
        raise UserError("--experimental-rerun opens a pickle, which can run code: use resume=RUN")
    for flag in ("config_path", "config_name"):
        if getattr(arguments, flag):
            raise UserError(f"--{flag.replace('_', '-')} would hide ganrun's own configs: add yours with --config-dir")
    config_dir = Path(arguments.config_dir).absolute() if arguments.config_dir else None
    if config_dir:
        check_folder(config_dir, str(arguments.config_dir))

    flags: list[str] = ["--config-dir", str(config_dir)] if config_dir else []
    for name in ("multirun", "resolve", "hydra_help", "shell_completion"):
        flags += [f"--{name.replace('_', '-')}"] if getattr(arguments, name) else []
    for name in ("cfg", "package", "info"):
        flags += [f"--{name}", getattr(arguments, name)] if getattr(arguments, name) else []
    modes = [f"--{name}" for name in ("multirun", "cfg", "info") if getattr(arguments, name)]
    if len(modes) > 1:
        raise UserError(f"{' and '.join(modes)} do not go together: give one of them")
    if arguments.resolve and not arguments.cfg:
        raise UserError("--resolve goes with --cfg job")
    only_shows = bool(arguments.cfg or arguments.info or arguments.hydra_help or arguments.shell_completion)
    request = Request(page, arguments.overrides, flags, config_dir, arguments.multirun, only_shows)
    if arguments.hydra_help:
        return Request(page, [], flags, config_dir, False, only_shows)  # nobody reads the words beside it
    if arguments.shell_completion:
        return request
    request.overrides = [as_meant(word, arguments.multirun) for word in arguments.overrides]
    resumes = request.given("resume")
    _check_words(request)
    request.overrides = [allow_absent(word, resumes) for word in request.overrides]
    _clear_other_lengths(request)
    return request


def find_checkpoint(reference: str, key: str) -> Path:
    """Where the checkpoint of `resume=` or `ckpt=` is. Raises UserError that names the key."""
    try:
        return find(reference)
    except CheckpointError as error:
        raise UserError(f"{key}={error}") from None


def parse_overrides(words: Iterable[str]) -> list[Override]:
    parser = OverridesParser.create()
    parsed = []
    for word in words:
        if "=" not in word and not word.startswith("~"):
            raise UserError(f"{word!r} is neither a flag nor key=value; --help shows what there is")
        try:
            parsed.append(parser.parse_override(word))
        except (HydraException, ValueError, RecursionError) as error:  # of a number of 5,000 digits, of 1,000 brackets
            reason = unreadable(str(error))
            raise UserError(f"{shown(word)}: {reason}; quote special characters twice: \"key='a, b'\"") from None
    return parsed


def name_of(override: Override) -> str:
    return override.key_or_group


def _clear_other_lengths(request: Request) -> None:
    """A length on the command line replaces one that an experiment or a stored run brings."""
    given = [name_of(o) for o in request.parsed() if name_of(o) in LENGTHS and o.value() is not None]
    if len(set(given)) > 1:
        raise UserError(f"{' and '.join(f'{name}=…' for name in given)}: a run has one length, give one of them")
    if given:
        others = [name for name in LENGTHS if name in CHECKS[request.page] and not request.given(name)]
        request.add(*(f"{name}=null" for name in others))


def _check_words(request: Request) -> None:
    """Every group, choice and key exists; what does not is named with its nearest neighbours."""
    groups = group_choices(request.config_dir, request.page)
    parsed = request.parsed()
    choices = [override for override in parsed if name_of(override) in groups]
    for override in choices:
        _check_choices(override, groups[name_of(override)])
    first_choices = [f"{name_of(o)}={_values(o, groups)[0]}" for o in choices if not o.is_delete()]
    known = _compose(request.page, first_choices, request.config_dir)
    for override in parsed:
        if name_of(override) in PATHS:
            check_home(name_of(override), str(override.value()))
        if name_of(override) in ("hydra.run.dir", "hydra.sweep.dir"):
            raise UserError(f"{override.input_line}: where a run is written is said with out=FOLDER")
        if override in choices or override.is_hydra_override() or name_of(override).startswith("hydra"):
            continue
        if not (name_of(override) in MOVABLE and request.given("resume")):
            _check_key(request.page, override, known, groups)


def _values(override: Override, groups: Mapping[str, Mapping[str, str]]) -> list[str]:
    """What an override says, or each value of its sweep. Raises UserError for none, and for too many."""
    if not (override.is_sweep_override() and override.is_discrete_sweep()):
        return [override.get_value_element_as_str()]
    line, sweep = shown(override.input_line), override.value()
    if isinstance(sweep, Glob):
        found = sweep.filter(list(groups.get(name_of(override), ())))
    elif isinstance(sweep, RangeSweep):
        if not sweep.step or not abs(((sweep.stop or 0) - (sweep.start or 0)) / sweep.step) <= SETTINGS:
            raise UserError(f"{line}: the step is 0, or these are more than the {SETTINGS:,} values of a sweep")
        found = [str(value) for value in override.sweep_string_iterator()]
    else:
        found = [str(value) for value in override.sweep_string_iterator()]
    if not found:
        raise UserError(f"{line}: a sweep over nothing: it has no value")
    return found


def _check_choices(override: Override, known: Mapping[str, str]) -> None:
    for value in _values(override, {name_of(override): known}):
        if value.strip("'\"") not in known:
            raise UserError(f"{name_of(override)}={shown(value)}: no such choice; {nearest(value[:80], known, 5)}")


def _check_key(page: str, override: Override, known: DictConfig, groups: Mapping[str, Any]) -> None:
    key = name_of(override)
    *parents, last = key.split(".")
    if parents and parents[0] in known and (override.is_add() or override.is_force_add()):
        return  # asked for by a plus sign: what a class does not know, the builder will refuse by name
    node: Any = known
    for depth, name in enumerate(parents):
        if not isinstance(node, DictConfig) or name not in node:
            if clause := meant(last, lambda other: _there(other, known, groups)):
                raise UserError(f"{key}: no such key; {clause}")
            beside = ".".join(parents[:depth])
            raise UserError(f"{key}: there is no {name} in {beside or page}; {_nearest_key(name, node, known, groups)}")
        node = node._get_node(name)
        if parents[:2] == ["optimizer", "players"]:
            return
    if not isinstance(node, DictConfig) or last not in node.keys():  # noqa: SIM118  `in` overlooks keys whose value is ???
        plus = f"; +{key}=… hands a setting that is not listed to the class" if parents else ""
        clause = meant(last, lambda other: _there(other, known, groups))
        raise UserError(f"{key}: no such key; {clause or _nearest_key(last, node, known, groups) + plus}")
    _check_kind(key, node._get_node(last), override)


def _there(key: str, known: DictConfig, groups: Mapping[str, Any]) -> bool:
    return key in groups or key in _dotted(known) or key.startswith("optimizer.players.")


def _check_kind(key: str, node: Any, override: Override) -> None:
    """A group stays a group and a list no group: said before Hydra merges them, which says it in its own words."""
    value = override.value()
    if override.is_delete() or override.is_sweep_override() or value is None or node is None:
        return
    if isinstance(node, ListConfig) and isinstance(value, Mapping):
        raise UserError(f"{key}={shown(value)} must be a list, not a group of settings")
    if not isinstance(node, DictConfig) or node._is_interpolation() or node._is_none():
        return
    names = [str(name) for name in node]
    if not isinstance(value, Mapping):
        such = f", such as {key}.{names[-1]}=…" if names else ""
        raise UserError(f"{key}={shown(override.get_value_element_as_str())} must be a group of settings{such}")
    for name in map(str, value):
        if names and name not in names:
            raise UserError(f"{key}.{name}: no such key; {nearest(name, names)}; +{key}.{name}=… adds it")


def _nearest_key(word: str, node: Any, known: DictConfig, groups: Mapping[str, Any]) -> str:
    """lr -> optimizer.lr; stepz -> steps."""
    everywhere = [name for name in _dotted(known) if name.split(".")[-1] == word]
    if everywhere:
        return f"did you mean {everywhere[0]}?"
    beside = [str(key) for key in node] if isinstance(node, DictConfig) else []
    return nearest(word, {*beside, *groups} if node is known else beside)


def _dotted(node: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in map(str, node):
        child = node._get_node(key)
        yield f"{prefix}{key}"
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_interpolation():
            yield from _dotted(child, f"{prefix}{key}.")


# -- composing ----------------------------------------------------------------------------------------------------


class _UsersYaml(FileConfigSource):
    """The yaml of --config-dir: each file is looked at before it is loaded."""

    last: Path | None = None  # that was loaded

    @staticmethod
    def scheme() -> str:
        return "checked"

    def load_config(self, config_path: str) -> ConfigResult:
        path = Path(self.path) / self._normalize_file_name(config_path)
        if path.is_file():
            type(self).last = path
            check_yaml(path)
        return super().load_config(config_path)


def _compose(page: str, overrides: list[str], config_dir: Path | None, whole: bool = False) -> DictConfig:
    register_resolvers()
    SourcesRegistry.instance().register(_UsersYaml)
    search = [f"hydra.searchpath=['{_UsersYaml.scheme()}://{config_dir}']"] if config_dir else []
    try:
        with initialize_config_dir(str(conf_folder()), version_base="1.3", job_name=page), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return hydra_compose(page, overrides=[*search, *overrides], return_hydra_config=whole)
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
    composed = _compose(page, overrides, config_dir)
    config = plain(composed)
    refuse_strays(page, config, OmegaConf.to_yaml(composed))
    return config


def record(config: DictConfig, folder: Path, settings: Config) -> None:
    """Put what was measured when a run started into its .hydra/config.yaml, where Hydra has written one."""
    path = folder / ".hydra" / "config.yaml"
    if settings and path.is_file():
        text = OmegaConf.to_yaml(OmegaConf.merge(config, settings))
        write_text(path, text, inside=folder)


def plain(config: DictConfig) -> Config:
    try:
        container = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        for cause in _causes(error):
            if isinstance(cause, (ValueError, OSError)) and not isinstance(cause, OmegaConfBaseException):
                raise UserError(str(cause)) from None  # raised by a resolver of ours, which says it better
        key = getattr(error, "full_key", None)
        if "Missing mandatory value" in str(error):
            raise UserError(f"{key} is needed: {key}=…") from None
        raise UserError(f"{key}: {ours(str(error).splitlines()[0])}") from None
    assert isinstance(container, dict)
    return placed(with_current_names({str(key): value for key, value in container.items()}))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
