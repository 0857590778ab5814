"""Role: what a player of a system is for. Nothing depends on the player's name."""

from __future__ import annotations

from enum import Enum


class Role(Enum):
    GENERATOR = "generator"  # pictures are drawn with it
    DISCRIMINATOR = "discriminator"  # it tells real pictures from drawn ones, and the loss's penalties are its own
    OTHER = "other"  # an encoder, a classifier
