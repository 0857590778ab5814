"""The largest values that a setting may have. Training refuses larger ones, so every checkpoint can be opened later."""

from __future__ import annotations

INTEGER = 2**64 - 1  # any whole number, including seeds: the largest that fits into 64 bits
SETTING = 2**20  # a whole number that sets the size of a network: channels, widths, blocks, latent size
SIDE = 2**14  # pixels of one side of an image
COUNT = 2**16  # images in a grid, samples of a hook
REAL = 3.4e38  # any other number: the largest float32
STEPS = 2**53  # of a run: a float64 holds every whole number up to here exactly
THREADS = 1024
TEXT = 4096  # characters of one setting
SETTINGS, DEPTH = 10_000, 32  # number of settings, and nesting depth, of a whole config
