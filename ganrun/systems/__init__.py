"""The games: one file for each. A system holds networks and says whose turn it is."""
