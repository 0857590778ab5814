"""Role: what a player of a system is for. Other code asks for the role, so a player may have any name."""

from __future__ import annotations

from enum import Enum


class Role(Enum):
    """The role of a player."""

    GENERATOR = "generator"  # pictures are drawn with it
    DISCRIMINATOR = "discriminator"  # it distinguishes real from fake pictures; the penalties of the loss apply to it
    OTHER = "other"  # for example an encoder or a classifier
