"""Names that modules had in earlier versions, so that older checkpoints, yaml files and users' classes keep working."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# earlier name -> name today. Add a row when a module moves; the rows stay for one minor version.
MOVED = {
    "ganrun.batches": "ganrun.data.loading.stream",
    "ganrun.bounds": "ganrun.common.bounds",
    "ganrun.errors": "ganrun.common.errors",
    "ganrun.features": "ganrun.evaluation.features",
    "ganrun.hooks": "ganrun.training.hooks",
    "ganrun.metrics": "ganrun.evaluation.metrics",
    "ganrun.objective": "ganrun.losses.objective",
    "ganrun.schedules": "ganrun.common.schedules",
    "ganrun.seeding": "ganrun.common.seeding",
    "ganrun.trainer": "ganrun.training.trainer",
    "ganrun.watch": "ganrun.training.watch",
}


def current_name(name: str) -> str:
    """The name that a dotted name has today: that of its longest moved prefix, or itself."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        prefix = ".".join(parts[:end])
        if prefix in MOVED:
            return ".".join([MOVED[prefix], *parts[end:]])
    return name


def with_current_names(node: Any) -> Any:
    """The same plain config, in which every `_target_` has its name of today."""
    if isinstance(node, dict):
        return {
            key: current_name(value) if key == "_target_" and isinstance(value, str) else with_current_names(value)
            for key, value in node.items()
        }
    return [with_current_names(item) for item in node] if isinstance(node, list) else node


class EarlierNames(MetaPathFinder, Loader):
    """Lets a user's class import a moved module by its earlier name; it gets the same module object."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        moved = fullname.startswith("ganrun.") and current_name(fullname) != fullname
        return ModuleSpec(fullname, EarlierNames()) if moved else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(current_name(spec.name))
        self.own_spec = module.__spec__  # the import system replaces it by that of the earlier name
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run: the module was already executed under its current name."""
        module.__spec__ = self.own_spec


if not any(isinstance(finder, EarlierNames) for finder in sys.meta_path):
    # first: the usual finder would look into the moved folder and load its files a second time, under other names
    sys.meta_path.insert(0, EarlierNames())
