"""watch: what can go wrong with a run, a class each, told from its numbers alone."""
