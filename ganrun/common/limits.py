"""limits: the largest values that a run may have. Training refuses what lies beyond, so whatever trained also opens."""

from __future__ import annotations

INTEGER = 2**64 - 1  # any whole number, seeds among them: what fits into 64 bits
SETTING = 2**20  # a whole number that sizes a network: channels, widths, blocks, a latent
SIDE = 2**14  # pixels of a picture's side
COUNT = 2**16  # pictures in a grid, samples of a hook
REAL = 3.4e38  # any other number: what fits into a float32
STEPS = 2**53  # of a run: what a float still counts one by one
THREADS = 1024
TEXT = 4096  # letters of one setting
SETTINGS, DEPTH = 10_000, 32  # of a whole config
