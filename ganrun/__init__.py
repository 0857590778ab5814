"""Train GANs from the command line or from Python, one config per part.

>>> import ganrun
>>> run = ganrun.train(model="mlp", loss="hinge", steps=2, out="run", quiet=True)
>>> run.step, tuple(run.sample(4, seed=0).shape)
(2, (4, 1, 16, 16))
>>> run = ganrun.load("run")                 # or a checkpoint's file, or "last": the newest under outputs/
>>> run.generator.training
False
>>> ganrun.train(modle="mlp")
Traceback (most recent call last):
ganrun.common.errors.UserError: modle: no such key; nearest: model, profile, compile
"""

import sys as _sys

TYPE_CHECKING = False  # typing's own costs an import before the command line can handle signals
if TYPE_CHECKING:
    from ganrun.cli.python import Run as Run
    from ganrun.cli.python import load as load
    from ganrun.cli.python import train as train
    from ganrun.common.errors import UserError as UserError

__version__ = "0.1.0"
__all__ = ["Run", "UserError", "load", "train"]


class _EarlierNames:
    """Asked last: a module that is not there may have moved (`ganrun.config.moved` knows, and is only read then)."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> object:
        if not name.startswith("ganrun.") or name.count(".") != 1 or name == "ganrun.config":
            return None
        from ganrun.config import moved

        return moved.EarlierNames().find_spec(name)


_sys.meta_path.append(_EarlierNames)  # type: ignore[arg-type]


def __getattr__(name: str) -> object:
    """Import torch when it is first needed, not with `import ganrun`."""
    if name == "UserError":
        from ganrun.common.errors import UserError

        return UserError
    if name in __all__:
        from ganrun.cli import python

        return getattr(python, name)
    raise AttributeError(f"module 'ganrun' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
