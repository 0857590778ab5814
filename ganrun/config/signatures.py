"""The type hints of a class's arguments, read from its source: to import the class would import torch. No Hydra."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union

from ganrun.common import bounds, limits
from ganrun.config.moved import current_name

PACKAGE = Path(__file__).resolve().parents[1]
SIMPLE = {name: getattr(builtins, name) for name in ("int", "float", "bool", "str")}
LISTS = {"Sequence": Sequence, "list": list, "tuple": tuple, "Mapping": Mapping, "dict": dict}


def hint_of(target: str, argument: str) -> Any:
    """The hint of an argument of the class that a `_target_` names; None where it cannot be read."""
    module, _, name = current_name(target).rpartition(".")
    if module.startswith("torch.optim."):
        module = "torch.optim"
    if module == "torch.optim":
        at = bounds.OF_TORCH.get(argument)
        inner: Any = tuple[float, float] if argument == "betas" else float
        return Annotated[inner, at] if at else None
    found = _argument(module, name, argument)
    return _hint(found[1], found[0]) if found else None


def _argument(module: str, name: str, argument: str) -> tuple[str, ast.expr] | None:
    """The annotation of an argument, and the module it stands in: of the class, or of a class that it builds on."""
    tree = _tree(module)
    cls = next((node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name), None)
    if cls is None:
        origin = _imports(module).get(name)
        return _argument(origin, name, argument) if origin else None
    others = [base.id for base in cls.bases if isinstance(base, ast.Name)]
    for node in cls.body:
        if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == argument and "TypedDict" in others:
            return module, node.annotation
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            for one in (*node.args.args, *node.args.kwonlyargs):
                if one.arg == argument and one.annotation:
                    return module, one.annotation
            others += _unpacked(node)
    return next((found for other in others if (found := _argument(module, other, argument))), None)


def _unpacked(function: ast.FunctionDef) -> list[str]:
    """The TypedDict whose keys a function takes by `**options: Unpack[Options]`."""
    options = function.args.kwarg.annotation if function.args.kwarg else None
    found = options.slice if isinstance(options, ast.Subscript) else None
    return [found.id] if isinstance(found, ast.Name) else []


def _hint(node: ast.expr, module: str) -> Any:
    """An annotation as the hint that it stands for; what is unknown in it is left out."""
    if isinstance(node, ast.Constant) and node.value is None:
        return type(None)
    if isinstance(node, ast.Name):
        return _named(node.id, module)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        sides = [side for side in (_hint(node.left, module), _hint(node.right, module)) if side is not None]
        return Union[tuple(sides)] if sides else None  # noqa: UP007  it is computed
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        inside = list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]
        return _subscripted(node.value.id, inside, module)
    return None


def _subscripted(name: str, inside: list[ast.expr], module: str) -> Any:
    if name == "Literal":
        return Literal[tuple(_value(one) for one in inside)]
    first = _hint(inside[0], module)
    if name == "Annotated":
        notes = [note for note in map(_value, inside[1:]) if note is not None]
        return Annotated[(first, *notes)] if first is not None and notes else first
    if name in ("Sequence", "list") and first is not None:
        return LISTS[name][first]
    if name == "tuple":
        members = tuple(_hint(one, module) for one in inside)
        return tuple.__class_getitem__(members) if None not in members else None
    return LISTS.get(name)


def _named(name: str, module: str) -> Any:
    if name in SIMPLE or name in LISTS:
        return SIMPLE.get(name, LISTS.get(name))
    if module != "ganrun.common.bounds" and name in vars(bounds) and _imports(module).get(name, "") == bounds.__name__:
        return vars(bounds)[name]
    for node in _tree(module).body:
        if isinstance(node, ast.Assign) and [getattr(one, "id", "") for one in node.targets] == [name]:
            return _hint(node.value, module)
    origin = _imports(module).get(name)
    return _named(name, origin) if origin else None


def _value(node: ast.expr) -> Any:
    """A note of a hint: a text, or a range such as At(1, 1000)."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return vars(limits).get(node.id)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        return _value(node.left) ** _value(node.right)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "At":
        return bounds.At(*map(_value, node.args), **{str(word.arg): _value(word.value) for word in node.keywords})
    return None


@lru_cache
def _tree(module: str) -> ast.Module:
    """The source of a module of ganrun's own; empty for any other."""
    package, *names = module.split(".")
    path = PACKAGE.joinpath(*names).with_suffix(".py") if names else PACKAGE / "__init__.py"
    try:
        return ast.parse(path.read_text(encoding="utf-8")) if package == "ganrun" else ast.parse("")
    except OSError:
        return ast.parse("")


@lru_cache
def _imports(module: str) -> dict[str, str]:
    """The names that a module imports from ganrun's modules, and where from."""
    return {
        alias.asname or alias.name: node.module
        for node in _tree(module).body
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("ganrun.")
        for alias in node.names
    }
