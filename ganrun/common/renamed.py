"""Methods and attributes that were renamed: classes that users wrote with the earlier names keep working."""

from __future__ import annotations

from collections.abc import Mapping


def add_earlier_names(cls: type, names: Mapping[str, str]) -> None:
    """Whatever `cls` itself defines under one name of a pair (earlier, new) it has under the other too.

    Call it in `__init_subclass__`: then an override and `super()` work with both names.
    """
    for pair in names.items():
        for one, other in (pair, pair[::-1]):
            if one in vars(cls) and other not in vars(cls):
                setattr(cls, other, vars(cls)[one])
