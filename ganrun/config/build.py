"""Builds the object that a node of a config describes. Nodes from a file may name only trusted classes."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import sys
import traceback
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from ganrun.common.bounds import OF_TORCH, Unfit, fitted, shown
from ganrun.common.errors import UserError, nearest
from ganrun.config.comments import without
from ganrun.config.moved import current_name

T = TypeVar("T")

PLAIN = (object, str, int, float, bool)  # types of plain values, which have no `_target_`

# The packages whose classes a checkpoint's config may name. Any other name is refused before it is imported.
FROM_A_FILE = ("ganrun", "torch.nn", "torch.optim")


def build(
    node: Mapping[str, Any],
    expects: type[T],
    where: str,
    trust: Sequence[str] | None = None,
    **given: Any,
) -> T:
    """The object that `node` describes: `_target_` names a class, the other keys are its arguments.

    The object must be an `expects`. `where` is the place of the node in the config, such as "model.generator".
    Nested nodes are built first; each must have the type in the hint of its parameter. `given` are further arguments
    that no config can hold. With `trust=None` the config is the user's own, and it may name any class that can be
    imported. Otherwise a class must be defined in one of the packages in `trust`. A name from any other package is
    refused before anything is imported. Raises UserError that names the place.
    """
    cls = resolve(node, expects, where, trust)
    left_out = {"_target_", *getattr(cls, "yaml_only", ())} - set(inspect.signature(cls).parameters)
    arguments = {key: value for key, value in node.items() if key not in left_out}
    hints = _hints(cls)
    _check_names(cls, {**arguments, **given}, where)
    plain = {key: value for key, value in arguments.items() if not _describes_an_object(value)}
    _fit_shared({key: node[key] for key in left_out - {"_target_"} if key in node}, arguments, where, trust)
    plain = fit(cls, plain, where)  # before the nested nodes: their values may be computed from these by interpolation
    inside = {
        key: _build_inside(value, hints.get(key), f"{where}.{key}", trust)
        for key, value in arguments.items()
        if key not in plain
    }
    arguments = {**plain, **fit(cls, inside, where)}
    try:
        return cls(**arguments, **given)
    except UserError:
        raise
    except (ValueError, TypeError, KeyError, OSError, ImportError, RuntimeError, OverflowError) as error:
        message = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
        raise UserError(f"{where} ({cls.__name__}): {message}") from error
    except (Exception, SystemExit) as error:
        known = _under(cls.__module__ + ".", FROM_A_FILE)
        # in a class of ganrun or torch these two come from parts that do not fit each other, any other error is a bug
        if known and not isinstance(error, (AttributeError, LookupError)):
            raise
        raise UserError(f"{where} ({cls.__name__}): {error if known else where_it_broke(error)}") from error


def _fit_shared(shared: Mapping[str, Any], parts: Mapping[str, Any], where: str, trust: Sequence[str] | None) -> None:
    """Raises UserError that names the key that a user writes, where nested nodes take its value by interpolation."""
    for part, node in parts.items():
        if isinstance(node, Mapping) and "_target_" in node:
            same = {key: value for key, value in shared.items() if key in node and node[key] == value}
            if same:
                fit(resolve(node, object, f"{where}.{part}", trust), same, where)


def fit(cls: type, arguments: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Convert each argument to the type in the hint of its parameter.

    Raises UserError for a value of another type or outside of the range in the hint. `where` is the place of the
    arguments in the config, for the message.
    """
    hints, found = _hints(cls), {}
    ranges = OF_TORCH if cls.__module__.startswith("torch.optim.") else {}
    for key, value in arguments.items():
        try:
            found[key] = fitted(value, hints.get(key), ranges.get(key))
        except Unfit as error:
            raise UserError(f"{where}.{key}={_written(value)} {error}") from None
    return found


def _describes_an_object(value: Any) -> bool:
    """Whether a value, or any value inside it, has a `_target_`."""
    if isinstance(value, Mapping):
        return "_target_" in value or any(map(_describes_an_object, value.values()))
    return isinstance(value, list) and any(map(_describes_an_object, value))


def _written(value: Any) -> str:
    """A plain value as text. Any other object as the name of its class: the user wrote a node, not the object."""
    return (
        shown(value) if isinstance(value, (str, int, float, list, tuple, Mapping, type(None))) else type(value).__name__
    )


def resolve(node: Any, expects: type, where: str, trust: Sequence[str] | None = None) -> Any:
    """The class that the `_target_` of a node names. It is imported, but not called.

    `where` is the place of the node in the config; `trust` is as in `build`. Raises UserError for a name that is no
    class, that cannot be imported, that is not trusted or that is no subclass of `expects`.
    """
    if not isinstance(node, Mapping) or not isinstance(node.get("_target_"), str):
        raise UserError(f"{where} needs a _target_, the dotted name of a class")
    target = current_name(node["_target_"])
    if trust is not None and not _under(target, trust):
        raise UserError(
            f"{where}._target_={target} comes from a file and is not in {', '.join(trust)}: "
            f"if you trust that package, add trust={target.split('.')[0]}"
        )
    cls = _locate(target, where)
    if not isinstance(cls, type) and callable(cls):
        raise UserError(
            f"{where}._target_={target} is a function, not a class: write a class, such as Net(torch.nn.Module), "
            "whose __init__ calls it, and name that one"
        )
    if not isinstance(cls, type) or not issubclass(cls, expects):
        raise UserError(f"{where}._target_={target} is not a {expects.__name__}")
    # a trusted module may import a class from anywhere: check the module that defines the class
    if trust is not None and not _under(cls.__module__ + ".", trust):
        raise UserError(f"{where}._target_={target} is defined in {cls.__module__}, which is not trusted")
    return cls


