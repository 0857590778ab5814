"""build: from a plain node with a `_target_` to the object it names, at either of two levels of trust."""

from __future__ import annotations

import importlib
import inspect
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from torch import nn

from ganrun.errors import UserError, nearest

T = TypeVar("T")

# what a checkpoint's config may name: everything else in it is refused before it is imported
FROM_A_FILE = ("ganrun", "torch.nn", "torch.optim")


def build(
    node: Mapping[str, Any],
    expects: type[T],
    where: str,
    trust: Sequence[str] | None = None,
    **given: Any,
) -> T:
    """The object that `node` describes: `_target_` names a class, the other keys are its arguments.

    Nested nodes are built first; the type hint of the parameter they go to is what they must be.
    `given` are further arguments that no config can hold. With `trust=None` the config is the user's own
    and any importable class will do; otherwise only classes defined under these packages, found out
    before anything is imported or called. Raises UserError that names the place.
    """
    cls = resolve(node, expects, where, trust)
    arguments = {key: value for key, value in node.items() if key != "_target_"}
    hints = _hints(cls)
    _check_names(cls, {**arguments, **given}, where)
    for key, value in arguments.items():
        arguments[key] = _build_inside(value, hints.get(key), f"{where}.{key}", trust)
    try:
        return cls(**arguments, **given)
    except UserError:
        raise
    except (
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        OSError,
        ImportError,
        RuntimeError,
        OverflowError,
    ) as error:
        message = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
        raise UserError(f"{where} ({cls.__name__}): {message}") from error


def resolve(node: Any, expects: type, where: str, trust: Sequence[str] | None = None) -> Any:
    """The class that a node names, checked; nothing is called."""
    if not isinstance(node, Mapping) or not isinstance(node.get("_target_"), str):
        raise UserError(f"{where} needs a _target_, the dotted name of a class")
    target = node["_target_"]
    if trust is not None and not _under(target, trust):
        raise UserError(
            f"{where}._target_={target} comes from a file and is none of {', '.join(trust)}: "
            f"if you trust that package, say trust={target.split('.')[0]}"
        )
    cls = _locate(target, where)
    if not isinstance(cls, type) and callable(cls):
        raise UserError(
            f"{where}._target_={target} is a function, not a class: write a class, such as Net(torch.nn.Module), "
            "whose __init__ calls it, and name that one"
        )
    if not isinstance(cls, type) or not issubclass(cls, expects):
        raise UserError(f"{where}._target_={target} is not a {expects.__name__}")
    # an alias inside a trusted module may lead anywhere: what counts is where the class itself was defined
    if trust is not None and not _under(cls.__module__ + ".", trust):
        raise UserError(f"{where}._target_={target} is defined in {cls.__module__}, which is not trusted")
    return cls


def names_only(node: Any, packages: Sequence[str]) -> bool:
    """Does no `_target_` in a plain node lead out of these packages?"""
    return next(targets(node, packages), None) is None


def targets(node: Any, outside: Sequence[str]) -> Iterator[str]:
    """What the `_target_`s in a plain node name outside of these packages."""
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
        raise UserError(f"{where}._target_={target} is no dotted name such as package.module.Class")
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"{where}._target_={target} cannot be imported: {error}; with --config-dir DIR classes are also found in "
            "DIR and beside it"
        ) from None
    if not hasattr(found, name):
        classes = [key for key, value in vars(found).items() if isinstance(value, type)]
        raise UserError(f"{where}._target_={target}: {module} has no {name}; {nearest(name, classes)}")
    return getattr(found, name)


def _under(name: str, packages: Sequence[str]) -> bool:
    return any(name.startswith(f"{package}.") for package in packages)


def _build_inside(value: Any, hint: Any, where: str, trust: Sequence[str] | None) -> Any:
    if isinstance(value, Mapping):
        if "_target_" in value:
            expects = _class_in(hint)
            if expects is object and trust is not None:  # a file could name a class that downloads or opens things
                expects = nn.Module
            return build(value, expects, where, trust)
        wanted = _class_in(hint)
        if wanted is not object and not all(
            isinstance(item, Mapping) and "_target_" in item for item in value.values()
        ):
            raise UserError(f"{where} must hold {wanted.__name__} objects, each with its _target_; it has {value}")
        return {key: _build_inside(item, hint, f"{where}.{key}", trust) for key, item in value.items()}
    if isinstance(value, list):
        return [_build_inside(item, hint, f"{where}[{number}]", trust) for number, item in enumerate(value)]
    return value


def _class_in(hint: Any) -> type:
    """The class that a hint asks for, inside of `X | None` and `Mapping[str, X]` too; object when it asks for none."""
    if isinstance(hint, type) and hint is not type(None) and not typing.get_args(hint):
        return hint
    inside = [_class_in(part) for part in typing.get_args(hint) if part is not type(None)]
    wanted = [cls for cls in inside if cls not in (object, str, int, float, bool)]
    return wanted[0] if wanted else object


def _hints(cls: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls.__init__)  # type: ignore[misc]
    except (NameError, TypeError):  # hints that only a type checker can see
        return {}


def _check_names(cls: type, arguments: Mapping[str, Any], where: str) -> None:
    parameters = inspect.signature(cls).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for key in arguments:
        if key not in parameters:
            raise UserError(f"{where}.{key}: {cls.__name__} has no such setting; {nearest(key, parameters)}")
    for name, parameter in parameters.items():
        if (
            parameter.default is parameter.empty
            and parameter.kind is not parameter.VAR_POSITIONAL
            and name not in arguments
        ):
            raise UserError(f"{where}.{name} is missing: {cls.__name__} needs it")
