"""compose: from the words of a command line to checked, plain configs. Hydra is spoken here and in cli.py.

Hydra itself makes a run's folder before it runs anything and exits 1 on its own errors. So each command line
passes through here first: what is wrong with it is said in one line, and nothing has been written yet.
"""

from __future__ import annotations

import argparse
import itertools
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ganrun.checks import CHECKS, LENGTHS, MOVABLE, check
from ganrun.errors import UserError, nearest
from ganrun.finding import CheckpointError, find
from ganrun.pages import conf_folder, group_choices
from ganrun.words import meant

Config = dict[str, Any]

PATHS = (
    "ckpt",
    "resume",
    "init_from",
    "run",
    "input",
    "out",
    "target",
    "synthetic",
    "test.root",
    "dataset.cache",
    "model.perceptual.weights",
    "features.weights",
    "real",
    "fake",
    "compare",
    "root",
    "cache",
    *MOVABLE,
)
JOBS_CHECKED = 100  # of a sweep, before it starts


# -- what interpolations may ask for ------------------------------------------------------------------------------


def _found(fact: str, *, _parent_: DictConfig) -> Any:
    """${found:channels} in a data set's yaml: the fact as its files tell it."""
    from ganrun.data.listing import find_facts

    if "root" not in _parent_:
        raise ValueError(f"${{found:{fact}}} looks at dataset.root, which this data set has not: write the fact itself")
    return find_facts(**_some(_parent_, "root", "split", "labelled", "labels"))[fact]


def _found_pair(fact: str, *, _parent_: DictConfig) -> Any:
    from ganrun.data.pairing import find_pair_facts

    return find_pair_facts(**_some(_parent_, "root", "root_source", "root_target", "split", "swap"))[fact]


def _found_domains(fact: str, *, _parent_: DictConfig) -> Any:
    from ganrun.data.domains import find_domain_facts

    return find_domain_facts(**_some(_parent_, "root_a", "root_b", "split", "class_a", "class_b"))[fact]


def _dataset_page(source: str, *, _parent_: DictConfig) -> DictConfig:
    """${dataset_page:mnist}: another data set's page, with the wishes of the node that asks."""
    from ganrun.data.clean import clean_page

    settings: Any = OmegaConf.to_container(_parent_, resolve=False)
    return OmegaConf.create(clean_page(source, settings, [conf_folder()]), parent=_parent_)


def _damage_scale(damage: str, *, _parent_: DictConfig) -> int:
    from ganrun.data.clean import damage_scale

    return damage_scale(damage, _parent_.damages)


def _some(node: DictConfig, *keys: str) -> dict[str, Any]:
    return {key: node.get(key) for key in keys if key in node}


def _gamma(image_size: Any, batch_size: int) -> float:
    from ganrun.losses.gamma import default_gamma

    return default_gamma(image_size if isinstance(image_size, int) else tuple(image_size), batch_size)


def _run_folder(out: str | None, model: str | None, loss: str | None) -> str:
    name = f"{model}-{loss}".replace("/", "_")
    return out or f"outputs/{name}/{datetime.now():%Y-%m-%d_%H-%M-%S_%f}"


def new_folder(request: Request) -> Path:
    """Where Hydra would put this run: outputs/<model>-<loss>/<now>."""
    choices = _compose(request.page, request.overrides, request.config_dir, whole=True).hydra.runtime.choices
    return Path(_run_folder(None, choices.get("model"), choices.get("loss")))


def _sweep_folder(out: str | None) -> str:
    return out or f"outputs/sweeps/{datetime.now():%Y-%m-%d_%H-%M-%S_%f}"


