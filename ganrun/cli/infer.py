"""`${infer:channels}`: a fact about a data set's files, asked of the class that the data set's yaml names."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from ganrun.common.bounds import Unfit, fitted, shown
from ganrun.common.errors import UserError, nearest

Infer = Callable[..., Mapping[str, Any]]
ASKING: ContextVar[frozenset[int]] = ContextVar("asking", default=frozenset())  # nodes whose keys are looked up now
SEVERAL = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def infer(fact: str, *, _parent_: Mapping[str, Any]) -> Any:
    """The fact as `infer` of the class in `_target_` tells it. Raises ValueError for what it does not tell."""
    asked = f"${{infer:{fact}}}"
    return one_fact(asked, infer_of(asked, _parent_), fact, _parent_)


def infer_of(asked: str, node: Mapping[str, Any]) -> Infer:
    """The `infer` of the class that a data set's node names. Raises UserError where it names none, or no function."""
    from ganrun.config.moved import current_name
    from ganrun.data.facts import WITHOUT_TORCH

    target = node.get("_target_")
    if (name := current_name(str(target))) in WITHOUT_TORCH:
        return WITHOUT_TORCH[name]
    from ganrun.commands.command import require_torch

    require_torch()
    from ganrun.config.build import resolve
    from ganrun.data.dataset import Dataset

    cls = resolve({"_target_": target}, Dataset, "dataset")
    if not callable(cls.infer) or inspect.isfunction(inspect.getattr_static(cls, "infer")):
        raise UserError(f"{asked}: infer of {target} must be a @staticmethod or a @classmethod: there is no object yet")
    found: Infer = cls.infer
    return found


def one_fact(asked: str, infer: Infer, fact: str, node: Mapping[str, Any]) -> Any:
    """One of the facts that `infer` tells; its parameters are the keys that it reads in the data set's node.

    No other key is looked up: one that is itself `${infer:...}` would lead back here. `asked` is what a message quotes.
    Raises ValueError for a key that is missing, does not fit or leads back here, and for a fact that is not told.
    """
    if id(node) in ASKING.get():
        raise ValueError(f"{asked} leads back to itself: a key that infer reads needs a value of its own")
    token = ASKING.set(ASKING.get() | {id(node)})
    try:
        arguments = _arguments(asked, infer, node)
    finally:
        ASKING.reset(token)
    facts = _told(asked, infer, arguments)
    if not isinstance(facts, Mapping) or fact not in facts:
        told = nearest(fact, map(str, facts)) if isinstance(facts, Mapping) else "it gives no mapping"
        raise ValueError(f"{asked}: infer of this data set does not tell it; {told}; or write the fact itself")
    return facts[fact]


def _told(asked: str, infer: Infer, arguments: Mapping[str, Any]) -> Any:
    """What `infer` returns. It may be a user's own and may do anything: what it raises becomes a ValueError."""
    try:
        return infer(**arguments)
    except (ValueError, OSError):  # these speak of the key
        raise
    except (Exception, SystemExit) as error:
        from ganrun.config.build import where_it_broke

        raise ValueError(f"{asked}: {where_it_broke(error)}") from None


def _arguments(asked: str, infer: Infer, node: Mapping[str, Any]) -> dict[str, Any]:
    hints, found = _hints(infer), {}
    for key, parameter in inspect.signature(infer).parameters.items():
        if key in node:
            found[key] = _fit(key, node.get(key), hints.get(key))
        elif parameter.default is parameter.empty and parameter.kind not in SEVERAL:
            raise ValueError(f"{asked} looks at dataset.{key}, which this data set has not: write the fact itself")
    return found


def _fit(key: str, value: Any, hint: Any) -> Any:
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = list(value)  # OmegaConf has a type of its own for lists
    try:
        return fitted(value, hint)
    except Unfit as error:
        raise ValueError(f"dataset.{key}={shown(value)} {error}") from None


def _hints(infer: Infer) -> dict[str, Any]:
    try:
        return typing.get_type_hints(infer, include_extras=True)
    except (NameError, TypeError):  # hints that only a type checker can see
        return {}
