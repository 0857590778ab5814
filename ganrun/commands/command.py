"""Command: one command of `ganrun`, with its name, its module and its help text."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ganrun.common.errors import UserError
from ganrun.config import schema


@dataclass(frozen=True)
class Command:
    """One command. Its module is imported only when its work begins, so that `ganrun --help` does not import torch.

    Args:
        name: the word after `ganrun`. Its keys and their defaults are in conf/<name>.yaml, with _ instead of -.
        summary: one line of `ganrun --help`.
        module: the module under `ganrun.commands` that has `check(config)` and the function `work`.
        work: the name of the function that does the work: config -> the lines to print.
        usage: what `ganrun NAME --help` shows above the keys.
        shared: whether the processes that torchrun starts can share its work. If so, `work` also gets their `World`.
        needs: (package, install command) for each package that is not a dependency of ganrun.
        composed: whether its words are composed to a config; else `work` gets a plain config of two keys, `positional`
            and `config_dir`.
        positional: the key of words that stand without a key: with "ckpt", `NAME last` is `NAME ckpt=last`. "": the
            command takes no such words.
        several: whether the command takes any number of such words; the value of the key is then a list of them.
    """

    name: str
    summary: str
    module: str
    work: str
    usage: str = ""
    shared: bool = False
    needs: tuple[tuple[str, str], ...] = ()
    composed: bool = True
    positional: str = ""
    several: bool = False

    @property
    def line(self) -> str:
        """Its name with its words, as help writes them: "keys [WORD]..."."""
        words = f" [{self.positional.upper()}]" if self.positional else ""
        return f"{self.name}{words}{'...' if self.several else ''}"

    @property
    def page(self) -> str:
        """The name of its yaml in conf/."""
        return self.name.replace("-", "_")

    @property
    def schema(self) -> Mapping[str, Any]:
        """Each key with what its value must be."""
        return schema.KEYS[self.page]

    def require_extras(self) -> None:
        """Raises UserError for a package that is missing: before torch is imported, which takes seconds."""
        for package, install in self.needs:
            if importlib.util.find_spec(package) is None:
                raise UserError(f"{self.name} needs {package}: {install}")

    def check(self, config: Mapping[str, Any]) -> Any:
        """Check the config before the work. Returns the path that the work writes, if any. Raises UserError."""
        return self._module().check(config)

    def run(self, *arguments: Any) -> str:
        """Do the work. Returns the lines to print."""
        return getattr(self._module(), self.work)(*arguments)

    def suggest(self) -> list[str]:
        """What the shell offers for its words without a key: its module's `suggest()`, where it has one."""
        suggest = getattr(self._module(), "suggest", None) if self.positional else None
        return suggest() if suggest else []

    def _module(self) -> Any:
        if self.composed:
            require_torch()
        return importlib.import_module(f"ganrun.commands.{self.module}")


def require_torch() -> None:
    """Raises UserError if torch or torchvision is missing, or if they were not built for each other."""
    try:
        import torch
        import torchvision
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed: pip install torch torchvision") from None
    except (ImportError, OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"torch and torchvision do not fit each other ({reason}): reinstall both together: "
            "pip install --force-reinstall torch torchvision"
        ) from None
    del torch, torchvision  # only the imports were to be tried
