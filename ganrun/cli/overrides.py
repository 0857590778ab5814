"""From the words of a command line to a checked request.

Hydra itself makes the folder of a run before it runs anything, and exits with 1 on its own errors. So each command
line is checked here first: a mistake is one line, and nothing has been written yet.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from ganrun.cli import resolvers
from ganrun.cli.check_words import check_words
from ganrun.cli.composition import Composition, checked_plain, compose, in_our_words
from ganrun.cli.grammar import name_of, parse_overrides, values_of
from ganrun.cli.spelling import allow_absent, as_meant
from ganrun.cli.ways_out import several_values
from ganrun.cli.words import checked_config_dir, with_keys
from ganrun.commands.catalogue import BY_PAGE
from ganrun.common.errors import UserError
from ganrun.common.limits import SETTINGS
from ganrun.common.types import Config
from ganrun.config.schema import KEYS, LENGTHS, check, refuse_several_lengths
from ganrun.config.synonyms import undashed
from ganrun.config.tree import group_choices

JOBS_CHECKED = 100  # of a sweep, before it starts


# -- the command line ---------------------------------------------------------------------------------------------


@dataclass
class Request:
    """One checked command line: the yaml in conf/ that it begins with (`page`), its overrides, and Hydra's flags.

    A line that is no sweep is composed once. First `composed` holds the chosen groups, which tell what keys there are;
    `composition()` then sets the other overrides in the same object.
    """

    page: str
    overrides: list[str]
    flags: list[str]
    config_dir: Path | None
    multirun: bool
    only_shows: bool  # --cfg, --info, --hydra-help, --shell-completion: nothing will run
    composed: Composition | None = None
    picked: frozenset[str] = frozenset()  # the overrides that `composed` had from its beginning
    taken: int = 0  # how many overrides `composed` has by now

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
        if not self.multirun:
            next(self._jobs())  # refuses several values where one is wanted
            yield self._checked(self.composition().config)
            return
        for overrides in itertools.islice(self._jobs(), JOBS_CHECKED):
            yield self._checked(compose(self.page, overrides, self.config_dir).config)

    def _checked(self, composed: DictConfig) -> Config:
        config = checked_plain(self.page, composed)
        check(self.page, config, self.overrides)
        return config

    def composition(self) -> Composition:
        """What Hydra makes of the whole line. Raises UserError."""
        if self.composed is None:
            self.composed, self.taken = compose(self.page, self.overrides, self.config_dir), len(self.overrides)
        config = self.composed.config
        with in_our_words(self.overrides):
            rest = [word for word in self.overrides[self.taken :] if word not in self.picked]
            ConfigLoaderImpl._apply_overrides_to_config(parse_overrides(rest), config)
        self.taken = len(self.overrides)
        for name, hydras in (("task", False), ("hydra", True)):
            lines = [one.input_line for one in self.parsed() if one.is_hydra_override() == hydras]
            config.hydra.overrides[name] = lines
        return self.composed

    def swept(self) -> Iterator[str]:
        """What each job has of its own, "seed=1 loss=wgan", in the order of `configs`; "" where this is no sweep."""
        jobs = list(self._jobs())
        same = set(jobs[0]).intersection(*jobs)
        for job in jobs:
            yield " ".join(word for word in job if word not in same)

    def _groups(self) -> dict[str, dict[str, str]]:
        return group_choices(self.config_dir, self.page)

    def _jobs(self) -> Iterator[list[str]]:
        sweeps = []
        for override in self.parsed():
            key = override.get_key_element()
            if not override.is_sweep_override():
                sweeps.append([f"{key}={override.get_value_element_as_str()}"])
            elif not self.multirun:
                raise UserError(several_values(key, str(override.input_line).partition("=")[2], self._groups()))
            elif override.is_discrete_sweep():
                sweeps.append([f"{key}={value}" for value in values_of(override, self._groups())])
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
    """Parse and check the words after the command. Raises UserError for unknown flags, keys and choices."""
    parser = get_args_parser()
    parser.__class__ = _OneLineParser
    arguments = parser.parse_intermixed_args(words)  # overrides may stand on both sides of a flag
    if arguments.experimental_rerun:
        raise UserError("--experimental-rerun opens a pickle, which can run code: use resume=RUN")
    for flag in ("config_path", "config_name"):
        if getattr(arguments, flag):
            raise UserError(f"--{flag.replace('_', '-')} would hide ganrun's own configs: add yours with --config-dir")
    config_dir = checked_config_dir(str(arguments.config_dir)) if arguments.config_dir else None

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
    request.overrides = [
        as_meant(word, arguments.multirun, page) for word in with_keys(BY_PAGE[page], arguments.overrides)
    ]
    resumes = request.given("resume")
    check_words(request)
    request.overrides = [allow_absent(word, resumes) for word in request.overrides]
    _clear_other_lengths(request)
    return request


def _clear_other_lengths(request: Request) -> None:
    """A length on the command line (steps, epochs, kimg, minutes) replaces the length of an experiment."""
    lengths = [override for override in request.parsed() if name_of(override) in LENGTHS]
    # as typed: a value that is a sweep, steps=1,2, has no other text
    given = {name_of(one): (one.input_line or "").partition("=")[2] for one in lengths if one.value() is not None}
    refuse_several_lengths(given)
    if given:
        others = [name for name in LENGTHS if name in KEYS[request.page] and not request.given(name)]
        request.add(*(f"{name}=null" for name in others))


def new_folder(request: Request) -> Path:
    """Where Hydra would put this run: outputs/<model>-<loss>/<now>."""
    choices = request.composition().config.hydra.runtime.choices
    return Path(resolvers.run_folder(None, choices.get("model"), choices.get("loss")))
