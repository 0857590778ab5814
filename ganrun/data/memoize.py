"""remembered: lru_cache for what is read by name, where a relative name means the current folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def memoized(most: int) -> Callable[[Function], Function]:
    """Remembers the last `most` results of a function, each for its arguments and the folder that it was called in."""

    def decorate(function: Function) -> Function:
        @lru_cache(maxsize=most)
        def known(here: str, *arguments: Any, **named: Any) -> Any:
            return function(*arguments, **named)

        @wraps(function)
        def asked(*arguments: Any, **named: Any) -> Any:
            return known(os.getcwd(), *arguments, **named)

        asked.cache_clear = known.cache_clear  # type: ignore[attr-defined]
        return asked  # type: ignore[return-value]

    return decorate
