"""The step number at which a run is tried out before it starts."""

# A step number after all warm-up phases. It is a multiple of 5040 and so of every usual `every` of a penalty: all
# penalties act at it. A loss with `discriminator_steps` moves its generator in the step before such a multiple.
ALL_PENALTIES = 5040 * 10**5
ALL_PLAYERS = ALL_PENALTIES - 1  # a step number after all warm-up phases, at which every player is trained
