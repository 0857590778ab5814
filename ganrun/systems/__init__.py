"""Systems: one file for each kind of GAN. A system has the networks and defines the turns of a training step."""
