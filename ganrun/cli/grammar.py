"""Reads key=value words by Hydra's grammar."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, RangeSweep
from hydra.errors import HydraException

from ganrun.cli.hydra_messages import unreadable
from ganrun.cli.ways_out import slip
from ganrun.common.bounds import shown
from ganrun.common.errors import UserError
from ganrun.common.limits import SETTINGS


def parse_overrides(words: Iterable[str]) -> list[Override]:
    parser = OverridesParser.create()
    parsed = []
    for word in words:
        if "=" not in word and not word.startswith("~"):
            raise UserError(
                f"{shown(word)!r} is neither a flag nor key=value without spaces; --help shows what there is"
            )
        try:
            parsed.append(parser.parse_override(word))
        except (HydraException, ValueError, RecursionError) as error:  # of a number of 5,000 digits, of 1,000 brackets
            raise UserError(f"{shown(word)}: {slip(word) or unreadable(str(error))}") from None
    return parsed


def name_of(override: Override) -> str:
    return override.key_or_group


def values_of(override: Override, groups: Mapping[str, Mapping[str, str]]) -> list[str]:
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
