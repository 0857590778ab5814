"""The singular or the plural of a noun, for messages with a number."""

from __future__ import annotations


def plural(noun: str, count: float) -> str:
    """("step", 1) -> step, ("step", 2) -> steps, ("class", 2) -> classes."""
    if count == 1:
        return noun
    return f"{noun}es" if noun.endswith("s") else f"{noun}s"