def names_only(node: Any, packages: Sequence[str]) -> bool:
    """Whether every `_target_` in a plain node names something in these packages."""
    return next(targets(node, packages), None) is None


def targets(node: Any, outside: Sequence[str]) -> Iterator[str]:
    """Every `_target_` in a plain node that is not in the packages `outside`."""
    if isinstance(node, list):
        for item in node:
            yield from targets(item, outside)
    if isinstance(node, Mapping):
        target = node.get("_target_")
        if target is not None and not _under(str(target), outside):
            yield str(target)
        for item in node.values():
            yield from targets(item, outside)


def _locate(target: str, where: str) -> Any:
    module, _, name = target.rpartition(".")
    if not module:
        raise UserError(f"{where}._target_={target} is not a dotted name such as package.module.Class")
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout is for the command's result, not for what a module prints
            found = importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"{where}._target_={target} cannot be imported: {error}; with --config-dir DIR, ganrun also looks "
            "for classes in DIR and in the folder that holds DIR"
        ) from None
    except (Exception, SystemExit) as error:  # a user's module may raise anything while it is imported
        raise UserError(f"{where}._target_={target} cannot be imported: {where_it_broke(error)}") from None
    if not hasattr(found, name):
        classes = [key for key, value in vars(found).items() if isinstance(value, type) and _is_at_home(value, module)]
        raise UserError(f"{where}._target_={target}: {module} has no {name}; {nearest(name, classes)}")
    return getattr(found, name)


def _is_at_home(cls: type, module: str) -> bool:
    """Whether a class is defined in a module, or in a package, and not only imported there."""
    return f"{cls.__module__}.".startswith(f"{module}.")


def where_it_broke(error: BaseException) -> str:
    """File, line and reason of an error in a user's own code."""
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}: {error.msg}, a SyntaxError"
    frames = traceback.extract_tb(error.__traceback__)
    others = (str(Path(__file__).parents[1]), str(Path(os.__file__).parent), "<")  # of ganrun and of Python itself
    own = [frame for frame in frames if not frame.filename.startswith(others) and "site-packages" not in frame.filename]
    last = (own or frames)[-1]
    return f"{last.filename}, line {last.lineno}: {what}"


def _under(name: str, packages: Sequence[str]) -> bool:
    return any(name.startswith(f"{package}.") for package in packages)


def _build_inside(value: Any, hint: Any, where: str, trust: Sequence[str] | None) -> Any:
    if isinstance(value, Mapping):
        if "_target_" in value:
            expects = _class_in(hint)
            if expects is object and trust is not None:  # other trusted classes may download or open files
                expects = nn.Module
            return build(value, expects, where, trust)
        wanted = _class_in(hint)
        for name, item in value.items() if wanted is not object else ():
            if not isinstance(item, Mapping) or "_target_" not in item:
                raise UserError(f"{where}.{name}={shown(item)} must be a {wanted.__name__} with its _target_")
        return {key: _build_inside(item, hint, f"{where}.{key}", trust) for key, item in value.items()}
    if isinstance(value, list):
        return [_build_inside(item, hint, f"{where}[{number}]", trust) for number, item in enumerate(value)]
    return value


def _class_in(hint: Any) -> type:
    """The class in a type hint, such as X in `X | None` or `Mapping[str, X]`; object if the hint names no class."""
    if isinstance(hint, type) and hint is not type(None) and not typing.get_args(hint):
        return object if hint in PLAIN else hint
    inside = [_class_in(part) for part in typing.get_args(hint) if part is not type(None)]
    wanted = [cls for cls in inside if cls is not object]
    return wanted[0] if wanted else object


def _hints(cls: type) -> dict[str, Any]:
    try:
        hints = typing.get_type_hints(cls.__init__, include_extras=True)  # type: ignore[misc]
    except (NameError, TypeError):  # hints whose names are imported for a type checker only
        return {}
    return hints | _options(hints)


def _options(hints: Mapping[str, Any]) -> dict[str, Any]:
    """The hints of the options that a constructor takes by `**options: Unpack[SomeTypedDict]`."""
    shared = [typing.get_args(hint)[0] for hint in hints.values() if typing.get_origin(hint) is typing.Unpack]
    return {key: hint for one in shared for key, hint in typing.get_type_hints(one, include_extras=True).items()}


def _check_names(cls: type, arguments: Mapping[str, Any], where: str) -> None:
    parameters, options = inspect.signature(cls).parameters, _options(_hints(cls))
    if not options and any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    named = [name for name, parameter in parameters.items() if parameter.kind is not parameter.VAR_KEYWORD]
    for key in arguments:
        if key not in (*named, *options):
            way = without(where, key) or f"; {nearest(key, [*named, *options])}"
            raise UserError(f"{where}.{key}: {cls.__name__} has no such setting{way}")
    for name, parameter in parameters.items():
        if (
            parameter.default is parameter.empty
            and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            and name not in arguments
        ):
            raise UserError(f"{where}.{name} is missing: {cls.__name__} needs it")