def register_resolvers() -> None:
    OmegaConf.register_new_resolver("found", _found, replace=True)
    OmegaConf.register_new_resolver("found_pair", _found_pair, replace=True)
    OmegaConf.register_new_resolver("found_domains", _found_domains, replace=True)
    OmegaConf.register_new_resolver("dataset_page", _dataset_page, replace=True)
    OmegaConf.register_new_resolver("damage_scale", _damage_scale, replace=True)
    OmegaConf.register_new_resolver("gamma", _gamma, replace=True)
    OmegaConf.register_new_resolver("times", lambda factor, value: factor * value, replace=True)
    OmegaConf.register_new_resolver("plus", lambda one, other: one + other, replace=True)
    OmegaConf.register_new_resolver("run_folder", _run_folder, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("sweep_folder", _sweep_folder, replace=True, use_cache=True)


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

    def _jobs(self) -> Iterator[list[str]]:
        sweeps = []
        for override in self.parsed():
            key = override.get_key_element()
            if not override.is_sweep_override():
                sweeps.append([f"{key}={override.get_value_element_as_str()}"])
            elif not self.multirun:
                raise UserError(f"{override.input_line}: several values need -m (a sweep), or quotes if they are one")
            elif override.is_discrete_sweep():
                sweeps.append([f"{key}={value}" for value in override.sweep_string_iterator()])
            # other sweeps belong to a sweeper plug-in that will choose the values; Hydra's own refuses them
        for job in itertools.product(*sweeps):
            yield list(job)


class _OneLineParser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise UserError(f"{message}; --help shows what there is")


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
    if config_dir and not config_dir.is_dir():
        raise UserError(f"--config-dir {arguments.config_dir}: no such folder")

    flags: list[str] = ["--config-dir", str(config_dir)] if config_dir else []
    flags += ["--multirun"] if arguments.multirun else []
    flags += ["--cfg", arguments.cfg] if arguments.cfg else []
    flags += ["--resolve"] if arguments.resolve else []
    flags += ["--package", arguments.package] if arguments.package else []
    flags += ["--info", arguments.info] if arguments.info else []
    flags += ["--hydra-help"] if arguments.hydra_help else []
    flags += ["--shell-completion"] if arguments.shell_completion else []
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
    request.overrides = [_as_meant(word, arguments.multirun) for word in arguments.overrides]
    resumes = request.given("resume")
    _check_words(request)
    request.overrides = [_allow_absent(word, resumes) for word in request.overrides]
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
            reason = str(error).splitlines()[0]
            raise UserError(f"{word}: {reason}; quote special characters twice: \"key='a, b'\"") from None
    return parsed


def name_of(override: Override) -> str:
    return override.key_or_group


def _as_meant(word: str, sweeps: bool) -> str:
    """epoch=3.pt and x(1).pt are fine names for files, but grammar errors for Hydra; labels=3,7 would be a sweep."""
    key, equals, value = word.partition("=")
    if key == "labels" and re.fullmatch(r"\d+(,\d+)+", value) and not sweeps:
        return f"labels=[{value}]"
    return f"{key}{equals}{meant(value)}" if key.lstrip("+") in PATHS else word


def _allow_absent(word: str, resumes: bool) -> str:
    """Two keys need no plus sign: the model knows its players, a stored run whether its data have a root."""
    absent = word.startswith("optimizer.players.") or (resumes and word.partition("=")[0] in MOVABLE)
    return f"++{word}" if absent else word


def _clear_other_lengths(request: Request) -> None:
    """A length on the command line replaces one that an experiment or a stored run brings."""
    given = [name_of(o) for o in request.parsed() if name_of(o) in LENGTHS and o.get_value_element_as_str() != "null"]
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
    first_choices = [f"{name_of(o)}={_values(o)[0]}" for o in choices if not o.is_delete()]
    known = _compose(request.page, first_choices, request.config_dir)
    for override in parsed:
        if name_of(override) in ("hydra.run.dir", "hydra.sweep.dir"):
            raise UserError(f"{override.input_line}: where a run is written is said with out=FOLDER")
        if override in choices or override.is_hydra_override() or name_of(override).startswith("hydra"):
            continue
        if not (name_of(override) in MOVABLE and request.given("resume")):
            _check_key(request.page, override, known, groups)


def _values(override: Override) -> list[str]:
    if override.is_sweep_override() and override.is_discrete_sweep():
        return [str(value) for value in override.sweep_string_iterator()]
    return [override.get_value_element_as_str()]


def _check_choices(override: Override, known: Mapping[str, str]) -> None:
    for value in _values(override):
        if value.strip("'\"") not in known:
            raise UserError(f"{name_of(override)}={value}: no such choice; {nearest(value, known, 5)}")


def _check_key(page: str, override: Override, known: DictConfig, groups: Mapping[str, Any]) -> None:
    key = name_of(override)
    *parents, last = key.split(".")
    if parents and parents[0] in known and (override.is_add() or override.is_force_add()):
        return  # asked for by a plus sign: what a class does not know, the builder will refuse by name
    node: Any = known
    for depth, name in enumerate(parents):
        if not isinstance(node, DictConfig) or name not in node:
            beside = ".".join(parents[:depth])
            raise UserError(f"{key}: there is no {name} in {beside or page}; {_nearest_key(name, node, known, groups)}")
        node = node._get_node(name)
        if parents[:2] == ["optimizer", "players"]:
            return
    if not isinstance(node, DictConfig) or last not in node.keys():  # noqa: SIM118  `in` overlooks keys whose value is ???
        plus = f"; +{key}=… hands a setting that is not listed to the class" if parents else ""
        raise UserError(f"{key}: no such key; {_nearest_key(last, node, known, groups)}{plus}")


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


def _compose(page: str, overrides: list[str], config_dir: Path | None, whole: bool = False) -> DictConfig:
    register_resolvers()
    search = [f"hydra.searchpath=['file://{config_dir}']"] if config_dir else []
    try:
        with initialize_config_dir(str(conf_folder()), version_base="1.3", job_name=page), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return hydra_compose(page, overrides=[*search, *overrides], return_hydra_config=whole)
    except (HydraException, OmegaConfBaseException) as error:
        if "hydra/launcher=joblib" in overrides:
            raise UserError("hydra/launcher=joblib is not installed: pip install 'ganrun[parallel]'") from None
        raise UserError(" ".join(str(error).split())) from None


def compose_plain(page: str, overrides: list[str], config_dir: Path | None = None) -> Config:
    """The composed page as plain dicts and lists, every interpolation resolved. Raises UserError."""
    return plain(_compose(page, overrides, config_dir))


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
        raise UserError(f"{key}: {str(error).splitlines()[0]}") from None
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
