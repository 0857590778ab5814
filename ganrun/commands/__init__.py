"""One file or folder for each command of `ganrun`. Commands do not import one another."""
