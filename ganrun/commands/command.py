"""What a command of `ganrun` is: one object with its name, its work, its help, and who may share it."""

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
    """One command. To declare it imports no torch: its module is imported when its work begins.

    Args:
        name: the word after `ganrun`; its keys and their defaults stand in conf/<name>.yaml, with _ for -.
        summary: one line of `ganrun --help`.
        module: the module under `ganrun.commands` that has `check(config)` and the function `work`.
        work: the function that does it, config -> the lines to print.
        usage: what `ganrun NAME --help` shows above the keys.
        shared: whether the processes that torchrun starts can share its work; `work` gets their `World` then.
        needs: packages that it needs besides ganrun's own, and how to install each.
        composed: whether its words are composed to a config; else `work` gets a plain one of two keys, `positional` and
            `config_dir`.
        positional: the key of its words that stand without one: with "ckpt" `NAME last` is `NAME ckpt=last`. "": it
            takes no such words.
        several: whether it takes any number of such words; the key is a list of them then.
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
        """Before the work: refuse what cannot be done. Returns the place that is written to, if any."""
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
    """Raises UserError for the classic mishap: a torch and a torchvision that were not built for each other."""
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
    del torch, torchvision  # they are there: that is all there was to know
