"""Systems: one file for each kind of GAN. A system holds networks and says whose turn it is."""
